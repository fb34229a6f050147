//! What a component may import.

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Payload, Validator};

use super::check::Check;
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
const ALLOWED: [&str; 9] = [
    "wasi:http/",
    "wasi:keyvalue/",
    "wasmcloud:messaging/",
    "wasmcloud:secrets/",
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

/// What the component itself imports and a host must provide. What is nested in it is wired up inside, and an interface of
/// nothing but type definitions asks for nothing.
fn imports(component: &[u8]) -> wasmparser::Result<Vec<String>> {
    let types = Validator::new().validate_all(component)?;
    let mut imports = Vec::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let name = import?.name.name;
                    if !defines_types_only(types.as_ref(), name) {
                        imports.push(name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

fn defines_types_only(types: TypesRef<'_>, import: &str) -> bool {
    // A resource is a type as well, but one that the host has to bring to life.
    let is_plain_type = |item: &ComponentItem| match item.ty {
        ComponentEntityType::Type { created, .. } => !matches!(created, ComponentAnyTypeId::Resource(_)),
        _ => false,
    };
    match types.component_item_for_import(import).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            types.get(id).is_some_and(|instance| instance.exports.values().all(is_plain_type))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{imports, is_allowed};

    const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";

    /// An instance of one function, of one plain type (a boolean), and of one resource.
    const FUNCTION: &[u8] = &[0x42, 2, 1, 0x40, 0, 1, 0, 4, 0, 1, b'f', 1, 0];
    const PLAIN_TYPE: &[u8] = &[0x42, 2, 1, 0x7f, 4, 0, 1, b't', 3, 0, 0];
    const RESOURCE: &[u8] = &[0x42, 1, 4, 0, 1, b'r', 3, 1];

    /// A component that imports one instance, followed by what else it has.
    fn importing(name: &str, instance: &[u8], rest: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let types = [&[1], instance].concat();
        let imports = [&[1, 0, length(name.as_bytes())], name.as_bytes(), &[5, 0]].concat();
        let sections = [&[7, length(&types)], types.as_slice(), &[10, length(&imports)], &imports].concat();
        [PREAMBLE.as_slice(), &sections, rest].concat()
    }

    #[test]
    fn imports_of_the_component_but_not_of_what_is_nested_in_it() {
        let inner = importing("inner:package/name", FUNCTION, &[]);
        let nested = [&[4, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat();
        let component = importing("wasi:sockets/tcp@0.2.0", FUNCTION, &nested);
        assert_eq!(imports(&component).unwrap(), ["wasi:sockets/tcp@0.2.0"]);
    }

    #[test]
    fn plain_types_ask_for_nothing_and_resources_do() {
        assert!(imports(&importing("a:b/c", PLAIN_TYPE, &[])).unwrap().is_empty());
        assert_eq!(imports(&importing("a:b/c", RESOURCE, &[])).unwrap(), ["a:b/c"]);
    }

    #[test]
    fn what_is_no_component_is_an_error() {
        assert!(imports(b"not wasm").is_err());
        let component = importing("wasi:sockets/tcp@0.2.0", FUNCTION, &[]);
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
