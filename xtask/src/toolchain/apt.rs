//! apt with its lists and downloads in a folder of ours, reading the machine's own package sources.
//!
//! Signatures are checked as always, with the keys that the sources name. The system's configuration, lists and set of
//! installed packages stay as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt_sources::{self, Source};
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;

const SOURCES: &str = "/etc/apt/sources.list";
const SOURCES_FOLDER: &str = "/etc/apt/sources.list.d";
const INSTALLED: &str = "/var/lib/dpkg/status";

pub struct Apt {
    folder: PathBuf,
    /// The suites that were derived: the release's backports.
    backports: Vec<String>,
}

impl Apt {
    /// Reads the machine's sources, adds the backports suite of the same mirror, and fetches the lists.
    pub fn with_backports(folder: &Path) -> Result<Self> {
        let own = own_sources()?;
        let backports = apt_sources::backports(&own);
        let apt = Self {
            folder: folder.to_path_buf(),
            backports: backports.iter().map(|source| source.suites.join(" ")).collect(),
        };
        for needed in ["lists/partial", "cache/archives/partial", "sources"] {
            files::create_folder(&folder.join(needed))?;
        }
        let sources: Vec<String> = own.iter().chain(&backports).map(Source::to_string).collect();
        files::write_if_changed(&folder.join("sources/trellis.sources"), sources.join("\n").as_bytes())?;
        files::write_if_changed(&folder.join("status"), status_without_rust()?.as_bytes())?;
        if let Err(failure) = process::run(apt.get().arg("update")) {
            // One source that does not answer is no reason to stop: what is needed may be in the others.
            eprintln!("xtask: {failure}");
        }
        Ok(apt)
    }

    /// Unpacks packages and whatever they need that this machine has not installed.
    pub fn unpack_with_dependencies(&self, packages: &[&str], root: &Path) -> Result<()> {
        let install = ["install", "--yes", "--no-install-recommends", "--download-only"];
        process::run(self.get().args(install).args(packages)).map_err(|failure| {
            failure.remedy(format!(
                "see what apt says above; {} must be in the package sources of this machine (Debian has them in its main and security suites)",
                packages.join(", ")
            ))
        })?;
        unpack(&self.folder.join("cache/archives"), root)
    }

    /// Unpacks one package from backports, or from the release if that is the one that has `wanted` in it.
    pub fn unpack_newest_that_has(&self, package: &str, wanted: &str, root: &Path) -> Result<()> {
        let from_backports = self.backports.iter().map(|suite| format!("{package}/{suite}"));
        let downloads = self.folder.join("downloads");
        for candidate in from_backports.chain([package.to_owned()]) {
            files::remove_folder(&downloads)?;
            files::create_folder(&downloads)?;
            if process::run(self.get().current_dir(&downloads).args(["download", &candidate])).is_ok() {
                unpack(&downloads, root)?;
            }
            if root.join(wanted).is_dir() {
                return Ok(());
            }
        }
        Err(Failure::new(format!(
            "no {package} with {wanted} is to be had from this machine's package sources"
        ))
        .remedy(format!(
            "see what apt says above; the mirror must carry the backports suite ({})",
            self.backports.join(", ")
        )))
    }

    /// Gives the space back.
    pub fn remove(self) -> Result<()> {
        files::remove_folder(&self.folder)
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        let mut set = |name: &str, value: PathBuf| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        set("Dir::State::Lists", self.folder.join("lists"));
        set("Dir::State::status", self.folder.join("status"));
        set("Dir::Cache", self.folder.join("cache"));
        set("Dir::Etc::SourceList", PathBuf::from("/dev/null"));
        set("Dir::Etc::SourceParts", self.folder.join("sources"));
        // The locks are the system's, and need root; this touches nothing that they protect.
        set("Debug::NoLocking", PathBuf::from("1"));
        // As root, apt would download as a user who may not write into our folder.
        set("APT::Sandbox::User", PathBuf::new());
        command.env("LC_ALL", "C");
        command
    }
}

/// Everything in `/etc/apt`, in both of its formats.
fn own_sources() -> Result<Vec<Source>> {
    let mut paths = vec![PathBuf::from(SOURCES)];
    paths.extend(
        files::below(Path::new(SOURCES_FOLDER))?.into_iter().map(|file| Path::new(SOURCES_FOLDER).join(file)),
    );
    let mut sources = Vec::new();
    for path in paths.into_iter().filter(|path| path.is_file()) {
        let text = files::read_text(&path)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(apt_sources::parse_stanzas(&text)),
            Some("list") => sources.extend(apt_sources::parse_lines(&text)),
            _ => {}
        }
    }
    if sources.is_empty() {
        return Err(Failure::new("this machine has no package sources in /etc/apt"));
    }
    Ok(sources)
}

/// What is installed, but for Rust: that has to be complete in our folder, whatever version the system has, and must not
/// be a reason for apt to see a conflict.
fn status_without_rust() -> Result<String> {
    let path = Path::new(INSTALLED);
    let text = files::read_text(path)?;
    let is_rust = |stanza: &&str| {
        let name = stanza.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap_or_default();
        name.contains("rust") || name.contains("cargo")
    };
    let kept: Vec<&str> = text.split("\n\n").filter(|stanza| !is_rust(stanza)).collect();
    Ok(kept.join("\n\n"))
}

fn unpack(archives: &Path, root: &Path) -> Result<()> {
    for file in files::below(archives)? {
        if file.extension().is_some_and(|extension| extension == "deb") {
            process::run(Command::new("dpkg-deb").arg("--extract").arg(archives.join(file)).arg(root))?;
        }
    }
    Ok(())
}
