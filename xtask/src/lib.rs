//! Every chore of the repository: `cargo xtask <command>`.
//!
//! Each command first brings the machine to where it can run: interface files, a compiler for components, a NATS server
//! and a browser for the tests. It does nothing twice: what is already there is left alone.

mod bench;
mod browser;
mod cache;
mod checks;
mod commands;
mod components;
mod documents;
mod failure;
mod files;
pub mod lattice;
mod mutants;
mod nats;
mod new;
mod packages;
mod process;
mod step;
mod tests;
mod toolchain;
mod wit;
mod workspace;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;

use crate::commands::{Arguments, Task};
use crate::failure::Result;

pub use crate::failure::Failure;
pub use crate::step::Steps;
pub use crate::workspace::Workspace;

/// What `cargo xtask` runs.
pub fn main() -> ExitCode {
    let mut steps = Steps::start();
    match run(Arguments::parse().command, &mut steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            steps.report_failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task, steps: &mut Steps) -> Result<()> {
    let workspace = steps.run("workspace", Workspace::read)?;
    steps.run("interface files", || wit::fill(&workspace))?;
    match task {
        Task::Wit => Ok(()),
        Task::Build { components: true, .. } => components::build_all(&workspace, steps),
        Task::Build { names, .. } if !names.is_empty() => components::build_these(&workspace, &names, steps),
        Task::Build { .. } => build_all(&workspace, steps).map(drop),
        Task::New { task } => new::run(&task, &workspace),
        Task::Bench { arguments } => bench::run(&workspace, &arguments, steps),
        Task::Fuzz { minutes } => tests::fuzz(&workspace, minutes, steps),
        Task::Lattice { task } => lattice::run(&task, &workspace, steps),
        Task::V2 { task } => lattice::v2::run(&task, &workspace, steps),
        Task::Check { invariants: true } => checks::run(&workspace, steps),
        Task::Check { invariants: false } => check(&workspace, steps),
        Task::Ci => {
            check(&workspace, steps)?;
            tests::run(&workspace, &[], steps)
        }
        Task::Chaos { seconds, seed } => tests::chaos(&workspace, seconds, seed, steps),
        Task::Mutants { names } => mutants::run(&workspace, &names, steps),
        Task::Screenshots => tests::screenshots(&workspace, steps),
        Task::Test { lattice: true, pages, size, filter, .. } => {
            tests::on_lattice(&workspace, size, pages, &filter, steps)
        }
        Task::Test { size, .. } if size != lattice::Size::LEAST => {
            Err(Failure::new("hosts and servers are those of a lattice").remedy("add `--lattice`"))
        }
        Task::Test { v2: true, filter, .. } => tests::on_v2(&workspace, &filter, steps),
        Task::Test { filter, .. } => tests::run(&workspace, &filter, steps),
        Task::Up { arguments } => {
            let trellis = build_all(&workspace, steps)?;
            steps.run("trellis up", || {
                Err(process::become_another(Command::new(trellis).arg("up").args(arguments)))
            })
        }
    }
}

/// All that can be said without running anything.
fn check(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("format", || {
        process::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
        let lattice = workspace.root.join("lattice");
        process::run(process::cargo().current_dir(lattice).args(["fmt", "--all", "--check"]))
    })?;
    components::build_all(workspace, steps)?;
    checks::run(workspace, steps)?;
    steps.run_long("lints", || {
        process::run(workspace.cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    steps.run_long("documentation", || {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
        process::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
    })
}

/// Builds everything and returns the path of the command.
fn build_all(workspace: &Workspace, steps: &mut Steps) -> Result<PathBuf> {
    components::build_all(workspace, steps)?;
    steps.run_long("command (a first build compiles the engine: minutes)", || {
        process::run(workspace.cargo().args(["build", "--release", "--package", "trellis-cli"]))
    })?;
    let trellis = workspace.target.join("release/trellis");
    if trellis.is_file() {
        Ok(trellis)
    } else {
        Err(Failure::new(format!("{} was not built", trellis.display())))
    }
}
