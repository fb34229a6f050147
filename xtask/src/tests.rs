//! Runs every test of the workspace, after building what the tests need besides the code.

use std::path::Path;
use std::process::Command;

use crate::browser::{self, Browser};
use crate::components;
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
    // Tests of the whole system start the command as users do, so it has to be there before they run.
    steps.run_long("command, as the tests use it", || {
        process::run(workspace.cargo().args(["build", "--package", "trellis-cli"]))
    })?;
    steps.run_long("tests", || process::run(runner(workspace, &nats_server, &browser).args(filter)))?;
    if filter.is_empty() {
        steps.run_long("examples in documentation", || {
            process::run(workspace.cargo().args(["test", "--quiet", "--workspace", "--doc"]))
        })?;
    }
    steps.summary();
    Ok(())
}

/// cargo-nextest where it is installed, for its speed and its summary; else cargo's own.
fn runner(workspace: &Workspace, nats_server: &Path, browser: &Browser) -> Command {
    let mut command = workspace.cargo();
    if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    command.env(nats::VARIABLE, nats_server);
    browser.tell(&mut command);
    command
}
