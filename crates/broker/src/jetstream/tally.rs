//! How many messages and subjects a stream has where, so that a backlog is counted without walking the stream.
//!
//! A **group** is all subjects that have equally many tokens and the same first three of them, or all but the last if they have
//! fewer: `log.posts.3.<entity>.<version>` is of the group `log.posts.3.` with five tokens. A pattern that has nothing but
//! wildcards after that is answered from groups. For others the index of subjects is walked.
//!
//! Of each group is kept how many subjects it has, and how many messages are in each block of 2^8 and of 2^16 sequences. A
//! count adds up blocks, and reads messages only in the two blocks that it ends in.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use trellis_store::{Durability, Order, Store, Transaction};

use super::keys::{self, TallyKind};
use super::records::{Stored, SubjectEntry};
use crate::Pattern;

const GROUP_TOKENS: usize = 3;
/// How many sequences a small block has, and how many small blocks a large one.
const BLOCK_LEN: u64 = 256;
const PAGE: usize = 256;
/// Messages may be large: so many are read at once.
const MESSAGES_PAGE: usize = 16;

/// What can be read from: the store as everybody sees it, or as a transaction does.
pub(crate) trait Reader {
    fn read_range(&self, range: Range<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)>;
}

impl Reader for Store {
    fn read_range(&self, range: Range<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)> {
        self.scan(range, order, limit)
    }
}

impl Reader for Transaction<'_> {
    fn read_range(&self, range: Range<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)> {
        self.scan(range, order, limit)
    }
}

/// The group of a subject: what its subjects start with, and how many tokens they have.
fn group_of(subject: &str) -> (&str, u8) {
    let tokens = subject.split('.').count();
    let len = subject.split_inclusive('.').take(GROUP_TOKENS.min(tokens - 1)).map(str::len).sum();
    (subject.get(..len).unwrap_or_default(), u8::try_from(tokens).unwrap_or(u8::MAX))
}

/// Whether a pattern matches all subjects of a group or none, whatever the group.
pub(crate) fn answers(pattern: &Pattern) -> bool {
    let tokens: Vec<&str> = pattern.as_str().split('.').collect();
    let fixed = GROUP_TOKENS.min(tokens.len() - 1);
    tokens.into_iter().skip(fixed).all(|token| token == "*" || token == ">")
}

fn matches_group(pattern: &Pattern, start: &str, tokens: u8) -> bool {
    let open = usize::from(tokens).saturating_sub(start.matches('.').count());
    pattern.matches(&format!("{start}{}", vec!["x"; open].join(".")))
}

/// Inside a transaction: a message is there, perhaps the first of its subject.
pub(crate) fn add(tx: &mut Transaction<'_>, data: u64, subject: &str, seq: u64, new_subject: bool) {
    change(tx, data, subject, seq, new_subject, |count| count + 1);
}

/// Inside a transaction: a message is gone, perhaps the last of its subject.
pub(crate) fn remove(tx: &mut Transaction<'_>, data: u64, subject: &str, seq: u64, subject_gone: bool) {
    change(tx, data, subject, seq, subject_gone, |count| count.saturating_sub(1));
}

fn change(
    tx: &mut Transaction<'_>,
    data: u64,
    subject: &str,
    seq: u64,
    of_subjects: bool,
    change: impl Fn(u64) -> u64,
) {
    for key in keys_of(data, subject, seq).into_iter().skip(usize::from(!of_subjects)) {
        match change(tx.get(&key).as_deref().map_or(0, decode)) {
            0 => tx.delete(&key),
            count => tx.put(key, encode(count)),
        }
    }
}

/// Where a message counts: among the subjects, if it is the only one of its own, then in its blocks.
fn keys_of(data: u64, subject: &str, seq: u64) -> [Bytes; 3] {
    let (start, tokens) = group_of(subject);
    let block = seq / BLOCK_LEN;
    [
        keys::tally(data, start, tokens, TallyKind::Subjects, 0),
        keys::tally(data, start, tokens, TallyKind::Block, block),
        keys::tally(data, start, tokens, TallyKind::LargeBlock, block / BLOCK_LEN),
    ]
}

fn encode(count: u64) -> Bytes {
    Bytes::copy_from_slice(&count.to_be_bytes())
}

fn decode(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_be_bytes)
}

/// How many messages from `from` to `to` match a pattern that is answered from groups.
pub(crate) fn messages(reader: &impl Reader, data: u64, pattern: &Pattern, from: u64, to: u64) -> u64 {
    if from > to {
        return 0;
    }
    let (first, end) = (from.div_ceil(BLOCK_LEN), (to + 1) / BLOCK_LEN);
    if first >= end {
        return read_messages(reader, data, pattern, from, to + 1);
    }
    let mut count = read_messages(reader, data, pattern, from, first * BLOCK_LEN)
        + read_messages(reader, data, pattern, end * BLOCK_LEN, to + 1);
    for_each_group(reader, data, pattern, |start, tokens, _| {
        let sum = |kind, blocks| sum(reader, data, start, tokens, kind, blocks);
        let (first_large, end_large) = (first.div_ceil(BLOCK_LEN), end / BLOCK_LEN);
        count += if first_large >= end_large {
            sum(TallyKind::Block, first..end)
        } else {
            sum(TallyKind::Block, first..first_large * BLOCK_LEN)
                + sum(TallyKind::LargeBlock, first_large..end_large)
                + sum(TallyKind::Block, end_large * BLOCK_LEN..end)
        };
    });
    count
}

/// How many subjects match a pattern that is answered from groups.
pub(crate) fn subjects(reader: &impl Reader, data: u64, pattern: &Pattern) -> u64 {
    let mut count = 0;
    for_each_group(reader, data, pattern, |_, _, subjects| count += subjects);
    count
}

/// The newest message that matches a pattern that is answered from groups: it is in the last block of one of them.
pub(crate) fn newest(reader: &impl Reader, data: u64, pattern: &Pattern) -> Option<u64> {
    let mut last = None;
    for_each_group(reader, data, pattern, |start, tokens, _| {
        let block = |number| keys::tally(data, start, tokens, TallyKind::Block, number);
        let found = reader.read_range(block(0)..block(u64::MAX), Order::Descending, 1).pop();
        last = last.max(found.and_then(|(key, _)| keys::last_number(&key)));
    });
    let first = last? * BLOCK_LEN;
    let mut range = keys::message(data, first)..keys::message(data, first + BLOCK_LEN);
    loop {
        let page = reader.read_range(range.clone(), Order::Descending, MESSAGES_PAGE);
        range.end = page.last()?.0.clone();
        let found = page.iter().find(|(_, value)| is_match(pattern, value));
        if let Some((key, _)) = found {
            return keys::message_seq(key);
        }
    }
}

/// Visits every group that has messages and matches, with its number of subjects.
fn for_each_group(reader: &impl Reader, data: u64, pattern: &Pattern, mut visit: impl FnMut(&str, u8, u64)) {
    let mut range = keys::tallies(data, pattern.literal_prefix());
    while let Some((key, value)) = reader.read_range(range.clone(), Order::Ascending, 1).pop() {
        let Some((start, tokens)) = keys::tally_group(&key) else { return };
        if matches_group(pattern, start, tokens) {
            visit(start, tokens, decode(&value));
        }
        range.start = keys::after_tallies(data, start, tokens);
    }
}

fn sum(reader: &impl Reader, data: u64, start: &str, tokens: u8, kind: TallyKind, blocks: Range<u64>) -> u64 {
    let key = |block| keys::tally(data, start, tokens, kind, block);
    let mut range = key(blocks.start)..key(blocks.end);
    let mut sum = 0;
    loop {
        let page = reader.read_range(range.clone(), Order::Ascending, PAGE);
        sum += page.iter().map(|(_, value)| decode(value)).sum::<u64>();
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range.start = keys::after(last),
            _ => return sum,
        }
    }
}

fn read_messages(reader: &impl Reader, data: u64, pattern: &Pattern, from: u64, end: u64) -> u64 {
    let mut range = keys::message(data, from)..keys::message(data, end);
    let mut count = 0;
    loop {
        let page = reader.read_range(range.clone(), Order::Ascending, MESSAGES_PAGE);
        let Some((last, _)) = page.last() else { return count };
        range.start = keys::after(last);
        count += page.iter().map(|(_, value)| u64::from(is_match(pattern, value))).sum::<u64>();
    }
}

fn is_match(pattern: &Pattern, value: &[u8]) -> bool {
    Stored::peek_subject(value).is_some_and(|subject| pattern.matches(subject))
}

/// Counts a filling that was written before there were tallies. Done twice, or begun and not finished, it comes to the same.
pub(crate) async fn rebuild(store: &Store, data: u64) {
    loop {
        let write = store.write(Durability::Ordered, move |tx| {
            let old = tx.scan(keys::tallies(data, ""), Order::Ascending, PAGE);
            old.iter().for_each(|(key, _)| tx.delete(key));
            old.len()
        });
        if write.await < PAGE {
            break;
        }
    }
    let mut tallies: BTreeMap<Bytes, u64> = BTreeMap::new();
    let mut range = keys::subjects(data, "");
    loop {
        let page = store.scan(range.clone(), Order::Ascending, PAGE);
        let Some((last, _)) = page.last() else { break };
        range.start = keys::after(last);
        for (key, value) in &page {
            let (Some(subject), Some(entry)) = (keys::subject_text(key), SubjectEntry::decode(value)) else {
                continue;
            };
            let [subjects, ..] = keys_of(data, subject, entry.last);
            *tallies.entry(subjects).or_default() += 1;
            for_each_seq(store, data, subject, entry, |seq| {
                let [_, block, large_block] = keys_of(data, subject, seq);
                *tallies.entry(block).or_default() += 1;
                *tallies.entry(large_block).or_default() += 1;
            });
        }
        tokio::task::yield_now().await;
    }
    let mut tallies = tallies.into_iter().peekable();
    while tallies.peek().is_some() {
        let step: Vec<_> = tallies.by_ref().take(PAGE).collect();
        let write = store.write(Durability::Ordered, move |tx| {
            step.into_iter().for_each(|(key, count)| tx.put(key, encode(count)));
        });
        write.await;
    }
}

/// Visits the sequences of all messages of one subject.
fn for_each_seq(
    reader: &impl Reader,
    data: u64,
    subject: &str,
    entry: SubjectEntry,
    mut visit: impl FnMut(u64),
) {
    if entry.count == 1 {
        return visit(entry.last);
    }
    let mut range = keys::subject_seqs(data, subject, 0);
    loop {
        let page = reader.read_range(range.clone(), Order::Ascending, PAGE);
        page.iter().filter_map(|(key, _)| keys::last_number(key)).for_each(&mut visit);
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range.start = keys::after(last),
            _ => return,
        }
    }
}

/// How many messages of one subject are from `from` to `to`.
pub(crate) fn messages_of_subject(
    reader: &impl Reader,
    data: u64,
    subject: &str,
    entry: SubjectEntry,
    from: u64,
    to: u64,
) -> u64 {
    if entry.last < from || entry.first > to {
        return 0;
    }
    if from <= entry.first && entry.last <= to {
        return entry.count;
    }
    let mut count = 0;
    for_each_seq(reader, data, subject, entry, |seq| count += u64::from((from..=to).contains(&seq)));
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn groups_answer_patterns_that_leave_the_rest_open() {
        for text in
            ["log.posts.3.*.*", "log.*.3.*.*", "log.>", ">", "*", "a.*", "$KV.b.*", "$KV.b.>", "a.b.c.>"]
        {
            assert!(answers(&pattern(text)), "{text}");
        }
        for text in ["a", "$KV.b.key", "log.posts.3.e.*", "log.*.*.e.*", "a.b.c.d.>", "log.posts.3.*.1"] {
            assert!(!answers(&pattern(text)), "{text}");
        }
        assert_eq!(group_of("log.posts.3.e.1"), ("log.posts.3.", 5));
        assert_eq!(group_of("$KV.b.key"), ("$KV.b.", 3));
        assert_eq!(group_of("a.b"), ("a.", 2));
        assert_eq!(group_of("a"), ("", 1));
        assert!(matches_group(&pattern("log.*.3.*.*"), "log.posts.3.", 5));
        assert!(!matches_group(&pattern("log.*.3.*.*"), "log.posts.3.", 4));
        assert!(matches_group(&pattern("a.>"), "a.", 2) && !matches_group(&pattern("a.>"), "", 1));
    }

    /// Every range of a stream with gaps, blocks of both sizes and several groups.
    #[tokio::test]
    async fn what_is_counted_is_what_is_there() {
        let store = Store::in_memory();
        let end = 3 * BLOCK_LEN * BLOCK_LEN;
        let seqs: Vec<u64> = (1..end).filter(|seq| seq % 97 == 0 || seq % BLOCK_LEN < 3).collect();
        let subject = |seq: u64| match seq % 3 {
            0 => format!("a.b.c.{seq}"),
            1 => format!("a.b.d.{seq}"),
            _ => format!("a.{seq}"),
        };
        let all = seqs.clone();
        let write = store.write(Durability::Ordered, move |tx| {
            for seq in all {
                tx.put(keys::message(1, seq), Stored::encode(0, &subject(seq), None, b""));
                add(tx, 1, &subject(seq), seq, true);
            }
        });
        write.await;
        let bounds = [1, 2, 255, 256, 300, 65_535, 65_536, 65_800, 131_071, 131_072, 131_400, end - 1];
        for text in ["a.b.c.*", "a.b.>", ">", "a.*", "a.b.e.*"] {
            let pattern = pattern(text);
            let is_match = |seq: &&u64| pattern.matches(&subject(**seq));
            for from in bounds {
                for to in bounds {
                    let expected =
                        seqs.iter().filter(is_match).filter(|seq| (from..=to).contains(seq)).count();
                    let counted = messages(&store, 1, &pattern, from, to);
                    assert_eq!(counted, u64::try_from(expected).unwrap(), "{text} {from} {to}");
                }
            }
            let expected = u64::try_from(seqs.iter().filter(is_match).count()).unwrap();
            assert_eq!(subjects(&store, 1, &pattern), expected, "{text}");
            assert_eq!(newest(&store, 1, &pattern), seqs.iter().rfind(is_match).copied(), "{text}");
        }
    }
}
