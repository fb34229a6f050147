//! What cargo knows about this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::process;

#[derive(Debug)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    pub packages: Vec<Package>,
}

#[derive(Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub folder: PathBuf,
    pub license: Option<String>,
    /// Where the licence is, of a package that names none.
    pub license_file: Option<PathBuf>,
    pub is_member: bool,
    /// The name of the library target, as rustc writes it into file names.
    pub library: Option<String>,
}

impl Workspace {
    pub fn read() -> Result<Self> {
        // Asked when it runs: two checkouts may share one target folder, and so one compiled xtask.
        let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Self::read_in(&Path::new(&own).join(".."))
    }

    /// The workspace of what a lattice is made of.
    pub fn lattice(&self) -> Result<Self> {
        Self::read_in(&self.root.join("lattice"))
    }

    pub fn read_in(folder: &Path) -> Result<Self> {
        let json =
            process::output(process::cargo().current_dir(folder).args(["metadata", "--format-version=1"]))?;
        let metadata: Value = serde_json::from_str(&json)
            .map_err(|error| Failure::new(format!("`cargo metadata` printed what is not JSON: {error}")))?;
        Self::from_metadata(&metadata)
            .ok_or_else(|| Failure::new("`cargo metadata` printed an unknown format"))
    }

    /// The workspace's own package that lies at `folder`, a path relative to the root.
    pub fn members_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Package> {
        let folder = self.root.join(folder);
        self.members().filter(move |package| package.folder.parent() == Some(folder.as_path()))
    }

    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_member)
    }

    /// A command that runs cargo in the root of the workspace.
    pub fn cargo(&self) -> Command {
        let mut command = process::cargo();
        command.current_dir(&self.root);
        command
    }

    /// Builds one of the programs, with the features of dependencies that the tests of the whole workspace have: chosen for its
    /// package alone they are others, and nearly everything is compiled once more.
    pub fn build(&self, program: &str) -> Result<PathBuf> {
        process::run(self.cargo().args(["build", "--workspace", "--bin", program]))?;
        Ok(self.target.join("debug").join(program))
    }

    pub fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.root);
        command
    }

    /// Every file that is committed or about to be, as its path relative to the root.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let listed = process::output(self.git().args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let files = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
        // One that was deleted is still listed.
        Ok(files.filter(|path| self.root.join(path).is_file()).collect())
    }

    /// Those of them that are text, with what is in them.
    pub fn text_files(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        for path in self.files()? {
            // What is not UTF-8 is no text.
            if let Ok(text) = std::fs::read_to_string(self.root.join(&path)) {
                files.push((path, text));
            }
        }
        Ok(files)
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let members: Vec<&str> =
            metadata.get("workspace_members")?.as_array()?.iter().filter_map(Value::as_str).collect();
        let mut packages = Vec::new();
        for package in metadata.get("packages")?.as_array()? {
            packages.push(Package::from_metadata(package, &members)?);
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Some(Self {
            root: metadata.get("workspace_root")?.as_str()?.into(),
            target: metadata.get("target_directory")?.as_str()?.into(),
            packages,
        })
    }
}

impl Package {
    fn from_metadata(package: &Value, members: &[&str]) -> Option<Self> {
        let text = |name| package.get(name).and_then(Value::as_str);
        let is_library = |target: &&Value| {
            let kinds = target.get("kind").and_then(Value::as_array);
            kinds.is_some_and(|kinds| {
                kinds.iter().any(|kind| matches!(kind.as_str(), Some("lib" | "rlib" | "cdylib")))
            })
        };
        let library = package.get("targets")?.as_array()?.iter().find(is_library);
        let folder = Path::new(text("manifest_path")?).parent()?.to_path_buf();
        Some(Self {
            name: text("name")?.to_owned(),
            version: text("version")?.to_owned(),
            license: text("license").map(str::to_owned),
            license_file: text("license_file").map(|file| folder.join(file)),
            folder,
            is_member: members.contains(&text("id")?),
            library: library
                .and_then(|target| target.get("name")?.as_str())
                .map(|name| name.replace('-', "_")),
        })
    }
}
