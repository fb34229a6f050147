//! Cleans up in the background: what purged and deleted streams left behind, and messages that got too old.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use trellis_store::{Durability, Order};

use super::append::{self, REMOVED_PER_STEP};
use super::followed::Followed;
use super::keys;
use super::records::Stored;
use super::streams::JetStream;

/// How many keys one step deletes.
const SWEPT_PER_STEP: usize = 512;

pub(crate) async fn run(jetstream: Arc<JetStream>) {
    loop {
        jetstream.sweep().await;
        jetstream.next_end.store(i64::MAX, Ordering::Release);
        let next = jetstream.expire_old().await;
        let ended = jetstream.expire_ended().await;
        let next = next.into_iter().chain(ended).min();
        let time = async {
            match next {
                Some(after) => tokio::time::sleep_until(Instant::now() + after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = jetstream.janitor.notified() => {}
            () = time => {}
        }
    }
}

impl JetStream {
    /// Deletes everything under ids that are not used any more.
    async fn sweep(&self) {
        for (litter, _) in self.scan_all(keys::all_litter()) {
            let Some(id) = keys::last_number(&litter) else { continue };
            let ranges = [
                keys::messages(id, 0),
                keys::index(id),
                keys::message_ids(id),
                keys::consumer_everything(id),
            ];
            for range in ranges {
                self.sweep_range(range).await;
            }
            let write = self.store.write(Durability::Ordered, move |tx| {
                tx.delete(&keys::tail(id));
                tx.delete(&litter);
            });
            write.await;
        }
    }

    async fn sweep_range(&self, range: Range<Bytes>) {
        loop {
            let swept = range.clone();
            let write = self.store.write(Durability::Ordered, move |tx| {
                let page = tx.scan(swept, Order::Ascending, SWEPT_PER_STEP);
                for (key, _) in &page {
                    tx.delete(key);
                }
                page.len()
            });
            if write.await < SWEPT_PER_STEP {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Removes messages beyond their streams' `max_age`. Answers after how long there is more to do.
    async fn expire_old(&self) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for stream in self.streams() {
            let age = stream.config().max_age;
            if age <= 0 {
                continue;
            }
            while self.remove_older(&stream, self.bus.now().saturating_sub(age)).await {}
            let tail = stream.visible_tail();
            let first = self.store.get(&keys::message(tail.data, tail.first_seq));
            let oldest = first.and_then(|value| Stored::peek_date(&value)).unwrap_or_else(|| self.bus.now());
            let due = oldest.saturating_add(age).saturating_sub(self.bus.now()).max(1_000_000);
            let due = Duration::from_nanos(u64::try_from(due).unwrap_or(0));
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        next
    }

    /// Removes messages that have lived as long as they said. Answers after how long there is more to do.
    async fn expire_ended(&self) -> Option<Duration> {
        let mut next: Option<i64> = None;
        for stream in self.streams() {
            while self.remove_ended(&stream, self.bus.now()).await {}
            let first = self.store.scan(keys::ends(stream.data()), Order::Ascending, 1).pop();
            let end = first.and_then(|(key, _)| keys::read_end(&key)).map(|(end, _)| end);
            next = next.into_iter().chain(end).min();
        }
        let end = next?;
        // Whoever appends what ends sooner wakes the janitor.
        self.next_end.fetch_min(end, Ordering::AcqRel);
        let left = end.saturating_sub(self.bus.now()).max(1_000_000);
        Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
    }

    /// One step of removal. Answers whether there may be more.
    async fn remove_ended(&self, stream: &Arc<Followed>, now: i64) -> bool {
        let first = self.store.scan(keys::ends(stream.data()), Order::Ascending, 1).pop();
        let ended = move |key: &Bytes| keys::read_end(key).filter(|(end, _)| *end <= now).map(|(_, seq)| seq);
        if first.and_then(|(key, _)| ended(&key)).is_none() {
            return false;
        }
        let step = self.change(stream, move |tx, stream| {
            let mut tail = stream.tail.lock();
            let page = tx.scan(keys::ends(tail.data), Order::Ascending, REMOVED_PER_STEP);
            let seqs: Vec<u64> = page.iter().map_while(|(key, _)| ended(key)).collect();
            for seq in &seqs {
                append::remove(tx, stream, &mut tail, *seq);
            }
            tx.put(keys::tail(stream.id), tail.encode());
            seqs.len() == REMOVED_PER_STEP
        });
        step.await
    }

    /// One step of removal. Answers whether there may be more.
    async fn remove_older(&self, stream: &Arc<Followed>, limit: i64) -> bool {
        let first = stream.page(0, 1).into_iter().next();
        let old = first.and_then(|(_, value)| Stored::peek_date(&value)).is_some_and(|date| date <= limit);
        if !old {
            return false;
        }
        let step = self.change(stream, move |tx, stream| {
            let mut tail = stream.tail.lock();
            let page = tx.scan(keys::messages(tail.data, 0), Order::Ascending, REMOVED_PER_STEP);
            let old = |value: &Bytes| Stored::peek_date(value).is_some_and(|date| date <= limit);
            let mut removed = 0;
            for (key, _) in page.iter().take_while(|(_, value)| old(value)) {
                if let Some(seq) = keys::message_seq(key) {
                    removed += usize::from(append::remove(tx, stream, &mut tail, seq));
                }
            }
            tx.put(keys::tail(stream.id), tail.encode());
            removed == REMOVED_PER_STEP
        });
        step.await
    }
}
