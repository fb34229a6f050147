//! Independent readers of the application's two documents, and the fuzzer that goes by one of them: programs from PyPI and
//! npm, in the versions that `tests/documents` pins.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::workspace::Workspace;

/// Tests that need the programs look here, or in the cache folder where [`ready`] puts them.
pub const VARIABLE: &str = "TRELLIS_DOCUMENT_TOOLS";

const REQUIREMENTS: &str = "requirements.txt";
/// What npm needs, and the program that it is for.
const NODE: [&str; 3] = ["package.json", "package-lock.json", "asyncapi.mjs"];

/// The folder of the programs; filled unless an earlier run has.
pub fn ready(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return Ok(PathBuf::from(folder));
    }
    let source = workspace.root.join("tests/documents");
    let folder = files::cache()?.join(format!("documents-{:016x}", version(&source)?));
    let _lock = files::lock(&folder)?;
    if !folder.is_dir() {
        // Under another name until complete, so that an interrupted run is not taken for a finished one.
        let unfinished = folder.with_added_extension("unfinished");
        files::remove_folder(&unfinished)?;
        files::create_folder(&unfinished)?;
        fill(&source, &unfinished)?;
        fs::rename(&unfinished, &folder).map_err(|error| Failure::io("rename", &unfinished, &error))?;
    }
    Ok(folder)
}

/// Changes with whatever decides what is in the folder.
fn version(source: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for name in NODE.iter().chain(&[REQUIREMENTS]) {
        files::read(&source.join(name))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn fill(source: &Path, folder: &Path) -> Result<()> {
    for (program, arguments) in [("python3", &["-m", "pip", "--version"][..]), ("npm", &["--version"])] {
        if !process::succeeds(Command::new(program).args(arguments)) {
            let what = format!(
                "the readers of the documents come by pip and npm, and `{program}` does not work here"
            );
            return Err(Failure::new(what).remedy(
                "install Python 3.9 with pip and Node.js 18 with npm, or newer (on Debian: `sudo apt-get install python3-pip npm`)",
            ));
        }
    }
    eprintln!("xtask: downloading the readers of the documents");
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
    process::run(pip.arg("--target").arg(folder.join("python")).arg("-r").arg(source.join(REQUIREMENTS)))?;
    for name in NODE {
        files::write_if_changed(&folder.join(name), &files::read(&source.join(name))?)?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(npm.current_dir(folder))
}
