//! A lattice that runs: starting it, deploying on it, what may happen to its processes, and ending it.

mod answer;
mod deployment;
mod programs;

pub use answer::missing;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use trellis_manifest::Manifest;

use super::accounts::Accounts;
use super::manifest::{self, Deployment};
use super::processes::Processes;
use super::secrets::Secrets;
use super::servers::{self, Free, Server};
use super::tools::Tools;
use crate::failure::{Failure, Result};
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

const POLL: Duration = Duration::from_millis(100);
const HOSTS_PATIENCE_SECONDS: u64 = 60;

/// What is started, and where.
#[derive(Debug)]
pub struct Plan {
    /// For its files: what NATS keeps, the manifest as it is deployed, logs. What was there is removed.
    pub folder: PathBuf,
    /// The image references that begin with `file://` are below this.
    pub root: PathBuf,
    /// As it is in `wadm.yaml`.
    pub manifest: Manifest,
    pub hosts: u8,
    /// NATS servers: 1, or more that are a cluster.
    pub servers: u8,
    /// Whether it listens where the manifest says, if that is free; else in places of its own.
    pub as_in_manifest: bool,
    /// How often hosts say that they live. wadm gives up a host that was silent for five of these.
    pub heartbeat: Duration,
    /// Whether services are kept apart: each is a user of NATS, with permissions.
    pub accounts: Option<Accounts>,
    /// Where components have their secrets from, if they have any.
    pub secrets: Option<Secrets>,
}

/// As hosts have it by default.
const HEARTBEAT: Duration = Duration::from_secs(30);

impl Plan {
    /// The repository's application on one host with one server, with its files in `build/<name>`.
    pub fn of(workspace: &Workspace, name: &str) -> Result<Self> {
        Ok(Self {
            folder: workspace.root.join("build").join(name),
            root: workspace.root.clone(),
            manifest: manifest::read(&workspace.root.join("wadm.yaml"))?,
            hosts: 1,
            servers: 1,
            as_in_manifest: true,
            heartbeat: HEARTBEAT,
            accounts: None,
            secrets: None,
        })
    }
}

/// A lattice on this machine. It goes on when this is dropped: [`Lattice::down`] ends it.
#[derive(Debug)]
pub struct Lattice {
    plan: Plan,
    tools: Tools,
    servers: Vec<Server>,
    deployment: Deployment,
    processes: Processes,
}

impl Lattice {
    /// Returns once the application answers. What was started before something failed is ended.
    pub fn up(plan: Plan, tools: Tools, steps: &mut Steps) -> Result<Self> {
        if Self::is_running_in(&plan.folder)? {
            return Err(Failure::new(format!("a lattice is already running in {}", plan.folder.display()))
                .remedy("`cargo xtask lattice down` ends it"));
        }
        files::remove_folder(&plan.folder)?;
        files::create_folder(&plan.folder)?;
        let deployment = Deployment::here(&plan.manifest, &plan.root, &tools)?;
        let mut free = Free::new();
        let wanted = |address: &str| plan.as_in_manifest.then(|| address.to_owned());
        let servers = servers::plan(plan.servers, wanted(&deployment.nats), &mut free)?;
        let http = free.or(wanted(&deployment.http))?;
        let processes = Processes::new(state(&plan.folder));
        let mut lattice = Self { plan, tools, servers, deployment, processes };
        lattice.deployment.http = http;
        lattice.deployment = lattice.here(&lattice.plan.manifest)?;
        lattice.write_down()?;
        match lattice.start(steps) {
            Ok(()) => Ok(lattice),
            Err(failure) => {
                let ended = lattice.ended();
                lattice.processes.end()?;
                Err(failure.with(ended).remedy(format!("see the logs in {}", lattice.plan.folder.display())))
            }
        }
    }

    /// The lattice that was started in a folder, by whomever.
    pub fn attach(folder: &Path, tools: Tools) -> Result<Self> {
        let nothing = || {
            Failure::new(format!("no lattice runs in {}", folder.display()))
                .remedy("`cargo xtask lattice up` starts one")
        };
        let processes = Processes::read(&state(folder))?.ok_or_else(nothing)?;
        let noted = serde_json::from_slice(&files::read(&note(folder))?).unwrap_or_default();
        let (root, servers, heartbeat) = noted_values(&noted).ok_or_else(nothing)?;
        let manifest = manifest::read(&folder.join("wadm.yaml"))?;
        let hosts = processes.hosts().count();
        let plan = Plan {
            folder: folder.to_owned(),
            root,
            manifest: manifest.clone(),
            hosts: u8::try_from(hosts).unwrap_or(u8::MAX),
            servers: u8::try_from(servers.len()).unwrap_or(u8::MAX),
            as_in_manifest: false,
            heartbeat,
            accounts: Accounts::from_json(&noted),
            secrets: Secrets::from_json(&noted),
        };
        Ok(Self { plan, tools, servers, deployment: Deployment::as_it_is(manifest)?, processes })
    }

    /// What [`Lattice::attach`] cannot find elsewhere.
    fn write_down(&self) -> Result<()> {
        let servers: Vec<Value> = self.servers.iter().map(Server::to_json).collect();
        let (root, heartbeat) = (&self.plan.root, self.plan.heartbeat.as_secs());
        let accounts = self.plan.accounts.as_ref().map(Accounts::to_json);
        let secrets = self.plan.secrets.as_ref().map(Secrets::to_json);
        let noted = json!({
            "root": root, "servers": servers, "heartbeat_seconds": heartbeat, "accounts": accounts,
            "secrets": secrets,
        });
        files::write_if_changed(&note(&self.plan.folder), noted.to_string().as_bytes()).map(drop)
    }

    /// Ends what runs in a folder. False if nothing did.
    pub fn down(folder: &Path) -> Result<bool> {
        let processes = Processes::read(&state(folder))?;
        processes.map(|mut processes| processes.end()).transpose().map(|ended| ended.is_some())
    }

    fn is_running_in(folder: &Path) -> Result<bool> {
        let processes = Processes::read(&state(folder))?;
        Ok(processes.is_some_and(|processes| processes.iter().any(|process| process.is_running())))
    }

    /// Where the application answers.
    pub fn http(&self) -> &str {
        &self.deployment.http
    }

    /// Where each NATS server takes clients.
    pub fn nats(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|server| server.client.as_str())
    }

    /// What is started, stopped, killed, paused and resumed by name: `nats-1`, `wadm`, `host-1` …
    pub fn processes(&mut self) -> &mut Processes {
        &mut self.processes
    }

    /// What a process has said so far.
    pub fn log(&self, name: &str) -> String {
        self.processes.log(name)
    }

    /// Components that are started from now on have these secrets.
    pub fn keep_secrets(&self, secrets: &Value) -> Result<()> {
        let none = || Failure::new("the hosts of this lattice were started without secrets");
        self.plan.secrets.as_ref().ok_or_else(none)?.write(secrets)
    }

    /// What has ended that nobody told to, and the last that it said.
    fn ended(&self) -> Vec<String> {
        let ended = self.processes.iter().filter(|process| !process.is_running());
        let words = ended.map(|process| {
            let log = self.log(&process.name);
            let mut last: Vec<&str> = log.lines().rev().filter(|line| !line.is_empty()).take(3).collect();
            last.reverse();
            format!("{} has ended, and said:\n  {}", process.name, last.join("\n  "))
        });
        words.collect()
    }

    fn ask(&self, what: &[&str], seconds: u64, then: &[&str]) -> Result<()> {
        let mut ctl = self.ctl(what, seconds);
        process::run(ctl.args(self.as_lattice("--creds")).args(then))
    }

    /// To ask whichever server is there.
    fn ctl(&self, what: &[&str], seconds: u64) -> Command {
        let nats = self.nats().collect::<Vec<_>>().join(",");
        let mut ctl = Command::new(self.tools.program("lattice-ctl"));
        ctl.args(what).args(["--nats", &nats, "--timeout-seconds", &seconds.to_string()]);
        ctl
    }
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

fn note(folder: &Path) -> PathBuf {
    folder.join("lattice.json")
}

fn noted_values(noted: &Value) -> Option<(PathBuf, Vec<Server>, Duration)> {
    let root = noted.get("root")?.as_str()?.into();
    let servers = noted.get("servers")?.as_array()?.iter().map(Server::from_json);
    let heartbeat = Duration::from_secs(noted.get("heartbeat_seconds")?.as_u64()?);
    Some((root, servers.collect::<Option<_>>()?, heartbeat))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const MANIFEST: &str = "\
apiVersion: v
kind: k
metadata: { name: a, annotations: { description: test } }
spec:
  components:
    - name: a
      type: component
      properties:
        config:
          - name: a
            properties: { address: \"127.0.0.1:1\", x: \"nats://127.0.0.1:1\" }
";

    #[test]
    fn a_server_that_does_not_start_is_named_with_what_it_said_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let server = folder.path().join("nats-server");
        fs::write(&server, "#!/bin/sh\necho '[FTL] no space left on device' >&2\nsleep 0.1\nexit 1\n")
            .unwrap();
        fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
        let plan = Plan {
            folder: folder.path().join("lattice"),
            root: folder.path().to_owned(),
            manifest: Manifest::read(MANIFEST).unwrap(),
            hosts: 1,
            servers: 1,
            as_in_manifest: false,
            heartbeat: HEARTBEAT,
            accounts: None,
            secrets: None,
        };
        let lattice = plan.folder.clone();
        let tools = Tools::in_folder(folder.path(), server);
        let failure = Lattice::up(plan, tools, &mut Steps::start()).unwrap_err().to_string();
        let said = [
            "nats-1, a NATS server, does not serve at 127.0.0.1:",
            "no space left on device",
            "see the logs in",
        ];
        assert!(said.iter().all(|part| failure.contains(part)), "{failure}");
        assert!(!Lattice::is_running_in(&lattice).unwrap());
    }
}
