//! A stream: its configuration, what it holds, and what is new of that.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use trellis_store::{Order, Store};

use super::config::StreamConfig;
use super::records::{ParentEntry, Stored, SubjectEntry, Tail};
use super::{keys, tally};
use crate::Pattern;

/// How many index entries one step of a long look-up reads before others get their turn.
const INDEX_PAGE: usize = 512;
/// How many bytes of messages one step of a scan should read.
const SCAN_PAGE_BYTES: u64 = 1 << 20;
/// A match is looked for among so many messages first, because a consumer of one partition in eight finds one soon; and
/// each time among so many times more.
const LOOK_LEN: usize = 16;
const LOOK_GROWTH: usize = 4;
/// Up to so many children, the next message of a parent is looked up by child, otherwise by scanning messages.
const CHILDREN_MAX: u64 = 256;

#[derive(Debug)]
pub(crate) struct Stream {
    pub name: Arc<str>,
    pub id: u64,
    pub created: i64,
    pub store: Store,
    config: RwLock<Arc<StreamConfig>>,
    /// The newest state, perhaps not synced yet. Only store transactions touch it, and they run one at a time.
    pub tail: Mutex<Tail>,
    /// The filling that readers see.
    data: AtomicU64,
    /// What transactions did and consumers were not told yet, oldest first.
    news: Mutex<VecDeque<(u64, News)>>,
    next_news: AtomicU64,
    pub deleted: AtomicBool,
}

/// What consumers are told, once it is visible.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Appended {
        seq: u64,
        subject: Arc<str>,
    },
    Removed {
        seq: u64,
        subject: Arc<str>,
    },
    /// Everything before `first_seq` is gone.
    Emptied {
        data: u64,
        first_seq: u64,
    },
}

impl Stream {
    pub fn new(name: &str, id: u64, created: i64, config: StreamConfig, tail: Tail, store: Store) -> Stream {
        Stream {
            name: name.into(),
            id,
            created,
            store,
            config: RwLock::new(Arc::new(config)),
            data: AtomicU64::new(tail.data),
            tail: Mutex::new(tail),
            news: Mutex::default(),
            next_news: AtomicU64::new(1),
            deleted: AtomicBool::new(false),
        }
    }

    pub fn config(&self) -> Arc<StreamConfig> {
        self.config.read().clone()
    }

    pub fn set_config(&self, config: StreamConfig) {
        *self.config.write() = Arc::new(config);
    }

    /// The state as of the last synced change.
    pub fn visible_tail(&self) -> Tail {
        self.store.get(&keys::tail(self.id)).and_then(|value| Tail::decode(&value)).unwrap_or_default()
    }

    /// Inside a transaction: remembers to tell consumers. Answers with its number, for `announce`.
    pub fn add_news(&self, news: News) -> u64 {
        let number = self.next_news.fetch_add(1, Ordering::Relaxed);
        self.news.lock().push_back((number, news));
        number
    }

    /// The number of the news added last. Inside a transaction it covers all of that transaction's.
    pub fn newest_news(&self) -> u64 {
        self.next_news.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// After a transaction is visible: hands out its news and those of all before it, in order.
    pub fn announce(&self, up_to: u64, mut tell: impl FnMut(u64, News)) {
        let mut waiting = self.news.lock();
        while waiting.front().is_some_and(|(number, _)| *number <= up_to) {
            let Some((number, news)) = waiting.pop_front() else { return };
            if let News::Emptied { data, .. } = news {
                self.data.store(data, Ordering::Release);
            }
            tell(number, news);
        }
    }

    pub fn message(&self, seq: u64) -> Option<Stored> {
        Stored::decode(&self.store.get(&keys::message(self.data(), seq))?)
    }

    pub fn data(&self) -> u64 {
        self.data.load(Ordering::Acquire)
    }

    fn subject_entry(&self, subject: &str) -> Option<SubjectEntry> {
        SubjectEntry::decode(&self.store.get(&keys::subject(self.data(), subject))?)
    }

    pub fn is_last_of_subject(&self, subject: &str, seq: u64) -> bool {
        self.subject_entry(subject).is_some_and(|entry| entry.last == seq)
    }

    fn parent_entry(&self, parent: &str) -> Option<ParentEntry> {
        ParentEntry::decode(&self.store.get(&keys::parent(self.data(), parent))?)
    }

    /// The newest message that matches: one look-up for an exact subject and for `parent.*`.
    pub async fn newest(&self, pattern: &Pattern) -> Option<u64> {
        if pattern.is_exact() {
            return self.subject_entry(pattern.as_str()).map(|entry| entry.last);
        }
        if let Some(parent) = pattern.children_of() {
            return self.parent_entry(parent).map(|entry| entry.newest);
        }
        if tally::answers(pattern) {
            return tally::newest(&self.store, self.data(), pattern);
        }
        let mut newest = None;
        self.for_each_subject(pattern, |_, entry| newest = newest.max(Some(entry.last))).await;
        newest
    }

    /// The first message from `from` on that matches one of the patterns.
    pub async fn next(&self, patterns: &[Pattern], from: u64) -> Option<(u64, Bytes)> {
        if let [pattern] = patterns {
            if pattern.is_exact() {
                return self.with_value(self.next_in_subject(pattern.as_str(), from)?);
            }
            if let Some(parent) = pattern.children_of() {
                let children = self.parent_entry(parent)?.count;
                if children <= CHILDREN_MAX {
                    return self.with_value(self.next_of_children(pattern, from).await?);
                }
            }
        }
        let (mut from, mut len) = (from, LOOK_LEN);
        loop {
            let page = self.page(from, len);
            let (last, _) = page.last()?;
            let last = keys::message_seq(last)?;
            let matches = |value: &Bytes| {
                Stored::peek_subject(value).is_some_and(|subject| patterns.iter().any(|p| p.matches(subject)))
            };
            if let Some((key, value)) = page.into_iter().find(|(_, value)| matches(value)) {
                return Some((keys::message_seq(&key)?, value));
            }
            from = last + 1;
            len = len.saturating_mul(LOOK_GROWTH);
            tokio::task::yield_now().await;
        }
    }

    fn with_value(&self, seq: u64) -> Option<(u64, Bytes)> {
        Some((seq, self.store.get(&keys::message(self.data(), seq))?))
    }

    /// Messages from `from` on: `len` of them, but no more than make a step of reasonable size.
    pub fn page(&self, from: u64, len: usize) -> Vec<(Bytes, Bytes)> {
        let tail = self.visible_tail();
        let average = tail.bytes.checked_div(tail.messages).unwrap_or(1).max(1);
        let limit = usize::try_from(SCAN_PAGE_BYTES / average).unwrap_or(INDEX_PAGE).clamp(8, INDEX_PAGE);
        self.store.scan(keys::messages(self.data(), from), Order::Ascending, limit.min(len))
    }

    fn next_in_subject(&self, subject: &str, from: u64) -> Option<u64> {
        let entry = self.subject_entry(subject)?;
        if from <= entry.first {
            return Some(entry.first);
        }
        if entry.count == 1 || from > entry.last {
            return None;
        }
        let range = keys::subject_seqs(self.data(), subject, from);
        let (key, _) = self.store.scan(range, Order::Ascending, 1).pop()?;
        keys::last_number(&key)
    }

    async fn next_of_children(&self, pattern: &Pattern, from: u64) -> Option<u64> {
        let mut children = Vec::new();
        self.for_each_subject(pattern, |subject, entry| {
            if entry.last >= from {
                children.push(subject.to_owned());
            }
        })
        .await;
        children.iter().filter_map(|subject| self.next_in_subject(subject, from)).min()
    }

    /// How many subjects hold messages and match.
    pub async fn count_subjects(&self, pattern: &Pattern) -> u64 {
        if tally::answers(pattern) {
            return tally::subjects(&self.store, self.data(), pattern);
        }
        if let Some(parent) = pattern.children_of() {
            return self.parent_entry(parent).map_or(0, |entry| entry.count);
        }
        let mut count = 0;
        self.for_each_subject(pattern, |_, _| count += 1).await;
        count
    }

    /// At most `limit` of the subjects that match, after the first `offset`, each with how many messages it holds.
    pub async fn subjects(&self, pattern: &Pattern, offset: usize, limit: usize) -> BTreeMap<String, u64> {
        let (mut skipped, mut subjects) = (0, BTreeMap::new());
        self.visit_subjects(pattern, |subject, entry| {
            if skipped < offset {
                skipped += 1;
            } else if subjects.len() < limit {
                subjects.insert(subject.to_owned(), entry.count);
            }
            if subjects.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await;
        subjects
    }

    /// Visits every subject that holds messages and matches, in order.
    pub async fn for_each_subject(&self, pattern: &Pattern, mut visit: impl FnMut(&str, SubjectEntry)) {
        let all = |subject: &str, entry| {
            visit(subject, entry);
            ControlFlow::Continue(())
        };
        self.visit_subjects(pattern, all).await;
    }

    /// Visits subjects that hold messages and match, in order, for as long as `visit` wants more.
    async fn visit_subjects(
        &self,
        pattern: &Pattern,
        mut visit: impl FnMut(&str, SubjectEntry) -> ControlFlow<()>,
    ) {
        if pattern.is_exact() {
            if let Some(entry) = self.subject_entry(pattern.as_str()) {
                let _ = visit(pattern.as_str(), entry);
            }
            return;
        }
        let mut range = keys::subjects(self.data(), pattern.literal_prefix());
        loop {
            let page = self.store.scan(range.clone(), Order::Ascending, INDEX_PAGE);
            let Some((last, _)) = page.last() else { return };
            let next = keys::after(last);
            for (key, value) in &page {
                let entry = SubjectEntry::decode(value);
                let subject = keys::subject_text(key).filter(|subject| pattern.matches(subject));
                if let (Some(subject), Some(entry)) = (subject, entry)
                    && visit(subject, entry).is_break()
                {
                    return;
                }
            }
            if page.len() < INDEX_PAGE {
                return;
            }
            range.start = next;
            tokio::task::yield_now().await;
        }
    }

    /// How many messages from `from` to `to` match patterns that have no subject in common.
    pub async fn count(&self, patterns: &[Pattern], from: u64, to: u64) -> u64 {
        let mut count = 0;
        for pattern in patterns {
            let data = self.data();
            if tally::answers(pattern) {
                count += tally::messages(&self.store, data, pattern, from, to);
                continue;
            }
            let of = |subject: &str, entry| {
                tally::messages_of_subject(&self.store, data, subject, entry, from, to)
            };
            self.for_each_subject(pattern, |subject, entry| count += of(subject, entry)).await;
        }
        count
    }

    /// The first message that is not older than a date: dates never go backwards in a stream.
    pub fn first_since(&self, date: i64) -> u64 {
        let tail = self.visible_tail();
        let (mut low, mut high) = (tail.first_seq, tail.last_seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let range = keys::messages(self.data(), middle);
            let found = self.store.scan(range, Order::Ascending, 1).pop();
            match found.and_then(|(key, value)| Some((keys::message_seq(&key)?, Stored::peek_date(&value)?)))
            {
                Some((seq, found)) if found < date => low = seq + 1,
                _ => high = middle,
            }
        }
        low
    }
}
