//! A NATS client as plain as can be: it sends lines and writes down what comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Nothing takes longer than this when all is well.
const PATIENCE: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(50);
const INBOX: &str = "_INBOX.transcript";
const INBOX_SID: &str = "1";

pub type Log = Arc<Mutex<Vec<String>>>;

pub struct Client {
    name: &'static str,
    address: String,
    reader: OwnedReadHalf,
    input: Vec<u8>,
    writer: OwnedWriteHalf,
    log: Log,
    requests: u32,
    /// What came while something else was waited for.
    early: Vec<Said>,
}

/// Something that a server says.
#[derive(Clone, Debug)]
pub enum Said {
    Message { subject: String, sid: String, reply: Option<String>, headers: String, payload: String },
    Line(String),
    End,
}

impl Client {
    pub async fn connect(name: &'static str, address: &str, options: &str, log: Log) -> Client {
        let (reader, writer) = TcpStream::connect(address).await.unwrap().into_split();
        let address = address.to_owned();
        let mut client =
            Client { name, address, reader, input: Vec::new(), writer, log, requests: 0, early: Vec::new() };
        let Said::Line(info) = client.hear().await else { panic!("a server starts with INFO") };
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        for field in ["version", "proto", "headers", "max_payload", "jetstream"] {
            client.note(format!("info {field} = {}", info[field]));
        }
        client.send(&format!("CONNECT {options}\r\nSUB {INBOX}.{name}.* {INBOX_SID}\r\n")).await;
        client.sync().await;
        client
    }

    pub async fn plain(name: &'static str, address: &str, log: &Log) -> Client {
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        Client::connect(name, address, options, log.clone()).await
    }

    pub async fn another(&self, name: &'static str) -> Client {
        Client::plain(name, &self.address, &self.log).await
    }

    pub async fn another_with(&self, name: &'static str, options: &str) -> Client {
        Client::connect(name, &self.address, options, self.log.clone()).await
    }

    pub fn note(&self, line: impl AsRef<str>) {
        self.log.lock().unwrap().push(format!("{}: {}", self.name, line.as_ref()));
    }

    pub async fn send(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits until the server has taken everything sent so far, noting what comes until then.
    pub async fn sync(&mut self) {
        self.send("PING\r\n").await;
        loop {
            match self.wait().await {
                Some(Said::Line(line)) if line == "PONG" => return,
                Some(Said::Line(line)) => self.note(format!("  {line}")),
                Some(Said::End) => return self.note("  (closed)"),
                Some(message) => self.early.push(message),
                None => panic!("no PONG"),
            }
        }
    }

    /// Sends raw protocol, and notes what lines come back until the server answers a PING or closes.
    pub async fn raw(&mut self, text: &str) {
        self.note(format!("> {text:?}"));
        let _ = self.writer.write_all(text.as_bytes()).await;
        let _ = self.writer.write_all(b"PING\r\n").await;
        loop {
            match self.wait().await {
                Some(Said::Line(line)) if line == "PONG" => return,
                Some(Said::Line(line)) => self.note(format!("  {line}")),
                Some(Said::End) => return self.note("  (closed)"),
                Some(message) => self.note_message(&message),
                None => return self.note("  (silence)"),
            }
        }
    }

    pub async fn subscribe(&mut self, sid: &str, pattern: &str, queue: &str) {
        self.note(format!("> SUB {pattern} {queue} {sid}"));
        self.send(&format!("SUB {pattern} {queue} {sid}\r\n")).await;
        self.sync().await;
    }

    pub async fn unsubscribe(&mut self, sid: &str, after: &str) {
        self.note(format!("> UNSUB {sid} {after}"));
        self.send(&format!("UNSUB {sid} {after}\r\n")).await;
        self.sync().await;
    }

    pub async fn publish(&mut self, subject: &str, payload: &str) {
        self.note(format!("> PUB {} {payload}", mask_ack(subject)));
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())).await;
        self.sync().await;
    }

    pub async fn publish_to(&mut self, subject: &str, reply: &str, payload: &str) {
        self.note(format!("> PUB {} {reply} {payload}", mask_ack(subject)));
        self.send(&format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len())).await;
        self.sync().await;
    }

    /// Asks, and notes the answer. Gives it back for what depends on it.
    pub async fn ask(&mut self, subject: &str, payload: &str) -> Value {
        self.ask_with(subject, &[], payload).await
    }

    pub async fn ask_with(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> Value {
        self.requests += 1;
        let reply = format!("{INBOX}.{}.{}", self.name, self.requests);
        self.note(format!("> {} {headers:?} {payload}", mask_ack(subject)));
        if headers.is_empty() {
            self.send(&format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len())).await;
        } else {
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let block = format!("NATS/1.0\r\n{lines}\r\n");
            let (head, all) = (block.len(), block.len() + payload.len());
            self.send(&format!("HPUB {subject} {reply} {head} {all}\r\n{block}{payload}\r\n")).await;
        }
        loop {
            match self.wait().await {
                Some(Said::Message { sid, headers, payload, .. }) if sid == INBOX_SID => {
                    let shown = [normal_headers(&headers), normal(&payload)].join(" ");
                    self.note(format!("  < {}", shown.trim()));
                    return serde_json::from_str(&payload).unwrap_or_default();
                }
                Some(Said::Line(line)) => self.note(format!("  {line}")),
                Some(Said::End) => panic!("closed while waiting for an answer"),
                Some(message) => self.early.push(message),
                None => {
                    self.note("  < (nothing)");
                    return Value::Null;
                }
            }
        }
    }

    /// Notes the next `count` messages. Gives back their reply subjects; for what did not come, a subject of no use.
    pub async fn expect(&mut self, count: usize) -> Vec<String> {
        let messages = self.take(count).await;
        for message in &messages {
            self.note_message(message);
        }
        let mut replies: Vec<String> = messages.into_iter().map(reply_of).collect();
        replies.resize(count, "did.not.come".to_owned());
        replies
    }

    /// Takes messages without noting them.
    pub async fn take(&mut self, count: usize) -> Vec<Said> {
        let mut messages: Vec<Said> = std::mem::take(&mut self.early);
        if messages.len() > count {
            self.early = messages.split_off(count);
        }
        while messages.len() < count {
            match self.wait().await {
                Some(message @ Said::Message { .. }) => messages.push(message),
                Some(Said::Line(line)) => self.note(format!("  {line}")),
                Some(Said::End) => panic!("closed while waiting for messages"),
                None => {
                    self.note(format!("  (only {} of {count} messages)", messages.len()));
                    return messages;
                }
            }
        }
        messages
    }

    /// Notes what has come, in an order that does not depend on the server's.
    pub async fn quiet_sorted(&mut self) {
        self.sync().await;
        let mut shown: Vec<String> = std::mem::take(&mut self.early).iter().map(show).collect();
        shown.sort();
        shown.iter().for_each(|line| self.note(line));
    }

    /// Waits until a subscription has got so many messages, and notes those.
    pub async fn drain_only(&mut self, wanted_sid: &str, count: usize) {
        let of_sid = |message: &Said| matches!(message, Said::Message { sid, .. } if sid == wanted_sid);
        let mut seen = 0;
        while seen < count {
            let Some(message) = self.take(1).await.pop() else { return };
            if of_sid(&message) {
                seen += 1;
                self.note_message(&message);
            }
        }
    }

    /// Gives the server time to bring its numbers up to date: nats-server counts what is pending a moment after the append.
    pub async fn settle(&mut self) {
        let deadline = tokio::time::Instant::now() + SETTLE;
        while let Ok(said) = tokio::time::timeout_at(deadline, self.hear()).await {
            match said {
                Said::Line(line) if line == "PING" => self.send("PONG\r\n").await,
                Said::Line(line) => self.note(format!("  {line}")),
                Said::End => return self.note("  (closed)"),
                message => self.early.push(message),
            }
        }
    }

    /// Drops what has come unasked.
    pub async fn forget(&mut self) {
        self.sync().await;
        self.early.clear();
    }

    /// Notes all that comes within a time.
    pub async fn quiet(&mut self, milliseconds: u64) {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(milliseconds);
        for message in std::mem::take(&mut self.early) {
            self.note_message(&message);
        }
        while let Ok(said) = tokio::time::timeout_at(deadline, self.hear()).await {
            match said {
                Said::Line(line) if line == "PING" => self.send("PONG\r\n").await,
                Said::Line(line) => self.note(format!("  {line}")),
                Said::End => return self.note("  (closed)"),
                message => self.note_message(&message),
            }
        }
        self.note("  (quiet)");
    }

    fn note_message(&self, message: &Said) {
        self.note(show(message));
    }

    async fn wait(&mut self) -> Option<Said> {
        loop {
            match tokio::time::timeout(PATIENCE, self.hear()).await {
                Ok(Said::Line(line)) if line == "PING" => self.send("PONG\r\n").await,
                Ok(said) => return Some(said),
                Err(_) => return None,
            }
        }
    }

    /// The next thing the server says. Nothing is lost if this is given up on half-way.
    async fn hear(&mut self) -> Said {
        loop {
            if let Some(said) = self.take_said() {
                return said;
            }
            match self.reader.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return Said::End,
                Ok(_) => {}
            }
        }
    }

    fn take_said(&mut self) -> Option<Said> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&self.input[..end]).trim_end().to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        let (headers_len, len) = match words[0] {
            "MSG" => (0, words[words.len() - 1].parse().unwrap()),
            "HMSG" => (words[words.len() - 2].parse().unwrap(), words[words.len() - 1].parse().unwrap()),
            _ => {
                self.input.drain(..=end);
                return Some(Said::Line(line));
            }
        };
        let start = end + 1;
        let body: Vec<u8> = self.input.get(start..start + len + 2)?.to_vec();
        let numbers = if words[0] == "MSG" { 1 } else { 2 };
        let reply = (words.len() - numbers > 3).then(|| words[3].to_owned());
        let said = Said::Message {
            subject: words[1].to_owned(),
            sid: words[2].to_owned(),
            reply,
            headers: String::from_utf8_lossy(&body[..headers_len]).into_owned(),
            payload: String::from_utf8_lossy(&body[headers_len..len]).into_owned(),
        };
        self.input.drain(..start + len + 2);
        Some(said)
    }
}

fn reply_of(message: Said) -> String {
    match message {
        Said::Message { reply, .. } => reply.unwrap_or("no.reply".to_owned()),
        _ => String::new(),
    }
}

fn show(message: &Said) -> String {
    let Said::Message { subject, sid, reply, headers, payload } = message else {
        return format!("{message:?}");
    };
    let reply = reply.as_deref().map(mask_ack).unwrap_or_default();
    let (headers, payload) = (normal_headers(headers), normal(payload));
    format!("  * {sid} {} {reply} {headers} {payload}", subject)
}

/// `$JS.ACK.<stream>.<consumer>.<attempt>.<seq>.<delivery>.<nanoseconds>.<ahead>`, without the nanoseconds.
fn mask_ack(subject: &str) -> String {
    let mut tokens: Vec<&str> = subject.split('.').collect();
    if subject.starts_with("$JS.ACK.") && tokens.len() == 9 {
        tokens[7] = "<ns>";
    }
    tokens.join(".")
}

fn normal_headers(headers: &str) -> String {
    let lines =
        headers.split("\r\n").filter(|line| !line.is_empty()).map(|line| match line.split_once(':') {
            Some(("Nats-Time-Stamp", _)) => "Nats-Time-Stamp: <date>".to_owned(),
            _ => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join(" | ")
}

/// JSON with sorted fields and what differs from run to run masked; other text as it is.
fn normal(payload: &str) -> String {
    match serde_json::from_str::<Value>(payload) {
        Ok(mut json) if json.is_object() => {
            mask(&mut json);
            json.to_string()
        }
        _ => payload.to_owned(),
    }
}

fn mask(json: &mut Value) {
    const DATES: [&str; 6] = ["created", "ts", "time", "first_ts", "last_ts", "last_active"];
    match json {
        Value::Object(fields) => {
            // nats-server says here where the consumer was before or where it is now, by chance. What is asked next says it.
            if fields
                .get("type")
                .is_some_and(|kind| kind == "io.nats.jetstream.api.v1.consumer_reset_response")
            {
                for name in ["ack_floor", "delivered"] {
                    fields.insert(name.to_owned(), "<before or now>".into());
                }
            }
            for (name, value) in fields {
                let is_date =
                    DATES.contains(&name.as_str()) && value.is_string() && *value != "0001-01-01T00:00:00Z";
                if is_date {
                    *value = "<date>".into();
                } else if name == "leader" {
                    *value = "<server>".into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}
