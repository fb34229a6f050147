//! A nats-server with a folder of its own, ended with this.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;

const CONFIGURATION: &str = "nats.conf";

/// To read what is on disk again takes as long as there is much.
const START: Duration = Duration::from_secs(600);

pub struct Server {
    program: PathBuf,
    address: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    pub fn start(sync: bool) -> Result<Self> {
        let named = std::env::var_os("TRELLIS_NATS_SERVER").map(PathBuf::from);
        let program = named.context("TRELLIS_NATS_SERVER: `cargo xtask bench subjects` sets it")?;
        // Not in memory, as /tmp may be.
        let folder = tempfile::Builder::new().prefix("bench-subjects").tempdir_in("target")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let sync = if sync { "always" } else { "2m" };
        let store = folder.path().canonicalize()?.join("store");
        let configuration =
            format!("listen: \"{address}\"\njetstream {{ store_dir: {store:?}, sync_interval: {sync} }}\n");
        fs::write(folder.path().join(CONFIGURATION), configuration)?;
        let child = start(&program, folder.path())?;
        let server = Self { program, address, folder, child };
        server.wait()?;
        Ok(server)
    }

    /// Ends it as it wants to be ended, and starts it again.
    pub fn restart(&mut self) -> Result<Duration> {
        let told =
            Command::new(&self.program).arg("--signal").arg(format!("stop={}", self.child.id())).status();
        anyhow::ensure!(told?.success(), "nats-server does not stop");
        self.child.wait()?;
        let started = Instant::now();
        self.child = start(&self.program, self.folder.path())?;
        self.wait()?;
        Ok(started.elapsed())
    }

    /// The last word of what it says of itself.
    pub fn version(&self) -> Result<String> {
        let said = Command::new(&self.program).arg("--version").output()?;
        let said = String::from_utf8_lossy(&said.stdout);
        Ok(said.split_whitespace().last().unwrap_or_default().trim_start_matches('v').to_owned())
    }

    pub fn connect(&self) -> Result<Client> {
        Client::connect(&self.address)
    }

    /// How much memory it has that is really there.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: u64 = line.and_then(|line| line.split_whitespace().next()).unwrap_or("0").parse()?;
        Ok(kilobytes * 1024)
    }

    pub fn disk(&self) -> Result<u64> {
        size(self.folder.path())
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        // It listens once it has read its streams.
        while TcpStream::connect(&self.address).is_err() {
            if Instant::now() > deadline {
                bail!("nats-server does not listen on {}", self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither can be helped, and both are over when this process is.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn start(program: &Path, folder: &Path) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.join(CONFIGURATION));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.with_context(|| format!("cannot start {}", program.display()))
}

fn size(path: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        // Files come and go while the server works.
        let Ok(entry) = entry else { continue };
        let Ok(found) = entry.metadata() else { continue };
        sum += if found.is_dir() { size(&entry.path()).unwrap_or(0) } else { found.len() };
    }
    Ok(sum)
}
