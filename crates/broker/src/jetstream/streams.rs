//! All streams: where they are found, how they change, and what works for them in the background.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Notify;
use trellis_store::{Durability, Order, Store, Transaction};
use trellis_subjects::jetstream::Acknowledgement;

use super::append::{self, Appended, Entry};
use super::config::StreamConfig;
use super::consumer::{Consumer, End};
use super::errors::ApiError;
use super::followed::Followed;
use super::keeper::Keeper;
use super::keys;
use super::stream::Stream;
use crate::Message;
use crate::bus::Bus;
use crate::subject_map::SubjectMap;

const PAGE: usize = 256;
/// What those are told who wait for messages of a consumer that is deleted.
pub(super) const DELETED: &str = "Consumer Deleted";

/// All streams, and what works for them in the background.
#[derive(Debug)]
pub(crate) struct JetStream {
    pub(super) bus: Arc<Bus>,
    pub(super) store: Store,
    pub keeper: Arc<Keeper>,
    pub(super) registry: RwLock<Registry>,
    /// Creating, changing and deleting happen one at a time.
    pub(super) admin: tokio::sync::Mutex<()>,
    /// Told when there is litter to sweep up, or messages may get too old.
    pub(super) janitor: Notify,
    /// When the janitor looks for messages that have ended, at the latest.
    pub(super) next_end: AtomicI64,
    pub(super) requests: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) ephemerals: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) by_name: BTreeMap<Arc<str>, Arc<Followed>>,
    pub(super) by_subject: SubjectMap<Arc<Followed>>,
}

impl Registry {
    pub(super) fn add(&mut self, stream: Arc<Followed>) {
        for subject in &stream.config().subjects {
            self.by_subject.insert(subject, stream.clone());
        }
        self.by_name.insert(stream.name.clone(), stream);
    }

    pub(super) fn remove_subjects(&mut self, stream: &Arc<Followed>, config: &StreamConfig) {
        for subject in &config.subjects {
            self.by_subject.remove(subject, |other| Arc::ptr_eq(other, stream));
        }
    }
}

impl JetStream {
    pub fn new(store: Store, bus: Arc<Bus>) -> JetStream {
        JetStream {
            bus,
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

    /// Lets a consumer run. It can be found once it knows its backlog, and from then on it runs: between the two nothing waits.
    pub(super) async fn start(self: &Arc<Self>, stream: &Arc<Followed>, consumer: &Arc<Consumer>) {
        consumer.watch();
        stream.enrol(consumer, Vec::new()).await;
        let (jetstream, stream, consumer) = (self.clone(), stream.clone(), consumer.clone());
        self.bus.spawn(async move {
            if consumer.run().await == End::Inactive {
                jetstream.remove_consumer(&stream, &consumer).await;
            }
        });
    }

    /// Deletes a consumer and all that is stored of it: at most `max_ack_pending` deliveries.
    pub(super) async fn remove_consumer(&self, stream: &Followed, consumer: &Arc<Consumer>) {
        let _admin = self.admin.lock().await;
        stream.dismiss(consumer, Some(DELETED));
        let (stream_id, id, name) = (stream.id, consumer.id, consumer.name.clone());
        let keeper = self.keeper.clone();
        let write = self.store.write(Durability::Synced, move |tx| {
            // What is still to be written of this consumer is written first, so that nothing of it comes after.
            keeper.ride_along(tx);
            tx.delete(&keys::consumer(stream_id, &name));
            tx.delete(&keys::position(stream_id, id));
            for (key, _) in tx.scan(keys::all_unacked(stream_id, id), Order::Ascending, usize::MAX) {
                tx.delete(&key);
            }
        });
        write.await;
    }

    pub(super) fn scan_all(&self, range: std::ops::Range<Bytes>) -> Vec<(Bytes, Bytes)> {
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
    pub fn capturing(&self, subject: &str) -> Option<Arc<Followed>> {
        let mut found = None;
        self.registry.read().by_subject.for_each_match(subject, |stream| found = Some(stream.clone()));
        found
    }

    pub fn stream(&self, name: &str) -> Option<Arc<Followed>> {
        self.registry.read().by_name.get(name).cloned()
    }

    pub(super) fn streams(&self) -> Vec<Arc<Followed>> {
        self.registry.read().by_name.values().cloned().collect()
    }

    /// Appends, and answers after the sync. If the caller gives up meanwhile, the append goes on and consumers hear of it.
    pub async fn append(&self, stream: &Arc<Followed>, entry: Entry) -> Result<Appended, ApiError> {
        let now = self.bus.now();
        let end = entry.end(now);
        let appended = self.change(stream, move |tx, stream| append::append(tx, stream, &entry, now)).await;
        if end.is_some_and(|end| end < self.next_end.load(Ordering::Acquire)) {
            self.janitor.notify_one();
        }
        appended
    }

    /// What an append answers on the wire; nothing, if the stream was told not to.
    pub fn append_answer(stream: &Arc<Followed>, appended: &Result<Appended, ApiError>) -> Option<Bytes> {
        (!stream.config().no_ack).then(|| append::answer(stream, appended))
    }

    /// Changes a stream in one synced transaction, and tells its consumers once it is visible.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        stream: &Arc<Followed>,
        change: impl FnOnce(&mut Transaction<'_>, &Stream) -> T + Send + 'static,
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
    pub fn acknowledge(&self, message: &Message) -> bool {
        let Some(of) = Acknowledgement::parse(message.subject.as_str()).filter(|of| of.domain.is_none())
        else {
            return false;
        };
        let consumer = self.stream(of.stream).and_then(|stream| stream.consumer(of.consumer));
        if let Some(consumer) = &consumer {
            consumer.acknowledge(&of, message);
        }
        consumer.is_some()
    }

    /// Stops all consumers.
    pub fn stop(&self) {
        for stream in self.streams() {
            stream.dismiss_all(None);
        }
        *self.registry.write() = Registry::default();
    }
}

/// Tells consumers of a change whose caller gave up waiting for it.
struct Announcer {
    stream: Arc<Followed>,
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
