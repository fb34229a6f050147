//! The programs that a lattice is made of, and how each is started: NATS, wadm, hosts.

use std::path::PathBuf;

use super::{HOSTS_PATIENCE_SECONDS, Lattice};
use crate::failure::Result;
use crate::lattice::accounts::Accounts;
use crate::lattice::secrets::Secrets;
use crate::lattice::servers;
use crate::step::Steps;

/// Zones for labels: by them a manifest spreads things.
const ZONES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// How long a call of a component may take, as in one process. A call whose answer from a provider was lost, as when a NATS server
/// is killed, waits for it this long, and one of its component's instances with it. By default that is ten minutes. Several hosts
/// share the processors of one machine, so each has as many times as long.
const CALL_MS_MAX: u32 = 10_000;

impl Lattice {
    pub(super) fn start(&mut self, steps: &mut Steps) -> Result<()> {
        steps.run("NATS", || self.start_servers())?;
        steps.run("wadm", || {
            self.start_wadm()?;
            self.ask(&["manager"], HOSTS_PATIENCE_SECONDS, &[])
        })?;
        if let Some(secrets) = self.plan.secrets.clone() {
            steps.run("secrets", || self.start_secrets(&secrets))?;
        }
        // Only then: wadm hears of a host when it starts, and otherwise not before its first heartbeat, half a minute later.
        steps.run("hosts", || {
            (1..=self.plan.hosts).try_for_each(|number| self.start_host(number))?;
            self.wait_for_hosts(usize::from(self.plan.hosts))
        })?;
        steps.run_long("deployment", || self.deploy_manifest(&[]))?;
        steps.run("answer", || self.wait_for_answer())
    }

    fn start_servers(&mut self) -> Result<()> {
        for server in &self.servers {
            let mut command = vec![self.tools.nats_server.display().to_string()];
            command.extend(server.configure(&self.servers, &self.plan.folder, self.configuration())?);
            let log = self.log_file(&server.name);
            self.processes.start(&server.name, command, log)?;
        }
        self.wait_for_servers()
    }

    /// Until every NATS server serves.
    pub fn wait_for_servers(&self) -> Result<()> {
        servers::wait_for(&self.servers, &self.processes)
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.processes.is_running(name)
    }

    /// Starts a host again that has ended, and returns when it has joined.
    ///
    /// The application is there once it is deployed again. By itself, wadm would put components there at once, but providers
    /// up to a minute after it last had one started: for so long it waits for the word that it runs, which it does not
    /// recognise if the image is a file.
    pub fn start_host_again(&mut self, host: &str) -> Result<()> {
        self.processes.start_again(host)?;
        self.wait_for_hosts(self.hosts_running())
    }

    /// The names of all hosts that were ever started: `host-1` …
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.processes.hosts()
    }

    pub(super) fn hosts_running(&self) -> usize {
        self.hosts().filter(|host| self.is_running(host)).count()
    }

    /// Until so many hosts have said that they are there.
    pub fn wait_for_hosts(&self, count: usize) -> Result<()> {
        self.ask(&["hosts", "--count", &count.to_string()], HOSTS_PATIENCE_SECONDS, &[])
    }

    fn start_wadm(&mut self) -> Result<()> {
        // As its default is to the default of hosts. Shorter, it would give up hosts whose heartbeats it is slow to hear.
        let interval = (self.plan.heartbeat.as_secs() * 7).div_ceil(3).to_string();
        let nats = self.deployment.nats.clone();
        let arguments = ["--nats-server", &nats, "--cleanup-interval", &interval];
        self.start_process("wadm", "wadm", &arguments, "--nats-creds-file")
    }

    /// What it is told is asked for once hosts have something to start; it listens long before.
    fn start_secrets(&mut self, secrets: &Secrets) -> Result<()> {
        let signer = secrets.signer(&self.tools, &self.plan.folder)?;
        let nats: Vec<&str> = self.nats().collect();
        let (nats, file) = (nats.join(","), secrets.file().display().to_string());
        let arguments = ["--nats", &nats, "--topic", Secrets::TOPIC, "--file", &file, "--signer", &signer];
        self.start_process("secrets", "secrets-file", &arguments, "--creds")
    }

    fn start_host(&mut self, number: u8) -> Result<()> {
        let zone = ZONES.get(usize::from(number) - 1).copied().unwrap_or("a");
        // Each by way of another server, as far as there are others.
        let servers: Vec<String> = self.nats().map(str::to_owned).collect();
        let nats = servers.get(usize::from(number - 1) % servers.len()).cloned().unwrap_or_default();
        let (address, port) = nats.rsplit_once(':').unwrap_or((&nats, "4222"));
        let heartbeat = self.plan.heartbeat.as_secs().to_string();
        let (host, zone) = (format!("host={number}"), format!("zone={zone}"));
        let call_ms_max = (CALL_MS_MAX * u32::from(self.plan.hosts)).to_string();
        let features = self.deployment.features();
        let mut arguments = vec![
            "--nats-host",
            address,
            "--nats-port",
            port,
            "--allow-file-load",
            "--label",
            &host,
            "--label",
            &zone,
            "--heartbeat-interval-seconds",
            &heartbeat,
            "--max-execution-time-ms",
            &call_ms_max,
        ];
        if self.plan.secrets.is_some() {
            arguments.extend(["--secrets-topic", Secrets::TOPIC]);
        }
        arguments.extend(features.iter().flat_map(|feature| ["--experimental-features", feature]));
        self.start_process(&format!("host-{number}"), "wasmcloud_host", &arguments, "--nats-creds")
    }

    /// `creds` is the option by which it is told who it is to NATS.
    fn start_process(&mut self, name: &str, program: &str, arguments: &[&str], creds: &str) -> Result<()> {
        let program = self.tools.program(program).display().to_string();
        let arguments = arguments.iter().map(|&word| word.to_owned());
        let command = std::iter::once(program).chain(arguments).chain(self.as_lattice(creds)).collect();
        let log = self.log_file(name);
        self.processes.start(name, command, log)
    }

    /// The arguments that say who somebody of the lattice is.
    pub(super) fn as_lattice(&self, option: &str) -> Vec<String> {
        let file = self.plan.accounts.as_ref().map(|_| Accounts::lattice(&self.plan.folder));
        file.map_or_else(Vec::new, |file| vec![option.to_owned(), file.display().to_string()])
    }

    /// What servers have to know beyond what every lattice has.
    fn configuration(&self) -> &str {
        self.plan.accounts.as_ref().map_or("", |_| Accounts::CONFIGURATION)
    }

    pub(super) fn log_file(&self, name: &str) -> PathBuf {
        self.plan.folder.join(format!("{name}.log"))
    }
}
