//! Starting the lattice, deploying on it, and ending it.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http;
use super::manifest::{Manifest, Provider};
use super::processes::State;
use super::tools::Tools;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

const POLL: Duration = Duration::from_millis(100);
const NATS_PATIENCE: Duration = Duration::from_secs(20);
const HOSTS_PATIENCE_SECONDS: u64 = 60;
const DEPLOY_PATIENCE_SECONDS: u64 = 120;
/// How long the application may take to answer once everything runs; then its providers are started again, and it gets as
/// long once more.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// What the application answers when its storage, its messaging and its HTTP server are all linked.
const READY_PATH: &str = "/posts";

/// Zones for labels: by them a manifest spreads things.
const ZONES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// The files of a running lattice.
struct Folder(PathBuf);

impl Folder {
    fn of(workspace: &Workspace) -> Self {
        Self(workspace.root.join("build/lattice"))
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.log"))
    }
}

pub fn up(workspace: &Workspace, tools: &Tools, hosts: u8, steps: &mut Steps) -> Result<()> {
    let folder = Folder::of(workspace);
    if let Some(running) = State::read(&folder.state())?
        && running.processes.iter().any(|process| process.is_running())
    {
        return Err(Failure::new("a lattice of this checkout is already running")
            .remedy("`cargo xtask lattice down` ends it"));
    }
    files::remove_folder(&folder.0)?;
    files::create_folder(&folder.0)?;
    let manifest = Manifest::read(&workspace.root.join("wadm.yaml"), &workspace.root, tools)?;
    files::write_if_changed(&folder.0.join("wadm.yaml"), manifest.text.as_bytes())?;
    let mut state = State::new(folder.state());
    let lattice = Lattice { folder: &folder, tools, manifest: &manifest };
    let result = lattice.start(&mut state, hosts, steps);
    if let Err(failure) = result {
        // What does not work is not left running; the logs stay.
        state.end()?;
        return Err(failure.remedy(format!("see the logs in {}", folder.0.display())));
    }
    println!("http://{}", manifest.http);
    Ok(())
}

pub fn down(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    match State::read(&Folder::of(workspace).state())? {
        Some(mut state) => steps.run("lattice down", || state.end()),
        None => {
            eprintln!("xtask: no lattice of this checkout is running");
            Ok(())
        }
    }
}

struct Lattice<'a> {
    folder: &'a Folder,
    tools: &'a Tools,
    manifest: &'a Manifest,
}

impl Lattice<'_> {
    fn start(&self, state: &mut State, hosts: u8, steps: &mut Steps) -> Result<()> {
        let monitor = steps.run("NATS", || self.start_nats(state))?;
        steps.run("wadm", || {
            self.start_wadm(state)?;
            self.ask(&["manager"], HOSTS_PATIENCE_SECONDS, &[])
        })?;
        // Only then: wadm hears of a host when it starts, and otherwise not before its first heartbeat, half a minute later.
        steps.run("hosts", || {
            (1..=hosts).try_for_each(|number| self.start_host(state, number))?;
            let count = hosts.to_string();
            self.ask(&["hosts", "--count", &count], HOSTS_PATIENCE_SECONDS, &[])
        })?;
        let manifest = self.folder.0.join("wadm.yaml");
        steps.run_long("deployment", || self.ask(&["deploy"], DEPLOY_PATIENCE_SECONDS, &[&manifest]))?;
        steps.run("answer", || self.wait_for_answer(&monitor))
    }

    /// Returns the address at which NATS says how it is.
    fn start_nats(&self, state: &mut State) -> Result<String> {
        let configuration = self.folder.0.join("nats.conf");
        let text = format!(
            "# Written by `cargo xtask lattice up`.\n\
             listen: \"{}\"\n\
             http: \"127.0.0.1:-1\"\n\
             ports_file_dir: \"{folder}\"\n\
             # An append is answered when it is on disk.\n\
             jetstream {{ store_dir: \"{folder}/nats\", sync_interval: always }}\n",
            self.manifest.nats,
            folder = self.folder.0.display(),
        );
        files::write_if_changed(&configuration, text.as_bytes())?;
        let mut nats = Command::new(&self.tools.nats_server);
        state.start(
            "nats-server",
            nats.arg("--config").arg(&configuration),
            &self.folder.log("nats-server"),
        )?;
        let deadline = Instant::now() + NATS_PATIENCE;
        loop {
            if let Some(monitor) = self.monitor().filter(|_| TcpStream::connect(&self.manifest.nats).is_ok())
            {
                return Ok(monitor);
            }
            if Instant::now() >= deadline || !state.processes.iter().all(|process| process.is_running()) {
                return Err(Failure::new(format!("NATS does not listen at {}", self.manifest.nats)));
            }
            std::thread::sleep(POLL);
        }
    }

    /// From the file that NATS writes once it has its ports.
    fn monitor(&self) -> Option<String> {
        let files = files::below(&self.folder.0).ok()?;
        let file =
            files.iter().find(|file| file.extension().is_some_and(|extension| extension == "ports"))?;
        let ports: Value = serde_json::from_slice(&files::read(&self.folder.0.join(file)).ok()?).ok()?;
        let url = ports.get("monitoring")?.as_array()?.first()?.as_str()?;
        Some(url.strip_prefix("http://")?.to_owned())
    }

    fn start_wadm(&self, state: &mut State) -> Result<()> {
        let mut wadm = Command::new(self.tools.program("wadm"));
        wadm.args(["--nats-server", &self.manifest.nats]);
        state.start("wadm", &mut wadm, &self.folder.log("wadm"))
    }

    fn start_host(&self, state: &mut State, number: u8) -> Result<()> {
        let name = format!("host-{number}");
        let zone = ZONES.get(usize::from(number) - 1).copied().unwrap_or("a");
        let (address, port) = self.manifest.nats.rsplit_once(':').unwrap_or((&self.manifest.nats, "4222"));
        let mut host = Command::new(self.tools.program("wasmcloud_host"));
        host.args(["--nats-host", address, "--nats-port", port, "--allow-file-load"]);
        host.args(["--label", &format!("host={number}"), "--label", &format!("zone={zone}")]);
        state.start(&name, &mut host, &self.folder.log(&name))
    }

    fn ask(&self, what: &[&str], seconds: u64, then: &[&Path]) -> Result<()> {
        let mut ctl = Command::new(self.tools.program("lattice-ctl"));
        ctl.args(what).args(["--nats", &self.manifest.nats, "--timeout-seconds", &seconds.to_string()]);
        process::run(ctl.args(then))
    }

    /// Until the application answers and hears.
    ///
    /// A link that is put while a provider is starting can be lost: after the host has told the provider which links
    /// there are, and before the provider listens for more. Nobody notices, wadm neither. A provider that is started when
    /// the links are there gets them all, so one that seems to miss some is started again.
    fn wait_for_answer(&self, monitor: &str) -> Result<()> {
        if self.answers_within(ANSWER_PATIENCE, monitor).is_ok() {
            return Ok(());
        }
        for Provider { id, image } in &self.manifest.providers {
            eprintln!(
                "xtask: no answer yet; starting the provider {id} ({image}) again, in case it has missed a link"
            );
            self.ask(&["restart-provider", id], HOSTS_PATIENCE_SECONDS, &[])?;
        }
        self.answers_within(ANSWER_PATIENCE * 2, monitor)
    }

    fn answers_within(&self, patience: Duration, monitor: &str) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let Err(missing) = self.answers(monitor) else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(Failure::new(format!("the application runs and does not work: {missing}")));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Or what is missing.
    fn answers(&self, monitor: &str) -> std::result::Result<(), String> {
        let subscribed = subscriptions(monitor).unwrap_or_default();
        if let Some(subject) = self.manifest.subjects.iter().find(|subject| !subscribed.contains(subject)) {
            return Err(format!("nobody is subscribed to {subject}"));
        }
        match http::get(&self.manifest.http, READY_PATH) {
            Some((200, _)) => Ok(()),
            Some((status, body)) => Err(format!("GET {READY_PATH} answers {status} {body}")),
            None => Err(format!("nobody answers at http://{}", self.manifest.http)),
        }
    }
}

/// The subjects that anybody is subscribed to.
fn subscriptions(monitor: &str) -> Option<Vec<String>> {
    let connections = http::get_json(monitor, "/connz?subs=1&limit=1024")?;
    let lists = connections.get("connections")?.as_array()?.iter();
    let subjects = lists.filter_map(|connection| connection.get("subscriptions_list")?.as_array());
    Some(subjects.flatten().filter_map(|subject| Some(subject.as_str()?.to_owned())).collect())
}
