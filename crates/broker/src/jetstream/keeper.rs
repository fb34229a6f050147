//! Writes consumer state behind the consumers' backs.
//!
//! A running consumer's state is what it has in memory; the store holds what a restart needs. Changes gather here, the
//! newest value of a key replacing older ones. They ride along with the next append's sync, or are synced by themselves
//! within `SYNC_EVERY`. Where an earlier sync is needed, `sync` gives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use trellis_store::{Durability, Store, Transaction};

/// How long acknowledgements can be lost for when the process is killed: their messages are then delivered once more.
const SYNC_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Keeper {
    store: Store,
    changes: Mutex<Changes>,
    changed: Notify,
    synced: AtomicU64,
}

#[derive(Debug, Default)]
struct Changes {
    /// Which batch the gathered changes will be in.
    batch: u64,
    by_key: BTreeMap<Bytes, Option<Bytes>>,
}

impl Keeper {
    pub fn new(store: Store) -> Keeper {
        let changes = Changes { batch: 1, by_key: BTreeMap::new() };
        Keeper { store, changes: Mutex::new(changes), changed: Notify::new(), synced: AtomicU64::new(0) }
    }

    /// Remembers values, and which keys are to go. They are written in one batch: a restart finds all of them or none.
    /// Answers in which batch.
    pub fn record(&self, entries: impl IntoIterator<Item = (Bytes, Option<Bytes>)>) -> u64 {
        let mut changes = self.changes.lock();
        if changes.by_key.is_empty() {
            self.changed.notify_one();
        }
        changes.by_key.extend(entries);
        changes.batch
    }

    /// Whether what was recorded in a batch is certain to survive.
    pub fn is_synced(&self, batch: u64) -> bool {
        self.synced.load(Ordering::Acquire) >= batch
    }

    /// Puts what has gathered into a transaction. It takes the changes inside, so that a later transaction never writes
    /// older values. Answers with the batch, for `mark_synced` once the transaction is synced.
    pub fn ride_along(&self, transaction: &mut Transaction<'_>) -> u64 {
        let (batch, by_key) = self.take();
        for (key, value) in by_key {
            match value {
                Some(value) => transaction.put(key, value),
                None => transaction.delete(&key),
            }
        }
        batch
    }

    /// Ends a batch, and answers with what is in it.
    fn take(&self) -> (u64, BTreeMap<Bytes, Option<Bytes>>) {
        let mut changes = self.changes.lock();
        changes.batch += 1;
        (changes.batch - 1, std::mem::take(&mut changes.by_key))
    }

    pub fn mark_synced(&self, batch: u64) {
        self.synced.fetch_max(batch, Ordering::AcqRel);
    }

    /// Syncs everything recorded so far.
    pub async fn sync(self: &Arc<Keeper>) {
        let keeper = self.clone();
        let batch =
            self.store.write(Durability::Synced, move |transaction| keeper.ride_along(transaction)).await;
        self.mark_synced(batch);
    }

    /// Syncs again and again, for as long as there is something to sync.
    pub async fn run(self: Arc<Keeper>) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(SYNC_EVERY).await;
            if !self.changes.lock().by_key.is_empty() {
                self.sync().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_together_is_in_one_batch() {
        const TIMES: u64 = 20_000;
        let keeper = Keeper::new(Store::in_memory());
        let value = |n: u64| Some(Bytes::from(n.to_string()));
        std::thread::scope(|scope| {
            let recording = scope.spawn(|| {
                for n in 0..TIMES {
                    keeper.record([("unacked".into(), value(n)), ("position".into(), value(n))]);
                }
            });
            while !recording.is_finished() {
                let (_, batch) = keeper.take();
                assert_eq!(batch.get("unacked".as_bytes()), batch.get("position".as_bytes()));
            }
        });
    }
}
