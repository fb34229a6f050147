//! What the source may not say, or only in files that are named here.
//!
//! The host must be able to run the same from one seed. It has an injected clock, randomness and scheduler. Whatever it
//! takes from the machine behind their back would show as a difference between two such runs, once a month.

use std::path::{Path, PathBuf};

use super::check::Check;
use crate::failure::Result;
use crate::workspace::Workspace;

pub const SELECTS_ARE_BIASED: Check = Check {
    name: "every tokio::select! is biased",
    reason: "an unbiased one picks its branch with a random number that no seed controls",
    find: |workspace| lines(workspace, &[], unbiased_selects),
};

pub const TIME_COMES_FROM_THE_CLOCK: Check = Check {
    name: "the time is read through the clock",
    reason: "a simulation moves the clock; whoever reads the machine's own does not notice",
    find: |workspace| lines(workspace, &READ_TIME, reads_of_time),
};

pub const THREADS_ARE_NAMED: Check = Check {
    name: "threads and runtimes are started in named files only",
    reason: "what runs on another thread is ordered by the machine, not by the seed",
    find: |workspace| lines(workspace, &START_THREADS, starts_of_threads),
};

pub const RANDOMNESS_IS_INJECTED: Check = Check {
    name: "randomness is taken from the machine in named files only",
    reason: "every other random number must come from the seed",
    find: |workspace| lines(workspace, &TAKE_RANDOMNESS, randomness),
};

pub const FILES_SAY_WHAT_THEY_ARE: Check = Check {
    name: "every source file says what it is in its first lines",
    reason: "a reader decides there whether to read on",
    find: |workspace| {
        let mut found = Vec::new();
        for (path, text) in rust_files(workspace)? {
            let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
            if !first.is_some_and(|line| line.starts_with("//!")) {
                found.push(path.display().to_string());
            }
        }
        Ok(found)
    },
};

/// A file that is excepted, and why.
type Named = (&'static str, &'static str);

const READ_TIME: [Named; 2] = [
    ("crates/broker/src/clock.rs", "the one implementation of the clock that is the machine's"),
    (
        "crates/kit/src/platform/wasm.rs",
        "inside a component these are imports, which the host serves from its clock",
    ),
];

const START_THREADS: [Named; 5] = [
    ("crates/cli/src/connection.rs", "the command's own runtime; no part of the host"),
    ("crates/cli/src/up.rs", "the runtime that the host is run on, for which a simulation has its own"),
    ("crates/host/src/engine.rs", "the epoch thread, which a simulation does without"),
    ("crates/host/src/threads.rs", "threads for requests, which a simulation does without"),
    ("crates/store/src/driver.rs", "the writer and the checkpoint, which a simulation drives inline"),
];

const TAKE_RANDOMNESS: [Named; 1] =
    [("crates/host/src/randomness.rs", "the one implementation of randomness that is the machine's")];

/// The host and all that runs in it; not its tests, not our tools, which are measured and driven by real time.
fn in_product(path: &Path) -> bool {
    let is_test = path
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "examples" | "benches")));
    let is_test_file = path.file_name().is_some_and(|name| name == "tests.rs" || name == "build.rs");
    (path.starts_with("crates") || path.starts_with("components")) && !is_test && !is_test_file
}

/// The places that `find` finds, in code alone: comments and `#[cfg(test)]` modules are left out. So is what is excepted,
/// while there is anything to except in it.
fn lines(
    workspace: &Workspace,
    exceptions: &[Named],
    find: fn(&[Line<'_>]) -> Vec<usize>,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut unused: Vec<&Named> = exceptions.iter().collect();
    for (path, text) in rust_files(workspace)?.iter().filter(|(path, _)| in_product(path)) {
        let code = code(text);
        let numbers = find(&code);
        if !numbers.is_empty() && exceptions.iter().any(|(file, _)| path == Path::new(file)) {
            unused.retain(|(file, _)| path != Path::new(file));
            continue;
        }
        for number in numbers {
            let line = code.iter().find(|line| line.number == number).map_or("", |line| line.text.trim());
            found.push(format!("{}:{number}: {line}", path.display()));
        }
    }
    found.extend(unused.iter().map(|(file, reason)| format!("{file} is excepted ({reason}) without need")));
    Ok(found)
}

fn rust_files(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let mut files = workspace.text_files()?;
    files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"));
    Ok(files)
}

struct Line<'a> {
    number: usize,
    text: &'a str,
}

fn code(text: &str) -> Vec<Line<'_>> {
    let mut code = Vec::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        let is_module = |line: &str| {
            line.trim_start().trim_start_matches("pub ").starts_with("mod ") && line.ends_with('{')
        };
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(|(_, next)| is_module(next)) {
            // The module ends where a brace is indented as the attribute is; rustfmt sees to that.
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            lines.by_ref().find(|(_, line)| *line == end);
            continue;
        }
        let text = line.split("//").next().unwrap_or_default();
        code.push(Line { number, text });
    }
    code
}

fn unbiased_selects(code: &[Line<'_>]) -> Vec<usize> {
    let opens = |line: &&[Line<'_>]| line.first().is_some_and(|line| line.text.contains("select! {"));
    let is_biased = |window: &[Line<'_>]| {
        let mut after = window.iter().map(|line| line.text.trim()).skip(1).filter(|text| !text.is_empty());
        let on_the_same = window.first().is_some_and(|line| line.text.contains("biased;"));
        on_the_same || after.next() == Some("biased;")
    };
    let starts = (0..code.len()).filter_map(|start| code.get(start..));
    starts
        .filter(opens)
        .filter(|window| !is_biased(window))
        .filter_map(|window| Some(window.first()?.number))
        .collect()
}

fn reads_of_time(code: &[Line<'_>]) -> Vec<usize> {
    // tokio's Instant obeys a paused clock. The file's `use` says whose is meant.
    let imports_std = code.iter().any(|line| {
        let text = line.text.trim_start();
        text.contains("std::time::Instant")
            || (text.starts_with("use std::time::{") && text.contains("Instant"))
    });
    let reads = |text: &str| {
        let instant =
            text.contains("Instant::now") && !text.contains("tokio::time::Instant::now") && imports_std;
        instant
            || text.contains("SystemTime::now")
            || text.contains("Utc::now")
            || text.contains("Local::now")
    };
    code.iter().filter(|line| reads(line.text)).map(|line| line.number).collect()
}

fn starts_of_threads(code: &[Line<'_>]) -> Vec<usize> {
    const STARTS: [&str; 6] = [
        "thread::spawn",
        "thread::Builder",
        "thread::scope",
        "spawn_blocking",
        "runtime::Builder",
        "Runtime::new",
    ];
    containing(code, &STARTS)
}

fn randomness(code: &[Line<'_>]) -> Vec<usize> {
    const SOURCES: [&str; 7] =
        ["getrandom::", "rand::", "fastrand::", "OsRng", "RandomState::new", "thread_rng", "Uuid::new_v4"];
    containing(code, &SOURCES)
}

fn containing(code: &[Line<'_>], needles: &[&str]) -> Vec<usize> {
    code.iter()
        .filter(|line| needles.iter().any(|needle| line.text.contains(needle)))
        .map(|line| line.number)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn found(find: fn(&[Line<'_>]) -> Vec<usize>, text: &str) -> Vec<usize> {
        find(&code(text))
    }

    #[test]
    fn selects() {
        assert_eq!(found(unbiased_selects, "tokio::select! {\n    biased;\n}\n"), NONE);
        assert_eq!(found(unbiased_selects, "select! {\n    // Why.\n\n    biased;\n}\n"), NONE);
        assert_eq!(found(unbiased_selects, "fn f() {\n    tokio::select! {\n        a = b => {}\n"), [2]);
        assert_eq!(found(unbiased_selects, "// select! {\n"), NONE);
    }

    #[test]
    fn time() {
        assert_eq!(
            found(reads_of_time, "use std::time::{Duration, Instant};\nlet a = Instant::now();\n"),
            [2]
        );
        assert_eq!(found(reads_of_time, "use tokio::time::Instant;\nlet a = Instant::now();\n"), NONE);
        assert_eq!(found(reads_of_time, "let a = std::time::SystemTime::now();\n"), [1]);
        assert_eq!(found(reads_of_time, "let a = std::time::Instant::now();\n"), [1]);
    }

    #[test]
    fn tests_and_comments_are_no_code() {
        let text = "a // thread::spawn\n#[cfg(test)]\nmod tests {\n    fn f() {\n        thread::spawn();\n    }\n}\nthread::spawn();\n";
        assert_eq!(found(starts_of_threads, text), [8]);
        assert_eq!(found(starts_of_threads, "#[cfg(test)]\nmod tests;\nthread::spawn();\n"), [3]);
    }
}
