//! Debian's compiler for components, unpacked into the cache folder.
//!
//! It takes `rustc-web`, `cargo-web` and `rust-web-src` (the standard library is built from source for the target) and
//! `wasi-libc`, from the machine's own package sources. Nothing is installed: apt keeps its lists in the cache folder,
//! and the packages are unpacked beside them. So neither root nor a change to the system is needed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::apt::Apt;
use super::host::Host;
use crate::cache;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::workspace::Workspace;

/// The compiler, its package manager, and the sources of its standard library.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// The C library below Rust's own. Backports has it newer: that of Debian 12 itself does not know the target.
const LIBC: &str = "wasi-libc";
const LIBC_FOLDER: &str = "usr/lib/wasm32-wasip2";

/// The oldest compiler that builds this workspace.
const RUST_MIN: &str = env!("CARGO_PKG_RUST_VERSION");

pub struct Debian {
    /// Where the packages are unpacked; what would be `/`.
    root: PathBuf,
}

/// Whether an earlier run has unpacked everything.
pub fn is_set_up() -> bool {
    folder().is_ok_and(|folder| folder.join("root").is_dir())
}

/// Unpacks the packages, unless an earlier run has.
pub fn ready() -> Result<Debian> {
    let folder = folder()?;
    let debian = Debian { root: folder.join("root") };
    if debian.root.is_dir() {
        return Ok(debian);
    }
    let _lock = cache::lock(&folder)?;
    if debian.root.is_dir() {
        return Ok(debian); // Another process has just done it.
    }
    if !process::succeeds(Command::new("apt-get").arg("--version")) {
        return Err(Failure::new("there is no apt-get, so this is not Debian or one of its kin"));
    }
    eprintln!("xtask: unpacking Debian's {} and {LIBC} into {}", PACKAGES.join(", "), folder.display());
    // Under another name until complete, so that an interrupted run is not taken for a finished one.
    let unfinished = Debian { root: folder.join("root.unfinished") };
    files::remove_folder(&unfinished.root)?;
    files::create_folder(&unfinished.root)?;

    let apt = Apt::with_backports(&folder.join("apt"))?;
    apt.unpack_with_dependencies(&PACKAGES, &unfinished.root)?;
    apt.unpack_newest_that_has(LIBC, LIBC_FOLDER, &unfinished.root)?;
    unfinished.check_version()?;
    apt.remove()?;
    fs::rename(&unfinished.root, &debian.root)
        .map_err(|error| Failure::io("rename", &unfinished.root, &error))?;
    Ok(debian)
}

impl Debian {
    /// Debian's cargo with Debian's compiler, and rustup's linkers, which Debian does not package.
    pub fn cargo(&self, workspace: &Workspace) -> Result<Command> {
        let linkers = linkers()?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(linkers.into_iter().chain(std::env::split_paths(&path)))
            .map_err(|error| Failure::new(format!("cannot put the linkers on PATH: {error}")))?;
        let mut cargo = self.program("cargo");
        process::forget_outer_cargo(&mut cargo);
        cargo.current_dir(&workspace.root).env("PATH", path);
        cargo
            .env("RUSTC", self.root.join("usr/bin/rustc"))
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTUP_TOOLCHAIN");
        // Building the standard library is not a stable feature of cargo yet.
        cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        Ok(cargo)
    }

    pub fn rustc_flags(&self) -> Vec<String> {
        vec![
            format!("-Lnative={}", self.root.join(LIBC_FOLDER).display()),
            "-Clink-self-contained=no".to_owned(),
            // Panic messages of the standard library hold its paths; see `hidden_paths`.
            format!("--remap-path-prefix={}=/rust", self.root.display()),
        ]
    }

    /// A program of the unpacked packages, with the libraries that were unpacked beside it.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.root.join("usr/bin").join(name));
        let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        command.env("LD_LIBRARY_PATH", self.root.join(libraries));
        command
    }

    fn check_version(&self) -> Result<()> {
        let version = process::output(self.program("rustc").arg("--version"))?;
        let number = version.split_whitespace().nth(1).unwrap_or_default();
        if release(number) >= release(RUST_MIN) {
            return Ok(());
        }
        Err(Failure::new(format!("Debian's rustc-web is {number}, and this workspace needs {RUST_MIN}"))
            .remedy("add the security suite of your Debian release to its package sources; it carries a newer rustc-web"))
    }
}

/// `1.96.0` and `1.96` compare as they should.
fn release(version: &str) -> Vec<u32> {
    version.split('.').take(2).map_while(|part| part.parse().ok()).collect()
}

/// Named after all that decides what is in it.
fn folder() -> Result<PathBuf> {
    let codename = os_release("VERSION_CODENAME").unwrap_or_else(|| "unknown".to_owned());
    Ok(cache::folder()?.join(format!("debian-{codename}-rust-{RUST_MIN}")))
}

/// The folders of `wasm-component-ld` and of `wasm-ld`, which it runs.
fn linkers() -> Result<[PathBuf; 2]> {
    let host = Host::read()?;
    let tools = host.sysroot.join("lib/rustlib").join(&host.triple).join("bin");
    let folders = [tools.clone(), tools.join("gcc-ld")];
    for (folder, program) in folders.iter().zip(["wasm-component-ld", "wasm-ld"]) {
        if !folder.join(program).is_file() {
            return Err(Failure::new(format!("{program} is not in {}", folder.display()))
                .remedy("install Rust with rustup: its toolchains carry the linkers for components, distributions do not"));
        }
    }
    Ok(folders)
}

/// A field of `/etc/os-release`.
fn os_release(field: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_compare_as_numbers() {
        assert!(release("1.96.0") >= release("1.95"));
        assert!(release("1.95.0") >= release("1.95"));
        assert!(release("1.100.0") >= release("1.95"));
        assert!(release("1.85.0") < release("1.95"));
        assert!(release("what?") < release("1.95"));
    }
}
