//! A running `trellis up`: a child process that is killed when it goes out of scope, and whose output is shown if the test
//! fails.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, Request, Response};
use crate::nats::Nats;
use crate::{PATIENCE, eventually};

#[derive(Debug)]
pub struct Trellis {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
    output: Arc<Mutex<String>>,
}

impl Trellis {
    /// Starts the repository's application on `data`, and returns once it has said where it listens.
    #[track_caller]
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same, with further arguments.
    #[track_caller]
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(data, "127.0.0.1:0", arguments)
    }

    /// The same, at an address.
    #[track_caller]
    pub fn start_at(data: &Path, address: &str, arguments: &[&str]) -> Self {
        let mut up = command();
        up.args(["up", "--listen", address, "--data"]).arg(data).args(arguments);
        let mut child =
            up.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let (said, hear) = channel();
        follow(child.stdout.take().unwrap(), Arc::clone(&output), said.clone());
        follow(child.stderr.take().unwrap(), Arc::clone(&output), said);

        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = hear.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // The last line that it says of itself: everything answers.
            if let Some(address) = line.strip_prefix("open  ").and_then(address_in) {
                return Self { child, address, data: data.to_owned(), output };
            }
        }
        child.kill().ok();
        let status = child.wait();
        panic!("trellis said no address ({status:?}); it said:\n{}", output.lock().unwrap());
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client of the component of this name, which has an address of its own.
    #[track_caller]
    pub fn client_of(&self, component: &str) -> Client {
        eventually(&format!("{component} says where it is"), || {
            let output = self.output();
            let mut lines = output.lines();
            let address =
                lines.find_map(|line| address_in(line.strip_prefix(component)?.strip_prefix("  ")?));
            address.map(Client::new)
        })
    }

    /// A client of its NATS listener.
    #[track_caller]
    pub fn nats(&self) -> Nats {
        let output = self.output();
        let mut lines = output.lines();
        let address =
            lines.find_map(|line| line.strip_prefix("nats  nats://")).expect("it says where NATS is");
        Nats::new(address.parse().unwrap())
    }

    /// Runs another command of `trellis` on this application, to its end.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Output {
        command().args(arguments).arg("--data").arg(&self.data).stdin(Stdio::null()).output().unwrap()
    }

    /// What such a command prints that must succeed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Sends a request that must be answered.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.client().send(request).unwrap_or_else(|error| panic!("no answer to {request:?}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send(&Request::get(path))
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop. What it does then is the caller's to see.
    pub fn ask_to_stop(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the process ends", || self.child.try_wait().unwrap())
    }

    /// Asks it to stop and sees that it does, without complaint.
    #[track_caller]
    pub fn stop(mut self) {
        self.ask_to_stop();
        let status = self.wait();
        assert!(status.success(), "it ended with {status}");
    }

    /// Everything that it has printed.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }
}

impl Drop for Trellis {
    fn drop(&mut self) {
        // Both fail if it has ended already, as it should have in some tests.
        self.child.kill().ok();
        let status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- trellis ({status:?}) said:\n{}---", self.output());
        }
    }
}

/// The `trellis` command that was built beside the tests, ready to be given arguments.
pub fn command() -> Command {
    let test = std::env::current_exe().unwrap();
    // The tests are in `<profile>/deps`.
    let program = test.parent().unwrap().parent().unwrap().join("trellis");
    assert!(program.is_file(), "{} is not there: `cargo xtask test` builds it", program.display());
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Collects what the child prints, and passes each line on while somebody listens. It never stops reading, so that the
/// child is never held up by a full pipe.
fn follow(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>, said: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
            drop(output);
            said.send(line).ok();
        }
    });
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let after = line.split_once("http://")?.1;
    let end = after.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(after.len());
    after[..end].parse().ok()
}
