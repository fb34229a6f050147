//! The component begins with room for the passwords that everybody uses, and for hashing one.

const MEMORY_MIB: u64 = 24;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=--initial-memory={}", MEMORY_MIB << 20);
    }
}
