//! What readers and the writer share: the layers, the checkpoint beneath them, the figures.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::checkpoint::{Checkpoint, CheckpointError, LogPosition};
use crate::disk::Lock;
use crate::error::Fatal;
use crate::frame::Changes;
use crate::memtable::{self, Layers, Memtable, detached};
use crate::options::OnFatal;
use crate::range::{Order, Range};
use crate::stats::Counters;

/// The fields are dropped in this order: what reads the checkpoint, the checkpoint, the hold on the directory.
pub(crate) struct Shared {
    pub label: String,
    pub layers: RwLock<Layers>,
    pub checkpoint: Checkpoint,
    pub counters: Counters,
    pub on_fatal: OnFatal,
    pub lock: Lock,
}

impl Shared {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.counters.entries_read.fetch_add(1, Ordering::Relaxed);
        let base = {
            let layers = self.layers.read();
            if let Some(value) = layers.recent(key) {
                return value.as_ref().map(detached);
            }
            layers.base.clone()
        };
        base.get(key).unwrap_or_else(|error| self.unreadable(error))
    }

    /// `newer` are changes that only the one who asks can see, newest first.
    pub(crate) fn scan(
        &self,
        newer: &[&Changes],
        range: &impl RangeBounds<Bytes>,
        order: Order,
        limit: usize,
    ) -> Vec<(Bytes, Bytes)> {
        let range: Range = (range.start_bound().cloned(), range.end_bound().cloned());
        if limit == 0 || memtable::is_empty(&range) {
            return Vec::new();
        }
        // The lock is held for memory only; the checkpoint's snapshot stays as it is without it.
        let (recent, base) = {
            let layers = self.layers.read();
            let tables = newer.iter().copied().chain(layers.memtables());
            (memtable::recent_of(tables, &range, order, limit), layers.base.clone())
        };
        let found = memtable::over_base(recent, &base, &range, order, limit)
            .unwrap_or_else(|error| self.unreadable(error));
        self.counters.entries_read.fetch_add(found.len() as u64, Ordering::Relaxed);
        found
    }

    /// Makes the active memtable the frozen one, which there must not be.
    pub(crate) fn freeze(&self) -> Arc<Memtable> {
        let mut layers = self.layers.write();
        let frozen = Arc::new(std::mem::take(&mut layers.active));
        layers.frozen = Some(frozen.clone());
        frozen
    }

    /// Moves the frozen memtable, which ends at `position`, into the checkpoint.
    pub(crate) fn checkpoint(&self, frozen: Arc<Memtable>, position: &LogPosition) -> Result<(), Fatal> {
        let advance = || {
            self.checkpoint.advance(&frozen.entries, position)?;
            self.checkpoint.snapshot()
        };
        let base = Arc::new(advance().map_err(|error: CheckpointError| {
            Fatal::new(&self.label, "write the checkpoint", error.into_io())
        })?);
        let replaced = {
            let mut layers = self.layers.write();
            (std::mem::replace(&mut layers.base, base), layers.frozen.take())
        };
        // Freeing this takes a while, so it happens without the lock.
        drop((replaced, frozen));
        self.counters.checkpoints.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn fatal(&self, fatal: &Fatal) {
        (self.on_fatal)(fatal);
    }

    /// A store that cannot read must not say "not there".
    #[allow(clippy::panic)]
    fn unreadable(&self, error: CheckpointError) -> ! {
        let fatal = Fatal::new(&self.label, "read the checkpoint", error.into_io());
        self.fatal(&fatal);
        panic!("{fatal}")
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("label", &self.label).field("lock", &self.lock).finish_non_exhaustive()
    }
}
