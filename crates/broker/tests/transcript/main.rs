//! One script of operations is run against a real nats-server and against this broker, through the same plain TCP client. What
//! both say must be equal, errors included. Masked are dates, server ids and the nanoseconds in acknowledgement subjects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod client;
mod script;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use trellis_broker::{Broker, SystemClock};
use trellis_store::Store;

const START_WAIT: Duration = Duration::from_secs(20);

/// A nats-server that ends with the test.
struct NatsServer {
    process: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl NatsServer {
    fn start() -> NatsServer {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transcript_equals_that_of_nats_server() {
    let nats = NatsServer::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = listener.local_addr().unwrap().to_string();
    let broker = Broker::open(Store::in_memory(), Arc::new(SystemClock)).await.unwrap();
    let serving = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.serve(listener, std::future::pending()).await })
    };
    let (theirs, ours) = tokio::join!(script::run(&nats.address), script::run(&ours));
    serving.abort();
    compare(&theirs, &ours);
}

fn compare(theirs: &[String], ours: &[String]) {
    if let Some(directory) = std::env::var_os("TRANSCRIPT_DIR").map(PathBuf::from) {
        std::fs::write(directory.join("nats-server"), theirs.join("\n")).unwrap();
        std::fs::write(directory.join("trellis"), ours.join("\n")).unwrap();
    }
    assert!(theirs.len() > 600, "the script said only {} lines", theirs.len());
    for (number, (their, our)) in theirs.iter().zip(ours).enumerate() {
        if their != our {
            let before = theirs[number.saturating_sub(6)..number].join("\n");
            panic!("line {}\n{before}\nnats-server: {their}\ntrellis:     {our}", number + 1);
        }
    }
    assert_eq!(theirs.len(), ours.len());
}
