//! Running other programs: their output passes through or is captured, and a failure names the whole command.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// A cargo command, run by the same cargo that runs xtask.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_outer_cargo(&mut command);
    command
}

/// `cargo run` describes xtask's own package in the environment; a cargo started from here must not take that for a
/// description of what it builds.
pub fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Runs to the end with its output shown; anything but success is a failure.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(ended(command, status)) }
}

/// Runs to the end and returns what it wrote to standard output; standard error is shown.
pub fn output(command: &mut Command) -> Result<String> {
    output_of(command.stderr(Stdio::inherit()))
}

/// The same, and standard error is shown only if it failed.
pub fn output_alone(command: &mut Command) -> Result<String> {
    output_of(command.stderr(Stdio::piped()))
}

fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(ended(command, output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("{} did not print UTF-8", line(command))))
}

/// What it wrote to standard output, if it succeeded; nothing is shown.
pub fn quiet_output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// What it wrote to standard output, even if it failed; nothing is shown.
pub fn quiet_output_whatever_the_status(command: &mut Command) -> Option<String> {
    String::from_utf8(command.stdin(Stdio::null()).output().ok()?.stdout).ok()
}

/// Runs with its output hidden and says whether it succeeded; a program that is not there did not.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Puts another program in the place of this one, which gets all signals from then on. Returns only if that failed.
pub fn become_another(command: &mut Command) -> Failure {
    let error = command.exec();
    not_started(command, &error)
}

/// Runs with its output shown, for at most `limit`; then it is killed.
pub fn run_for_at_most(limit: Duration, command: &mut Command) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|error| not_started(command, &error))?;
    let deadline = Instant::now() + limit;
    match wait_until(deadline, &mut child) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ended(command, status)),
        None => Err(Failure::new(format!("{} took more than {} s", line(command), limit.as_secs()))),
    }
}

fn wait_until(deadline: Instant, child: &mut Child) -> Option<ExitStatus> {
    const POLL: Duration = Duration::from_millis(50);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            Ok(None) | Err(_) => {
                // Either may fail because the child has just ended by itself, which is as good.
                child.kill().ok();
                child.wait().ok();
                return None;
            }
        }
    }
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().to_string_lossy();
    match error.kind() {
        ErrorKind::NotFound => Failure::new(format!("`{program}` is not installed"))
            .remedy(format!("install `{program}`, then run this again")),
        _ => Failure::new(format!("cannot start {}: {error}", line(command))),
    }
}

fn ended(command: &Command, status: ExitStatus) -> Failure {
    Failure::new(format!("{} ended with {status}; its own output is above", line(command)))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    format!("`{}`", words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
}
