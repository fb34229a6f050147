//! A shell, as somebody types in it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A shell in which one block comes after the other.
pub(super) struct Terminal {
    shell: Child,
    types: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Terminal {
    /// What it says when a block is done.
    const DONE: &str = "--- done ---";

    /// In a copy of the repository; what cargo builds goes to `target`.
    pub(super) fn open(copy: &Path, target: &Path) -> Self {
        let mut shell = Command::new("bash");
        shell.current_dir(copy).env("CARGO_MANIFEST_DIR", copy.join("xtask"));
        shell.env("CARGO_TARGET_DIR", target).args(["-euo", "pipefail"]);
        let mut shell =
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash is installed");
        let (types, says) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        Self { shell, types, says }
    }

    /// Runs commands, and returns what they print.
    #[track_caller]
    pub(super) fn run(&mut self, commands: &str) -> String {
        // What they read is not what is typed next.
        write!(self.types, "{{\n{commands}\n}} 2>&1 </dev/null\necho\necho '{}'\n", Self::DONE).unwrap();
        let mut said = String::new();
        while self.says.read_line(&mut said).unwrap() > 0 {
            if let Some(said) = said.strip_suffix(&format!("{}\n", Self::DONE)) {
                return said.to_owned();
            }
        }
        panic!("{commands}\nfailed ({:?}); is curl installed? It said\n{said}", self.shell.wait());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.shell.kill().ok();
        self.shell.wait().ok();
    }
}
