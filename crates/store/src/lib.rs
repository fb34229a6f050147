//! Durable storage: an ordered map of bytes, written through one log.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use trellis_store::{Durability, Store};
//!
//! let store = Store::in_memory();
//! let taken = store
//!     .write(Durability::Synced, |tx| {
//!         let free = tx.get(b"seat/7").is_none();
//!         if free {
//!             tx.put("seat/7", "ada");
//!         }
//!         !free
//!     })
//!     .await;
//! assert!(!taken);
//! assert_eq!(store.get(b"seat/7").as_deref(), Some(&b"ada"[..]));
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! Transactions run one at a time, in one order; each is in the log whole or not at all. After any stop, the state is
//! that after some prefix of this order.
//!
//! | | [`Durability::Synced`] | [`Durability::Ordered`] |
//! |---|---|---|
//! | sees | everything before it in the order, durable or not | the same |
//! | can be seen by `get` and `scan`, and is answered | once it and all before it are durable | once it is written and every `Synced` one before it is durable |
//! | `kill -9` after the answer | kept | kept |
//! | loss of power after the answer | kept | lost only if it was written less than [`Options::settle`] (or 1 MiB of log) ago and nothing `Synced` was answered since; then with all that came after it |
//! | the caller stops waiting | it happens or not | it happens or not |
//!
//! So nothing that was seen of a `Synced` write is ever taken back, and nothing that depends on one, either. What was
//! seen of an `Ordered` write may be, by a loss of power: what cannot be derived again does not go there.
//!
//! A transaction that panics changes nothing; its caller gets the panic. If the disk fails, the process ends
//! ([`Options::on_fatal`]); a sync is never tried again, because the second would succeed without having written
//! anything.
//!
//! What the disk must do is said at [`Disk`]; what is checked when it is opened, in `open.rs` and `recovery.rs`.

mod checkpoint;
mod disk;
mod driver;
mod error;
mod frame;
mod log;
mod memtable;
mod open;
mod options;
mod overlay;
mod pages;
mod range;
mod recovery;
mod shared;
mod sim;
mod stats;
mod transaction;
mod verify;
mod writer;

use std::fmt;
use std::ops::RangeBounds;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::oneshot;

pub use disk::{Access, Disk, DiskFile, Guard, Lock, RealDisk};
pub use driver::{Driver, WriterTask};
pub use error::{Damage, Fatal, OpenError};
pub use options::{Durability, OnFatal, Options};
pub use range::Order;
pub use sim::SimDisk;
pub use stats::{SYNC_BUCKETS, Stats};
pub use transaction::Transaction;
pub use verify::{Report, verify, verify_dir};

use driver::{Entrance, Request, Timing};
use memtable::Layers;
use shared::Shared;
use writer::{Pending, Write, Writer};

/// A handle on the store; clones share it. The directory is free again when the last is gone and the writer has
/// ended, of which [`Store::close`] makes sure.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    entrance: Entrance,
}

impl Store {
    /// Opens what is on the disk, or starts a new store there. Blocks while it reads the log.
    pub fn open(disk: impl Disk, options: Options, driver: Driver) -> Result<Store, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let opened = open::open(&disk, &options)?;
        let base = opened.checkpoint.snapshot().map_err(|error| open::unreadable(&*disk, error))?;
        let shared = Arc::new(Shared {
            label: disk.label(),
            layers: RwLock::new(Layers { active: opened.memtable, frozen: None, base: Arc::new(base) }),
            checkpoint: opened.checkpoint,
            counters: stats::Counters::default(),
            on_fatal: options.on_fatal.clone(),
            lock: opened.lock,
        });
        let writer = Writer::new(shared.clone(), opened.log, &options);
        let timing = Timing { queue: options.queue.max(1), settle: options.settle };
        let entrance = driver::start(writer, driver, timing)
            .map_err(|source| OpenError::Thread { directory: disk.label(), source })?;
        Ok(Store { shared, entrance })
    }

    /// A directory of the operating system, with everything at its default.
    pub fn open_dir(directory: impl AsRef<Path>) -> Result<Store, OpenError> {
        let path = directory.as_ref();
        let disk = RealDisk::create(path).map_err(|source| OpenError::Io {
            directory: path.display().to_string(),
            action: "create or enter it".to_owned(),
            source,
        })?;
        Store::open(disk, Options::default(), Driver::Threads)
    }

    /// On a simulated disk, without threads: for tests.
    #[allow(clippy::expect_used)]
    pub fn in_memory() -> Store {
        let options = Options {
            memtable_bytes: 1 << 20,
            segment_bytes: 256 << 10,
            cache_bytes: 1 << 20,
            ..Options::default()
        };
        Store::open(SimDisk::new(0), options, Driver::Inline).expect("an empty simulated disk can be opened")
    }

    /// Runs `change` alone, in the one order of all writes. What it puts and deletes is one atomic frame.
    ///
    /// `change` runs on the writer: it must not wait for anything. If it panics, so does this. On a store that has
    /// been closed, or whose disk has failed, this never returns.
    pub async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> T {
        let (sender, answer) = oneshot::channel();
        let job = Box::new(Pending { change: Some(change), outcome: None, sender });
        match self.ask(Request::Write(Write { durability, job }), answer).await {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.shared.get(key)
    }

    /// At most `limit` entries of `range`, as they are together at one moment.
    pub fn scan(&self, range: impl RangeBounds<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)> {
        self.shared.scan(&[], &range, order, limit)
    }

    /// Returns when everything written so far is in the checkpoint.
    pub async fn checkpoint(&self) {
        let (sender, answer) = oneshot::channel();
        self.ask(Request::Checkpoint(sender), answer).await;
    }

    /// Ends the writer in good order: everything queued is written and durable, and the next start has nothing to
    /// read. Reading goes on to work. Other handles keep the directory taken.
    pub async fn close(self) {
        let (sender, answer) = oneshot::channel();
        self.ask(Request::Close(sender), answer).await;
    }

    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<T>) -> T {
        self.entrance.send(request).await;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                tracing::error!(
                    store = self.shared.label,
                    "a request to a closed or failed store is never answered"
                );
                std::future::pending().await
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("shared", &self.shared).finish_non_exhaustive()
    }
}
