//! The browser that the tests of the pages look through: Chromium and its driver, from the machine's own packages; and what they
//! hold pages to, from npm, in the version that `tests/browser` pins.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::packages;
use crate::process;
use crate::workspace::Workspace;

/// Tests look here, or in the search path.
const BROWSER: &str = "TRELLIS_CHROMIUM";
const DRIVER: &str = "TRELLIS_CHROMEDRIVER";
/// The folder of what npm installs.
const RULES: &str = "TRELLIS_PAGE_RULES";

const PINNED: [&str; 2] = ["package.json", "package-lock.json"];

/// What the program is called by those who package it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Debian's packages of both, and letters for what people write.
const PACKAGES: [&str; 4] = ["chromium", "chromium-driver", "fonts-noto-core", "fonts-noto-color-emoji"];

pub struct Browser {
    programs: Programs,
    rules: PathBuf,
}

struct Programs {
    browser: PathBuf,
    driver: PathBuf,
}

impl Browser {
    /// Tells a program, and what it starts, where all of it is.
    pub fn tell(&self, command: &mut Command) {
        let Programs { browser, driver } = &self.programs;
        command.env(BROWSER, browser).env(DRIVER, driver).env(RULES, &self.rules);
    }
}

pub fn ready(workspace: &Workspace) -> Result<Browser> {
    let programs = programs()?;
    if let Some(rules) = std::env::var_os(RULES).map(PathBuf::from) {
        return Ok(Browser { programs, rules });
    }
    let rules = packages::ready("page-rules", &workspace.root.join("tests/browser"), &PINNED, packages::npm)?;
    Ok(Browser { programs, rules })
}

/// Finds both, or installs them where that is allowed.
fn programs() -> Result<Programs> {
    if let Some(programs) = found() {
        return check(programs);
    }
    install()?;
    let missing =
        || Failure::new(format!("{} are installed, and yet not in the search path", PACKAGES.join(", ")));
    check(found().ok_or_else(missing)?)
}

fn found() -> Option<Programs> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let browser = named(BROWSER).or_else(|| NAMES.into_iter().find_map(in_search_path))?;
    let driver = named(DRIVER).or_else(|| in_search_path("chromedriver"))?;
    Some(Programs { browser, driver })
}

fn in_search_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Programs of the system are for whoever administers it to install.
fn install() -> Result<()> {
    let by_hand = |failure: Failure| {
        failure.remedy(format!(
            "install Chromium and its driver (on Debian: `sudo apt-get install {}`), or set {BROWSER} and {DRIVER} to the \
             paths of both",
            PACKAGES.join(" ")
        ))
    };
    let is_root = process::quiet_output(Command::new("id").arg("--user")).is_some_and(|id| id.trim() == "0");
    if !is_root || !process::succeeds(Command::new("apt-get").arg("--version")) {
        return Err(by_hand(Failure::new("the tests of the pages need Chromium and chromedriver")));
    }
    eprintln!("xtask: installing {}", PACKAGES.join(", "));
    let apt = |arguments: &[&str]| {
        process::run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    let install = ["install", "--yes", "--no-install-recommends"];
    apt(&["update"]).and_then(|()| apt(&[&install[..], &PACKAGES].concat())).map_err(by_hand)
}

/// A driver drives the browser of its own version only.
fn check(programs: Programs) -> Result<Programs> {
    let (of_browser, of_driver) = (version(&programs.browser)?, version(&programs.driver)?);
    if of_browser == of_driver {
        return Ok(programs);
    }
    Err(Failure::new(format!(
        "{} has version {of_browser}, {} has version {of_driver}",
        programs.browser.display(),
        programs.driver.display()
    ))
    .remedy("install both in the same version"))
}

/// The first number: `156` of `Chromium 156.0.8078.73 built on Debian`.
fn version(program: &Path) -> Result<String> {
    let said = process::output(Command::new(program).arg("--version"))?;
    let mut words = said.split_whitespace();
    let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default();
    Ok(number.split('.').next().unwrap_or_default().to_owned())
}
