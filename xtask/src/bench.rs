//! Builds what is measured and what it is measured against, then measures: each part of the host alone, then the whole.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::cache;
use crate::components;
use crate::failure::Result;
use crate::lattice;
use crate::nats;
use crate::packages;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

/// The other side of the hello measurement: the same engine, as its authors serve a component with it.
const WASMTIME: &str = "48.0.8";

/// What is measured of the whole.
const PARTS: [&str; 9] =
    ["call", "http", "hello", "blog", "scale", "rebuild", "accounts", "market", "lattice"];
/// With this, parts are measured on a lattice that need none.
const ON_LATTICE: &str = "--lattice";

/// The blog and the market beside which ours are measured: the processes, and what npm goes by.
const EXPRESS: [&str; 11] = [
    "bus.js",
    "comments.js",
    "moderation.js",
    "orders.js",
    "package-lock.json",
    "package.json",
    "payments.js",
    "posts.js",
    "query.js",
    "service.js",
    "tickets.js",
];

/// What needs no component, each with a program of its own: its name, and how cargo runs it.
const ALONE: [(&str, &[&str]); 2] = [
    ("store", &["run", "--release", "--package", "trellis-store", "--example", "append"]),
    (
        "broker",
        &["run", "--release", "--package", "trellis-broker", "--example", "latency", "target/bench-broker"],
    ),
];

/// What a NATS server keeps for each event. It takes minutes and gigabytes, and is measured only when it is named.
const SUBJECTS: &str = "subjects";

pub fn run(workspace: &Workspace, arguments: &[OsString], steps: &mut Steps) -> Result<()> {
    if let Some((_, how)) = arguments.split_first().filter(|(name, _)| *name == SUBJECTS) {
        let nats_server = steps.run("nats-server", nats::ready)?;
        let mut subjects = workspace.cargo();
        subjects.args(["run", "--release", "--package", "bench-subjects", "--"]).args(how);
        return steps.run_long(SUBJECTS, || process::run(subjects.env(nats::VARIABLE, nats_server)));
    }
    let (alone, whole): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| ALONE.iter().any(|(name, _)| argument == name));
    for (name, command) in ALONE {
        if arguments.is_empty() || alone.iter().any(|argument| *argument == name) {
            steps.run_long(name, || process::run(workspace.cargo().args(command)))?;
        }
    }
    if whole.is_empty() && !arguments.is_empty() {
        return Ok(());
    }
    // Without a name among them, the arguments only say how: everything is measured then.
    let is_named = |part: &str| whole.iter().any(|argument| *argument == part);
    let wants = |part: &str| is_named(part) || !PARTS.into_iter().any(is_named);
    components::build_all(workspace, steps)?;
    // Built together, so that the engine inside the measurement and that of the command are compiled once.
    steps.run_long("command and measurement (a first build compiles the engine: minutes)", || {
        process::run(workspace.cargo().args([
            "build",
            "--release",
            "--package",
            "trellis-cli",
            "--package",
            "bench",
        ]))
    })?;
    let built = workspace.target.join("release");
    let mut bench = Command::new(built.join("bench"));
    bench.current_dir(&workspace.root).arg("--trellis").arg(built.join("trellis"));
    if wants("hello") {
        let wasmtime = steps.run_long("wasmtime (a first build: minutes)", wasmtime)?;
        bench.arg("--wasmtime").arg(wasmtime);
    }
    if wants("blog") || wants("market") {
        let source = workspace.root.join("bench/express");
        let express =
            steps.run("Express", || packages::ready("express", &source, &EXPRESS, packages::npm))?;
        bench.arg("--express").arg(express);
    }
    if wants("lattice") || is_named(ON_LATTICE) {
        lattice::run(&lattice::Task::Build, workspace, steps)?;
    }
    steps.run_long("the whole", || process::run(bench.args(whole)))
}

fn wasmtime() -> Result<PathBuf> {
    let folder = cache::folder()?.join(format!("wasmtime-{WASMTIME}"));
    let program = folder.join("bin/wasmtime");
    if !program.is_file() {
        let mut cargo = process::cargo();
        cargo.args(["install", "wasmtime-cli", "--version", WASMTIME, "--locked", "--root"]).arg(&folder);
        process::run(&mut cargo)?;
    }
    Ok(program)
}
