//! The JetStream subset: streams and consumers on the store, spoken to through NATS requests.

mod api;
mod append;
mod config;
mod consumer;
mod consumer_api;
mod consumer_config;
mod date;
mod errors;
mod ids;
mod janitor;
mod json;
mod keeper;
mod keys;
mod message_api;
mod records;
mod stream;
mod stream_api;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::RwLock;
use serde::Serialize;
use tokio::sync::Notify;
use trellis_store::{Durability, Order, Store, Transaction};
use trellis_subjects::jetstream::Acknowledgement;

use crate::core::Core;
use crate::error::Error;
use crate::subject_map::SubjectMap;
use crate::{Message, Pattern};
pub(crate) use api::Answer;
pub(crate) use append::{Appended, Entry};
pub(crate) use config::COMPATIBLE_VERSION;
use config::{StreamConfig, StreamRequest};
use consumer::Consumer;
pub(crate) use consumer::pulls::Status;
use consumer_config::ConsumerConfig;
use errors::ApiError;
use keeper::Keeper;
use records::{Position, Tail, Unacked};
pub(crate) use stream::Stream;

const PAGE: usize = 256;

/// All streams, and what works for them in the background.
#[derive(Debug)]
pub(crate) struct JetStream {
    store: Store,
    pub keeper: Arc<Keeper>,
    registry: RwLock<Registry>,
    /// Creating, changing and deleting happen one at a time.
    admin: tokio::sync::Mutex<()>,
    /// Told when there is litter to sweep up, or messages may get too old.
    janitor: Notify,
    /// When the janitor looks for messages that have ended, at the latest.
    next_end: AtomicI64,
    requests: AtomicU64,
    refusals: AtomicU64,
    ephemerals: AtomicU64,
}

#[derive(Debug, Default)]
struct Registry {
    by_name: BTreeMap<Arc<str>, Arc<Stream>>,
    by_subject: SubjectMap<Arc<Stream>>,
}

impl Registry {
    fn add(&mut self, stream: Arc<Stream>) {
        for subject in &stream.config().subjects {
            self.by_subject.insert(subject, stream.clone());
        }
        self.by_name.insert(stream.name.clone(), stream);
    }

    fn remove_subjects(&mut self, stream: &Arc<Stream>, config: &StreamConfig) {
        for subject in &config.subjects {
            self.by_subject.remove(subject, |other| Arc::ptr_eq(other, stream));
        }
    }
}

impl JetStream {
    pub fn new(store: Store) -> JetStream {
        JetStream {
            keeper: Arc::new(Keeper::new(store.clone())),
            store,
            registry: RwLock::default(),
            admin: tokio::sync::Mutex::default(),
            janitor: Notify::new(),
            next_end: AtomicI64::new(i64::MAX),
            requests: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            ephemerals: AtomicU64::new(0),
        }
    }

    /// Reads what the store holds, and starts the tasks.
    pub async fn open(&self, core: &Arc<Core>) -> Result<(), Error> {
        if let Some(value) = self.store.get(&keys::meta()) {
            let (found, _) =
                ids::read_meta(&value).ok_or_else(|| corrupt(&keys::meta(), "not two numbers"))?;
            if found > ids::FORMAT {
                return Err(Error::NewerFormat { found, known: ids::FORMAT });
            }
            if found < ids::FORMAT {
                self.upgrade().await?;
            }
        }
        for (key, value) in self.scan_all(keys::streams()) {
            let name = key.get(2..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| corrupt(&key, "the stream's name is not UTF-8"))?;
            let (id, created, json) = read_named(&key, &value)?;
            let config =
                StreamRequest::parse(&json).map_err(|error| corrupt(&key, &error.description))?.config;
            let tail_key = keys::tail(id);
            let tail = self.store.get(&tail_key).and_then(|value| Tail::decode(&value));
            let tail = tail.ok_or_else(|| corrupt(&tail_key, "the stream's counts are missing"))?;
            let stream = Arc::new(Stream::new(name, id, created, config, tail, self.store.clone()));
            self.open_consumers(core, &stream).await?;
            self.registry.write().add(stream);
        }
        core.spawn(self.keeper.clone().run());
        core.spawn(janitor::run(core.clone()));
        Ok(())
    }

    /// Brings what an older version has written up to date: it kept no tallies.
    async fn upgrade(&self) -> Result<(), Error> {
        for (key, value) in self.scan_all(keys::streams()) {
            let (id, ..) = read_named(&key, &value)?;
            let tail = self.store.get(&keys::tail(id)).and_then(|value| Tail::decode(&value));
            if let Some(tail) = tail {
                tally::rebuild(&self.store, tail.data).await;
            }
        }
        self.store.write(Durability::Synced, ids::write_format).await;
        Ok(())
    }

    async fn open_consumers(&self, core: &Arc<Core>, stream: &Arc<Stream>) -> Result<(), Error> {
        for (key, value) in self.scan_all(keys::consumers(stream.id)) {
            let name = key.get(10..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| corrupt(&key, "the consumer's name is not UTF-8"))?;
            let (id, created, json) = read_named(&key, &value)?;
            let config =
                ConsumerConfig::parse_stored(&json).map_err(|error| corrupt(&key, &error.description))?;
            let position_key = keys::position(stream.id, id);
            let position = self.store.get(&position_key).and_then(|value| Position::decode(&value));
            let position =
                position.ok_or_else(|| corrupt(&position_key, "the consumer's position is missing"))?;
            let mut unacked = Vec::new();
            for (key, value) in self.scan_all(keys::all_unacked(stream.id, id)) {
                let seq = keys::last_number(&key).ok_or_else(|| corrupt(&key, "no sequence"))?;
                let stored = Unacked::decode(&value).ok_or_else(|| corrupt(&key, "not a delivery"))?;
                unacked.push((seq, stored));
            }
            let consumer = Arc::new(Consumer::new(stream, name, id, created, config));
            consumer.restore(position, unacked, core.moment());
            self.start(core, &consumer).await;
        }
        Ok(())
    }

    /// Lets a consumer run. It can be found once it knows its backlog, and from then on it runs: between the two nothing waits.
    async fn start(&self, core: &Arc<Core>, consumer: &Arc<Consumer>) {
        consumer.watch(core);
        consumer.enrol(&[]).await;
        core.spawn(consumer.clone().run(core.clone()));
    }

    fn scan_all(&self, range: std::ops::Range<Bytes>) -> Vec<(Bytes, Bytes)> {
        let mut range = range;
        let mut all = Vec::new();
        loop {
            let page = self.store.scan(range.clone(), Order::Ascending, PAGE);
            let Some((last, _)) = page.last() else { return all };
            range.start = keys::after(last);
            all.extend(page);
        }
    }

    /// The stream that takes messages on this subject.
    pub fn capturing(&self, subject: &str) -> Option<Arc<Stream>> {
        let mut found = None;
        self.registry.read().by_subject.for_each_match(subject, |stream| found = Some(stream.clone()));
        found
    }

    pub fn stream(&self, name: &str) -> Option<Arc<Stream>> {
        self.registry.read().by_name.get(name).cloned()
    }

    fn streams(&self) -> Vec<Arc<Stream>> {
        self.registry.read().by_name.values().cloned().collect()
    }

    /// Appends, and answers after the sync. If the caller gives up meanwhile, the append goes on and consumers hear of it.
    pub async fn append(
        &self,
        core: &Core,
        stream: &Arc<Stream>,
        entry: Entry,
    ) -> Result<Appended, ApiError> {
        let now = core.now();
        let end = entry.end(now);
        let appended = self.change(stream, move |tx, stream| append::append(tx, stream, &entry, now)).await;
        if end.is_some_and(|end| end < self.next_end.load(Ordering::Acquire)) {
            self.janitor.notify_one();
        }
        appended
    }

    /// What an append answers on the wire; nothing, if the stream was told not to.
    pub fn append_answer(stream: &Arc<Stream>, appended: &Result<Appended, ApiError>) -> Option<Bytes> {
        (!stream.config().no_ack).then(|| append::answer(stream, appended))
    }

    /// Changes a stream in one synced transaction, and tells its consumers once it is visible.
    async fn change<T: Send + 'static>(
        &self,
        stream: &Arc<Stream>,
        change: impl FnOnce(&mut Transaction<'_>, &Arc<Stream>) -> T + Send + 'static,
    ) -> T {
        let mut announcer = Announcer { stream: stream.clone(), store: self.store.clone(), done: false };
        let (stream, keeper) = (stream.clone(), self.keeper.clone());
        let write = self.store.write(Durability::Synced, move |tx| {
            let result = change(tx, &stream);
            (result, stream.newest_news(), keeper.ride_along(tx))
        });
        let (result, news, batch) = write.await;
        self.keeper.mark_synced(batch);
        announcer.done = true;
        announcer.stream.announce(news);
        result
    }

    /// Handles `$JS.ACK.>`. Answers whether there is such a consumer.
    pub fn acknowledge(&self, core: &Core, message: &Message) -> bool {
        let Some(of) = Acknowledgement::parse(message.subject.as_str()).filter(|of| of.domain.is_none())
        else {
            return false;
        };
        let consumer = self.stream(of.stream).and_then(|stream| stream.consumer(of.consumer));
        if let Some(consumer) = &consumer {
            consumer.acknowledge(core, &of, message);
        }
        consumer.is_some()
    }

    /// Stops all consumers.
    pub fn stop(&self, core: &Core) {
        for stream in self.streams() {
            let consumers: Vec<_> = std::mem::take(&mut *stream.consumers.write()).into_values().collect();
            for consumer in consumers {
                consumer.stop(core, None);
            }
        }
        *self.registry.write() = Registry::default();
    }
}

/// Tells consumers of a change whose caller gave up waiting for it.
struct Announcer {
    stream: Arc<Stream>,
    store: Store,
    done: bool,
}

impl Drop for Announcer {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (stream, store) = (self.stream.clone(), self.store.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // This write comes after the abandoned one: once it is synced, so is that.
                let of = stream.clone();
                let news = store.write(Durability::Synced, move |_| of.newest_news()).await;
                stream.announce(news);
            });
        }
    }
}

/// The record of something that has a name: id, date of creation, configuration as JSON.
fn named_record(id: u64, created: i64, config: &impl Serialize) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u64(id);
    value.put_i64(created);
    // A configuration is strings and numbers, which always serialize.
    value.put_slice(&serde_json::to_vec(config).unwrap_or_default());
    value.freeze()
}

fn read_named(key: &Bytes, value: &Bytes) -> Result<(u64, i64, Bytes), Error> {
    let (id, created) = ids::decode(value).ok_or_else(|| corrupt(key, "the record is too short"))?;
    Ok((id, created, value.slice(16..)))
}

fn corrupt(key: &[u8], reason: &str) -> Error {
    Error::Corrupt { key: key.escape_ascii().to_string(), reason: reason.to_owned() }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Whether two sets of patterns have a subject in common.
fn collide(ours: &[Pattern], theirs: &[Pattern]) -> bool {
    ours.iter().any(|our| theirs.iter().any(|their| our.collides_with(their)))
}
