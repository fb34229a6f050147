//! `docs/tutorial.md`, followed to the letter in a copy of the repository: every file is written, every change made, every command run,
//! and what is printed compared. The kit's checklist for a new service is in it.
//!
//! Three commands are run otherwise than a reader runs them. `cargo xtask up` builds what the tutorial has changed, and takes what it has
//! not from this repository. `pkill` ends that application alone. Of `cargo xtask lattice` it is only seen that there is such a command.

mod copy;
mod terminal;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system::{Embedded, Request, eventually, repository};
use tempfile::{TempDir, tempdir};
use trellis_manifest::{FILE, Manifest};

use copy::{Contents, bring_dependencies, bring_up_to_date, contents};
use terminal::Terminal;

/// The address that a reader sees. A test cannot count on it being free.
const ADDRESS: &str = "127.0.0.1:8080";
/// Stands in the tutorial for whatever is left out.
const LEFT_OUT: char = '…';

#[test]
fn whoever_follows_it_sees_what_it_says_and_nobody_else_was_touched() {
    let tutorial = fs::read_to_string(repository().join("docs/tutorial.md")).unwrap();
    let parts = parts(&tutorial);
    assert!(parts.len() > 30, "it is all found: {parts:?}");
    let mut reader = Reader::new();
    let before = contents(&reader.copy);
    for (at, part) in parts.iter().enumerate() {
        let printed = parts.get(at + 1).and_then(Part::printed);
        match part {
            Part::Commands(commands) => reader.run(commands, printed.unwrap_or_default()),
            Part::File(file, text) => reader.write(file, text),
            Part::Change(patch) => reader.change(patch),
            Part::Printed(_) => {}
        }
        if at == 0 {
            assert_nothing_else_changed(&before, &contents(&reader.copy));
        }
    }
    let document = reader.trellis.as_ref().unwrap().send(&Request::get("/openapi.json")).json();
    assert_eq!(document["paths"]["/posts/{id}/like"]["put"]["operationId"], "likes_give");
    reader.trellis.unwrap().stop();
}

#[track_caller]
fn assert_nothing_else_changed(before: &Contents, after: &Contents) {
    let changed = after.iter().filter(|(file, content)| before.get(*file) != Some(content));
    let changed: Vec<&str> = changed.map(|(file, _)| file.as_str()).collect();
    let expected = [
        "components/likes/Cargo.toml",
        "components/likes/src/lib.rs",
        "components/likes/src/tests.rs",
        "wadm.yaml",
        "wit/likes/likes.wit",
    ];
    assert_eq!(changed, expected);
}

/// What the tutorial asks its reader to do, or shows.
#[derive(Debug)]
enum Part {
    Commands(String),
    Printed(String),
    File(String, String),
    Change(String),
}

impl Part {
    fn printed(&self) -> Option<&str> {
        if let Self::Printed(text) = self { Some(text) } else { None }
    }
}

/// Every block of the document. What has the name of a file above it is that file.
fn parts(document: &str) -> Vec<Part> {
    let (mut parts, mut above, mut lines) = (Vec::new(), "", document.lines());
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            let block: String = block.flat_map(|line| [line, "\n"]).collect();
            let file = above.strip_prefix("**").and_then(|above| above.strip_suffix("**"));
            parts.push(match (language, file) {
                ("sh", None) => Part::Commands(block),
                ("text", None) => Part::Printed(block),
                ("diff", None) => Part::Change(block),
                (_, Some(file)) => Part::File(file.to_owned(), block),
                (language, None) => panic!("a block of {language:?} that nobody checks:\n{block}"),
            });
            above = "";
        } else if !line.is_empty() {
            above = line;
        }
    }
    parts
}

/// Whoever does what the tutorial says.
struct Reader {
    /// The repository as they have it.
    copy: PathBuf,
    terminal: Terminal,
    /// Components that are not as they were.
    changed: BTreeSet<String>,
    /// The application in the other terminal, if it runs.
    trellis: Option<Embedded>,
    /// In which its data directories are.
    data: TempDir,
}

impl Reader {
    fn new() -> Self {
        let here = repository().join("target/tutorial");
        let copy = here.join("repository");
        bring_up_to_date(&copy);
        // What cargo builds of it natively goes where all else is, which has most of what it needs.
        let mut terminal = Terminal::open(&copy, built().parent().unwrap());
        // Of two builds in one folder, each would take the components of the other for its own.
        let target = here.join("target");
        bring_dependencies(&repository().join("target/wasm"), &target.join("wasm"));
        terminal.run(&format!(
            r#"cargo() {{
                if [ "$1" = xtask ]; then shift; CARGO_TARGET_DIR='{}' '{}' "$@"; else command cargo "$@"; fi
            }}"#,
            target.display(),
            built().join("xtask").display(),
        ));
        Self { copy, terminal, changed: BTreeSet::new(), trellis: None, data: tempdir().unwrap() }
    }

    #[track_caller]
    fn run(&mut self, commands: &str, expected: &str) {
        let command = commands.trim_end();
        if let Some(data) = command.strip_prefix("cargo xtask up --data ") {
            return self.start(data);
        }
        if command.starts_with("pkill -9 ") {
            return self.trellis.take().expect("the application runs").kill();
        }
        if let Some(task) = command.strip_prefix("cargo xtask lattice ") {
            return drop(self.terminal.run(&format!("cargo xtask lattice {task} --help")));
        }
        if let Some(name) = command.strip_prefix("cargo xtask new service ") {
            self.changed.insert(name.to_owned());
        }
        let commands = match &self.trellis {
            Some(trellis) => commands.replace(ADDRESS, &trellis.client().address().to_string()),
            None => commands.to_owned(),
        };
        let is_read =
            commands.starts_with("curl ") && ["-X", "--json"].iter().all(|it| !commands.contains(it));
        if is_read {
            // Read models may be behind for a moment.
            let asked = format!("({commands}) || true");
            eventually(command, || matches(&self.terminal.run(&asked), expected));
        } else {
            matches(&self.terminal.run(&commands), expected)
                .unwrap_or_else(|said| panic!("{command}: {said}"));
        }
    }

    fn write(&mut self, file: &str, text: &str) {
        fs::write(self.copy.join(file), text).unwrap();
        self.note(file);
    }

    fn change(&mut self, patch: &str) {
        let file = self.data.path().join("likes.patch");
        fs::write(&file, patch).unwrap();
        let mut git = Command::new("git");
        // The copy is in no repository, though its folder is.
        git.current_dir(&self.copy).env("GIT_CEILING_DIRECTORIES", self.copy.parent().unwrap());
        assert!(git.arg("apply").arg(&file).status().unwrap().success(), "the code is not what it was");
        for file in patch.lines().filter_map(|line| line.strip_prefix("+++ b/")) {
            self.note(file);
        }
    }

    fn note(&mut self, file: &str) {
        let component = file.strip_prefix("components/").or_else(|| file.strip_prefix("wit/")).unwrap();
        self.changed.insert(component.split('/').next().unwrap().to_owned());
    }

    #[track_caller]
    fn start(&mut self, data: &str) {
        if let Some(running) = self.trellis.take() {
            running.stop();
        }
        let changed: Vec<&str> = self.changed.iter().map(String::as_str).collect();
        self.terminal.run(&format!("cargo xtask build {}", changed.join(" ")));
        let mut manifest = Manifest::read(&fs::read_to_string(self.copy.join("wadm.yaml")).unwrap()).unwrap();
        for image in manifest.images_mut() {
            if let Some(named) = image.strip_prefix(FILE) {
                let component = Path::new(named).file_stem().unwrap().to_str().unwrap();
                let root = if self.changed.contains(component) { &self.copy } else { &repository() };
                *image = format!("{FILE}{}", root.join(named).display());
            }
        }
        let trellis = Embedded::start_on(&self.data.path().join(data), &manifest, &[]);
        eventually("the gateway knows the services", || {
            let document = trellis.send(&Request::get("/openapi.json")).json().to_string();
            let known = |operation: &str| document.contains(&format!("\"operationId\":\"{operation}"));
            ["accounts_", "likes_", "posts_create", "query_feed"].into_iter().all(known).then_some(())
        });
        self.trellis = Some(trellis);
    }
}

/// Whether this was printed: each piece between what is left out, in this order. Else says what was.
fn matches(said: &str, expected: &str) -> Result<(), String> {
    let mut rest = said;
    for piece in expected.trim_end().split(LEFT_OUT).map(str::trim) {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return Err(format!("{piece:?} is not where it should be in\n{said}")),
        }
    }
    Ok(())
}

/// Where programs are that were built beside the tests.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}
