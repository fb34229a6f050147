//! `wash`, the official command. Nothing here needs it; whoever wants to see `wash up` and `wash app deploy` on a machine
//! without GitHub does. `TRELLIS_WASH` names one that is there already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest::{self, Deployment};
use super::tools::Tools;
use crate::cache;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

const VERSION: &str = "0.43.0";
/// wadm.yaml with images that this machine has.
const MANIFEST: &str = "build/wadm.yaml";

/// Whoever has wash names it here.
const VARIABLE: &str = "TRELLIS_WASH";

/// Builds wash unless it is there, and lays out what it would download. Writes the manifest with images of this
/// machine, and says how to go on.
pub fn ready(workspace: &Workspace, tools: &Tools, steps: &mut Steps) -> Result<()> {
    let wash = steps.run_long("wash (a first build takes a quarter of an hour)", || build(workspace))?;
    let host = steps.run("what `wash up` downloads", || lay_out(tools))?;
    let root = &workspace.root;
    let deployment = Deployment::here(&manifest::read(&root.join("wadm.yaml"))?, root, tools)?;
    deployment.expect_files()?;
    files::write_if_changed(&root.join(MANIFEST), deployment.manifest.to_string().as_bytes())?;
    println!(
        "{} up --nats-version v{} --wadm-version v{} --wasmcloud-version v{host} --allow-file-load true",
        wash.display(),
        version_of(&tools.nats_server)?,
        version_of(&tools.program("wadm"))?
    );
    println!("{} app deploy {MANIFEST}", wash.display());
    Ok(())
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(wash) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        return fits(&wash).map(|()| wash);
    }
    let folder = cache::folder()?.join(format!("wash-{VERSION}"));
    let wash = folder.join("bin/wash");
    let _lock = cache::lock(&folder)?;
    if !wash.is_file() {
        let mut cargo = process::cargo();
        cargo.args(["install", "wash", "--version", VERSION, "--locked", "--root"]).arg(&folder);
        cargo.env("CARGO_TARGET_DIR", workspace.target.join("wash"));
        process::run(&mut cargo)?;
    }
    Ok(wash)
}

/// Its commands and what it sends to wadm and to hosts differ from one minor version to the next.
fn fits(wash: &Path) -> Result<()> {
    let text = process::output(Command::new(wash).arg("--version"))?;
    let version = text.lines().next().and_then(version_in).unwrap_or_default();
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    if minor(version) == minor(VERSION) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} says that it is {:?}, and this lattice goes with wash {VERSION}",
        wash.display(),
        text.lines().next().unwrap_or_default()
    ))
    .remedy(format!(
        "unset {VARIABLE} and run this again, which builds wash {VERSION}, or name one that fits"
    )))
}

/// Returns the host's version. wash takes what is in its folder if the version is the one asked for.
fn lay_out(tools: &Tools) -> Result<String> {
    let downloads = downloads()?;
    let host = version_of(&tools.program("wasmcloud_host"))?;
    copy(&tools.nats_server, &downloads.join("nats-server"))?;
    copy(&tools.program("wadm"), &downloads.join("wadm"))?;
    copy(&tools.program("wasmcloud_host"), &downloads.join(format!("v{host}")).join("wasmcloud_host"))?;
    Ok(host)
}

fn downloads() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("WASH_DOWNLOADS_DIR")
        .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("wash/downloads")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/wash/downloads")))
        .ok_or_else(|| Failure::new("wash has no folder: HOME is not set").remedy("set HOME"))
}

/// Beside and renamed: the one that is there may be running.
fn copy(from: &Path, to: &Path) -> Result<()> {
    to.parent().map_or(Ok(()), files::create_folder)?;
    let beside = to.with_added_extension("new");
    fs::copy(from, &beside).map_err(|error| Failure::io("copy", from, &error))?;
    fs::rename(&beside, to).map_err(|error| Failure::io("write", to, &error))
}

/// The last word of what a program says of itself, without a leading `v`.
fn version_of(program: &Path) -> Result<String> {
    let text = process::output(Command::new(program).arg("--version"))?;
    Ok(version_in(&text).unwrap_or_default().to_owned())
}

fn version_in(text: &str) -> Option<&str> {
    text.split_whitespace().last().map(|version| version.trim_start_matches('v'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_wash_of_another_version_is_refused_and_one_of_another_patch_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let wash = folder.path().join("wash");
        let with = |says: &str| {
            fs::write(&wash, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            fs::set_permissions(&wash, fs::Permissions::from_mode(0o755)).unwrap();
            fits(&wash).map_err(|failure| failure.to_string())
        };
        assert_eq!((with("wash v0.43.0"), with("wash 0.43.9")), (Ok(()), Ok(())));
        for other in ["wash v0.42.0", "wash v1.0.0", "", "something else"] {
            let why = with(other).unwrap_err();
            assert!(why.contains(other) && why.contains("wash 0.43.0") && why.contains(VARIABLE), "{why}");
        }
    }
}
