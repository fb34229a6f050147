//! A real nats-server with the accounts of the application, and the least client that signs in there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// How long anything may take that a healthy server does at once.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

pub struct Client {
    write: TcpStream,
    read: BufReader<TcpStream>,
    inbox: String,
    requests: u64,
    heard: String,
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Makes the accounts with the program, as its users do.
pub fn make_accounts(folder: &Path, more: &[&str]) {
    let made = Command::new(env!("CARGO_BIN_EXE_accounts"))
        .arg("--manifest")
        .arg(repository().join("wadm.yaml"))
        .arg("--folder")
        .arg(folder)
        .args(more)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_accounts(&folder.path().join("accounts"), &[]);
        let configuration = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {0:?}\njetstream {{ store_dir: {1:?} }}\n\
             include \"accounts/accounts.conf\"\n",
            folder.path(),
            folder.path().join("store")
        );
        let file = folder.path().join("nats.conf");
        fs::write(&file, configuration).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child =
            Command::new(program()).arg("--config").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
        Self { child: child.unwrap(), folder }
    }

    pub fn accounts(&self) -> PathBuf {
        self.folder.path().join("accounts")
    }

    /// Has it read its configuration again.
    pub fn reload(&self) {
        let told =
            Command::new(program()).arg("--signal").arg(format!("reload={}", self.child.id())).status();
        assert!(told.unwrap().success());
    }

    pub fn until(&self, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "it did not come to be");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A connection with the credentials of somebody, who gets answers where the manifest says.
    pub fn connect(&self, name: &str) -> Client {
        let mut write = TcpStream::connect(self.address()).unwrap();
        write.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut read = BufReader::new(write.try_clone().unwrap());
        let mut line = String::new();
        read.read_line(&mut line).unwrap();
        let info: Value = serde_json::from_str(line.trim_start_matches("INFO ")).unwrap();
        let (jwt, seed) = self.credentials(name);
        let nonce = info["nonce"].as_str().unwrap();
        let signature = KeyPair::from_seed(&seed).unwrap().sign(nonce.as_bytes()).unwrap();
        let connect = json!({
            "verbose": false, "headers": true, "no_responders": true,
            "jwt": jwt, "sig": BASE64.encode(signature),
        });
        write.write_all(format!("CONNECT {connect}\r\n").as_bytes()).unwrap();
        let mut client =
            Client { write, read, inbox: format!("_INBOX.{name}"), requests: 0, heard: String::new() };
        let refused = client.refused(&format!("SUB {}.> 1\r\n", client.inbox));
        assert_eq!(refused, Vec::<String>::new(), "{name} signs in");
        client
    }

    fn credentials(&self, name: &str) -> (String, String) {
        let text = fs::read_to_string(self.accounts().join(format!("{name}.creds"))).unwrap();
        let mut secrets = text.lines().filter(|line| !line.is_empty() && !line.starts_with("---"));
        (secrets.next().unwrap().to_owned(), secrets.next().unwrap().to_owned())
    }

    /// The server writes its address into a file when it listens.
    fn address(&self) -> String {
        let file = self.folder.path().join(format!("nats-server_{}.ports", self.child.id()));
        let start = Instant::now();
        loop {
            let ports = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(ports) = ports {
                return ports["nats"][0].as_str().unwrap().replace("nats://", "");
            }
            let said = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "nats-server does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    /// Whether it may publish on a subject.
    pub fn may_publish(&mut self, subject: &str) -> bool {
        self.refused(&format!("PUB {subject} 0\r\n\r\n")).is_empty()
    }

    pub fn may_subscribe(&mut self, subject: &str, queue: &str) -> bool {
        let refused = self.refused(&format!("SUB {subject} {queue} 2\r\n"));
        self.send("UNSUB 2\r\n");
        refused.is_empty()
    }

    /// Whether anything is heard on a subject once something was done.
    pub fn hears(&mut self, subject: &str, queue: &str, act: impl FnOnce()) -> bool {
        assert!(self.refused(&format!("SUB {subject} {queue} 3\r\n")).is_empty());
        act();
        match self.next() {
            Line::Message { subject, .. } => {
                self.heard = subject;
                true
            }
            _ => false,
        }
    }

    pub fn last_heard(&self) -> &str {
        &self.heard
    }

    /// What a server of JetStream answers, if the request is let through.
    pub fn request(&mut self, subject: &str, body: &Value) -> Result<Value, String> {
        self.requests += 1;
        let (inbox, body) = (format!("{}.{}", self.inbox, self.requests), body.to_string());
        self.send(&format!("PUB {subject} {inbox} {}\r\n{body}\r\n", body.len()));
        loop {
            match self.next() {
                Line::Message { subject, body } if subject == inbox => {
                    return Ok(serde_json::from_slice(&body).unwrap_or_default());
                }
                Line::Error(error) => return Err(error),
                Line::Message { .. } | Line::Pong => {}
            }
        }
    }

    /// What the server refuses of this. It answers in order, so all that it has to say comes before its answer to a ping.
    fn refused(&mut self, lines: &str) -> Vec<String> {
        self.send(&format!("{lines}PING\r\n"));
        let mut errors = Vec::new();
        loop {
            match self.next() {
                Line::Pong => return errors,
                Line::Error(error) => errors.push(error),
                Line::Message { .. } => {}
            }
        }
    }

    fn send(&mut self, lines: &str) {
        self.write.write_all(lines.as_bytes()).unwrap();
    }

    fn next(&mut self) -> Line {
        loop {
            let mut line = String::new();
            assert!(self.read.read_line(&mut line).unwrap() > 0, "nats-server closed the connection");
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            match words[..] {
                ["PONG"] => return Line::Pong,
                ["PING"] => self.send("PONG\r\n"),
                ["-ERR", ..] => return Line::Error(line.trim_end().to_owned()),
                ["MSG" | "HMSG", subject, .., size] => {
                    let mut body = vec![0; size.parse::<usize>().unwrap() + 2];
                    self.read.read_exact(&mut body).unwrap();
                    body.truncate(body.len() - 2);
                    return Line::Message { subject: subject.to_owned(), body };
                }
                _ => {}
            }
        }
    }
}

enum Line {
    Pong,
    Error(String),
    Message { subject: String, body: Vec<u8> },
}

fn program() -> PathBuf {
    let named = std::env::var_os("TRELLIS_NATS_SERVER").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let program = named.or_else(|| Some(cache?.join("trellis/nats-server-2.15.1/nats-server"))).unwrap();
    assert!(program.is_file(), "there is no {}: run `cargo xtask test`, which fetches it", program.display());
    program
}
