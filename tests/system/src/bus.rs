//! A client of the message bus, which speaks just enough of NATS.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// How a server begins what it says to a consumer's client while there is no message. Nobody has sent it, and nobody receives it.
const IDLE_HEARTBEAT: &[u8] = b"NATS/1.0 100 ";

/// Long enough to read what has come.
const AT_ONCE: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub struct Bus {
    reader: BufReader<TcpStream>,
    subscriptions: u32,
    /// What has come and nobody has asked for yet.
    waiting: VecDeque<Message>,
}

#[derive(Debug)]
pub struct Message {
    pub subject: String,
    pub reply_to: Option<String>,
    pub body: Vec<u8>,
}

impl Bus {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bus = Self { reader: BufReader::new(stream), subscriptions: 0, waiting: VecDeque::new() };
        bus.write(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n");
        bus.flush();
        bus
    }

    pub fn publish(&mut self, subject: &str, body: &[u8]) {
        self.send(subject, "", body);
    }

    #[track_caller]
    pub fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        self.write(format!("SUB {subject} {}\r\n", self.subscriptions).as_bytes());
        self.flush();
    }

    /// The answer to a request.
    #[track_caller]
    pub fn request(&mut self, subject: &str, body: &[u8]) -> Message {
        let inbox = format!("_INBOX.test.{}", self.subscriptions);
        self.subscribe(&inbox);
        self.send(subject, &inbox, body);
        loop {
            if let Some(at) = self.waiting.iter().position(|message| message.subject == inbox) {
                return self.waiting.remove(at).unwrap();
            }
            self.read();
        }
    }

    /// The next message of any subscription.
    #[track_caller]
    pub fn receive(&mut self) -> Message {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return message;
            }
            self.read();
        }
    }

    /// What comes until nothing has come for so long.
    #[track_caller]
    pub fn receive_until_quiet(&mut self, quiet: Duration) -> Vec<Message> {
        let deadline = Instant::now() + PATIENCE;
        let (mut known, mut since) = (self.waiting.len(), Instant::now());
        while self.is_there_more_within(quiet.saturating_sub(since.elapsed()).max(AT_ONCE)) {
            assert!(Instant::now() < deadline, "it is never quiet for {quiet:?}");
            self.read();
            if self.waiting.len() > known {
                (known, since) = (self.waiting.len(), Instant::now());
            }
        }
        self.waiting.drain(..).collect()
    }

    #[track_caller]
    fn is_there_more_within(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let more = match self.reader.fill_buf() {
            Ok(bytes) => !bytes.is_empty(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("the bus cannot be read: {error}"),
        };
        self.reader.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        more
    }

    /// Returns when the server has seen everything that was sent.
    #[track_caller]
    fn flush(&mut self) {
        self.write(b"PING\r\n");
        while self.read() != "PONG" {}
    }

    /// Reads one thing that the server says, and gives its first word.
    #[track_caller]
    fn read(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the bus has hung up");
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let message = match words[..] {
            ["MSG", _, _, len] => Some((None, 0, len)),
            ["MSG", _, _, reply_to, len] => Some((Some(reply_to), 0, len)),
            ["HMSG", _, _, head_len, len] => Some((None, head_len.parse().unwrap(), len)),
            ["HMSG", _, _, reply_to, head_len, len] => Some((Some(reply_to), head_len.parse().unwrap(), len)),
            ["PING"] => {
                self.write(b"PONG\r\n");
                None
            }
            _ => None,
        };
        if let Some((reply_to, head_len, len)) = message {
            let mut body = vec![0; len.parse::<usize>().unwrap() + 2];
            self.reader.read_exact(&mut body).unwrap();
            body.truncate(body.len() - 2);
            let (subject, reply_to) = (words[1].to_owned(), reply_to.map(str::to_owned));
            let head = body.drain(..head_len).collect::<Vec<_>>();
            if !head.starts_with(IDLE_HEARTBEAT) {
                self.waiting.push_back(Message { subject, reply_to, body });
            }
        }
        words[0].to_owned()
    }

    fn send(&mut self, subject: &str, reply_to: &str, body: &[u8]) {
        let head = format!("PUB {subject} {reply_to} {}\r\n", body.len());
        self.write(&[head.as_bytes(), body, b"\r\n"].concat());
    }

    fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }
}
