//! A real nats-server with the accounts of the application, and the least client that signs in there.

use std::collections::VecDeque;
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
use trellis_kit::guard;

/// How long anything may take that a healthy server does at once.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

/// What somebody heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub subject: String,
    pub reply: Option<String>,
    pub body: Vec<u8>,
}

pub struct Client {
    write: TcpStream,
    read: BufReader<TcpStream>,
    inbox: String,
    requests: u64,
    /// What came while something else was waited for.
    waiting: VecDeque<Message>,
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Makes the accounts with the program, as its users do.
pub fn make_accounts(folder: &Path, more: &[&str]) {
    let made = Command::new(env!("CARGO_BIN_EXE_nats-accounts"))
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
        // A signal that comes before it listens ends it.
        self.address();
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
        let inbox = format!("_INBOX.{name}");
        let mut client = Client { write, read, inbox, requests: 0, waiting: VecDeque::new() };
        let refused = client.refused(&format!("SUB {}.> 1\r\n", client.inbox));
        assert_eq!(refused, Vec::<String>::new(), "{name} signs in");
        client
    }

    /// Has somebody provision while the server runs: the registry's user, who asks what the registry would ask.
    pub fn guard(&self) {
        let mut client = self.connect("registry");
        client.subscribe("trellis.provision.>", "registry");
        std::thread::spawn(move || client.provision());
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

    /// Listens to a subject in a queue group, or in none.
    #[track_caller]
    pub fn subscribe(&mut self, subject: &str, queue: &str) {
        self.requests += 1;
        let refused = self.refused(&format!("SUB {subject} {queue} {}\r\n", self.requests + 10));
        assert_eq!(refused, Vec::<String>::new(), "{subject}");
    }

    /// Says something and wants the answer somewhere. Returns what the server has against it.
    pub fn publish(&mut self, subject: &str, reply: &str, body: &[u8]) -> Vec<String> {
        let mut lines = format!("PUB {subject} {reply} {}\r\n", body.len()).into_bytes();
        lines.extend([body, b"\r\n"].concat());
        self.refused_bytes(&lines)
    }

    /// What comes next of what it listens to.
    pub fn hear(&mut self) -> Message {
        self.waiting.pop_front().unwrap_or_else(|| match self.next() {
            Line::Message(message) => message,
            Line::Error(error) => panic!("{error}"),
            Line::Pong => self.hear(),
        })
    }

    /// What a server of JetStream answers, if the request is let through.
    pub fn request(&mut self, subject: &str, body: &Value) -> Result<Value, String> {
        let answer = self.ask(subject, body.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// The answer of whoever listens. Nothing at all is what the server says when nobody does.
    pub fn ask(&mut self, subject: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        self.requests += 1;
        let inbox = format!("{}.{}", self.inbox, self.requests);
        let mut lines = format!("PUB {subject} {inbox} {}\r\n", body.len()).into_bytes();
        lines.extend([body, b"\r\n"].concat());
        self.write.write_all(&lines).unwrap();
        loop {
            match self.next() {
                Line::Message(message) if message.subject == inbox => return Ok(message.body),
                Line::Message(message) => self.waiting.push_back(message),
                Line::Error(error) => return Err(error),
                Line::Pong => {}
            }
        }
    }

    /// Passes on what services may ask for, until the server has gone.
    fn provision(mut self) {
        loop {
            let asked = match self.waiting.pop_front().map(Line::Message).or_else(|| self.line()) {
                Some(Line::Message(asked)) => asked,
                Some(_) => continue,
                None => return,
            };
            let words = asked.subject.strip_prefix("trellis.provision.").unwrap();
            let (service, request) = words.split_once('.').unwrap();
            let answer = match guard::allow(service, request, &asked.body) {
                Ok(allowed) => {
                    let subject = allowed.subject.replace("$JS.API", "trellis.jetstream");
                    self.ask(&subject, &allowed.body).unwrap()
                }
                Err(why) => json!({ "error": { "description": why } }).to_string().into_bytes(),
            };
            assert_eq!(self.publish(&asked.reply.unwrap(), "", &answer), Vec::<String>::new());
        }
    }

    /// What the server refuses of this. It answers in order, so all that it has to say comes before its answer to a ping.
    fn refused(&mut self, lines: &str) -> Vec<String> {
        self.refused_bytes(lines.as_bytes())
    }

    fn refused_bytes(&mut self, lines: &[u8]) -> Vec<String> {
        self.write.write_all(&[lines, b"PING\r\n"].concat()).unwrap();
        let mut errors = Vec::new();
        loop {
            match self.next() {
                Line::Pong => return errors,
                Line::Error(error) => errors.push(error),
                Line::Message(message) => self.waiting.push_back(message),
            }
        }
    }

    fn send(&mut self, lines: &str) {
        self.write.write_all(lines.as_bytes()).unwrap();
    }

    fn next(&mut self) -> Line {
        self.line().expect("nats-server closed the connection")
    }

    /// None when the connection is over.
    fn line(&mut self) -> Option<Line> {
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            let (subject, reply, head, size) = match words[..] {
                ["PONG"] => return Some(Line::Pong),
                ["PING"] => {
                    self.write.write_all(b"PONG\r\n").ok()?;
                    continue;
                }
                ["-ERR", ..] => return Some(Line::Error(line.trim_end().to_owned())),
                ["MSG", subject, _, size] => (subject, None, "0", size),
                ["MSG", subject, _, reply, size] => (subject, Some(reply), "0", size),
                ["HMSG", subject, _, head, size] => (subject, None, head, size),
                ["HMSG", subject, _, reply, head, size] => (subject, Some(reply), head, size),
                _ => continue,
            };
            let (head, size): (usize, usize) = (head.parse().unwrap(), size.parse().unwrap());
            let mut body = vec![0; size + 2];
            self.read.read_exact(&mut body).ok()?;
            let (subject, reply) = (subject.to_owned(), reply.map(str::to_owned));
            return Some(Line::Message(Message { subject, reply, body: body[head..size].to_vec() }));
        }
    }
}

enum Line {
    Pong,
    Error(String),
    Message(Message),
}

fn program() -> PathBuf {
    let named = std::env::var_os("TRELLIS_NATS_SERVER").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let program = named.or_else(|| Some(cache?.join("trellis/nats-server-2.15.1/nats-server"))).unwrap();
    assert!(program.is_file(), "there is no {}: run `cargo xtask test`, which fetches it", program.display());
    program
}
