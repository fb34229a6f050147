//! Says plainly what to do when the interface files are missing, before the binding macros fail on them.

use std::path::Path;

fn main() {
    // Asked when it runs: two checkouts may share one target folder, and so one compiled script.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let deps = Path::new(&package).join("../../wit/deps");
    println!("cargo::rerun-if-changed={}", deps.display());
    for package in ["clocks", "config", "http", "keyvalue", "logging", "messaging", "random", "secrets"] {
        if !deps.join(package).is_dir() {
            println!(
                "cargo::error=wit/deps/{package} is missing: run `cargo xtask wit`, which fills wit/deps"
            );
        }
    }
}
