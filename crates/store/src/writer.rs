//! The one writer: takes what is queued, runs it, writes it, syncs it, publishes it, answers.
//!
//! The order of these steps is the store's guarantee. A batch is a run of transactions up to one sync. Transactions
//! that need none, at the front of the queue, are a batch of their own, which is published without a sync. Behind one
//! that needs a sync they wait for it, because what they saw of it must not be seen before it is durable.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::checkpoint::LogPosition;
use crate::error::Fatal;
use crate::frame::{self, BODY_BYTES_MAX, Changes, Kind};
use crate::log::{Log, PrepareJob};
use crate::memtable::Memtable;
use crate::options::{Durability, Options};
use crate::shared::Shared;
use crate::transaction::Transaction;

/// A batch is closed when it has this many transactions, or this many bytes.
pub(crate) const BATCH_TRANSACTIONS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// What an entry takes in memory beside its bytes in the log.
const ENTRY_BYTES: usize = 128;
/// With more unsynced log than this, a batch that needs no sync gets one.
const UNSYNCED_BYTES_MAX: u64 = 1 << 20;

/// One queued transaction.
pub(crate) struct Write {
    pub durability: Durability,
    pub job: Box<dyn Job>,
}

pub(crate) trait Job: Send {
    /// Runs the transaction. If it fails, its changes are not made.
    fn run(&mut self, transaction: &mut Transaction<'_>);
    /// Takes the transaction back before anything was written.
    fn refuse(&mut self, why: String);
    fn failed(&self) -> bool;
    fn answer(self: Box<Self>);
}

pub(crate) type Panic = Box<dyn Any + Send>;

/// A transaction, then its outcome, on the way to the one who waits for it.
pub(crate) struct Pending<F, T> {
    pub change: Option<F>,
    pub outcome: Option<Result<T, Panic>>,
    pub sender: oneshot::Sender<Result<T, Panic>>,
}

impl<T: Send, F: FnOnce(&mut Transaction<'_>) -> T + Send> Job for Pending<F, T> {
    fn run(&mut self, transaction: &mut Transaction<'_>) {
        if let Some(change) = self.change.take() {
            self.outcome = Some(catch_unwind(AssertUnwindSafe(|| change(transaction))));
        }
    }

    fn refuse(&mut self, why: String) {
        self.outcome = Some(Err(Box::new(why)));
    }

    fn failed(&self) -> bool {
        !matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(mut self: Box<Self>) {
        if let Some(outcome) = self.outcome.take() {
            // Nobody waits any more: fine.
            let _ = self.sender.send(outcome);
        }
    }
}

/// A frozen memtable on its way into the checkpoint, and where it ends.
pub(crate) struct Frozen {
    pub memtable: Arc<Memtable>,
    pub position: LogPosition,
}

/// The writer without anything that waits: its drivers are in [`crate::driver`].
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    log: Log,
    /// What this batch has changed so far, for the transactions that follow in it.
    batch: Changes,
    done: Vec<Box<dyn Job>>,
    /// What the active memtable takes: log, and entries.
    log_bytes: usize,
    entries: usize,
    memtable_bytes_max: usize,
    /// Whether the last synced frame could still be taken for one that was never synced.
    unmarked: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, log: Log, options: &Options) -> Writer {
        let (log_bytes, entries) = {
            let active = &shared.layers.read().active;
            (active.log_bytes, active.entries.len())
        };
        let writer = Writer {
            shared,
            log,
            batch: Changes::new(),
            done: Vec::new(),
            log_bytes,
            entries,
            memtable_bytes_max: options.memtable_bytes,
            unmarked: false,
        };
        writer.count();
        writer
    }

    /// See [`Log::prepare_by`].
    pub(crate) fn prepare_by(&mut self, preparer: std::sync::mpsc::Sender<PrepareJob>) {
        self.log.prepare_by(preparer);
    }

    /// Runs, writes and answers one batch from the front of `queue`.
    pub(crate) fn commit(&mut self, queue: &mut VecDeque<Write>) -> Result<(), Fatal> {
        let needs_sync = queue.front().is_some_and(|write| write.durability == Durability::Synced);
        let mut sync = false;
        while let Some(write) = queue.pop_front_if(|write| {
            let fits =
                self.done.len() < BATCH_TRANSACTIONS_MAX && self.log.buffered_bytes() < BATCH_BYTES_MAX;
            fits && (needs_sync || write.durability == Durability::Ordered)
        }) {
            let wrote = self.run(write.job)?;
            sync |= wrote && write.durability == Durability::Synced;
        }
        self.log.write()?;
        if sync || self.log.unsynced_bytes() > UNSYNCED_BYTES_MAX {
            self.sync()?;
        }
        self.publish()?;
        for job in self.done.drain(..) {
            job.answer();
        }
        self.log.prepare_next();
        self.shared.counters.batches.fetch_add(1, Relaxed);
        self.count();
        Ok(())
    }

    /// Runs one transaction and encodes what it changed. `false` if it changed nothing.
    fn run(&mut self, mut job: Box<dyn Job>) -> Result<bool, Fatal> {
        let mut transaction = Transaction::new(&self.shared, &self.batch);
        job.run(&mut transaction);
        let changes = transaction.into_changes();
        let bytes = frame::body_bytes(&changes);
        if bytes > BODY_BYTES_MAX {
            job.refuse(format!("a transaction of {bytes} bytes, where {BODY_BYTES_MAX} are the most"));
        }
        let wrote = !changes.is_empty() && !job.failed();
        if wrote {
            self.log.append(Kind::Changes, &changes)?;
            self.batch.extend(changes);
        }
        self.done.push(job);
        Ok(wrote)
    }

    fn sync(&mut self) -> Result<(), Fatal> {
        let started = Instant::now();
        self.log.sync()?;
        self.shared.counters.synced(started.elapsed());
        self.unmarked = true;
        Ok(())
    }

    /// Shows the batch to readers.
    fn publish(&mut self) -> Result<(), Fatal> {
        let batch = self.log.take_batch();
        self.batch.clear();
        if batch.bodies.is_empty() {
            return Ok(());
        }
        self.log_bytes += batch.bytes.len();
        self.shared.counters.transactions.fetch_add(batch.bodies.len() as u64, Relaxed);
        let mut layers = self.shared.layers.write();
        layers.active.log_bytes += batch.bytes.len();
        for body in batch.bodies {
            let applied = layers.active.apply(batch.bytes.slice(body));
            self.entries += applied.map_err(|what| {
                Fatal::new(&self.shared.label, "read back a frame", std::io::Error::other(what))
            })?;
        }
        Ok(())
    }

    /// The last sequence that is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.log.durable()
    }

    /// Whether the active memtable should go into the checkpoint.
    pub(crate) fn is_full(&self) -> bool {
        self.log_bytes + self.entries * ENTRY_BYTES >= self.memtable_bytes_max
    }

    pub(crate) fn has_entries(&self) -> bool {
        self.log_bytes > 0
    }

    /// Whether there is anything whose durability a loss of power would leave open.
    pub(crate) fn is_settled(&self) -> bool {
        self.log.unsynced_bytes() == 0 && !self.unmarked
    }

    /// Syncs what is not, and says so in the log, so that damage to the last frames can be told from a torn end.
    pub(crate) fn settle(&mut self, kind: Kind) -> Result<(), Fatal> {
        if self.log.unsynced_bytes() > 0 {
            self.sync()?;
        }
        self.log.append(kind, &Changes::new())?;
        self.sync()?;
        self.log.take_batch();
        self.unmarked = false;
        self.count();
        Ok(())
    }

    /// Freezes the active memtable. There must be no frozen one.
    pub(crate) fn freeze(&mut self) -> Result<Frozen, Fatal> {
        if self.log.unsynced_bytes() > 0 {
            self.sync()?;
        }
        (self.log_bytes, self.entries) = (0, 0);
        self.count();
        Ok(Frozen { memtable: self.shared.freeze(), position: self.log.position() })
    }

    /// The checkpoint has reached `position`.
    pub(crate) fn checkpointed(&mut self, position: &LogPosition) -> Result<(), Fatal> {
        self.log.release(position.segment)
    }

    fn count(&self) {
        let counters = &self.shared.counters;
        counters.sequence.store(self.log.position().sequence, Relaxed);
        counters.sequence_durable.store(self.log.durable(), Relaxed);
        counters.memtable_bytes.store(self.log_bytes as u64, Relaxed);
    }
}
