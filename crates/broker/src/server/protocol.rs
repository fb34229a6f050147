//! The client protocol of NATS, the server's side: reads what a client sends, from whatever pieces it arrives in.
//!
//! Everything is bounded before it is stored: a control line by `CONTROL_LINE_LEN_MAX`, a payload by the server's limit.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

use crate::Headers;

pub(crate) const CONTROL_LINE_LEN_MAX: usize = 4_096;
/// A payload's length in a control line has no more digits than this.
const SIZE_DIGITS_MAX: usize = 9;

/// One thing that a client says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Connect(Box<Connect>),
    Ping,
    Pong,
    Publish(Publish),
    Subscribe {
        pattern: String,
        queue: Option<String>,
        sid: Bytes,
    },
    Unsubscribe {
        sid: Bytes,
        after: u64,
    },
    /// A client may repeat what servers say; that means nothing.
    Noise,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Publish {
    pub subject: String,
    pub reply: Option<String>,
    pub headers: Option<Headers>,
    pub payload: Bytes,
}

/// What a client says about itself.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Connect {
    pub verbose: bool,
    pub pedantic: bool,
    pub headers: bool,
    pub no_responders: bool,
    pub echo: bool,
    pub name: Option<String>,
}

impl Default for Connect {
    fn default() -> Connect {
        Connect {
            verbose: true,
            pedantic: true,
            headers: false,
            no_responders: false,
            echo: true,
            name: None,
        }
    }
}

/// Why the connection must end. The texts are nats-server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("Unknown Protocol Operation")]
    UnknownOperation,
    /// nats-server ends the connection without a word then.
    #[error("")]
    Arguments,
    #[error("maximum control line exceeded")]
    ControlLine,
    #[error("Maximum Payload Violation")]
    Payload,
}

/// The state between two pieces of input.
#[derive(Debug)]
pub(crate) struct Parser {
    payload_len_max: usize,
    /// A publication whose payload has not arrived whole.
    body: Option<Body>,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
}

#[derive(Debug)]
struct Body {
    subject: String,
    reply: Option<String>,
    headers_len: Option<usize>,
    len: usize,
}

impl Parser {
    pub fn new(payload_len_max: usize) -> Parser {
        Parser { payload_len_max, body: None, searched: 0 }
    }

    /// How long the message is that is to come whole before the next operation.
    pub fn awaits(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len)
    }

    /// Takes the next operation off the buffer; nothing, if more input is needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Op>, ProtocolError> {
        if let Some(body) = &self.body {
            if input.len() < body.len + 2 {
                return Ok(None);
            }
            return self.finish_publication(input).map(Some);
        }
        let Some(line) = self.take_line(input)? else { return Ok(None) };
        let line = line.trim_ascii();
        let (verb, arguments) = match line.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        let verb = verb.to_ascii_uppercase();
        let op = match verb.as_slice() {
            b"PUB" | b"HPUB" | b"SUB" | b"UNSUB" | b"CONNECT" if arguments.is_empty() => {
                return Err(ProtocolError::UnknownOperation);
            }
            b"PUB" => return self.start_publication(arguments, false, input),
            b"HPUB" => return self.start_publication(arguments, true, input),
            b"SUB" => subscribe(arguments)?,
            b"UNSUB" => unsubscribe(arguments)?,
            b"PING" => Op::Ping,
            b"PONG" => Op::Pong,
            b"CONNECT" => {
                let connect = serde_json::from_slice(arguments).map_err(|_| ProtocolError::Arguments)?;
                Op::Connect(Box::new(connect))
            }
            b"INFO" | b"+OK" | b"-ERR" => Op::Noise,
            _ => return Err(ProtocolError::UnknownOperation),
        };
        Ok(Some(op))
    }

    fn take_line(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
        let fresh = input.get(self.searched..).unwrap_or_default();
        match fresh.iter().position(|byte| *byte == b'\n').map(|at| at + self.searched) {
            Some(end) if end > CONTROL_LINE_LEN_MAX => Err(ProtocolError::ControlLine),
            None if input.len() > CONTROL_LINE_LEN_MAX => Err(ProtocolError::ControlLine),
            Some(end) => {
                self.searched = 0;
                Ok(Some(input.split_to(end + 1).freeze()))
            }
            None => {
                self.searched = input.len();
                Ok(None)
            }
        }
    }

    fn start_publication(
        &mut self,
        arguments: &[u8],
        with_headers: bool,
        input: &mut BytesMut,
    ) -> Result<Option<Op>, ProtocolError> {
        let words = words(arguments)?;
        let (subject, reply, sizes) = match (with_headers, words.as_slice()) {
            (false, [subject, size]) => (subject, None, [None, Some(*size)]),
            (false, [subject, reply, size]) => (subject, Some(reply), [None, Some(*size)]),
            (true, [subject, headers, size]) => (subject, None, [Some(*headers), Some(*size)]),
            (true, [subject, reply, headers, size]) => (subject, Some(reply), [Some(*headers), Some(*size)]),
            _ => return Err(ProtocolError::Arguments),
        };
        let [headers_len, len] = sizes;
        let headers_len = headers_len.map(size).transpose()?;
        let len = size(len.unwrap_or_default())?;
        if headers_len.is_some_and(|headers_len| headers_len > len) {
            return Err(ProtocolError::Arguments);
        }
        if len > self.payload_len_max {
            return Err(ProtocolError::Payload);
        }
        self.body = Some(Body {
            subject: (*subject).to_owned(),
            reply: reply.map(|r| (*r).to_owned()),
            headers_len,
            len,
        });
        self.next(input)
    }

    fn finish_publication(&mut self, input: &mut BytesMut) -> Result<Op, ProtocolError> {
        let Some(body) = self.body.take() else { return Err(ProtocolError::UnknownOperation) };
        let mut payload = input.split_to(body.len).freeze();
        if input.get(..2) != Some(b"\r\n") {
            return Err(ProtocolError::UnknownOperation);
        }
        input.advance(2);
        let headers = match body.headers_len {
            Some(len) if len > 0 => Some(Headers::from_wire(payload.split_to(len))),
            _ => None,
        };
        Ok(Op::Publish(Publish { subject: body.subject, reply: body.reply, headers, payload }))
    }
}

fn words(arguments: &[u8]) -> Result<Vec<&str>, ProtocolError> {
    let text = std::str::from_utf8(arguments).map_err(|_| ProtocolError::Arguments)?;
    Ok(text.split([' ', '\t']).filter(|word| !word.is_empty()).collect())
}

fn size(text: &str) -> Result<usize, ProtocolError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProtocolError::Arguments);
    }
    if text.len() > SIZE_DIGITS_MAX {
        return Err(ProtocolError::Payload);
    }
    text.parse().map_err(|_| ProtocolError::Arguments)
}

fn subscribe(arguments: &[u8]) -> Result<Op, ProtocolError> {
    let words = words(arguments)?;
    let (pattern, queue, sid) = match words.as_slice() {
        [pattern, sid] => (pattern, None, sid),
        [pattern, queue, sid] => (pattern, Some((*queue).to_owned()), sid),
        _ => return Err(ProtocolError::Arguments),
    };
    Ok(Op::Subscribe { pattern: (*pattern).to_owned(), queue, sid: Bytes::copy_from_slice(sid.as_bytes()) })
}

fn unsubscribe(arguments: &[u8]) -> Result<Op, ProtocolError> {
    let words = words(arguments)?;
    let (sid, after) = match words.as_slice() {
        [sid] => (sid, 0),
        [sid, after] => (sid, after.parse().unwrap_or(0)),
        _ => return Err(ProtocolError::Arguments),
    };
    Ok(Op::Unsubscribe { sid: Bytes::copy_from_slice(sid.as_bytes()), after })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nPING\r\npub a.b 5\r\nhel\nl\r\n\
        PUB a r 0\r\n\r\nHPUB a r 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\nSUB a.*  q 7\r\nSUB > 8\r\nUNSUB 7 2\r\nUNSUB 8\r\n\
        PONG\r\n+OK\r\n";

    fn parse_all(pieces: &[&[u8]]) -> Result<Vec<Op>, ProtocolError> {
        let mut parser = Parser::new(1024);
        let mut input = BytesMut::new();
        let mut ops = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(op) = parser.next(&mut input)? {
                ops.push(op);
            }
        }
        Ok(ops)
    }

    /// A small generator of numbers, so that a failing run can be repeated.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % limit
        }
    }

    #[test]
    fn a_session_is_read() {
        let ops = parse_all(&[SAMPLE]).unwrap();
        assert_eq!(ops.len(), 11);
        assert!(matches!(&ops[0], Op::Connect(connect) if !connect.verbose && connect.headers));
        assert!(
            matches!(&ops[2], Op::Publish(publish) if publish.payload == "hel\nl" && publish.subject == "a.b")
        );
        let Op::Publish(with_headers) = &ops[4] else { panic!("{:?}", ops[4]) };
        assert_eq!(with_headers.headers.as_ref().unwrap().get("A"), Some("1"));
        assert_eq!((with_headers.reply.as_deref(), &with_headers.payload[..]), (Some("r"), &b"hi"[..]));
        assert!(matches!(&ops[5], Op::Subscribe { queue: Some(queue), .. } if queue == "q"));
    }

    #[test]
    fn pieces_make_no_difference() {
        let whole = parse_all(&[SAMPLE]).unwrap();
        for seed in 0..2_000 {
            let mut random = Random(seed);
            let mut pieces = Vec::new();
            let mut rest = SAMPLE;
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(1 + random.below(rest.len().min(40)));
                pieces.push(piece);
                rest = tail;
            }
            assert_eq!(parse_all(&pieces).unwrap(), whole, "seed {seed}");
        }
    }

    #[test]
    fn garbage_is_refused_or_waited_for_but_never_believed_at_length() {
        for seed in 0..5_000 {
            let mut random = Random(seed);
            let mut bytes = SAMPLE.to_vec();
            for _ in 0..1 + random.below(20) {
                let at = random.below(bytes.len());
                bytes[at] = u8::try_from(random.below(256)).unwrap();
            }
            bytes.truncate(1 + random.below(bytes.len()));
            // Whatever comes out, it comes out: no panic, no endless loop.
            let _ = parse_all(&[&bytes]);
        }
    }

    #[test]
    fn limits() {
        let long = format!("SUB {} 1\r\n", "a".repeat(CONTROL_LINE_LEN_MAX));
        assert_eq!(parse_all(&[long.as_bytes()]), Err(ProtocolError::ControlLine));
        assert_eq!(parse_all(&[&vec![b'x'; CONTROL_LINE_LEN_MAX + 1]]), Err(ProtocolError::ControlLine));
        assert_eq!(parse_all(&[b"PUB a 1025\r\n"]), Err(ProtocolError::Payload));
        assert_eq!(parse_all(&[b"PUB a 99999999999999999999999\r\n"]), Err(ProtocolError::Payload));
    }

    #[test]
    fn nonsense() {
        let lines: [&[u8]; 9] = [
            b"FOO\r\n",
            b"PUB a\r\n",
            b"PUB a -1\r\n",
            b"PUB a b c d\r\n",
            b"HPUB a 5 4\r\n",
            b"PUB a 2\r\nhix\r\n",
            b"SUB a\r\n",
            b"CONNECT {\r\n",
            b"SUB \xff 1\r\n",
        ];
        for line in lines {
            let refused =
                matches!(parse_all(&[line]), Err(ProtocolError::UnknownOperation | ProtocolError::Arguments));
            assert!(refused, "{line:?}");
        }
    }
}
