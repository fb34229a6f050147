//! Mistakes that our tests must notice. Each is a small change of the code, kept as a patch in `tests/mutants`: its first line says what is
//! wrong, the second one which tests should see it: those of a package, with what narrows them down. They are run with the mistake, in a copy
//! of the repository, and one has to fail: a test that was never seen red may be about nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::wit;
use crate::workspace::Workspace;

const FOLDER: &str = "tests/mutants";
const TESTS: &str = "Tests: ";

#[derive(Debug, PartialEq, Eq)]
struct Mutant {
    name: String,
    path: PathBuf,
    what: String,
    tests: Tests,
}

/// Tests of a package: its name, and what the test harness is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tests {
    package: String,
    only: Vec<String>,
}

/// Tests the mistakes of these names, or all.
pub fn run(workspace: &Workspace, names: &[String], steps: &mut Steps) -> Result<()> {
    let mutants: Vec<Mutant> = chosen(all(&workspace.root.join(FOLDER))?, names)?;
    let copy = workspace.target.join("mutants");
    steps.run("copy of the repository", || bring_up_to_date(workspace, &copy))?;
    let copied = Workspace::read_in(&copy)?;
    wit::fill(&copied)?;
    let copy = Copy { root: &copy, target: &workspace.target };
    for tests in mutants.iter().map(|mutant| &mutant.tests).collect::<BTreeSet<_>>() {
        let name = format!("{} {} without a mistake", tests.package, tests.only.join(" "));
        let red = steps.run(name, || copy.red(tests))?;
        if !red.is_empty() {
            return Err(Failure::new(format!("without a mistake, these fail: {}", red.join(", "))));
        }
    }
    let mut unseen = Vec::new();
    for mutant in &mutants {
        let red = steps.run(format!("{}: {}", mutant.name, mutant.what), || copy.red_with(mutant))?;
        eprintln!("  seen by {} tests: {}", red.len(), red.join(", "));
        if red.is_empty() {
            unseen.push(mutant.name.as_str());
        }
    }
    if unseen.is_empty() {
        eprintln!("\nxtask: {} mistakes, each seen by a test", mutants.len());
        return Ok(());
    }
    Err(Failure::new(format!("no test sees {}", unseen.join(", "))))
}

fn all(folder: &Path) -> Result<Vec<Mutant>> {
    let patches =
        files::below(folder)?.into_iter().filter(|file| file.extension().is_some_and(|is| is == "patch"));
    patches
        .map(|file| {
            let path = folder.join(&file);
            let text = files::read_text(&path)?;
            let name = file.with_extension("").display().to_string();
            read(name, path, &text)
                .ok_or_else(|| Failure::new(format!("{} does not begin as a mutant does", file.display())))
        })
        .collect()
}

fn read(name: String, path: PathBuf, text: &str) -> Option<Mutant> {
    let mut lines = text.lines();
    let what = lines.next()?.to_owned();
    let mut words = lines.next()?.strip_prefix(TESTS)?.split_whitespace().map(str::to_owned);
    let tests = Tests { package: words.next()?, only: words.collect() };
    Some(Mutant { name, path, what, tests })
}

fn chosen(mutants: Vec<Mutant>, names: &[String]) -> Result<Vec<Mutant>> {
    if let Some(unknown) = names.iter().find(|name| mutants.iter().all(|mutant| mutant.name != **name)) {
        return Err(
            Failure::new(format!("there is no mutant {unknown}")).remedy(format!("look into {FOLDER}"))
        );
    }
    Ok(mutants.into_iter().filter(|mutant| names.is_empty() || names.contains(&mutant.name)).collect())
}

/// Makes the copy what the repository is. What is so already keeps its time, so that it is not built again.
fn bring_up_to_date(workspace: &Workspace, copy: &Path) -> Result<()> {
    let wanted: BTreeSet<PathBuf> = workspace.files()?.into_iter().collect();
    for file in &wanted {
        files::write_if_changed(&copy.join(file), &files::read(&workspace.root.join(file))?)?;
    }
    let is_made = |file: &PathBuf| file.starts_with("wit/deps");
    for gone in files::below(copy)?.into_iter().filter(|file| !wanted.contains(file) && !is_made(file)) {
        let gone = copy.join(gone);
        std::fs::remove_file(&gone).map_err(|error| Failure::io("remove", &gone, &error))?;
    }
    Ok(())
}

/// The copy, and where it is built.
struct Copy<'a> {
    root: &'a Path,
    target: &'a Path,
}

impl Copy<'_> {
    /// The tests that fail with a mistake, which is there for as long as they run.
    fn red_with(&self, mutant: &Mutant) -> Result<Vec<String>> {
        self.patch(mutant, &[])?;
        let red = self.red(&mutant.tests);
        self.patch(mutant, &["--reverse"])?;
        red
    }

    fn patch(&self, mutant: &Mutant, how: &[&str]) -> Result<()> {
        let mut git = Command::new("git");
        // The copy is in no repository, though its folder is.
        git.current_dir(self.root).env("GIT_CEILING_DIRECTORIES", self.target);
        process::run(git.arg("apply").args(how).arg(&mutant.path))
    }

    /// The tests that fail. What does not even compile is no mistake that a test could see.
    fn red(&self, tests: &Tests) -> Result<Vec<String>> {
        let cargo = || {
            let mut cargo = process::cargo();
            cargo.current_dir(self.root).env("CARGO_TARGET_DIR", self.target);
            cargo.args(["test", "--lib", "--package", &tests.package]);
            cargo
        };
        process::run(cargo().args(["--no-run", "--quiet"]))?;
        let told = process::quiet_output_whatever_the_status(cargo().arg("--").args(&tests.only));
        told.map(|told| failed(&told)).ok_or_else(|| Failure::new("the tests did not run"))
    }
}

/// The names of the tests that failed, as the test harness tells them.
fn failed(told: &str) -> Vec<String> {
    told.lines()
        .filter_map(|line| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_fails_is_read_from_what_the_tests_tell() {
        let told = "running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\nfailures:\n    a::c\n";
        assert_eq!(failed(told), ["a::c"]);
        assert_eq!(failed("test a::b ... ok\n"), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_can_be_made_in_the_code_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mutants = all(&root.join(FOLDER)).unwrap();
        assert!(mutants.len() >= 8, "{}", mutants.len());
        for mutant in mutants {
            let mut git = Command::new("git");
            process::run(git.current_dir(&root).args(["apply", "--check"]).arg(&mutant.path)).unwrap();
        }
    }

    #[test]
    fn a_mutant_says_what_is_wrong_and_who_sees_it() {
        let text = "Anybody may.\nTests: orders --skip races\n\n--- a/x\n+++ b/x\n";
        let mutant = read("anybody".to_owned(), PathBuf::new(), text).unwrap();
        let only = ["--skip", "races"].map(str::to_owned).to_vec();
        assert_eq!(mutant.what, "Anybody may.");
        assert_eq!(mutant.tests, Tests { package: "orders".to_owned(), only });
        assert_eq!(read(String::new(), PathBuf::new(), "--- a/x\n+++ b/x\n"), None);
    }
}
