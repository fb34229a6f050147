//! A real nats-server for a test, on a port of its own, ended with the test.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyvalue_nats::bucket::Bucket;
use keyvalue_nats::settings::Settings;
use tempfile::TempDir;

/// Long enough for a busy machine, short enough to see a test that hangs.
pub const LIMIT: Duration = Duration::from_secs(20);

const START: Duration = Duration::from_secs(30);

pub struct Nats {
    address: String,
    configuration: String,
    folder: TempDir,
    child: Option<Child>,
}

impl Nats {
    pub fn start() -> Self {
        Self::with("jetstream { store_dir: STORE }")
    }

    /// With this configuration, in which STORE stands for a folder of the test.
    pub fn with(configuration: &str) -> Self {
        let mut nats = Self::not_started(configuration);
        nats.start_again();
        nats
    }

    pub fn not_started(configuration: &str) -> Self {
        Self {
            address: free_address(),
            configuration: configuration.to_owned(),
            folder: TempDir::new().unwrap(),
            child: None,
        }
    }

    pub fn start_again(&mut self) {
        let store = format!("\"{}\"", self.folder.path().join("store").display());
        let configuration = self.configuration.replace("STORE", &store);
        let file = self.folder.path().join("nats.conf");
        fs::write(&file, format!("listen: \"{}\"\n{configuration}\n", self.address())).unwrap();
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child =
            Command::new(program()).arg("--config").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap());
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address()).is_err() {
            assert!(Instant::now() < deadline, "nats-server did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// An ordinary client, for what other programs do.
    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.unwrap()
    }

    /// A bucket as a link makes it, with a connection of its own.
    pub async fn bucket(&self, name: &str) -> Bucket {
        self.bucket_with(name, &[("enable_bucket_auto_create", "true")], LIMIT).await
    }

    pub async fn bucket_with(&self, name: &str, config: &[(&str, &str)], limit: Duration) -> Bucket {
        let url = self.url();
        let all = [("bucket", name), ("cluster_uri", url.as_str())];
        let config = all.iter().chain(config).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings = Settings::read(&[].into(), &config.collect(), &[].into()).unwrap();
        Bucket::new(&settings, limit).await.unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("nats-server said:\n{}", self.log());
        }
    }
}

/// Three servers that are one cluster, as soon as they have found each other.
pub fn cluster_of_three() -> [Nats; 3] {
    let routes: [String; 3] = std::array::from_fn(|_| free_address());
    let all = routes.each_ref().map(|address| format!("\"nats://{address}\"")).join(", ");
    let mut number = 0;
    routes.map(|address| {
        number += 1;
        Nats::with(&format!(
            "server_name: n{number}
             jetstream {{ store_dir: STORE }}
             cluster {{ name: c, listen: \"{address}\", routes: [{all}] }}"
        ))
    })
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Where `cargo xtask lattice build` and `cargo xtask test` put it.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("TRELLIS_NATS_SERVER") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let program = cache.join("trellis/nats-server-2.15.1/nats-server");
    assert!(program.is_file(), "{} is missing; `cargo xtask lattice build` downloads it", program.display());
    program
}
