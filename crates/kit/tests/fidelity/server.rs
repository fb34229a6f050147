//! A real nats-server of one's own, and the least client that can talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that a healthy server does at once.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    data: tempfile::TempDir,
}

pub struct Client {
    write: TcpStream,
    read: BufReader<TcpStream>,
    requests: u64,
    delivered: std::collections::VecDeque<Message>,
}

#[derive(Debug)]
pub struct Message {
    pub subject: String,
    pub reply_to: Option<String>,
    pub body: Vec<u8>,
}

impl Server {
    pub fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let child = Command::new(binary())
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
            .arg(data.path().join("store"))
            .arg("--ports_file_dir")
            .arg(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, data }
    }

    pub fn connect(&self) -> Client {
        let write = TcpStream::connect(self.address()).unwrap();
        write.set_read_timeout(Some(PATIENCE)).unwrap();
        let read = BufReader::new(write.try_clone().unwrap());
        let mut client = Client { write, read, requests: 0, delivered: Default::default() };
        client.line();
        client.send(
            "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB inbox.* 1\r\n",
            b"",
        );
        client
    }

    /// The server writes its address into a file when it listens.
    fn address(&self) -> String {
        let file = self.data.path().join(format!("nats-server_{}.ports", self.child.id()));
        let start = Instant::now();
        loop {
            let ports = std::fs::read(&file)
                .ok()
                .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
            if let Some(ports) = ports {
                return ports["nats"][0].as_str().unwrap().replace("nats://", "");
            }
            assert!(start.elapsed() < PATIENCE, "nats-server does not listen");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let named = std::env::var_os("TRELLIS_NATS_SERVER").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let binary = named.or_else(|| Some(cache?.join("trellis/nats-server-2.15.1/nats-server"))).unwrap();
    assert!(binary.is_file(), "there is no {}: run `cargo xtask test`, which fetches it", binary.display());
    binary
}

impl Client {
    pub fn request(&mut self, subject: &str, body: &[u8]) -> Vec<u8> {
        self.requests += 1;
        let inbox = format!("inbox.{}", self.requests);
        self.send(&format!("PUB {subject} {inbox} {}\r\n", body.len()), &[body, b"\r\n"].concat());
        loop {
            let message = self.read();
            if message.subject == inbox {
                return message.body;
            }
            self.delivered.push_back(message);
        }
    }

    pub fn publish(&mut self, subject: &str, body: &[u8]) {
        self.send(&format!("PUB {subject} {}\r\n", body.len()), &[body, b"\r\n"].concat());
    }

    pub fn subscribe(&mut self, subject: &str, queue: &str) {
        self.send(&format!("SUB {subject} {queue} 2\r\n"), b"");
    }

    /// The next message that is not an answer.
    pub fn next(&mut self) -> Message {
        if let Some(message) = self.delivered.pop_front() {
            return message;
        }
        self.read()
    }

    fn send(&mut self, line: &str, body: &[u8]) {
        self.write.write_all(&[line.as_bytes(), body].concat()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.read.read_line(&mut line).unwrap() > 0, "nats-server closed the connection");
        line.trim_end().to_owned()
    }

    fn read(&mut self) -> Message {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            let (headers, subject, reply_to, size) = match words[..] {
                ["MSG", subject, _, size] => ("0", subject, None, size),
                ["MSG", subject, _, reply_to, size] => ("0", subject, Some(reply_to), size),
                ["HMSG", subject, _, headers, size] => (headers, subject, None, size),
                ["HMSG", subject, _, reply_to, headers, size] => (headers, subject, Some(reply_to), size),
                ["PING"] => {
                    self.send("PONG\r\n", b"");
                    continue;
                }
                _ if line.starts_with("-ERR") => panic!("{line}"),
                _ => continue,
            };
            let mut body = vec![0; size.parse::<usize>().unwrap() + 2];
            self.read.read_exact(&mut body).unwrap();
            body.truncate(body.len() - 2);
            let body = body.split_off(headers.parse().unwrap());
            return Message { subject: subject.to_owned(), reply_to: reply_to.map(str::to_owned), body };
        }
    }
}
