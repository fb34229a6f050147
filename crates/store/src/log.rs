//! The end of the log, where frames are added. Segments `wal-0000000001`, `wal-0000000002`, … follow each other.
//!
//! * A segment exists under its name only with a valid head, synced; the one before it is sealed and synced before
//!   anything is written behind that head. So after a seal there must be a next segment, and only the last may be torn.
//! * Segments that the checkpoint has made superfluous are used again: writing into blocks that exist costs a sync
//!   no metadata. What they still hold is refused by sequence and hash.
//! * New ones are grown ahead with zeros, a piece at a time, for the same reason.
//! * The next segment is made while the current one is still half empty, where there are threads by one of its own:
//!   making a file durable waits for the file system's journal, and so for whatever else the machine writes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

use bytes::{Bytes, BytesMut};

use crate::checkpoint::LogPosition;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::Fatal;
use crate::frame::{self, Changes, HEAD_BYTES, Head, Kind, Salt};

pub(crate) const SEGMENT_HEAD_BYTES: usize = 32;
/// A segment's name until its head is durable.
pub(crate) const SEGMENT_NEW: &str = "wal.new";
const SEGMENT_MAGIC: &[u8; 8] = b"TrWal\0\0\x01";
const GROWTH_BYTES: u64 = 1 << 20;
const SPARES_MAX: usize = 2;
/// A buffer is given away piece by piece as batches become part of the memtable.
const BUFFER_BYTES: usize = 1 << 20;

pub(crate) fn segment_name(number: u64) -> String {
    format!("wal-{number:010}")
}

pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("wal-")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

pub(crate) fn segment_head(salt: Salt, number: u64) -> [u8; SEGMENT_HEAD_BYTES] {
    let mut head = [0; SEGMENT_HEAD_BYTES];
    let (magic, rest) = head.split_at_mut(8);
    magic.copy_from_slice(SEGMENT_MAGIC);
    let (place, rest) = rest.split_at_mut(8);
    place.copy_from_slice(&number.to_le_bytes());
    let check = salt.hash(&[SEGMENT_MAGIC.as_slice(), place].concat());
    let (place, _) = rest.split_at_mut(8);
    place.copy_from_slice(&check.to_le_bytes());
    head
}

/// What the log needs to know besides its position.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    pub disk: Arc<dyn Disk>,
    pub salt: Salt,
    pub segment_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Log {
    options: LogOptions,
    label: String,
    file: Arc<dyn DiskFile>,
    /// After the last frame, in the buffer or not.
    position: LogPosition,
    file_bytes: u64,
    /// Everything up to here is synced.
    durable: u64,
    unsynced_bytes: u64,
    /// Frames of this batch; the first `written` bytes are in the file already.
    buffer: BytesMut,
    written: usize,
    /// Where the bodies of this batch's transactions lie in the buffer.
    bodies: Vec<std::ops::Range<usize>>,
    /// Segments that are still needed, oldest first, without the current one; and those that are not.
    older: Vec<u64>,
    spares: Vec<u64>,
    preparer: Option<Sender<PrepareJob>>,
    /// The next segment, on its way.
    next: Option<Receiver<Result<Segment, Fatal>>>,
}

/// An empty segment.
#[derive(Debug)]
struct Segment {
    file: Arc<dyn DiskFile>,
    bytes: u64,
}

/// Makes one segment, and hands it over.
pub(crate) struct PrepareJob {
    options: LogOptions,
    number: u64,
    spare: Option<u64>,
    done: SyncSender<Result<Segment, Fatal>>,
}

impl PrepareJob {
    pub(crate) fn run(self) {
        let made = new_segment(&self.options, self.number, self.spare, self.options.segment_bytes);
        // Nobody waits for it if the log is gone.
        let _ = self.done.send(made);
    }
}

impl Drop for Log {
    /// Nothing may write in the directory any more when the log is gone, as it may be given away then.
    fn drop(&mut self) {
        if let Some(next) = self.next.take() {
            let _ = next.recv();
        }
    }
}

/// The frames of one batch, as they went to the file.
#[derive(Debug)]
pub(crate) struct Batch {
    pub bytes: Bytes,
    pub bodies: Vec<std::ops::Range<usize>>,
}

impl Log {
    /// The first segment of a new log, durably there and empty.
    pub(crate) fn create(options: &LogOptions, number: u64) -> Result<(), Fatal> {
        new_segment(options, number, None, 0).map(drop)
    }

    /// Goes on at `position`. Everything before it must be durable. `segments` are all that exist up to that position.
    pub(crate) fn resume(options: LogOptions, position: LogPosition, segments: &[u64]) -> Result<Log, Fatal> {
        let label = options.disk.label();
        let name = segment_name(position.segment);
        let file = options
            .disk
            .open(&name, Access::Write)
            .map_err(|source| Fatal::new(&label, format!("open {name}"), source))?;
        let file_bytes =
            file.length().map_err(|source| Fatal::new(&label, format!("measure {name}"), source))?;
        Ok(Log {
            label,
            file,
            file_bytes,
            durable: position.sequence,
            unsynced_bytes: 0,
            buffer: BytesMut::with_capacity(BUFFER_BYTES),
            written: 0,
            bodies: Vec::new(),
            older: segments.iter().copied().filter(|number| *number < position.segment).collect(),
            spares: Vec::new(),
            preparer: None,
            next: None,
            position: LogPosition { epoch: position.epoch + 1, ..position },
            options,
        })
    }

    /// From now on, segments are made by whoever takes the jobs out of `preparer`, and not here.
    pub(crate) fn prepare_by(&mut self, preparer: Sender<PrepareJob>) {
        self.preparer = Some(preparer);
    }

    pub(crate) fn position(&self) -> LogPosition {
        self.position
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a frame to the batch. If it does not fit into the segment, the part before it is synced on the way.
    pub(crate) fn append(&mut self, kind: Kind, changes: &Changes) -> Result<(), Fatal> {
        let needed = (frame::frame_bytes(changes) + HEAD_BYTES) as u64;
        let is_first = self.position.offset == SEGMENT_HEAD_BYTES as u64;
        if self.position.offset + needed > self.options.segment_bytes && !is_first {
            self.roll()?;
        }
        self.encode(kind, changes);
        Ok(())
    }

    fn encode(&mut self, kind: Kind, changes: &Changes) {
        let start = self.buffer.len();
        let head = Head {
            kind,
            sequence: self.position.sequence + 1,
            durable: self.durable,
            previous: self.position.hash,
            epoch: self.position.epoch,
        };
        self.position.hash = frame::encode(&mut self.buffer, self.options.salt, &head, changes);
        self.position.sequence = head.sequence;
        self.position.offset += (self.buffer.len() - start) as u64;
        if kind == Kind::Changes {
            let body = start + HEAD_BYTES;
            self.bodies.push(body..body + frame::body_bytes(changes));
        }
    }

    /// Hands the batch's frames to the operating system.
    pub(crate) fn write(&mut self) -> Result<(), Fatal> {
        let data = self.buffer.get(self.written..).unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
        let offset = self.position.offset - data.len() as u64;
        let written = self.file.write_at(offset, data).and_then(|()| self.grow());
        written.map_err(|source| self.fatal("write to", source))?;
        self.unsynced_bytes += (self.buffer.len() - self.written) as u64;
        self.written = self.buffer.len();
        Ok(())
    }

    /// Keeps the file longer than what was written to it.
    fn grow(&mut self) -> std::io::Result<()> {
        let end = self.position.offset;
        if end <= self.file_bytes {
            return Ok(());
        }
        let wanted = (end + GROWTH_BYTES).min(self.options.segment_bytes).max(end);
        if wanted > end {
            // At most GROWTH_BYTES.
            self.file.write_at(end, &vec![0; (wanted - end) as usize])?;
        }
        self.file_bytes = wanted;
        Ok(())
    }

    /// Returns when everything that was written would survive a loss of power.
    pub(crate) fn sync(&mut self) -> Result<(), Fatal> {
        self.write()?;
        self.file.sync().map_err(|source| self.fatal("sync", source))?;
        self.durable = self.position.sequence;
        self.unsynced_bytes = 0;
        Ok(())
    }

    /// The batch, once it is written.
    pub(crate) fn take_batch(&mut self) -> Batch {
        debug_assert_eq!(self.written, self.buffer.len(), "a batch is written before it is published");
        self.written = 0;
        let bytes = self.buffer.split().freeze();
        if self.buffer.capacity() < BUFFER_BYTES / 4 {
            self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
        }
        Batch { bytes, bodies: std::mem::take(&mut self.bodies) }
    }

    fn roll(&mut self) -> Result<(), Fatal> {
        let number = self.position.segment + 1;
        let prepared = self.next.take().and_then(|next| next.recv().ok());
        let segment = match prepared {
            Some(segment) => segment?,
            None => new_segment(&self.options, number, self.spares.pop(), 0)?,
        };
        self.encode(Kind::Sealed, &Changes::new());
        self.sync()?;
        self.older.push(self.position.segment);
        self.file = segment.file;
        self.file_bytes = segment.bytes;
        self.position.segment = number;
        self.position.offset = SEGMENT_HEAD_BYTES as u64;
        Ok(())
    }

    /// Has the next segment made, if it will be needed soon. Called between batches: while one is written, which
    /// segment is the next one changes.
    pub(crate) fn prepare_next(&mut self) {
        if self.next.is_some() || self.position.offset < self.options.segment_bytes / 2 {
            return;
        }
        let (done, next) = sync_channel(1);
        let number = self.position.segment + 1;
        let job = PrepareJob { options: self.options.clone(), number, spare: self.spares.pop(), done };
        match &self.preparer {
            None => job.run(),
            // Without the one who prepares, the job is gone, and the segment is made when it is needed.
            Some(preparer) => drop(preparer.send(job)),
        }
        self.next = Some(next);
    }

    /// Segments before `segment` are not needed any more: the checkpoint has all they say.
    pub(crate) fn release(&mut self, segment: u64) -> Result<(), Fatal> {
        let (done, needed) = self.older.iter().partition(|number| **number < segment);
        self.older = needed;
        let done: Vec<u64> = done;
        for number in done {
            if self.spares.len() < SPARES_MAX {
                self.spares.push(number);
                continue;
            }
            let name = segment_name(number);
            self.options
                .disk
                .remove(&name)
                .map_err(|source| Fatal::new(&self.label, format!("remove {name}"), source))?;
        }
        Ok(())
    }

    fn fatal(&self, action: &str, source: std::io::Error) -> Fatal {
        let name = segment_name(self.position.segment);
        Fatal::new(&self.label, format!("{action} the log ({name})"), source)
    }
}

/// A segment with nothing but its head, durable under its name, made of `spare` if there is one, and at least
/// `bytes` long.
fn new_segment(options: &LogOptions, number: u64, spare: Option<u64>, bytes: u64) -> Result<Segment, Fatal> {
    let disk = &options.disk;
    let name = segment_name(number);
    let make = || {
        let file = match spare {
            Some(spare) => {
                disk.rename(&segment_name(spare), SEGMENT_NEW)?;
                disk.open(SEGMENT_NEW, Access::Write)?
            }
            None => disk.create(SEGMENT_NEW)?,
        };
        file.write_at(0, &segment_head(options.salt, number))?;
        let mut length = file.length()?;
        while length < bytes {
            let piece = GROWTH_BYTES.min(bytes - length);
            file.write_at(length, &vec![0; piece as usize])?;
            length += piece;
        }
        file.sync()?;
        disk.rename(SEGMENT_NEW, &name)?;
        disk.sync_directory()?;
        Ok(Segment { file, bytes: length })
    };
    make()
        .map_err(|source| Fatal::new(&disk.label(), format!("start the log's next segment ({name})"), source))
}
