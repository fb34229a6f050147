//! A running `trellis up`, the embedded host: a child process that is killed when it goes out of scope, and whose output is
//! shown if the test fails.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;
use trellis_manifest::Manifest;

use crate::application::{Application, command};
use crate::manifest::{self, Setting};
use crate::{Client, PATIENCE, Request, eventually};

/// Whichever port is free.
const ANY_PORT: &str = "127.0.0.1:0";

#[derive(Debug)]
pub struct Embedded {
    child: Child,
    application: Application,
    output: Arc<Mutex<String>>,
}

impl Embedded {
    /// Starts the repository's application on `data`, and returns once it answers.
    #[track_caller]
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same, with further arguments.
    #[track_caller]
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_configured(data, &[], arguments)
    }

    /// The same, with services configured.
    #[track_caller]
    pub fn start_configured(data: &Path, settings: &[Setting<'_>], arguments: &[&str]) -> Self {
        Self::start_on(data, &manifest::configured(settings), arguments)
    }

    /// The same, with a manifest that has been made of a configured one.
    #[track_caller]
    pub fn start_on(data: &Path, manifest: &Manifest, arguments: &[&str]) -> Self {
        Self::start_command(command(), data, ANY_PORT, manifest, arguments)
    }

    /// Starts it with what `filter` lets through in its log, as `RUST_LOG` has it.
    #[track_caller]
    pub fn start_logging(data: &Path, filter: &str) -> Self {
        let mut trellis = command();
        trellis.env("RUST_LOG", filter);
        Self::start_command(trellis, data, ANY_PORT, &manifest::configured(&[]), &[])
    }

    /// Starts it with services configured, at an address.
    #[track_caller]
    pub fn start_configured_at(data: &Path, address: &str, settings: &[Setting<'_>]) -> Self {
        Self::start_command(command(), data, address, &manifest::configured(settings), &[])
    }

    #[track_caller]
    fn start_command(
        trellis: Command,
        data: &Path,
        address: &str,
        manifest: &Manifest,
        arguments: &[&str],
    ) -> Self {
        let folder = tempdir().unwrap();
        let file = folder.path().join("wadm.yaml");
        std::fs::write(&file, manifest.to_string()).unwrap();
        let arguments: Vec<&str> = file.to_str().into_iter().chain(arguments.iter().copied()).collect();
        // The manifest is read before anything is said.
        let trellis = Self::start_up(trellis, data, address, &arguments);
        trellis.wait_for_routes();
        trellis
    }

    /// Starts what the arguments say, or the repository's application as it is, at an address.
    #[track_caller]
    pub fn start_at(data: &Path, address: &str, arguments: &[&str]) -> Self {
        Self::start_up(command(), data, address, arguments)
    }

    #[track_caller]
    fn start_up(mut up: Command, data: &Path, address: &str, arguments: &[&str]) -> Self {
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
                let nats = nats_in(&output.lock().unwrap());
                let application = Application::new(address, nats, ["--data", data.to_str().unwrap()]);
                return Self { child, application, output };
            }
        }
        child.kill().ok();
        let status = child.wait();
        panic!("trellis said no address ({status:?}); it said:\n{}", output.lock().unwrap());
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

    /// What it tells whoever watches it.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let output = self.output();
        let admin = output.lines().find_map(|line| line.strip_prefix("admin  http://")).unwrap();
        let answer = Client::new(admin.parse().unwrap()).send(&Request::get("/metrics")).unwrap();
        String::from_utf8(answer.body).unwrap()
    }
}

impl Deref for Embedded {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.application
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Both fail if it has ended already, as it should have in some tests.
        self.child.kill().ok();
        let status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- trellis ({status:?}) said:\n{}---", self.output());
        }
    }
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

fn nats_in(output: &str) -> Option<SocketAddr> {
    output.lines().find_map(|line| line.strip_prefix("nats  nats://"))?.parse().ok()
}
