//! Fills `wit/deps`, which is not committed, with the interface files that published crates carry.
//!
//! They are the files of a crate that the components are built with anyway. So the interfaces and the code that speaks
//! them cannot drift apart.

use std::fs;

use crate::failure::{Failure, Result};
use crate::files;
use crate::workspace::Workspace;

/// The crate whose package holds the wasi and wasmCloud interfaces.
const SOURCE: &str = "wasmcloud-component";

/// Makes `wit/deps` equal to the crate's own. Files that are already right keep their time of change, or everything that is
/// generated from them would be built again.
pub fn fill(workspace: &Workspace) -> Result<()> {
    let package = workspace.packages.iter().find(|package| package.name == SOURCE).ok_or_else(|| {
        Failure::new(format!(
            "no package in Cargo.lock is called {SOURCE}, which carries the interface files"
        ))
        .remedy(format!("keep {SOURCE} among the dependencies of crates/kit"))
    })?;
    let source = package.folder.join("wit/deps");
    let target = workspace.root.join("wit/deps");
    let wanted = files::below(&source)?;
    if wanted.is_empty() {
        return Err(Failure::new(format!("{SOURCE} {} has no interface files in {}", package.version, source.display()))
            .remedy(format!("choose a version of {SOURCE} whose package holds wit/deps, or say in xtask/src/wit.rs where they are now")));
    }
    for file in &wanted {
        files::write_if_changed(&target.join(file), &files::read(&source.join(file))?)?;
    }
    for file in files::below(&target)? {
        if !wanted.contains(&file) {
            let stale = target.join(file);
            fs::remove_file(&stale).map_err(|error| Failure::io("remove", &stale, &error))?;
        }
    }
    Ok(())
}
