//! Independent readers of the application's two documents, and the fuzzer that goes by one of them: programs from PyPI and
//! npm, in the versions that `tests/documents` pins.

use std::path::PathBuf;

use crate::failure::Result;
use crate::packages;
use crate::workspace::Workspace;

/// Tests that need the programs look here, or in the cache folder where [`ready`] puts them.
pub const VARIABLE: &str = "TRELLIS_DOCUMENT_TOOLS";

/// What pip and npm go by, and the program that needs what npm installs.
const PINNED: [&str; 4] = ["requirements.txt", "package.json", "package-lock.json", "asyncapi.mjs"];

/// The folder of the programs.
pub fn ready(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return Ok(PathBuf::from(folder));
    }
    packages::ready("documents", &workspace.root.join("tests/documents"), &PINNED, |folder| {
        eprintln!("xtask: downloading the readers of the documents");
        packages::pip(folder)?;
        packages::npm(folder)
    })
}
