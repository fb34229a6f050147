//! Runs every test of the workspace, after building what the tests need besides the code.

use std::process::Command;

use crate::browser;
use crate::components;
use crate::documents;
use crate::failure::Result;
use crate::files;
use crate::lattice::{self, Lattice, Size, V2, v2};
use crate::nats;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

/// What README shows at its top.
const PICTURE: &str = "docs/pages.webp";

/// `filter` goes to the test runner as it is: names of tests, or its own options.
pub fn run(workspace: &Workspace, filter: &[String], steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    let nats_server = steps.run("nats-server", nats::ready)?;
    let browser = steps.run("browser", || browser::ready(workspace))?;
    let documents = steps.run("readers of the documents", || documents::ready(workspace))?;
    build_command(workspace, steps)?;
    steps.run_long("tests", || {
        let mut tests = runner(workspace, &["--workspace", "--lib", "--bins", "--tests"]);
        tests.env(nats::VARIABLE, nats_server).env(documents::VARIABLE, documents);
        browser.tell(&mut tests);
        process::run(tests.args(filter))
    })?;
    if filter.is_empty() {
        steps.run_long("examples in documentation", || {
            process::run(workspace.cargo().args(["test", "--quiet", "--workspace", "--doc"]))
        })?;
    }
    steps.summary();
    Ok(())
}

/// The tests of the whole against a lattice that is started for them, or those of the pages, one after the other: they share it.
pub fn on_lattice(
    workspace: &Workspace,
    size: Size,
    pages: bool,
    filter: &[String],
    steps: &mut Steps,
) -> Result<()> {
    components::build_all(workspace, steps)?;
    let documents = steps.run("readers of the documents", || documents::ready(workspace))?;
    build_command(workspace, steps)?;
    let nats_server = steps.run("nats-server", nats::ready)?;
    let browser = pages.then(|| steps.run("browser", || browser::ready(workspace))).transpose()?;
    let folder = lattice::for_tests(workspace, size, steps)?;
    let folders: &[&str] =
        if pages { &["tests/browser/tests"] } else { &["tests/system/tests", "tests/lattice/tests"] };
    let mut tests = on_shared(workspace, folders)?;
    if let Some(browser) = browser {
        browser.tell(&mut tests);
    }
    tests.env(documents::VARIABLE, documents).env(nats::VARIABLE, &nats_server);
    tests.env(lattice::VARIABLE, &folder);
    let result = steps.run_long("tests on the lattice", || process::run(tests.args(filter)));
    steps.run("lattice down", || Lattice::down(&folder))?;
    result?;
    steps.summary();
    Ok(())
}

/// The HTTP contract of the whole on wasmCloud 2, which is started for it and shared.
pub fn on_v2(workspace: &Workspace, filter: &[String], steps: &mut Steps) -> Result<()> {
    let documents = steps.run("readers of the documents", || documents::ready(workspace))?;
    build_command(workspace, steps)?;
    let nats_server = steps.run("nats-server", nats::ready)?;
    let folder = v2::for_tests(workspace, steps)?;
    let mut tests = on_shared(workspace, &["tests/system/tests"])?;
    tests.env(documents::VARIABLE, documents).env(nats::VARIABLE, nats_server);
    tests.env(v2::VARIABLE, &folder);
    let result = steps.run_long("tests on wasmCloud 2", || process::run(tests.args(filter)));
    steps.run("v2 down", || V2::down(&folder))?;
    result?;
    steps.summary();
    Ok(())
}

/// The picture of the pages that README shows, made anew by the test that sees that it is small.
pub fn screenshots(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    let browser = steps.run("browser", || browser::ready(workspace))?;
    build_command(workspace, steps)?;
    steps.run_long("picture", || {
        let mut test = runner(workspace, &["--workspace", "--test", "readme"]);
        browser.tell(&mut test);
        process::run(&mut test)
    })?;
    let (taken, kept) = (workspace.target.join("screenshots/readme.webp"), workspace.root.join(PICTURE));
    files::write_if_changed(&kept, &files::read(&taken)?)?;
    eprintln!("xtask: {PICTURE}");
    Ok(())
}

/// A third of the time is for requests of anybody, of somebody who is signed in, and of an operator and admin.
pub fn fuzz(workspace: &Workspace, minutes: u32, steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    let documents = steps.run("fuzzer", || documents::ready(workspace))?;
    build_command(workspace, steps)?;
    steps.run_long("fuzz", || {
        let mut fuzz = workspace.cargo();
        fuzz.args(["test", "--workspace", "--test", "embedded", "fuzz::"]);
        fuzz.args(["--", "--nocapture", "--test-threads=1"]);
        let seconds = (minutes * 20).to_string();
        process::run(fuzz.env(documents::VARIABLE, documents).env("TRELLIS_FUZZ_SECONDS", seconds))
    })
}

/// The one test that takes as long as it is given.
pub fn chaos(workspace: &Workspace, seconds: u64, seed: Option<u64>, steps: &mut Steps) -> Result<()> {
    components::build_all(workspace, steps)?;
    build_command(workspace, steps)?;
    steps.run_long("chaos", || {
        let mut test = workspace.cargo();
        test.args(["test", "--workspace", "--test", "embedded", "chaos::", "--", "--nocapture"]);
        test.env("TRELLIS_CHAOS_SECONDS", seconds.to_string());
        test.envs(seed.map(|seed| ("TRELLIS_CHAOS_SEED", seed.to_string())));
        process::run(&mut test)
    })
}

/// cargo-nextest where it is installed, for its speed and its summary; else cargo's own.
fn runner(workspace: &Workspace, what: &[&str]) -> Command {
    let mut command = workspace.cargo();
    if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--no-fail-fast"]).args(what);
    } else {
        command.args(["test", "--no-fail-fast"]).args(what);
    }
    command
}

/// Every file of tests in these folders, one after the other: they share an application. A folder in one of them is none.
fn on_shared(workspace: &Workspace, folders: &[&str]) -> Result<Command> {
    // Of the whole workspace, whose packages are then built as for its other tests.
    let mut tests = runner(workspace, &["--workspace"]);
    for folder in folders {
        for file in files::below(&workspace.root.join(folder))? {
            if let (Some(name), 1) = (file.file_stem(), file.components().count()) {
                tests.arg("--test").arg(name);
            }
        }
    }
    tests.env("NEXTEST_PROFILE", "lattice").env("RUST_TEST_THREADS", "1");
    Ok(tests)
}

/// Tests of the whole start it as users do, so it has to be there before they run.
fn build_command(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run_long("command, as the tests use it", || workspace.build("trellis").map(drop))
}
