//! Builds the wasm components: what is in `components/` to `build/`, the guests of the tests to `build/test/`, and what
//! wasmCloud 2 needs beside them to `build/v2/`.
//!
//! Whether anything needs building is cargo's decision; a component that came out the same is not copied again.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::toolchain::{self, Toolchain};
use crate::workspace::{Package, Workspace};

/// A folder of the workspace whose packages are components, and where they are put.
const FOLDERS: [(&str, &str); 3] =
    [("components", "build"), ("deploy/v2", "build/v2"), ("tests/guests", "build/test")];

/// The first bytes of a component. A plain module has version 1 and layer 0 here.
const COMPONENT_PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component of this workspace.
pub struct Component<'a> {
    pub package: &'a Package,
    pub file: PathBuf,
}

/// Every component, in the order of their folders and names.
pub fn all(workspace: &Workspace) -> Vec<Component<'_>> {
    let in_folder = |(folder, output): (&'static str, &'static str)| {
        workspace.members_in(folder).map(move |package| Component {
            package,
            file: workspace.root.join(output).join(format!("{}.wasm", package.name)),
        })
    };
    FOLDERS.into_iter().flat_map(in_folder).collect()
}

pub fn build_all(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    build_each(workspace, all(workspace), steps)
}

/// Those of these names.
pub fn build_these(workspace: &Workspace, names: &[String], steps: &mut Steps) -> Result<()> {
    let mut these = all(workspace);
    if let Some(name) = names.iter().find(|name| !these.iter().any(|known| known.package.name == **name)) {
        let known: Vec<&str> = these.iter().map(|known| known.package.name.as_str()).collect();
        return Err(Failure::new(format!("no component is called {name}"))
            .remedy(format!("name some of {}", known.join(", "))));
    }
    these.retain(|component| names.contains(&component.package.name));
    build_each(workspace, these, steps)
}

/// All at once: what they share is compiled once, and as many are linked at a time as there are processors.
fn build_each(workspace: &Workspace, these: Vec<Component<'_>>, steps: &mut Steps) -> Result<()> {
    let toolchain = steps.run("compiler for components", toolchain::ready)?;
    steps.run_long("components", || build(workspace, &toolchain, &these))
}

fn build(workspace: &Workspace, toolchain: &Toolchain, these: &[Component<'_>]) -> Result<()> {
    // A target folder of its own: native and wasm builds have different flags and would wait for each other's lock.
    let target = workspace.target.join("wasm");
    let mut cargo = toolchain.cargo(workspace)?;
    cargo.args(["build", "--lib", "--profile", "component", "--target", toolchain::TARGET]);
    cargo.arg("--target-dir").arg(&target);
    for component in these {
        cargo.args(["--package", &component.package.name]);
    }
    process::run(&mut cargo)?;
    let built = target.join(toolchain::TARGET).join("component");
    these.iter().try_for_each(|component| put(&built, component))
}

/// Puts a component where it belongs, unless it came out the same.
fn put(built: &Path, Component { package, file }: &Component<'_>) -> Result<()> {
    let library = package.library.as_ref().ok_or_else(|| {
        Failure::new(format!("{} has no library, so it cannot be a component", package.name))
            .remedy(format!("add src/lib.rs to {}", package.folder.display()))
    })?;
    let artifact = built.join(format!("{library}.wasm"));
    let bytes = files::read(&artifact)?;
    if !bytes.starts_with(COMPONENT_PREAMBLE) {
        return Err(Failure::new(format!("{} is not a component", artifact.display())));
    }
    files::write_if_changed(file, &bytes)?;
    Ok(())
}
