//! Every key that the broker keeps in the store, in one place.
//!
//! Numbers are big-endian, so that keys sort as their numbers do. `data` names one filling of a stream: a purge of everything
//! starts a new filling and leaves the old one to be swept up, so it costs the same however much it removes.
//!
//! | key | value |
//! |---|---|
//! | `S` 0 | format version, next free id |
//! | `S` 1 name | stream: id, date of creation, configuration |
//! | `S` 2 stream | tail: counts, first and last sequence, filling |
//! | `S` 3 id | a filling, stream or consumer to be swept up |
//! | `M` data seq | message |
//! | `I` data 0 subject | first and last sequence and count under an exact subject |
//! | `I` data 1 subject 0 seq | nothing: the sequences of subjects that have more than one |
//! | `I` data 2 parent | newest sequence and count of the subjects with one token more |
//! | `I` data 3 group 0 tokens kind block | how many subjects a group has, or messages in a block: see `tally.rs` |
//! | `I` data 4 date seq | nothing: when messages end that say how long they live |
//! | `N` stream 0 id | sequence and date of the message with this `Nats-Msg-Id` |
//! | `N` stream 1 date seq | the same id, to be forgotten in order |
//! | `C` stream 0 name | consumer: id, date of creation, configuration |
//! | `C` stream 1 consumer | consumer: position and floors |
//! | `C` stream 2 consumer seq | a delivered message that is not acknowledged |

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

const STREAMS: u8 = b'S';
const MESSAGES: u8 = b'M';
const INDEX: u8 = b'I';
const MESSAGE_IDS: u8 = b'N';
const CONSUMERS: u8 = b'C';

pub(crate) fn meta() -> Bytes {
    Bytes::from_static(&[STREAMS, 0])
}

pub(crate) fn stream(name: &str) -> Bytes {
    key(&[STREAMS, 1], &[name.as_bytes()])
}

pub(crate) fn streams() -> Range<Bytes> {
    prefix(key(&[STREAMS, 1], &[]))
}

pub(crate) fn tail(stream: u64) -> Bytes {
    key(&[STREAMS, 2], &[&stream.to_be_bytes()])
}

pub(crate) fn litter(id: u64) -> Bytes {
    key(&[STREAMS, 3], &[&id.to_be_bytes()])
}

pub(crate) fn all_litter() -> Range<Bytes> {
    prefix(key(&[STREAMS, 3], &[]))
}

pub(crate) fn message(data: u64, seq: u64) -> Bytes {
    key(&[MESSAGES], &[&data.to_be_bytes(), &seq.to_be_bytes()])
}

/// Messages from `from` on, to the end of the filling.
pub(crate) fn messages(data: u64, from: u64) -> Range<Bytes> {
    message(data, from)..prefix(key(&[MESSAGES], &[&data.to_be_bytes()])).end
}

pub(crate) fn message_seq(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(9..)?.try_into().ok()?))
}

pub(crate) fn index(data: u64) -> Range<Bytes> {
    prefix(key(&[INDEX], &[&data.to_be_bytes()]))
}

pub(crate) fn subject(data: u64, subject: &str) -> Bytes {
    key(&[INDEX], &[&data.to_be_bytes(), &[0], subject.as_bytes()])
}

/// Subjects that start with `literal`.
pub(crate) fn subjects(data: u64, literal: &str) -> Range<Bytes> {
    prefix(subject(data, literal))
}

pub(crate) fn subject_text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(10..)?).ok()
}

pub(crate) fn subject_seq(data: u64, subject: &str, seq: u64) -> Bytes {
    key(&[INDEX], &[&data.to_be_bytes(), &[1], subject.as_bytes(), &[0], &seq.to_be_bytes()])
}

pub(crate) fn subject_seqs(data: u64, subject: &str, from: u64) -> Range<Bytes> {
    let all = prefix(key(&[INDEX], &[&data.to_be_bytes(), &[1], subject.as_bytes(), &[0]]));
    subject_seq(data, subject, from)..all.end
}

pub(crate) fn last_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.last_chunk::<8>().copied()?))
}

pub(crate) fn parent(data: u64, parent: &str) -> Bytes {
    key(&[INDEX], &[&data.to_be_bytes(), &[2], parent.as_bytes()])
}

/// What a tally counts; a group's subjects come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TallyKind {
    Subjects = 0,
    Block = 1,
    LargeBlock = 2,
}

pub(crate) fn tally(data: u64, start: &str, tokens: u8, kind: TallyKind, block: u64) -> Bytes {
    let numbers = [0, tokens, kind as u8];
    key(&[INDEX], &[&data.to_be_bytes(), &[3], start.as_bytes(), &numbers, &block.to_be_bytes()])
}

/// The tallies of groups that start with `literal`.
pub(crate) fn tallies(data: u64, literal: &str) -> Range<Bytes> {
    prefix(key(&[INDEX], &[&data.to_be_bytes(), &[3], literal.as_bytes()]))
}

/// Where the tallies of the group after this one start.
pub(crate) fn after_tallies(data: u64, start: &str, tokens: u8) -> Bytes {
    prefix(key(&[INDEX], &[&data.to_be_bytes(), &[3], start.as_bytes(), &[0, tokens]])).end
}

/// Of which group a tally is: what its subjects start with, and how many tokens they have.
pub(crate) fn tally_group(key: &[u8]) -> Option<(&str, u8)> {
    let (group, _) = key.get(10..)?.split_last_chunk::<11>()?;
    let tokens = *key.get(key.len().checked_sub(10)?)?;
    Some((std::str::from_utf8(group).ok()?, tokens))
}

pub(crate) fn end(data: u64, date: i64, seq: u64) -> Bytes {
    key(&[INDEX], &[&data.to_be_bytes(), &[4], &date.to_be_bytes(), &seq.to_be_bytes()])
}

/// The ends of messages, the next first.
pub(crate) fn ends(data: u64) -> Range<Bytes> {
    prefix(key(&[INDEX], &[&data.to_be_bytes(), &[4]]))
}

/// When which message ends.
pub(crate) fn read_end(key: &[u8]) -> Option<(i64, u64)> {
    let date = key.get(10..18)?.try_into().ok()?;
    Some((i64::from_be_bytes(date), last_number(key)?))
}

pub(crate) fn message_id(stream: u64, id: &str) -> Bytes {
    key(&[MESSAGE_IDS], &[&stream.to_be_bytes(), &[0], id.as_bytes()])
}

pub(crate) fn message_id_by_date(stream: u64, date: i64, seq: u64) -> Bytes {
    key(&[MESSAGE_IDS], &[&stream.to_be_bytes(), &[1], &date.to_be_bytes(), &seq.to_be_bytes()])
}

pub(crate) fn message_ids_before(stream: u64, date: i64) -> Range<Bytes> {
    key(&[MESSAGE_IDS], &[&stream.to_be_bytes(), &[1]])..message_id_by_date(stream, date, 0)
}

pub(crate) fn message_ids(stream: u64) -> Range<Bytes> {
    prefix(key(&[MESSAGE_IDS], &[&stream.to_be_bytes()]))
}

pub(crate) fn consumer(stream: u64, name: &str) -> Bytes {
    key(&[CONSUMERS], &[&stream.to_be_bytes(), &[0], name.as_bytes()])
}

pub(crate) fn consumers(stream: u64) -> Range<Bytes> {
    prefix(key(&[CONSUMERS], &[&stream.to_be_bytes(), &[0]]))
}

pub(crate) fn consumer_everything(stream: u64) -> Range<Bytes> {
    prefix(key(&[CONSUMERS], &[&stream.to_be_bytes()]))
}

pub(crate) fn position(stream: u64, consumer: u64) -> Bytes {
    key(&[CONSUMERS], &[&stream.to_be_bytes(), &[1], &consumer.to_be_bytes()])
}

pub(crate) fn unacked(stream: u64, consumer: u64, seq: u64) -> Bytes {
    key(&[CONSUMERS], &[&stream.to_be_bytes(), &[2], &consumer.to_be_bytes(), &seq.to_be_bytes()])
}

pub(crate) fn all_unacked(stream: u64, consumer: u64) -> Range<Bytes> {
    prefix(key(&[CONSUMERS], &[&stream.to_be_bytes(), &[2], &consumer.to_be_bytes()]))
}

/// The first key after `key`.
pub(crate) fn after(key: &[u8]) -> Bytes {
    self::key(key, &[&[0]])
}

fn key(start: &[u8], parts: &[&[u8]]) -> Bytes {
    let len = start.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut key = BytesMut::with_capacity(len);
    key.put_slice(start);
    for part in parts {
        key.put_slice(part);
    }
    key.freeze()
}

/// All keys that start with `start`, which never consists of 0xff bytes alone: its first byte is a letter.
fn prefix(start: Bytes) -> Range<Bytes> {
    let mut end = start.to_vec();
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    start..Bytes::from(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_own_and_nothing_else() {
        assert!(messages(7, 3).contains(&message(7, 3)) && messages(7, 3).contains(&message(7, u64::MAX)));
        assert!(!messages(7, 3).contains(&message(7, 2)) && !messages(7, 3).contains(&message(8, 3)));
        assert!(messages(u64::MAX, 0).contains(&message(u64::MAX, u64::MAX)));
        assert!(!messages(u64::MAX, 0).contains(&Bytes::from_static(b"N")));
        assert!(
            subjects(1, "a.").contains(&subject(1, "a.b")) && !subjects(1, "a.").contains(&subject(1, "b"))
        );
        assert!(subject_seqs(1, "a", 5).contains(&subject_seq(1, "a", 5)));
        assert!(!subject_seqs(1, "a", 5).contains(&subject_seq(1, "a", 4)));
        assert!(!subject_seqs(1, "a", 0).contains(&subject_seq(1, "a.b", 9)));
        let last = tally(1, "a.", 4, TallyKind::LargeBlock, u64::MAX);
        assert!(tallies(1, "a.").contains(&last) && after_tallies(1, "a.", 4) > last);
        assert!(after_tallies(1, "a.", 4) <= tally(1, "a.", 5, TallyKind::Subjects, 0));
    }

    #[test]
    fn what_is_put_in_a_key_comes_out() {
        assert_eq!(message_seq(&message(1, 42)), Some(42));
        assert_eq!(subject_text(&subject(1, "a.b")), Some("a.b"));
        assert_eq!(last_number(&subject_seq(1, "a", 42)), Some(42));
        assert_eq!(message_seq(b"M"), None);
        assert_eq!(tally_group(&tally(1, "a.b.", 4, TallyKind::Block, 7)), Some(("a.b.", 4)));
        assert_eq!(tally_group(b"I"), None);
        assert_eq!(read_end(&end(1, 7, 42)), Some((7, 42)));
    }
}
