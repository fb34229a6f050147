//! The binary form of what is stored under the keys of `keys.rs`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::duration;
use crate::message::Headers;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub date: i64,
    pub subject: String,
    pub headers: Option<Headers>,
    pub payload: Bytes,
}

/// Counts and bounds of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Which filling holds the messages.
    pub data: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub messages: u64,
    pub bytes: u64,
    pub subjects: u64,
    pub last_date: i64,
    pub last_message_id: String,
}

/// What the index knows of one exact subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubjectEntry {
    pub first: u64,
    pub last: u64,
    pub count: u64,
}

/// What the index knows of all subjects with one token more than a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParentEntry {
    pub newest: u64,
    pub count: u64,
}

/// How far a consumer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The consumer sequence of the next delivery, and the first stream sequence not looked at.
    pub next_delivery: u64,
    pub next_seq: u64,
    /// The newest message delivered.
    pub delivered_seq: u64,
    pub floor_delivery: u64,
    pub floor_seq: u64,
    pub last_delivered: i64,
    pub last_acked: i64,
    /// Up to here, only messages that are the last of their subject are delivered.
    pub only_last_until: u64,
}

/// A message that was delivered and is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unacked {
    /// The consumer sequence of its first delivery.
    pub delivery: u64,
    pub attempts: u32,
    /// When it is to be delivered again.
    pub due: i64,
    /// How long that was from when it was said, in nanoseconds: longer than this, nothing waits after a restart.
    pub wait: i64,
}

impl Stored {
    pub fn encode(date: i64, subject: &str, headers: Option<&Headers>, payload: &[u8]) -> Bytes {
        let headers = headers.map_or(&[][..], |h| h.as_bytes());
        let mut out = BytesMut::with_capacity(16 + subject.len() + headers.len() + payload.len());
        out.put_i64(date);
        out.put_u16(u16::try_from(subject.len()).unwrap_or(u16::MAX));
        out.put_slice(subject.as_bytes());
        out.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
        out.put_slice(headers);
        out.put_slice(payload);
        out.freeze()
    }

    pub fn decode(value: &Bytes) -> Option<Stored> {
        let mut rest = value.clone();
        let date = rest.try_get_i64().ok()?;
        let subject_len = usize::from(rest.try_get_u16().ok()?);
        let subject = String::from_utf8(take(&mut rest, subject_len)?.to_vec()).ok()?;
        let headers_len = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let headers = take(&mut rest, headers_len)?;
        let headers = (!headers.is_empty()).then(|| Headers::from_wire(headers));
        Some(Stored { date, subject, headers, payload: rest })
    }

    /// The subject alone, without copying: what a scan filters by.
    pub fn peek_subject(value: &[u8]) -> Option<&str> {
        let len = usize::from(u16::from_be_bytes(value.get(8..10)?.try_into().ok()?));
        std::str::from_utf8(value.get(10..10 + len)?).ok()
    }

    /// When it ends, if it says how long it lives.
    pub fn end(value: &Bytes) -> Option<i64> {
        let stored = Stored::decode(value)?;
        let nanos = ttl(stored.headers.as_ref()?)?.ok()?;
        Some(stored.date.saturating_add(nanos))
    }

    pub fn peek_date(value: &[u8]) -> Option<i64> {
        Some(i64::from_be_bytes(value.get(..8)?.try_into().ok()?))
    }

    /// The size of a stored message as nats-server's file store counts it, which `max_bytes` and `bytes` are in.
    pub fn counted_bytes(value: &[u8]) -> Option<u64> {
        let subject_len = u64::from(u16::from_be_bytes(value.get(8..10)?.try_into().ok()?));
        let at = 10 + usize::try_from(subject_len).ok()?;
        let headers_len = u64::from(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?));
        let payload_len = u64::try_from(value.len().checked_sub(at + 4)?).ok()?.checked_sub(headers_len)?;
        let headers_framing = if headers_len > 0 { 4 } else { 0 };
        Some(22 + subject_len + headers_len + headers_framing + payload_len + 8)
    }
}

/// How many nanoseconds a message says that it lives: whole seconds, or a duration in Go's words. At least a second, cut
/// to whole ones, as on nats-server.
pub(crate) fn ttl(headers: &Headers) -> Option<Result<i64, NoTtl>> {
    const SECOND: i64 = 1_000_000_000;
    let text = headers.get("Nats-TTL").filter(|text| !text.is_empty())?;
    let seconds = match text.parse::<u32>() {
        Ok(0) => return Some(Err(NoTtl)),
        Ok(seconds) => Some(i64::from(seconds)),
        Err(_) => duration::parse(text).map(|nanos| nanos / SECOND).filter(|seconds| *seconds > 0),
    };
    Some(seconds.map(|seconds| seconds.saturating_mul(SECOND)).ok_or(NoTtl))
}

/// Nobody can say how long this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTtl;

fn take(rest: &mut Bytes, len: usize) -> Option<Bytes> {
    (rest.len() >= len).then(|| rest.split_to(len))
}

/// A record of numbers, perhaps with a text at its end.
macro_rules! numbers {
    ($type:ident { $($field:ident: $get:ident / $put:ident),* $(,)? } $(text $text:ident)?) => {
        impl $type {
            pub fn encode(&self) -> Bytes {
                let mut out = BytesMut::with_capacity(80);
                $(out.$put(self.$field);)*
                $(out.put_slice(self.$text.as_bytes());)?
                out.freeze()
            }

            pub fn decode(mut value: &[u8]) -> Option<$type> {
                Some($type {
                    $($field: value.$get().ok()?,)*
                    $($text: String::from_utf8(value.to_vec()).ok()?,)?
                })
            }
        }
    };
}

numbers!(Tail {
    data: try_get_u64 / put_u64,
    first_seq: try_get_u64 / put_u64,
    last_seq: try_get_u64 / put_u64,
    messages: try_get_u64 / put_u64,
    bytes: try_get_u64 / put_u64,
    subjects: try_get_u64 / put_u64,
    last_date: try_get_i64 / put_i64,
} text last_message_id);

numbers!(SubjectEntry {
    first: try_get_u64 / put_u64,
    last: try_get_u64 / put_u64,
    count: try_get_u64 / put_u64,
});

numbers!(ParentEntry { newest: try_get_u64 / put_u64, count: try_get_u64 / put_u64 });

numbers!(Position {
    next_delivery: try_get_u64 / put_u64,
    next_seq: try_get_u64 / put_u64,
    delivered_seq: try_get_u64 / put_u64,
    floor_delivery: try_get_u64 / put_u64,
    floor_seq: try_get_u64 / put_u64,
    last_delivered: try_get_i64 / put_i64,
    last_acked: try_get_i64 / put_i64,
    only_last_until: try_get_u64 / put_u64,
});

impl Unacked {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(28);
        out.put_u64(self.delivery);
        out.put_u32(self.attempts);
        out.put_i64(self.due);
        out.put_i64(self.wait);
        out.freeze()
    }

    pub fn decode(mut value: &[u8]) -> Option<Unacked> {
        Some(Unacked {
            delivery: value.try_get_u64().ok()?,
            attempts: value.try_get_u32().ok()?,
            due: value.try_get_i64().ok()?,
            // The version before did not say how long.
            wait: value.try_get_i64().unwrap_or(i64::MAX),
        })
    }
}

/// The record of something that has a name: id, date of creation, configuration as JSON.
pub(crate) fn named_record(id: u64, created: i64, config: &impl Serialize) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u64(id);
    value.put_i64(created);
    // A configuration is strings and numbers, which always serialize.
    value.put_slice(&serde_json::to_vec(config).unwrap_or_default());
    value.freeze()
}

/// Its id, its date of creation and its configuration; nothing, if it is too short.
pub(crate) fn read_named(value: &Bytes) -> Option<(u64, i64, Bytes)> {
    let mut rest = value.clone();
    let (id, created) = (rest.try_get_u64().ok()?, rest.try_get_i64().ok()?);
    Some((id, created, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip_and_damage_is_seen() {
        let headers = Headers::new().with("A", "b").unwrap();
        let value = Stored::encode(-5, "a.b", Some(&headers), b"hello");
        let stored = Stored::decode(&value).unwrap();
        assert_eq!(stored.headers, Some(headers));
        assert_eq!((stored.date, stored.subject.as_str(), &stored.payload[..]), (-5, "a.b", &b"hello"[..]));
        assert_eq!((Stored::peek_subject(&value), Stored::peek_date(&value)), (Some("a.b"), Some(-5)));
        let header_len = 10 + 6 + 2;
        assert_eq!(Stored::counted_bytes(&value), Some(22 + 3 + header_len + 4 + 5 + 8));
        for len in 0..14 {
            assert_eq!(Stored::decode(&value.slice(..len)), None, "{len}");
        }
    }

    #[test]
    fn times_to_live() {
        let ttl = |text: &str| ttl(&Headers::new().with("Nats-TTL", text).unwrap());
        for (text, seconds) in [("1", 1), ("86400", 86_400), ("1s", 1), ("1.9s", 1), ("1m1s", 61)] {
            assert_eq!(ttl(text), Some(Ok(seconds * 1_000_000_000)), "{text}");
        }
        for text in ["0", "-1", "999ms", "soon", "never", "-5s"] {
            assert_eq!(ttl(text), Some(Err(NoTtl)), "{text}");
        }
        assert_eq!(ttl(""), None);
    }

    #[test]
    fn numbers_round_trip() {
        let tail =
            Tail { data: 1, last_seq: 9, last_date: -3, last_message_id: "id".into(), ..Tail::default() };
        assert_eq!(Tail::decode(&tail.encode()), Some(tail));
        let unacked = Unacked { delivery: 3, attempts: 2, due: -1, wait: 7 };
        assert_eq!(Unacked::decode(&unacked.encode()), Some(unacked));
        let older = &unacked.encode()[..20];
        assert_eq!(Unacked::decode(older), Some(Unacked { wait: i64::MAX, ..unacked }));
        assert_eq!(Unacked::decode(b"short"), None);
    }
}
