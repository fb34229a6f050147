//! Figures about a running store, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many buckets the histogram of syncs has: bucket `n` counts those under 2^n microseconds, the last all others.
pub const SYNC_BUCKETS: usize = 22;

/// A look at the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The last frame of the log, durable or not.
    pub sequence: u64,
    /// The last frame that is known to be durable.
    pub sequence_durable: u64,
    /// Log that only memory and the log itself have so far: what a start would have to read.
    pub memtable_bytes: u64,
    pub transactions: u64,
    /// Entries that anybody read, transactions included.
    pub entries_read: u64,
    pub batches: u64,
    pub checkpoints: u64,
    pub syncs: u64,
    pub sync_total: Duration,
    /// See [`SYNC_BUCKETS`].
    pub sync_histogram: [u64; SYNC_BUCKETS],
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub sequence: AtomicU64,
    pub sequence_durable: AtomicU64,
    pub memtable_bytes: AtomicU64,
    pub transactions: AtomicU64,
    pub entries_read: AtomicU64,
    pub batches: AtomicU64,
    pub checkpoints: AtomicU64,
    sync_total_us: AtomicU64,
    sync_histogram: [AtomicU64; SYNC_BUCKETS],
}

impl Counters {
    pub(crate) fn synced(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - took_us.leading_zeros()) as usize;
        if let Some(counter) = self.sync_histogram.get(bucket.min(SYNC_BUCKETS - 1)) {
            counter.fetch_add(1, Relaxed);
        }
        self.sync_total_us.fetch_add(took_us, Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let mut sync_histogram = [0; SYNC_BUCKETS];
        for (bucket, counter) in sync_histogram.iter_mut().zip(&self.sync_histogram) {
            *bucket = counter.load(Relaxed);
        }
        Stats {
            sequence: self.sequence.load(Relaxed),
            sequence_durable: self.sequence_durable.load(Relaxed),
            memtable_bytes: self.memtable_bytes.load(Relaxed),
            transactions: self.transactions.load(Relaxed),
            entries_read: self.entries_read.load(Relaxed),
            batches: self.batches.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            syncs: sync_histogram.iter().sum(),
            sync_total: Duration::from_micros(self.sync_total_us.load(Relaxed)),
            sync_histogram,
        }
    }
}
