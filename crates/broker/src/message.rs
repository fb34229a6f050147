//! A message and its headers.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::Subject;

const VERSION_LINE: &str = "NATS/1.0";

/// What travels: a payload on a subject, perhaps with a place for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub subject: Subject,
    pub reply: Option<Subject>,
    pub headers: Option<Headers>,
    pub payload: Bytes,
}

impl Message {
    pub fn new(subject: Subject, payload: impl Into<Bytes>) -> Message {
        Message { subject, reply: None, headers: None, payload: payload.into() }
    }
}

/// Why bytes are no header block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    #[error("header block does not end with a line end; nothing can be added to it")]
    Malformed,
    #[error("header {0:?} has a name or value that a header line cannot hold")]
    BadField(String),
}

/// A header block as it is on the wire, kept byte for byte: what was published is what is stored and delivered.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    pub fn new() -> Headers {
        Headers(Bytes::from_static(b"NATS/1.0\r\n\r\n"))
    }

    /// Headers that say how a request fared, such as `503`.
    pub fn status(code: u16, description: &str) -> Headers {
        let space = if description.is_empty() { "" } else { " " };
        Headers(format!("{VERSION_LINE} {code}{space}{description}\r\n\r\n").into())
    }

    /// Takes a block as a peer sent it. Like nats-server, the broker passes on what it cannot read: to itself, such a block
    /// has no fields.
    pub fn from_wire(block: Bytes) -> Headers {
        Headers(block)
    }

    /// Adds a field at the end.
    pub fn with(self, name: &str, value: &str) -> Result<Headers, HeadersError> {
        let name_ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !name_ok || value.contains(['\r', '\n']) {
            return Err(HeadersError::BadField(name.to_owned()));
        }
        let Some(fields) = self.0.strip_suffix(b"\r\n") else { return Err(HeadersError::Malformed) };
        let mut block = BytesMut::with_capacity(self.0.len() + name.len() + value.len() + 4);
        block.put_slice(fields);
        block.put_slice(name.as_bytes());
        block.put_slice(b": ");
        block.put_slice(value.as_bytes());
        block.put_slice(b"\r\n\r\n");
        Ok(Headers(block.freeze()))
    }

    /// The first value under `name`. Names are compared as they are written, as NATS does.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let known = self.0.starts_with(VERSION_LINE.as_bytes());
        let lines = self.0.split(|byte| *byte == b'\n').skip(if known { 1 } else { usize::MAX });
        lines.filter_map(|line| {
            let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
            let (name, value) = line.split_once(':')?;
            Some((name, value.trim()))
        })
    }

    /// The status that the first line carries, such as 503, and its description.
    pub fn status_line(&self) -> Option<(u16, &str)> {
        let line = std::str::from_utf8(self.0.split(|byte| *byte == b'\r').next()?).ok()?;
        let rest = line.strip_prefix(VERSION_LINE)?.trim_start();
        let (code, description) = rest.split_once(' ').unwrap_or((rest, ""));
        Some((code.parse().ok()?, description.trim()))
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Default for Headers {
    fn default() -> Headers {
        Headers::new()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_and_found() {
        let headers = Headers::new().with("A", "1").unwrap().with("B", "two words").unwrap();
        assert_eq!(headers.as_bytes(), "NATS/1.0\r\nA: 1\r\nB: two words\r\n\r\n");
        assert_eq!(headers.get("B"), Some("two words"));
        assert_eq!(headers.get("b"), None);
        assert_eq!(headers.status_line(), None);
    }

    #[test]
    fn a_field_cannot_smuggle_a_line() {
        assert!(Headers::new().with("A", "1\r\nB: 2").is_err());
        assert!(Headers::new().with("A: x\r\nB", "2").is_err());
        assert!(Headers::new().with("", "2").is_err());
    }

    #[test]
    fn status_lines() {
        assert_eq!(Headers::status(503, "").as_bytes(), "NATS/1.0 503\r\n\r\n");
        assert_eq!(Headers::status(404, "No Messages").status_line(), Some((404, "No Messages")));
    }

    #[test]
    fn hostile_blocks_have_no_fields() {
        for block in ["", "NATS/1.0", "NATS/1.0\r\n", "HTTP/1.1\r\nA: b\r\n\r\n", "\n\n:\n"] {
            let headers = Headers::from_wire(block.into());
            assert_eq!((headers.iter().count(), headers.status_line()), (0, None), "{block:?}");
        }
        assert!(Headers::from_wire(Bytes::from_static(b"hi")).with("A", "b").is_err());
        let odd = Bytes::from_static(b"NATS/1.0 x\r\n\xff\xff: 1\r\nno colon\r\n:\r\n\r\n");
        let odd = Headers::from_wire(odd);
        assert_eq!(odd.iter().collect::<Vec<_>>(), vec![("", "")]);
        assert_eq!(odd.status_line(), None);
    }
}
