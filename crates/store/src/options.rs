//! What whoever opens a store, and writes to it, can choose.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Fatal;

/// Told of a failure of the disk. The default ends the process; one that returns leaves a store on which no write is
/// ever answered again.
pub type OnFatal = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the frame that holds it is on disk. It becomes visible then, not earlier.
    Synced,
    /// As soon as it is applied: it reaches the disk in order, with whatever is synced next. For what can be derived
    /// again.
    Ordered,
}

/// Sizes and times. The defaults are for production.
#[derive(Clone)]
pub struct Options {
    /// With this much in memory, a checkpoint starts. Up to twice as much is held, and read again by a start.
    pub memtable_bytes: usize,
    /// The size of a file of the log, at most 512 MiB.
    pub segment_bytes: u64,
    /// What the checkpoint's reader and writer may keep in memory.
    pub cache_bytes: usize,
    /// How many transactions wait at most; the next caller waits for room.
    pub queue: usize,
    /// How long after a write that needed no sync it is synced, at the latest; and how long after the last write the
    /// log says that all of it is durable.
    pub settle: Duration,
    pub on_fatal: OnFatal,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            memtable_bytes: 8 << 20,
            segment_bytes: 16 << 20,
            cache_bytes: 8 << 20,
            queue: 1024,
            settle: Duration::from_millis(50),
            on_fatal: end_the_process(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("memtable_bytes", &self.memtable_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("queue", &self.queue)
            .field("settle", &self.settle)
            .finish_non_exhaustive()
    }
}

fn end_the_process() -> OnFatal {
    Arc::new(|fatal| {
        tracing::error!(%fatal, "the store failed");
        eprintln!("trellis: the store failed: {fatal}");
        std::process::abort();
    })
}
