//! `cargo xtask`: see the library, which tests that start a lattice use too.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}
