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
    use super::{imports, is_allowed};

    const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";

    /// A component that imports one empty instance, followed by what else it has.
    fn importing(name: &str, rest: &[u8]) -> Vec<u8> {
        let empty_instance_type = [7, 3, 1, 0x42, 0];
        let length = u8::try_from(name.len()).unwrap();
        let mut component =
            [PREAMBLE.as_slice(), &empty_instance_type, &[10, length + 5, 1, 0, length]].concat();
        component.extend_from_slice(name.as_bytes());
        component.extend_from_slice(&[5, 0]);
        component.extend_from_slice(rest);
        component
    }

    #[test]
    fn imports_of_the_component_but_not_of_what_is_nested_in_it() {
        let inner = importing("inner:package/name", &[]);
        let nested = [&[4, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat();
        let component = importing("wasi:sockets/tcp@0.2.0", &nested);
        assert_eq!(imports(&component).unwrap(), ["wasi:sockets/tcp@0.2.0"]);
    }

    #[test]
    fn what_is_no_component_is_an_error() {
        assert!(imports(b"not wasm").is_err());
        let component = importing("wasi:sockets/tcp@0.2.0", &[]);
        assert!(imports(component.split_last().unwrap().1).is_err(), "cut off");
    }

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
