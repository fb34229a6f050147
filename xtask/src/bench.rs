//! Builds both sides of the measurements, then runs them.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Result;
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

/// The other side of the hello measurement: the same engine, as its authors serve a component with it.
const WASMTIME: &str = "48.0.8";

pub fn run(workspace: &Workspace, arguments: &[OsString], steps: &mut Steps) -> Result<()> {
    let trellis = crate::build_all(workspace, steps)?;
    let wasmtime = steps.run_long("wasmtime (a first build: minutes)", wasmtime)?;
    steps.run_long("measurements", || {
        let mut bench = workspace.cargo();
        bench.args(["run", "--release", "--package", "bench", "--", "--trellis"]).arg(trellis);
        process::run(bench.arg("--wasmtime").arg(wasmtime).args(arguments))
    })
}

fn wasmtime() -> Result<PathBuf> {
    let folder = files::cache()?.join(format!("wasmtime-{WASMTIME}"));
    let program = folder.join("bin/wasmtime");
    if !program.is_file() {
        let mut cargo = process::cargo();
        cargo.args(["install", "wasmtime-cli", "--version", WASMTIME, "--locked", "--root"]).arg(&folder);
        process::run(&mut cargo)?;
    }
    Ok(program)
}
