//! What may lie in the repository, and what it may say.

use std::path::Path;

use super::check::Check;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::workspace::Workspace;

pub const INTERFACE_FILES_ARE_NOT_COMMITTED: Check = Check {
    name: "wit/deps and build are not committed",
    reason: "they are made from published crates and from the sources; a copy would drift from both",
    find: |workspace| {
        let files =
            process::output(workspace.git().args(["ls-files", "--", "wit/deps", "build", "target", "data"]))?;
        Ok(files.lines().map(str::to_owned).collect())
    },
};

pub const NO_PLACE_OF_ONE_MACHINE: Check = Check {
    name: "no file names a place that only one machine has",
    reason: "what works here must work from a fresh clone anywhere, whatever its paths, mirrors and registries are called",
    find: machine_places,
};

pub const README_COMMANDS_EXIST: Check = Check {
    name: "the README's commands exist",
    reason: "they are the first thing that anyone tries",
    find: |workspace| {
        let readme = workspace.root.join("README.md");
        let text = files::read_text(&readme)?;
        let missing = REQUIRED.iter().filter(|command| !text.lines().any(|line| line.trim() == **command));
        let unknown = commands(&text).filter(|name| !crate::commands::names().contains(name));
        let missing = missing.map(|command| format!("README.md does not show `{command}`"));
        Ok::<_, Failure>(
            missing.chain(unknown.map(|name| format!("README.md shows `cargo xtask {name}`"))).collect(),
        )
    },
};

pub const DOCUMENTS_NAME_WHAT_EXISTS: Check = Check {
    name: "files that documents name exist",
    reason: "a map with wrong places on it is worse than none",
    find: |workspace| {
        let mut found = Vec::new();
        for (path, text) in workspace.text_files()? {
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let folder = path.parent().unwrap_or(Path::new(""));
            for (number, line) in (1..).zip(text.lines()) {
                let links = linked(line).map(|link| (link, workspace.root.join(folder).join(link).exists()));
                let names = named(line).filter_map(|name| Some((name, exists(workspace, name)?)));
                found.extend(
                    links.chain(names).filter(|(_, exists)| !exists).map(|(what, _)| at(&path, number, what)),
                );
            }
        }
        Ok(found)
    },
};

/// How Trellis is started and tested: a line each.
const REQUIRED: [&str; 2] = ["cargo xtask up", "cargo xtask test"];

/// Written in two halves, or this file would be the first to be found.
const PLACES: [&str; 8] = [
    concat!("/wo", "rk/"),
    concat!("../sha", "red"),
    concat!("/ro", "ot/"),
    concat!("/home", "/"),
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("deb.deb", "ian.org"),
    concat!("py", "pi.org"),
];

fn machine_places(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in workspace.text_files()? {
        if path.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            found.extend(
                PLACES.iter().filter(|place| line.contains(**place)).map(|place| at(&path, number, place)),
            );
        }
    }
    Ok(found)
}

fn at(path: &Path, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", path.display())
}

/// Where the relative links of a line lead.
fn linked(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains(':'))
}

/// What looks like a path among the words in backticks.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
        word.contains('/') && word.chars().all(plain)
    };
    line.split('`').skip(1).step_by(2).filter(is_path)
}

/// Whether a path is there, counted from the root or from `crates/`; nothing if it starts with no folder of ours.
fn exists(workspace: &Workspace, path: &str) -> Option<bool> {
    const MADE: [&str; 4] = ["build", "data", "target", "wit/deps"];
    let first = path.split('/').next().filter(|first| !first.is_empty())?;
    let bases = [workspace.root.clone(), workspace.root.join("crates")];
    let is_ours = bases.iter().any(|base| base.join(first).is_dir());
    let is_made = MADE.iter().any(|made| Path::new(path).starts_with(made));
    (is_ours && !is_made).then(|| bases.iter().any(|base| base.join(path).exists()))
}

/// The names of the commands that a text mentions.
fn commands(text: &str) -> impl Iterator<Item = String> {
    text.split("cargo xtask ").skip(1).filter_map(|after| {
        let name: String = after.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        (!name.starts_with('-')).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{commands, linked, named};

    #[test]
    fn commands_in_a_text() {
        let text =
            "`cargo xtask up`, cargo xtask test\ncargo xtask --help and cargo xtask build --components.";
        assert_eq!(commands(text).collect::<Vec<_>>(), ["up", "test", "build"]);
    }

    #[test]
    fn paths_in_a_line() {
        let line =
            "[a](b/c.md#d), [e](scheme:f), [g](#h): `x/y.rs`, `wasi:io/z`, `word`, `a <b>/c`, p/q, `/posts`";
        assert_eq!(linked(line).collect::<Vec<_>>(), ["b/c.md"]);
        assert_eq!(named(line).collect::<Vec<_>>(), ["x/y.rs", "/posts"]);
    }
}
