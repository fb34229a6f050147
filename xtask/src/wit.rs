//! Fills `wit/deps`, which is not committed, with the interface files that published crates carry.
//!
//! They are the files of the crate that the components are built with anyway, so the interfaces and the code that speaks
//! them cannot drift apart. It lacks those of secrets, which another crate has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::files;
use crate::workspace::Workspace;

/// The crates whose packages hold the wasi and wasmCloud interfaces: where in the crate, and where below `wit/deps`.
const SOURCES: [(&str, &str, &str); 2] =
    [("wasmcloud-component", "wit/deps", ""), ("wasmcloud-secrets-types", "wit", "secrets")];

/// Makes `wit/deps` equal to what the crates have. Files that are already right keep their time of change, or everything that
/// is generated from them would be built again.
pub fn fill(workspace: &Workspace) -> Result<()> {
    let target = workspace.root.join("wit/deps");
    let mut wanted = Vec::new();
    for (name, from, to) in SOURCES {
        let source = source(workspace, name, from)?;
        for file in files::below(&source)? {
            let path = Path::new(to).join(&file);
            files::write_if_changed(&target.join(&path), &files::read(&source.join(&file))?)?;
            wanted.push(path);
        }
    }
    for file in files::below(&target)? {
        if !wanted.contains(&file) {
            let stale = target.join(file);
            fs::remove_file(&stale).map_err(|error| Failure::io("remove", &stale, &error))?;
        }
    }
    Ok(())
}

/// Where the interface files of a crate are, of which there is one at least.
fn source(workspace: &Workspace, name: &str, folder: &str) -> Result<PathBuf> {
    let package = workspace.packages.iter().find(|package| package.name == name).ok_or_else(|| {
        Failure::new(format!("no package in Cargo.lock is called {name}, which carries interface files"))
            .remedy(format!("keep {name} among the dependencies of crates/kit"))
    })?;
    let source = package.folder.join(folder);
    if files::below(&source)?.is_empty() {
        return Err(Failure::new(format!("{name} {} has no interface files in {}", package.version, source.display()))
            .remedy(format!("choose a version of {name} whose package holds {folder}, or say in xtask/src/wit.rs where they are now")));
    }
    Ok(source)
}
