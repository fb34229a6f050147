//! The real nats-server, for tests that compare.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_WAIT: Duration = Duration::from_secs(20);

/// A nats-server that ends with the test.
pub struct NatsServer {
    process: Child,
    pub address: String,
    _data: tempfile::TempDir,
}

impl NatsServer {
    pub fn start() -> NatsServer {
        let data = tempfile::tempdir().unwrap();
        let process = Command::new(nats_server_path())
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(data.path())
            .arg("-sd")
            .arg(data.path())
            .arg("-l")
            .arg(data.path().join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ports = data.path().join(format!("nats-server_{}.ports", process.id()));
        let mut server = NatsServer { process, address: String::new(), _data: data };
        let deadline = Instant::now() + START_WAIT;
        while server.address.is_empty() {
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(url) = ports["nats"][0].as_str() {
                server.address = url.trim_start_matches("nats://").to_owned();
            }
            assert!(Instant::now() < deadline, "nats-server did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn nats_server_path() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let path = cache.unwrap_or_else(home).join("trellis/nats-server-2.15.1/nats-server");
    assert!(path.exists(), "{} is missing: run cargo xtask test, which installs it", path.display());
    path
}
