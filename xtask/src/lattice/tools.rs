//! The programs and provider archives, built once for each content of `lattice/` and kept in the cache.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::files;
use crate::nats;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

const PROGRAMS: [&str; 4] = ["wasmcloud_host", "wadm", "lattice-ctl", "secrets-file"];

/// A provider's program, and the version of the crate that it is.
const PROVIDERS: [(&str, &str); 3] =
    [("http-server", "0.27.1"), ("messaging-nats", "0.27.0"), ("keyvalue-nats", "0.1.0")];

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
    pub nats_server: PathBuf,
}

impl Tools {
    /// Those that were built for the checkout at `root`.
    pub fn built(root: &Path) -> Result<Self> {
        let folder = folder(&root.join("lattice"))?;
        if !folder.is_dir() {
            return Err(Failure::new(format!("there is no {}", folder.display()))
                .remedy("`cargo xtask lattice build` builds what a lattice is made of"));
        }
        Ok(Self { folder, nats_server: nats::ready()? })
    }

    #[cfg(test)]
    pub fn in_folder(folder: &Path, nats_server: PathBuf) -> Self {
        Self { folder: folder.to_owned(), nats_server }
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The archive of the provider with this name, if there is one.
    pub fn archive(&self, provider: &str) -> Option<PathBuf> {
        let known = PROVIDERS.iter().any(|(name, _)| *name == provider);
        known.then(|| archive_in(&self.folder, provider))
    }
}

/// Builds what is not in the cache.
pub fn ready(workspace: &Workspace, steps: &mut Steps) -> Result<Tools> {
    let nats_server = steps.run("nats-server", nats::ready)?;
    let sources = workspace.root.join("lattice");
    let folder = cache::filled_once(folder(&sources)?, |folder| {
        steps.run_long(
            "lattice: host, wadm and providers (a first build takes a quarter of an hour)",
            || build(workspace, &sources, folder),
        )?;
        steps.run_long("lattice: tests of what is our own", || {
            let mut tests = cargo(workspace, &sources, &["test", "--workspace", "--tests"]);
            process::run(tests.env(nats::VARIABLE, &nats_server))
        })?;
        steps.run("lattice: provider archives", || archives(folder))
    })?;
    Ok(Tools { folder, nats_server })
}

fn folder(sources: &Path) -> Result<PathBuf> {
    Ok(cache::folder()?.join(format!("lattice-{:016x}", fingerprint(sources)?)))
}

/// Stands for everything that the programs are built from.
fn fingerprint(sources: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let is_source = |file: &&PathBuf| !file.starts_with("target") && file.extension() != Some("md".as_ref());
    for file in files::below(sources)?.iter().filter(is_source) {
        file.hash(&mut hasher);
        files::read(&sources.join(file))?.hash(&mut hasher);
    }
    PROVIDERS.hash(&mut hasher);
    Ok(hasher.finish())
}

/// From inside, so that cargo finds the settings that belong to this workspace.
fn cargo(workspace: &Workspace, sources: &Path, what: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo.current_dir(sources).args(what);
    cargo.args(["--release", "--locked", "--target-dir"]).arg(target(workspace));
    cargo
}

fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("lattice")
}

fn build(workspace: &Workspace, sources: &Path, into: &Path) -> Result<()> {
    process::run(&mut cargo(workspace, sources, &["build", "--bins"]))?;
    let release = target(workspace).join("release");
    let providers = PROVIDERS.iter().map(|(name, _)| *name);
    for name in PROGRAMS.into_iter().chain(providers) {
        let (built, copy) = (release.join(name), into.join(name));
        fs::copy(&built, &copy).map_err(|error| Failure::io("copy", &built, &error))?;
    }
    Ok(())
}

fn archives(folder: &Path) -> Result<()> {
    for (name, version) in PROVIDERS {
        let mut archive = Command::new(folder.join("lattice-ctl"));
        archive.args(["archive", "--name", name, "--version", version]);
        archive.arg("--program").arg(folder.join(name));
        archive.arg("--destination").arg(archive_in(folder, name));
        process::run(&mut archive)?;
    }
    Ok(())
}

fn archive_in(folder: &Path, provider: &str) -> PathBuf {
    folder.join(format!("{provider}.par.gz"))
}
