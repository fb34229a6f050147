//! The least client of NATS that keeps a server busy: many requests under way at once, and every answer looked at.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};
use serde_json::Value;

/// Requests that are under way at once: fewer than a server takes before it refuses some.
const WINDOW: u64 = 2_000;

pub struct Client {
    write: BufWriter<TcpStream>,
    read: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let read = BufReader::with_capacity(1 << 16, stream.try_clone()?);
        let mut client = Self { write: BufWriter::with_capacity(1 << 16, stream), read };
        client.write.write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n")?;
        client.write.write_all(b"SUB answers 1\r\n")?;
        Ok(client)
    }

    pub fn request(&mut self, subject: &str, body: &Value) -> Result<Value> {
        self.send(subject, body.to_string().as_bytes())?;
        self.write.flush()?;
        Ok(serde_json::from_slice(&self.answer()?)?)
    }

    /// Stores a message on each subject.
    pub fn publish_all(&mut self, subjects: impl Iterator<Item = String>, body: &[u8]) -> Result<()> {
        self.all(subjects, |client, subject| client.send(&subject, body))
    }

    pub fn request_all(&mut self, subject: &str, bodies: impl Iterator<Item = String>) -> Result<()> {
        self.all(bodies, |client, body| client.send(subject, body.as_bytes()))
    }

    fn all<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut send: impl FnMut(&mut Self, T) -> Result<()>,
    ) -> Result<()> {
        let mut under_way = 0;
        for item in items {
            if under_way == WINDOW {
                self.write.flush()?;
                for _ in 0..WINDOW / 2 {
                    self.success()?;
                }
                under_way -= WINDOW / 2;
            }
            send(self, item)?;
            under_way += 1;
        }
        self.write.flush()?;
        for _ in 0..under_way {
            self.success()?;
        }
        Ok(())
    }

    fn send(&mut self, subject: &str, body: &[u8]) -> Result<()> {
        write!(self.write, "PUB {subject} answers {}\r\n", body.len())?;
        self.write.write_all(body)?;
        self.write.write_all(b"\r\n")?;
        Ok(())
    }

    fn success(&mut self) -> Result<()> {
        let answer = self.answer()?;
        let refused = answer.windows(8).any(|word| word == b"\"error\":");
        ensure!(!refused, "refused: {}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.read.read_line(&mut line)? > 0, "nats-server closed the connection");
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            match words.as_slice() {
                ["PING"] => {
                    self.write.write_all(b"PONG\r\n")?;
                    self.write.flush()?;
                }
                ["MSG", .., size] => {
                    let mut body = vec![0; size.parse::<usize>()? + 2];
                    self.read.read_exact(&mut body)?;
                    body.truncate(body.len() - 2);
                    return Ok(body);
                }
                ["HMSG", ..] | ["-ERR", ..] => anyhow::bail!("no answer: {}", line.trim_end()),
                _ => {}
            }
        }
    }
}
