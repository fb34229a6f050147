//! Opening a directory: lock, format, checkpoint, log. Each step leaves the directory openable if it is the last.
//!
//! A new directory gets, in this order and each under its final name only when complete: `format`,
//! `checkpoint.redb`, the first segment. So a later one without an earlier one is damage, not an unfinished start.

use std::io;
use std::sync::Arc;

use crate::checkpoint::{Backend, Checkpoint, CheckpointError, FILE, FILE_NEW, LogPosition};
use crate::disk::{self, Access, Disk, Lock};
use crate::error::{Damage, OpenError};
use crate::frame::{Changes, Kind, Salt};
use crate::log::{Log, LogOptions, SEGMENT_HEAD_BYTES, SEGMENT_NEW, segment_name, segment_number};
use crate::memtable::Memtable;
use crate::options::Options;
use crate::overlay::Overlay;
use crate::recovery;

pub(crate) const FORMAT_FILE: &str = "format";
const FORMAT_FILE_NEW: &str = "format.new";
const FORMAT_BYTES_MAX: u64 = 4096;
pub(crate) const VERSION: u64 = 1;
const LOOK_CACHE_BYTES: usize = 4 << 20;

const START: LogPosition =
    LogPosition { sequence: 0, hash: 0, epoch: 0, segment: 1, offset: SEGMENT_HEAD_BYTES as u64 };

/// An open directory.
pub(crate) struct Opened {
    pub lock: Lock,
    pub checkpoint: Checkpoint,
    pub log: Log,
    pub memtable: Memtable,
}

/// First everything is read, then, if none of it is refused, anything is written.
pub(crate) fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Opened, OpenError> {
    let lock = lock(&**disk, Access::Write)?;
    let names = list(&**disk)?;
    let salt = read_format(&**disk, &names)?;
    let from = match open_unchanged(&**disk, &names)? {
        Some(checkpoint) => position_of(&**disk, &checkpoint)?,
        None => START,
    };
    let mut segments = segments_of(&names);
    let read = match salt {
        Some(salt) if !segments.is_empty() || from != START => read_log(&**disk, salt, from, &segments)?,
        _ => ReadLog { end: START, memtable: Memtable::default() },
    };

    let salt = match salt {
        Some(salt) => salt,
        None => create_format(&**disk)?,
    };
    let checkpoint = open_checkpoint(disk, &names, options.cache_bytes)?;
    let segment_bytes = options.segment_bytes.min(recovery::SEGMENT_BYTES_MAX);
    let log_options = LogOptions { disk: disk.clone(), salt, segment_bytes };
    if segments.is_empty() {
        Log::create(&log_options, START.segment)?;
        segments.push(START.segment);
    }
    let log = open_log(log_options, from.segment, read.end, &names, &segments)?;
    Ok(Opened { lock, checkpoint, log, memtable: read.memtable })
}

struct ReadLog {
    end: LogPosition,
    memtable: Memtable,
}

fn read_log(disk: &dyn Disk, salt: Salt, from: LogPosition, segments: &[u64]) -> Result<ReadLog, OpenError> {
    let mut memtable = Memtable::default();
    let end = recovery::walk(disk, salt, from, segments, |frame| match frame.head.kind {
        Kind::Changes => {
            memtable.log_bytes += frame.length;
            memtable.apply(frame.body).map(drop)
        }
        _ => Ok(()),
    })?;
    tracing::debug!(frames = end.frames, sequence = end.position.sequence, end = end.reason, "log read");
    Ok(ReadLog { end: end.position, memtable })
}

/// Makes sure that what was read stays, and says in the log that a new epoch begins.
fn open_log(
    options: LogOptions,
    first_needed: u64,
    end: LogPosition,
    names: &[String],
    segments: &[u64],
) -> Result<Log, OpenError> {
    let disk = options.disk.clone();
    // What was read may so far be in the operating system's memory only.
    for number in segments.iter().filter(|number| (first_needed..=end.segment).contains(number)) {
        let name = segment_name(*number);
        let synced = disk.open(&name, Access::Write).and_then(|file| file.sync());
        synced.map_err(|source| failed(&*disk, format!("sync {name}"), source))?;
    }
    // An interrupted start of a segment: nothing was ever written behind its head.
    let unused = segments.iter().filter(|number| **number > end.segment).map(|n| segment_name(*n));
    let unfinished = names.iter().filter(|name| *name == SEGMENT_NEW).cloned();
    for name in unused.chain(unfinished) {
        disk.remove(&name).map_err(|source| failed(&*disk, format!("remove {name}"), source))?;
    }
    disk.sync_directory().map_err(|source| failed(&*disk, "sync the directory", source))?;

    let mut log = Log::resume(options, end, segments)?;
    log.append(Kind::Opened, &Changes::new())?;
    log.sync()?;
    log.take_batch();
    log.release(first_needed)?;
    Ok(log)
}

pub(crate) fn lock(disk: &dyn Disk, access: Access) -> Result<Lock, OpenError> {
    let taken = disk.lock(access).map_err(|source| failed(disk, "lock it", source))?;
    taken.ok_or_else(|| OpenError::Locked { directory: disk.label() })
}

pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<String>, OpenError> {
    disk.list().map_err(|source| failed(disk, "list it", source))
}

pub(crate) fn segments_of(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// The directory's salt; `None` if nothing was ever stored here.
pub(crate) fn read_format(disk: &dyn Disk, names: &[String]) -> Result<Option<Salt>, OpenError> {
    let has = |name: &str| names.iter().any(|other| other == name);
    if !has(FORMAT_FILE) {
        if has(FILE) || !segments_of(names).is_empty() {
            return Err(damage(disk, FORMAT_FILE, "the file is missing, though there is data beside it"));
        }
        return Ok(None);
    }
    let content = disk
        .open(FORMAT_FILE, Access::Read)
        .and_then(|file| disk::read_all(&*file, FORMAT_BYTES_MAX))
        .map_err(|source| failed(disk, format!("read {FORMAT_FILE}"), source))?;
    let text = String::from_utf8_lossy(&content);
    let mut words = text.split_whitespace();
    let found = match (words.next(), words.next().and_then(|word| word.parse().ok())) {
        (Some("trellis-store"), Some(version)) => version,
        _ => return Err(damage(disk, FORMAT_FILE, "it does not begin with `trellis-store` and a version")),
    };
    if found > VERSION {
        return Err(OpenError::Newer { directory: disk.label(), found, known: VERSION });
    }
    let number = words.nth(1).and_then(|word| u64::from_str_radix(word, 16).ok());
    match number.map(Salt) {
        Some(salt) if text == format_text(salt) => Ok(Some(salt)),
        _ => Err(damage(disk, FORMAT_FILE, "its content does not match its check")),
    }
}

fn format_text(salt: Salt) -> String {
    let text = format!("trellis-store {VERSION}\nsalt {:016x}\n", salt.0);
    let check = salt.hash(text.as_bytes());
    format!("{text}check {check:016x}\n")
}

fn create_format(disk: &dyn Disk) -> Result<Salt, OpenError> {
    let create = || {
        let salt = Salt(disk.nonce()?);
        let file = disk.create(FORMAT_FILE_NEW)?;
        file.write_at(0, format_text(salt).as_bytes())?;
        file.sync()?;
        disk.rename(FORMAT_FILE_NEW, FORMAT_FILE)?;
        disk.sync_directory()?;
        Ok(salt)
    };
    create().map_err(|source| failed(disk, format!("create {FORMAT_FILE}"), source))
}

/// The checkpoint, if there is one, without writing to its file.
pub(crate) fn open_unchanged(disk: &dyn Disk, names: &[String]) -> Result<Option<Checkpoint>, OpenError> {
    if !names.iter().any(|name| name == FILE) {
        if segments_of(names).is_empty() {
            return Ok(None);
        }
        return Err(damage(disk, FILE, "the file is missing, though there is a log beside it"));
    }
    let file =
        disk.open(FILE, Access::Read).map_err(|source| failed(disk, format!("open {FILE}"), source))?;
    let bytes = file.length().map_err(|source| failed(disk, format!("measure {FILE}"), source))?;
    if bytes == 0 {
        return Err(damage(disk, FILE, "the file is empty"));
    }
    let checkpoint = Checkpoint::open(Overlay::new(file, bytes), LOOK_CACHE_BYTES);
    checkpoint.map(Some).map_err(|error| unreadable(disk, error))
}

fn open_checkpoint(
    disk: &Arc<dyn Disk>,
    names: &[String],
    cache_bytes: usize,
) -> Result<Checkpoint, OpenError> {
    let there = names.iter().any(|name| name == FILE);
    let file = if there { disk.open(FILE, Access::Write) } else { disk.create(FILE_NEW) };
    let file = file.map_err(|source| failed(&**disk, format!("open {FILE}"), source))?;
    let checkpoint =
        Checkpoint::open(Backend(file), cache_bytes).map_err(|error| unreadable(&**disk, error))?;
    if !there {
        checkpoint.advance(&Changes::new(), &START).map_err(|error| unreadable(&**disk, error))?;
        disk.rename(FILE_NEW, FILE)
            .and_then(|()| disk.sync_directory())
            .map_err(|source| failed(&**disk, format!("create {FILE}"), source))?;
    }
    Ok(checkpoint)
}

pub(crate) fn position_of(disk: &dyn Disk, checkpoint: &Checkpoint) -> Result<LogPosition, OpenError> {
    let position = checkpoint.position().map_err(|error| unreadable(disk, error))?;
    position.ok_or_else(|| damage(disk, FILE, "it does not say how much of the log it holds"))
}

/// What redb says of its file, as damage unless it is the disk that failed.
pub(crate) fn unreadable(disk: &dyn Disk, error: CheckpointError) -> OpenError {
    let source = error.into_io();
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            damage(disk, FILE, format!("it cannot be read: {source}"))
        }
        _ => failed(disk, format!("read or write {FILE}"), source),
    }
}

pub(crate) fn damage(disk: &dyn Disk, file: &str, what: impl Into<String>) -> OpenError {
    Damage { directory: disk.label(), file: file.to_owned(), offset: 0, what: what.into() }.into()
}

pub(crate) fn failed(disk: &dyn Disk, action: impl Into<String>, source: io::Error) -> OpenError {
    OpenError::Io { directory: disk.label(), action: action.into(), source }
}
