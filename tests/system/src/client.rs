//! A client that speaks just enough HTTP/1.1, and is not too proper to send nonsense.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::PATIENCE;

/// More than any answer here should have.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Opens one connection per request.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST of JSON, or of bytes that are said to be JSON.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = Self::new("POST", path).header("content-type", "application/json");
        request.body = body.into();
        request
    }

    /// A PUT of JSON.
    pub fn put(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "PUT".to_owned(), ..Self::post(path, body) }
    }

    /// By somebody with a key.
    #[must_use]
    pub fn by(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// By a moderator, as the gateway tells a service.
    #[must_use]
    pub fn as_moderator(self) -> Self {
        self.header("trellis-caller", "mia").header("trellis-roles", "moderator")
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As it goes over the wire, with a length if there is a body.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// An error means that there was no whole answer: the request may have had its effect or not.
    pub fn send(&self, request: &Request) -> std::io::Result<Response> {
        self.exchange(&request.bytes(), request.method != "HEAD")
    }

    pub fn send_bytes(&self, bytes: &[u8]) -> std::io::Result<Response> {
        self.exchange(bytes, true)
    }

    fn exchange(&self, bytes: &[u8], with_body: bool) -> std::io::Result<Response> {
        let mut stream = self.connect()?;
        // A server that has seen enough may answer and stop reading; the answer counts, not the failed write.
        let written = stream.write_all(bytes);
        match Response::read_some(&mut stream, with_body) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(written.err().unwrap_or(error)),
            answer => answer,
        }
    }
}

impl Response {
    /// Reads to the end of the connection.
    pub fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        Self::read_some(stream, true)
    }

    fn read_some(stream: &mut TcpStream, with_body: bool) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        let end = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        // Closed with our bytes unread, a connection is reset behind the answer: what has come may be whole all the same.
        match Self::parse(&bytes, with_body) {
            Some(response) => {
                stream.shutdown(Shutdown::Both).ok();
                Ok(response)
            }
            None => Err(end.err().unwrap_or_else(|| {
                let message = format!("not a whole answer: {:?}", String::from_utf8_lossy(&bytes));
                std::io::Error::new(ErrorKind::UnexpectedEof, message)
            })),
        }
    }

    /// Reads a response from a message that holds all of it.
    pub fn of_message(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes, true)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The path of the next page.
    pub fn next(&self) -> Option<String> {
        let link = self.header("link")?;
        let (path, relation) = link.strip_prefix('<')?.split_once('>')?;
        relation.contains("rel=\"next\"").then(|| path.to_owned())
    }

    /// An answer to HEAD speaks of a body that does not come.
    fn parse(bytes: &[u8], with_body: bool) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        let headers = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())));
        let mut response =
            Self { status, headers: headers.collect::<Option<_>>()?, body: bytes[end + 4..].to_vec() };
        if !with_body {
            return response.body.is_empty().then_some(response);
        }
        if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            response.body = unchunked(&response.body)?;
        } else if let Some(length) = response.header("content-length") {
            let is_whole = length.parse() == Ok(response.body.len());
            return is_whole.then_some(response);
        }
        Some(response)
    }
}

/// The body that was sent in chunks, if the last chunk has come.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

/// The text that a JSON value is.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} should be text")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::Response;

    #[test]
    fn whole_answers_only() {
        let body = |text: &str| Response::parse(text.as_bytes(), true).map(|response| response.body);
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab").unwrap(), b"ab");
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"), None, "cut off");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), b"abc");
        assert_eq!(body(&chunked[..chunked.len() - 5]), None, "the last chunk is missing");
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), b"");
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-le"), None);
    }
}
