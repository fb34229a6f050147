//! A NATS client that can ask, and no more: services by messages, and the server about streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::client::{Request, Response};

/// The head of the server's word that nobody listens.
const NOBODY: &[u8] = b"NATS/1.0 503";

/// Opens one connection per question.
#[derive(Clone, Copy, Debug)]
pub struct Nats {
    address: SocketAddr,
    patience: Duration,
}

/// Why a question has no answer. It may have had its effect or not.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nobody listens.
    Nobody,
    /// Nothing has come in time, or the connection broke.
    Broken(std::io::Error),
}

impl From<std::io::Error> for NoAnswer {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

fn take(from: &mut impl Read, length: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.parse().map_err(std::io::Error::other)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Nats {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, patience: crate::PATIENCE }
    }

    /// The same, giving up on an answer after a time of its own.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends a message and waits for the answer.
    pub fn ask(&self, subject: &str, body: &[u8]) -> Result<Vec<u8>, NoAnswer> {
        let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        let (mut from, mut to) = (BufReader::new(stream.try_clone()?), stream);
        let introduction = r#"{"verbose":false,"headers":true,"no_responders":true,"protocol":1}"#;
        // The connection's own port makes the inbox its own, too.
        let inbox = format!("_INBOX.answer.{}", to.local_addr()?.port());
        let length = body.len();
        let head = format!("CONNECT {introduction}\r\nSUB {inbox} 1\r\nPUB {subject} {inbox} {length}\r\n");
        to.write_all(&[head.as_bytes(), body, b"\r\n"].concat())?;
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["PING"] => to.write_all(b"PONG\r\n")?,
                ["HMSG", .., head, length] => {
                    let answer = take(&mut from, length)?;
                    let head: usize = head.parse().map_err(std::io::Error::other)?;
                    return match answer.split_at_checked(head) {
                        Some((head, _)) if head.starts_with(NOBODY) => Err(NoAnswer::Nobody),
                        Some((_, body)) => Ok(body.to_vec()),
                        None => Err(std::io::Error::other(line).into()),
                    };
                }
                ["MSG", .., length] => return Ok(take(&mut from, length)?),
                ["-ERR", ..] => return Err(std::io::Error::other(line).into()),
                _ => {}
            }
        }
    }

    /// Asks JetStream, which answers.
    #[track_caller]
    pub fn jetstream(&self, operation: &str, request: Value) -> Value {
        let answer = self.ask(&format!("$JS.API.{operation}"), request.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Sends a request to a service itself.
    pub fn send(&self, service: &str, request: &Request) -> Result<Response, NoAnswer> {
        let answer = self.ask(&format!("svc.{service}"), &request.bytes())?;
        let whole = Response::of_message(&answer);
        whole.ok_or_else(|| std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()).into())
    }
}
