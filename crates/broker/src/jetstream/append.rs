//! Everything that changes what a stream holds, inside a store transaction: appending, removing, and keeping the index right.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use trellis_store::{Order, Transaction};

use super::config::{Discard, StreamConfig};
use super::errors::{self, ApiError};
use super::records::{self, NoTtl, ParentEntry, Stored, SubjectEntry, Tail};
use super::stream::{News, Stream};
use super::{ids, keys, tally};
use crate::{Headers, Pattern, Subject};

const HEADERS_LEN_MAX: usize = 65_535;
/// How many forgotten message ids one append sweeps up, so that they go as fast as they come.
const FORGET_PER_APPEND: usize = 4;
const PAGE: usize = 256;
/// The most messages that one transaction removes one by one.
pub(crate) const REMOVED_PER_STEP: usize = 512;

/// A message that wants into a stream, and the conditions that its headers make.
#[derive(Debug)]
pub(crate) struct Entry {
    pub subject: Subject,
    pub headers: Option<Headers>,
    pub payload: Bytes,
    wants: Wants,
}

#[derive(Debug, Default)]
struct Wants {
    stream: Option<String>,
    ttl: Option<Result<i64, NoTtl>>,
    subject_seq: Option<u64>,
    subject_seq_of: Option<String>,
    last_seq: Option<u64>,
    message_id: Option<String>,
    last_message_id: Option<String>,
    rollup: Option<String>,
}

/// What became of an append that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub seq: u64,
    pub duplicate: bool,
}

impl Entry {
    pub fn new(subject: Subject, headers: Option<Headers>, payload: Bytes) -> Entry {
        let wants = headers.as_ref().map_or_else(Wants::default, |headers| {
            let text = |name: &str| headers.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
            // What is no number is a sequence that no stream reaches.
            let number = |name: &str| text(name).map(|value| value.parse().unwrap_or(u64::MAX));
            Wants {
                stream: text("Nats-Expected-Stream"),
                ttl: records::ttl(headers),
                subject_seq: number("Nats-Expected-Last-Subject-Sequence"),
                subject_seq_of: text("Nats-Expected-Last-Subject-Sequence-Subject"),
                last_seq: number("Nats-Expected-Last-Sequence"),
                message_id: text("Nats-Msg-Id"),
                last_message_id: text("Nats-Expected-Last-Msg-Id"),
                rollup: text("Nats-Rollup"),
            }
        });
        Entry { subject, headers, payload, wants }
    }

    /// When it will end, if it is stored at a date and says how long it lives.
    pub fn end(&self, date: i64) -> Option<i64> {
        Some(date.saturating_add(self.wants.ttl?.ok()?))
    }
}

/// Appends if the stream's rules and the entry's conditions allow it. On refusal nothing has changed.
pub(crate) fn append(
    tx: &mut Transaction<'_>,
    stream: &Stream,
    entry: &Entry,
    now: i64,
) -> Result<Appended, ApiError> {
    if stream.deleted.load(Ordering::Acquire) {
        return Err(errors::STREAM_NOT_FOUND);
    }
    let config = stream.config();
    let mut tail = stream.tail.lock();
    let now = now.max(tail.last_date);
    if let Some(duplicate) = check_conditions(tx, stream, &config, &tail, entry, now)? {
        return Ok(duplicate);
    }
    let value = Stored::encode(now, entry.subject.as_str(), entry.headers.as_ref(), &entry.payload);
    let bytes = Stored::counted_bytes(&value).unwrap_or(0);
    check_room(tx, &config, &tail, entry, bytes)?;

    let seq = tail.last_seq + 1;
    put(tx, &mut tail, entry.subject.as_str(), seq, value, bytes);
    tail.last_date = now;
    tail.last_message_id = entry.wants.message_id.clone().unwrap_or_default();
    remember_id(tx, stream, &config, entry, seq, now);
    match entry.wants.rollup.as_deref() {
        Some("sub") => roll_up_subject(tx, stream, &mut tail, entry.subject.as_str(), seq),
        Some(_) => roll_up_all(tx, stream, &mut tail, seq),
        None => {}
    }
    stream.add_news(News::Appended { seq, subject: entry.subject.as_str().into() });
    keep_limits(tx, stream, &config, &mut tail, Some(entry.subject.as_str()));
    tx.put(keys::tail(stream.id), tail.encode());
    Ok(Appended { seq, duplicate: false })
}

/// Checks in nats-server's order, since the first failure is the answer.
fn check_conditions(
    tx: &Transaction<'_>,
    stream: &Stream,
    config: &StreamConfig,
    tail: &Tail,
    entry: &Entry,
    now: i64,
) -> Result<Option<Appended>, ApiError> {
    let wants = &entry.wants;
    if config.sealed {
        return Err(errors::STREAM_SEALED);
    }
    if wants.stream.as_ref().is_some_and(|name| *name != config.name) {
        return Err(errors::EXPECTED_STREAM);
    }
    match wants.ttl {
        Some(_) if !config.allow_msg_ttl => return Err(errors::TTL_DISABLED),
        Some(Err(_)) => return Err(errors::TTL_INVALID),
        _ => {}
    }
    match (wants.subject_seq, &wants.subject_seq_of) {
        (Some(expected), of) => {
            let subject = of.as_deref().unwrap_or(entry.subject.as_str());
            let last = newest(tx, tail.data, subject);
            if last != expected {
                return Err(errors::wrong_last_sequence(last));
            }
        }
        (None, Some(_)) => return Err(errors::EXPECTED_SUBJECT_WITHOUT_SEQUENCE),
        (None, None) => {}
    }
    if wants.last_seq.is_some_and(|expected| expected != tail.last_seq) {
        return Err(errors::wrong_last_sequence(tail.last_seq));
    }
    if let Some(id) = &wants.message_id {
        let known = tx.get(&keys::message_id(stream.id, id)).and_then(|value| ids::decode(&value));
        if let Some((seq, date)) = known
            && now.saturating_sub(date) < config.duplicate_window
        {
            return Ok(Some(Appended { seq, duplicate: true }));
        }
    }
    if wants.last_message_id.as_ref().is_some_and(|expected| *expected != tail.last_message_id) {
        return Err(errors::wrong_last_message_id(&tail.last_message_id));
    }
    check_rollup_and_size(config, entry)?;
    Ok(None)
}

fn check_rollup_and_size(config: &StreamConfig, entry: &Entry) -> Result<(), ApiError> {
    if let Some(rollup) = &entry.wants.rollup {
        if !config.allow_rollup_hdrs || config.deny_purge {
            return Err(errors::rollup_failed("rollup not permitted"));
        }
        if rollup != "sub" && rollup != "all" {
            return Err(errors::rollup_failed(format_args!("rollup value invalid: \"{rollup}\"")));
        }
    }
    let headers_len = entry.headers.as_ref().map_or(0, |headers| headers.as_bytes().len());
    if let Ok(max) = usize::try_from(config.max_msg_size)
        && headers_len + entry.payload.len() > max
    {
        return Err(errors::MESSAGE_TOO_LARGE);
    }
    if headers_len > HEADERS_LEN_MAX {
        return Err(errors::HEADERS_TOO_LARGE);
    }
    Ok(())
}

/// A full stream that discards new messages refuses. A full subject gives way to its own newer message, unless told not to.
fn check_room(
    tx: &Transaction<'_>,
    config: &StreamConfig,
    tail: &Tail,
    entry: &Entry,
    bytes: u64,
) -> Result<(), ApiError> {
    if config.discard != Discard::New {
        return Ok(());
    }
    let per_subject = limit(config.max_msgs_per_subject);
    let mut replaces = false;
    if per_subject < u64::MAX {
        let known = subject_entry(tx, tail.data, entry.subject.as_str());
        replaces = known.is_some_and(|known| known.count >= per_subject);
        if replaces && config.discard_new_per_subject {
            return Err(errors::store_failed("maximum messages per subject exceeded"));
        }
    }
    if tail.messages >= limit(config.max_msgs) && !replaces {
        return Err(errors::store_failed("maximum messages exceeded"));
    }
    if tail.bytes + bytes > limit(config.max_bytes) && !replaces {
        return Err(errors::store_failed("maximum bytes exceeded"));
    }
    Ok(())
}

fn limit(configured: i64) -> u64 {
    u64::try_from(configured).unwrap_or(u64::MAX)
}

/// Removes oldest messages until the limits hold, or `REMOVED_PER_STEP` are gone. Answers whether the limits hold.
pub(crate) fn keep_limits(
    tx: &mut Transaction<'_>,
    stream: &Stream,
    config: &StreamConfig,
    tail: &mut Tail,
    subject: Option<&str>,
) -> bool {
    let mut left = REMOVED_PER_STEP;
    if let Some(subject) = subject {
        let most = limit(config.max_msgs_per_subject);
        while let Some(entry) = subject_entry(tx, tail.data, subject).filter(|entry| entry.count > most) {
            if left == 0 || !remove(tx, stream, tail, entry.first) {
                return false;
            }
            left -= 1;
        }
    }
    while tail.messages > limit(config.max_msgs)
        || (tail.bytes > limit(config.max_bytes) && tail.messages > 0)
    {
        let first = tail.first_seq;
        if left == 0 || !remove(tx, stream, tail, first) {
            return false;
        }
        left -= 1;
    }
    true
}

/// Removes one message. Answers whether it was there.
pub(crate) fn remove(tx: &mut Transaction<'_>, stream: &Stream, tail: &mut Tail, seq: u64) -> bool {
    let key = keys::message(tail.data, seq);
    let Some(value) = tx.get(&key) else { return false };
    let Some(subject) = Stored::peek_subject(&value).map(str::to_owned) else { return false };
    tx.delete(&key);
    if let Some(end) = Stored::end(&value) {
        tx.delete(&keys::end(tail.data, end, seq));
    }
    tail.messages -= 1;
    tail.bytes = tail.bytes.saturating_sub(Stored::counted_bytes(&value).unwrap_or(0));
    unindex(tx, tail, &subject, seq);
    if seq == tail.first_seq {
        let next = tx.scan(keys::messages(tail.data, seq + 1), Order::Ascending, 1).pop();
        let next = next.and_then(|(key, _)| keys::message_seq(&key));
        tail.first_seq = next.unwrap_or(tail.last_seq + 1);
    }
    stream.add_news(News::Removed { seq, subject: subject.into() });
    true
}

/// Empties a stream in one step, whatever it holds: a new filling begins, the old one is left to be swept up.
pub(crate) fn empty(tx: &mut Transaction<'_>, stream: &Stream, tail: &mut Tail, first_seq: u64) -> u64 {
    let removed = tail.messages;
    let old = tail.data;
    tail.data = ids::next(tx);
    tail.first_seq = first_seq;
    tail.last_seq = tail.last_seq.max(first_seq.saturating_sub(1));
    tail.messages = 0;
    tail.bytes = 0;
    tail.subjects = 0;
    tx.put(keys::litter(old), Bytes::new());
    stream.add_news(News::Emptied { data: tail.data, first_seq });
    removed
}

fn roll_up_subject(tx: &mut Transaction<'_>, stream: &Stream, tail: &mut Tail, subject: &str, keep: u64) {
    while let Some(entry) = subject_entry(tx, tail.data, subject).filter(|entry| entry.first < keep) {
        remove(tx, stream, tail, entry.first);
    }
}

fn roll_up_all(tx: &mut Transaction<'_>, stream: &Stream, tail: &mut Tail, keep: u64) {
    let Some(value) = tx.get(&keys::message(tail.data, keep)) else { return };
    let Some(subject) = Stored::peek_subject(&value).map(str::to_owned) else { return };
    let bytes = Stored::counted_bytes(&value).unwrap_or(0);
    empty(tx, stream, tail, keep);
    tail.last_seq = keep - 1;
    put(tx, tail, &subject, keep, value, bytes);
}

fn put(tx: &mut Transaction<'_>, tail: &mut Tail, subject: &str, seq: u64, value: Bytes, bytes: u64) {
    if tail.messages == 0 {
        tail.first_seq = seq;
    }
    tail.last_seq = seq;
    tail.messages += 1;
    tail.bytes += bytes;
    if let Some(end) = Stored::end(&value) {
        tx.put(keys::end(tail.data, end, seq), Bytes::new());
    }
    tx.put(keys::message(tail.data, seq), value);
    index(tx, tail, subject, seq);
}

fn index(tx: &mut Transaction<'_>, tail: &mut Tail, subject: &str, seq: u64) {
    let data = tail.data;
    let entry = match subject_entry(tx, data, subject) {
        None => {
            tail.subjects += 1;
            index_parent(tx, data, subject, seq, 1);
            SubjectEntry { first: seq, last: seq, count: 1 }
        }
        Some(known) => {
            if known.count == 1 {
                tx.put(keys::subject_seq(data, subject, known.last), Bytes::new());
            }
            tx.put(keys::subject_seq(data, subject, seq), Bytes::new());
            index_parent(tx, data, subject, seq, 0);
            SubjectEntry { last: seq, count: known.count + 1, ..known }
        }
    };
    tx.put(keys::subject(data, subject), entry.encode());
    tally::add(tx, data, subject, seq, entry.count == 1);
}

fn index_parent(tx: &mut Transaction<'_>, data: u64, subject: &str, newest: u64, more: u64) {
    let Some((parent, _)) = subject.rsplit_once('.') else { return };
    let key = keys::parent(data, parent);
    let known = tx.get(&key).and_then(|value| ParentEntry::decode(&value));
    let count = known.map_or(0, |known| known.count) + more;
    tx.put(key, ParentEntry { newest, count }.encode());
}

fn unindex(tx: &mut Transaction<'_>, tail: &mut Tail, subject: &str, seq: u64) {
    let data = tail.data;
    let Some(mut entry) = subject_entry(tx, data, subject) else { return };
    tally::remove(tx, data, subject, seq, entry.count == 1);
    if entry.count == 1 {
        tail.subjects = tail.subjects.saturating_sub(1);
        tx.delete(&keys::subject(data, subject));
        return unindex_parent(tx, data, subject, seq, true);
    }
    tx.delete(&keys::subject_seq(data, subject, seq));
    entry.count -= 1;
    let seq_at = |tx: &Transaction<'_>, order| {
        let found = tx.scan(keys::subject_seqs(data, subject, 0), order, 1).pop();
        found.and_then(|(key, _)| keys::last_number(&key))
    };
    if seq == entry.first {
        entry.first = seq_at(tx, Order::Ascending).unwrap_or(entry.last);
    }
    if seq == entry.last {
        entry.last = seq_at(tx, Order::Descending).unwrap_or(entry.first);
    }
    if entry.count == 1 {
        tx.delete(&keys::subject_seq(data, subject, entry.last));
    }
    tx.put(keys::subject(data, subject), entry.encode());
    unindex_parent(tx, data, subject, seq, false);
}

/// Only when the newest child's newest message goes is there something to search. Purges and limits do that to a
/// parent's last child as a rule, and then nothing is left to find.
fn unindex_parent(tx: &mut Transaction<'_>, data: u64, subject: &str, seq: u64, subject_gone: bool) {
    let Some((parent, _)) = subject.rsplit_once('.') else { return };
    let key = keys::parent(data, parent);
    let Some(mut entry) = tx.get(&key).and_then(|value| ParentEntry::decode(&value)) else { return };
    entry.count -= u64::from(subject_gone);
    if entry.count == 0 {
        return tx.delete(&key);
    }
    if entry.newest == seq {
        entry.newest = newest_child(tx, data, parent);
    }
    tx.put(key, entry.encode());
}

/// Found by tallies, but for parents of more than three tokens, such as an entity's events: these are walked.
fn newest_child(tx: &Transaction<'_>, data: u64, parent: &str) -> u64 {
    let Ok(children) = Pattern::new(format!("{parent}.*")) else { return 0 };
    if tally::answers(&children) {
        return tally::newest(tx, data, &children).unwrap_or(0);
    }
    let mut newest = 0;
    let mut range = keys::subjects(data, children.literal_prefix());
    loop {
        let page = tx.scan(range.clone(), Order::Ascending, PAGE);
        for (key, value) in &page {
            let is_child = keys::subject_text(key).is_some_and(|subject| children.matches(subject));
            let last = SubjectEntry::decode(value).map_or(0, |entry| entry.last);
            newest = newest.max(if is_child { last } else { 0 });
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range.start = keys::after(last),
            _ => return newest,
        }
    }
}

fn subject_entry(tx: &Transaction<'_>, data: u64, subject: &str) -> Option<SubjectEntry> {
    SubjectEntry::decode(&tx.get(&keys::subject(data, subject))?)
}

/// The newest sequence under an exact subject or `parent.*`; 0 for none.
fn newest(tx: &Transaction<'_>, data: u64, subject: &str) -> u64 {
    let parent = Pattern::new(subject).ok().and_then(|pattern| pattern.children_of().map(str::to_owned));
    match parent {
        Some(parent) => {
            let entry = tx.get(&keys::parent(data, &parent)).and_then(|value| ParentEntry::decode(&value));
            entry.map_or(0, |entry| entry.newest)
        }
        None => subject_entry(tx, data, subject).map_or(0, |entry| entry.last),
    }
}

fn remember_id(
    tx: &mut Transaction<'_>,
    stream: &Stream,
    config: &StreamConfig,
    entry: &Entry,
    seq: u64,
    now: i64,
) {
    let Some(id) = &entry.wants.message_id else { return };
    let forgotten = keys::message_ids_before(stream.id, now.saturating_sub(config.duplicate_window));
    for (key, id) in tx.scan(forgotten, Order::Ascending, FORGET_PER_APPEND) {
        let id = String::from_utf8_lossy(&id).into_owned();
        let by_id = keys::message_id(stream.id, &id);
        // A later message may have taken the id over.
        let same = tx.get(&by_id).and_then(|value| ids::decode(&value)).map(|(seq, _)| seq)
            == keys::last_number(&key);
        if same {
            tx.delete(&by_id);
        }
        tx.delete(&key);
    }
    tx.put(keys::message_id(stream.id, id), ids::encode(seq, now));
    tx.put(keys::message_id_by_date(stream.id, now, seq), Bytes::copy_from_slice(id.as_bytes()));
}

/// What a consumer's acknowledgement of an append looks like on the wire.
pub(crate) fn answer(stream: &Stream, appended: &Result<Appended, ApiError>) -> Bytes {
    let name = serde_json::Value::from(&*stream.name);
    match appended {
        Ok(Appended { seq, duplicate: false }) => format!("{{\"stream\":{name},\"seq\":{seq}}}").into(),
        Ok(Appended { seq, duplicate: true }) => {
            format!("{{\"stream\":{name},\"seq\":{seq},\"duplicate\": true}}").into()
        }
        Err(error) => {
            let error = serde_json::to_string(error).unwrap_or_default();
            format!("{{\"error\":{error},\"stream\":{name},\"seq\":0}}").into()
        }
    }
}
