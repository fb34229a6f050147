//! The compiler for components: rustup's where its target can be had, else Debian's.
//!
//! A machine that reaches the Rust servers needs one `rustup target add`. One that reaches only its distribution's mirror
//! gets the same target from there: see `debian`.

mod apt;
mod apt_sources;
mod debian;
mod host;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::debian::Debian;
use crate::failure::{Failure, Result};
use crate::process;
use crate::workspace::Workspace;

pub const TARGET: &str = "wasm32-wasip2";

/// With what a component begins, unless its build script says otherwise: stack, data, and a heap that most calls need not grow.
/// Growing it changes what the process has mapped, for which a host stops all its threads.
const MEMORY_MIB: u64 = 2;

/// `rustup` or `debian`: take this way only. For trying out the second where the first works.
const CHOICE: &str = "TRELLIS_WASM_TOOLCHAIN";

/// A download that has not ended by then is given up, and the next way is tried.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

pub enum Toolchain {
    Rustup,
    Debian(Debian),
}

/// Finds a compiler for components, or installs one.
pub fn ready() -> Result<Toolchain> {
    let choice = std::env::var(CHOICE).ok();
    let rustup = || -> Result<Toolchain> {
        if !rustup_target_is_installed() {
            eprintln!("xtask: the target {TARGET} is missing; asking rustup for it");
            process::run_for_at_most(DOWNLOAD_LIMIT, Command::new("rustup").args(["target", "add", TARGET]))?;
        }
        Ok(Toolchain::Rustup)
    };
    let debian = || debian::ready().map(Toolchain::Debian);
    match choice.as_deref() {
        Some("rustup") => rustup(),
        Some("debian") => debian(),
        Some(other) => Err(Failure::new(format!("{CHOICE}={other} is not a way to build components"))
            .remedy(format!("unset {CHOICE}, or set it to `rustup` or `debian`"))),
        // Once Debian's is set up there is no need to ask rustup in vain before every build.
        None if !rustup_target_is_installed() && debian::is_set_up() => debian(),
        None => rustup().or_else(|first| {
            eprintln!("xtask: {first}\nxtask: trying Debian's packages instead");
            debian().map_err(|second| neither(&first, &second))
        }),
    }
}

impl Toolchain {
    /// A cargo that compiles for [`TARGET`].
    pub fn cargo(&self, workspace: &Workspace) -> Result<Command> {
        let mut flags = vec![];
        let mut cargo = match self {
            Self::Rustup => workspace.cargo(),
            Self::Debian(debian) => {
                flags.extend(debian.rustc_flags());
                debian.cargo(workspace)?
            }
        };
        flags.extend(hidden_paths(workspace));
        flags.extend(["-C".to_owned(), format!("link-arg=--initial-memory={}", MEMORY_MIB << 20)]);
        // What the caller sets for native builds (`-C target-cpu=native`, say) means nothing to this compiler.
        cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        Ok(cargo)
    }
}

/// Panic messages hold the paths of source files. Without the folders of this machine in them the same sources give the
/// same component everywhere, and it tells nobody where it was built.
fn hidden_paths(workspace: &Workspace) -> Vec<String> {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home =
        cargo_home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![remap(&workspace.root, "/trellis")];
    flags.extend(cargo_home.map(|home| remap(&home, "/cargo")));
    flags
}

fn rustup_target_is_installed() -> bool {
    let library =
        process::quiet_output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    library.is_some_and(|path| Path::new(path.trim()).is_dir())
}

fn neither(rustup: &Failure, debian: &Failure) -> Failure {
    Failure::new(format!("no compiler for {TARGET}.\n\nrustup: {rustup}\n\nDebian: {debian}")).remedy(format!(
        "run `rustup target add {TARGET}` on a network that reaches the Rust servers, or follow the advice above for Debian's packages"
    ))
}
