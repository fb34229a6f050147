//! What a component may import.

use wasmparser::{Parser, Payload};

use super::Check;
use crate::components;
use crate::failure::{Failure, Result};
use crate::files;
use crate::workspace::Workspace;

pub const STANDARD_INTERFACES_ONLY: Check = Check {
    name: "components import standard interfaces only",
    reason: "a component decides nothing about where it runs; what it imports beyond this list, a stock wasmCloud host does not have",
    find: foreign_imports,
};

/// Packages of interfaces (or single ones) that stock hosts provide.
const ALLOWED: [&str; 8] = [
    "wasi:http/",
    "wasi:keyvalue/",
    "wasmcloud:messaging/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:logging/",
    "wasi:config/",
    "wasi:io/",
];

/// What wasi-libc needs, below any Rust program, whether it uses it or not.
const ALLOWED_FOR_LIBC: [&str; 2] = ["wasi:cli/", "wasi:filesystem/"];

fn foreign_imports(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for component in components::all(workspace) {
        if !component.file.is_file() {
            return Err(Failure::new(format!("{} is not there", component.file.display()))
                .remedy("run `cargo xtask build --components`"));
        }
        for import in imports(&files::read(&component.file)?).map_err(|error| {
            Failure::new(format!("{} is not a component: {error}", component.file.display()))
        })? {
            if !is_allowed(&import) {
                found.push(format!("{} imports {import}", component.package.name));
            }
        }
    }
    Ok(found)
}

fn is_allowed(import: &str) -> bool {
    ALLOWED.iter().chain(&ALLOWED_FOR_LIBC).any(|allowed| import.starts_with(allowed))
}

/// The names of the component's own imports; those of what is nested in it are wired up inside.
fn imports(component: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut imports = Vec::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn names_are_compared_by_package() {
        assert!(is_allowed("wasi:keyvalue/store@0.2.0-draft"));
        assert!(is_allowed("wasi:cli/stderr@0.2.6"));
        for foreign in
            ["wasi:sockets/tcp@0.2.0", "wasmcloud:bus/lattice@1.0.0", "wasi:httpx/types", "env", ""]
        {
            assert!(!is_allowed(foreign), "{foreign}");
        }
    }
}
