//! The checkpoint: redb, on the store's own disk, with the state up to one position in the log.
//!
//! It is written in one redb transaction per checkpoint, so it is always the state after one frame, and it says
//! which. Nothing else is ever written to it, and nothing of the log before that position is needed again.

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition, TableError,
};

use crate::disk::DiskFile;
use crate::frame::Changes;
use crate::range::{Order, Range};

pub(crate) const FILE: &str = "checkpoint.redb";
/// Its name until it is complete for the first time.
pub(crate) const FILE_NEW: &str = "checkpoint.redb.new";

const DATA: TableDefinition<&[u8], &[u8]> = TableDefinition::new("data");
const POSITION: TableDefinition<&str, u64> = TableDefinition::new("place");

/// A position in the log: right after the frame `sequence`, whose hash is `hash`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub sequence: u64,
    pub hash: u64,
    pub epoch: u32,
    pub segment: u64,
    pub offset: u64,
}

#[derive(Debug)]
pub(crate) struct Checkpoint {
    database: Database,
}

/// Why redb could not do something.
#[derive(Debug)]
pub(crate) enum CheckpointError {
    Redb(Box<redb::Error>),
    /// It stopped in the middle: its file holds what it thinks cannot be.
    Nonsense(String),
}

impl<E: Into<redb::Error>> From<E> for CheckpointError {
    fn from(error: E) -> CheckpointError {
        CheckpointError::Redb(Box::new(error.into()))
    }
}

impl CheckpointError {
    /// What the operator needs to see is the disk's own error, where it is that.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            CheckpointError::Redb(error) => match *error {
                redb::Error::Io(source) => source,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            },
            CheckpointError::Nonsense(what) => io::Error::new(io::ErrorKind::InvalidData, what),
        }
    }
}

/// redb checks most of what it reads, but panics on some of it. A damaged file must not look like our own mistake.
fn guarded<T>(action: impl FnOnce() -> Result<T, CheckpointError>) -> Result<T, CheckpointError> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        Err(CheckpointError::Nonsense(format!(
            "its content makes no sense ({})",
            text.unwrap_or("no reason given")
        )))
    })
}

impl Checkpoint {
    /// Opens it, or, on an empty file, makes a new one.
    pub(crate) fn open(file: impl StorageBackend, cache_bytes: usize) -> Result<Checkpoint, CheckpointError> {
        guarded(|| {
            let database = Database::builder().set_cache_size(cache_bytes).create_with_backend(file)?;
            Ok(Checkpoint { database })
        })
    }

    /// The state that readers see from now on until the next checkpoint.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, CheckpointError> {
        guarded(|| Ok(Snapshot { data: self.database.begin_read()?.open_table(DATA)? }))
    }

    /// Where the log goes on; `None` if nothing was ever written here.
    pub(crate) fn position(&self) -> Result<Option<LogPosition>, CheckpointError> {
        guarded(|| self.read_position())
    }

    fn read_position(&self) -> Result<Option<LogPosition>, CheckpointError> {
        let table = match self.database.begin_read()?.open_table(POSITION) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            table => table?,
        };
        let field =
            |name: &str| -> Result<Option<u64>, CheckpointError> { Ok(table.get(name)?.map(|v| v.value())) };
        let (Some(sequence), Some(hash), Some(epoch), Some(segment), Some(offset)) =
            (field("sequence")?, field("hash")?, field("epoch")?, field("segment")?, field("offset")?)
        else {
            return Ok(None);
        };
        let Ok(epoch) = u32::try_from(epoch) else { return Ok(None) };
        Ok(Some(LogPosition { sequence, hash, epoch, segment, offset }))
    }

    /// Brings the checkpoint to `position` by `changes`, durably.
    pub(crate) fn advance(&self, changes: &Changes, position: &LogPosition) -> Result<(), CheckpointError> {
        guarded(|| self.write(changes, position))
    }

    fn write(&self, changes: &Changes, position: &LogPosition) -> Result<(), CheckpointError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // Without it, a start after a crash would read the whole file.
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(DATA)?;
            for (key, value) in changes {
                match value {
                    Some(value) => table.insert(key.as_ref(), value.as_ref())?,
                    None => table.remove(key.as_ref())?,
                };
            }
            let mut fields = transaction.open_table(POSITION)?;
            fields.insert("sequence", position.sequence)?;
            fields.insert("hash", position.hash)?;
            fields.insert("epoch", u64::from(position.epoch))?;
            fields.insert("segment", position.segment)?;
            fields.insert("offset", position.offset)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Reads every page and checks it. `false`: redb would have to repair it.
    pub(crate) fn is_sound(&mut self) -> Result<bool, CheckpointError> {
        guarded(|| Ok(self.database.check_integrity()?))
    }
}

/// Entries in the order that was asked for.
pub(crate) type Found = Box<dyn Iterator<Item = Result<(Bytes, Bytes), CheckpointError>>>;

/// The state of the last checkpoint, readable while the next one is written.
pub(crate) struct Snapshot {
    data: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, CheckpointError> {
        guarded(|| Ok(self.data.get(key)?.map(|value| Bytes::copy_from_slice(value.value()))))
    }

    pub(crate) fn range(&self, range: &Range, order: Order) -> Result<Found, CheckpointError> {
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) =
            (range.0.as_ref().map(|key| key.as_ref()), range.1.as_ref().map(|key| key.as_ref()));
        let mut entries = guarded(|| Ok(self.data.range::<&[u8]>(bounds)?))?;
        Ok(Box::new(std::iter::from_fn(move || {
            let next = guarded(|| {
                let entry = match order {
                    Order::Ascending => entries.next(),
                    Order::Descending => entries.next_back(),
                };
                let Some(entry) = entry else { return Ok(None) };
                let (key, value) = entry?;
                Ok(Some((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value()))))
            });
            next.transpose()
        })))
    }
}

/// What redb reads and writes through.
#[derive(Debug)]
pub(crate) struct Backend(pub Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
