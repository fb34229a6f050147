//! Runs every test of the workspace, after building what the tests need besides the code.

use std::path::Path;
use std::process::Command;

use crate::browser::{self, Browser};
use crate::components;
use crate::documents;
use crate::failure::Result;
use crate::nats;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

/// `filter` goes to the test runner as it is: names of tests, or its own options.
pub fn run(workspace: &Workspace, filter: &[String], steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    let nats_server = steps.run("nats-server", nats::ready)?;
    let browser = steps.run("browser", browser::ready)?;
    let documents = steps.run("readers of the documents", || documents::ready(workspace))?;
    // Tests of the whole system start the command as users do, so it has to be there before they run.
    steps.run_long("command, as the tests use it", || {
        process::run(workspace.cargo().args(["build", "--package", "trellis-cli"]))
    })?;
    steps.run_long("tests", || {
        process::run(runner(workspace, &nats_server, &browser, &documents).args(filter))
    })?;
    if filter.is_empty() {
        steps.run_long("examples in documentation", || {
            process::run(workspace.cargo().args(["test", "--quiet", "--workspace", "--doc"]))
        })?;
    }
    steps.summary();
    Ok(())
}

/// Half of the time is for requests of anybody, half for those of an operator.
pub fn fuzz(workspace: &Workspace, minutes: u32, steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    let documents = steps.run("fuzzer", || documents::ready(workspace))?;
    steps.run_long("command, as the tests use it", || {
        process::run(workspace.cargo().args(["build", "--package", "trellis-cli"]))
    })?;
    steps.run_long("fuzz", || {
        let mut fuzz = workspace.cargo();
        fuzz.args(["test", "--package", "system", "--test", "fuzz", "--", "--nocapture", "--test-threads=1"]);
        let seconds = (minutes * 30).to_string();
        process::run(fuzz.env(documents::VARIABLE, documents).env("TRELLIS_FUZZ_SECONDS", seconds))
    })
}

/// The one test that takes as long as it is given.
pub fn chaos(workspace: &Workspace, seconds: u64, seed: Option<u64>, steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    steps.run_long("command, as the tests use it", || {
        process::run(workspace.cargo().args(["build", "--package", "trellis-cli"]))
    })?;
    steps.run_long("chaos", || {
        let mut test = workspace.cargo();
        test.args(["test", "--package", "system", "--test", "chaos", "--", "--nocapture"]);
        test.env("TRELLIS_CHAOS_SECONDS", seconds.to_string());
        test.envs(seed.map(|seed| ("TRELLIS_CHAOS_SEED", seed.to_string())));
        process::run(&mut test)
    })
}

/// cargo-nextest where it is installed, for its speed and its summary; else cargo's own.
fn runner(workspace: &Workspace, nats_server: &Path, browser: &Browser, documents: &Path) -> Command {
    let mut command = workspace.cargo();
    if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    command.env(nats::VARIABLE, nats_server).env(documents::VARIABLE, documents);
    browser.tell(&mut command);
    command
}
