//! Says plainly what to do when the interface files are missing, before the binding macros fail on them.

use std::path::Path;

fn main() {
    let deps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/deps");
    println!("cargo::rerun-if-changed={}", deps.display());
    for package in ["clocks", "config", "http", "keyvalue", "logging", "messaging", "random"] {
        if !deps.join(package).is_dir() {
            println!(
                "cargo::error=wit/deps/{package} is missing: run `cargo xtask wit`, which fills wit/deps"
            );
        }
    }
}
