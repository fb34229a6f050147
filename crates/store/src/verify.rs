//! Checking a directory without changing it.
//!
//! Everything is read: every frame of every segment, whether the checkpoint needs it or not, and every page of the
//! checkpoint. redb cannot open a file without writing, so what it writes stays in memory, in `overlay.rs`.

use std::fmt;
use std::path::Path;

use bytes::Bytes;

use crate::checkpoint::{CheckpointError, FILE, LogPosition};
use crate::disk::{Access, Disk, RealDisk};
use crate::error::{Damage, OpenError};
use crate::frame::{self, Kind, Salt};
use crate::log::{SEGMENT_HEAD_BYTES, segment_name};
use crate::open;
use crate::range::Order;
use crate::recovery;

/// What was found. It can be printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub directory: String,
    /// The last frame of the log.
    pub sequence: u64,
    /// The last frame that the checkpoint holds.
    pub sequence_checkpoint: u64,
    /// Entries in the checkpoint.
    pub entries: u64,
    pub segments: u64,
    pub frames: u64,
    /// Not as after an orderly stop, but nothing that was answered is lost by it.
    pub notes: Vec<String>,
    /// What opening would refuse, or would if it read everything.
    pub problems: Vec<Damage>,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.directory)?;
        writeln!(f, "  checkpoint  {} entries, up to frame {}", self.entries, self.sequence_checkpoint)?;
        writeln!(
            f,
            "  log         {} frames in {} segments, up to frame {}",
            self.frames, self.segments, self.sequence
        )?;
        for note in &self.notes {
            writeln!(f, "  note        {note}")?;
        }
        for Damage { file, offset, what, .. } in &self.problems {
            writeln!(f, "  PROBLEM     {file} at byte {offset}: {what}")?;
        }
        f.write_str(if self.is_sound() { "  sound" } else { "  DAMAGED" })
    }
}

/// Checks the store in a directory of the operating system.
pub fn verify_dir(directory: impl AsRef<Path>) -> Result<Report, OpenError> {
    let path = directory.as_ref();
    let disk = RealDisk::existing(path).map_err(|source| OpenError::Io {
        directory: path.display().to_string(),
        action: "enter it".to_owned(),
        source,
    })?;
    verify(&disk)
}

/// Checks everything that is on the disk and changes nothing. An error means that it could not be checked: there is
/// no store, another process has it, it is a newer version's, or the disk cannot be read.
pub fn verify(disk: &dyn Disk) -> Result<Report, OpenError> {
    let _lock = open::lock(disk, Access::Read)?;
    let names = open::list(disk)?;
    let mut report = Report { directory: disk.label(), ..Report::default() };
    let salt = match open::read_format(disk, &names) {
        Ok(Some(salt)) => salt,
        Ok(None) => return Err(OpenError::NoStore { directory: disk.label() }),
        Err(error) => {
            report.take(error)?;
            return Ok(report);
        }
    };
    let position = match check_checkpoint(disk, &names, &mut report) {
        Ok(position) => Some(position),
        Err(error) => {
            report.take(error)?;
            None
        }
    };
    let segments = open::segments_of(&names);
    report.segments = segments.len() as u64;
    check_segments(disk, salt, position, &segments, &mut report)?;
    if let Some(position) = position {
        check_log(disk, salt, position, &segments, &mut report)?;
    }
    Ok(report)
}

impl Report {
    /// Damage is a finding; anything else ends the check.
    fn take(&mut self, error: OpenError) -> Result<(), OpenError> {
        match error {
            OpenError::Damaged(damage) => {
                let known = |other: &Damage| other.file == damage.file && other.offset == damage.offset;
                if !self.problems.iter().any(known) {
                    self.problems.push(damage);
                }
                Ok(())
            }
            other => Err(other),
        }
    }

    fn problem(&mut self, segment: u64, offset: usize, what: impl Into<String>) {
        self.problems.push(Damage {
            directory: self.directory.clone(),
            file: segment_name(segment),
            offset: offset as u64,
            what: what.into(),
        });
    }
}

fn check_checkpoint(
    disk: &dyn Disk,
    names: &[String],
    report: &mut Report,
) -> Result<LogPosition, OpenError> {
    let unreadable = |error: CheckpointError| open::unreadable(disk, error);
    let missing = || open::damage(disk, FILE, "the file is missing");
    let mut checkpoint = open::open_unchanged(disk, names)?.ok_or_else(missing)?;
    if !checkpoint.is_sound().map_err(unreadable)? {
        return Err(open::damage(disk, FILE, "its pages do not match their checksums or their allocation"));
    }
    let position = open::position_of(disk, &checkpoint)?;
    let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let snapshot = checkpoint.snapshot().map_err(unreadable)?;
    for entry in snapshot.range(&everything, Order::Ascending).map_err(unreadable)? {
        entry.map_err(unreadable)?;
        report.entries += 1;
    }
    report.sequence_checkpoint = position.sequence;
    Ok(position)
}

/// The end of the log, as opening would find it.
fn check_log(
    disk: &dyn Disk,
    salt: Salt,
    position: LogPosition,
    segments: &[u64],
    report: &mut Report,
) -> Result<(), OpenError> {
    let walked = recovery::walk(disk, salt, position, segments, |frame| match frame.head.kind {
        Kind::Changes => frame::Entries(frame.body).try_for_each(|entry| entry.map(drop)),
        _ => Ok(()),
    });
    match walked {
        Ok(end) => {
            report.sequence = end.position.sequence;
            if end.last != Some(Kind::Closed) {
                let name = segment_name(end.position.segment);
                report.notes.push(format!(
                    "the store was not closed in good order; the log ends in {name} at byte {}: {}",
                    end.position.offset, end.reason
                ));
            }
            Ok(())
        }
        Err(error) => report.take(error),
    }
}

/// Every segment by itself, and how they follow each other. Behind the end of the last one lies whatever an earlier
/// life of the file has left.
fn check_segments(
    disk: &dyn Disk,
    salt: Salt,
    position: Option<LogPosition>,
    segments: &[u64],
    report: &mut Report,
) -> Result<(), OpenError> {
    let mut before: Option<(u64, Link)> = None;
    for number in segments.iter().copied() {
        let log = recovery::read(disk, number)?;
        if let Err(error) = recovery::check_head(disk, salt, number, &log) {
            // Interrupted while it was being made into a new one.
            if position.is_some_and(|position| number < position.segment) {
                report.notes.push(format!("{} is free to be used again", segment_name(number)));
            } else {
                report.take(error)?;
            }
            before = None;
            continue;
        }
        let link = before.filter(|(other, _)| other + 1 == number).map(|(_, link)| link);
        let position_here = position.filter(|position| position.segment == number);
        let scan = scan(number, &log, salt, link, position_here, report);
        let superseded = position.is_some_and(|position| number < position.segment);
        if superseded && !scan.sealed {
            report.problem(number, scan.end, "the segment is not sealed, though the log went on in another");
        }
        before = scan.last.map(|last| (number, last));
    }
    Ok(())
}

/// The sequence and the hash of a frame.
type Link = (u64, u64);

struct Scan {
    last: Option<Link>,
    sealed: bool,
    end: usize,
}

fn scan(
    number: u64,
    log: &Bytes,
    salt: Salt,
    before: Option<Link>,
    position: Option<LogPosition>,
    report: &mut Report,
) -> Scan {
    let mut scan = Scan { last: before, sealed: false, end: SEGMENT_HEAD_BYTES };
    while !scan.sealed {
        let frame = match frame::decode(log, scan.end, salt) {
            Ok(frame) if follows(scan.last, (frame.head.sequence, frame.head.previous)) => frame,
            bad => {
                let missing = scan.last.map_or(1, |(sequence, _)| sequence + 1);
                let Some(next) = frame::find(log, scan.end, salt, |head| head.durable >= missing) else {
                    return scan;
                };
                let what = bad.err().unwrap_or("the frame here is not the next one");
                report.problem(number, scan.end, format!("{what}; the next frame begins at byte {next}"));
                scan.last = None;
                scan.end = next;
                continue;
            }
        };
        scan.end += frame.length;
        scan.last = Some((frame.head.sequence, frame.hash));
        scan.sealed = frame.head.kind == Kind::Sealed;
        report.frames += 1;
        if let Some(position) = position.filter(|position| position.offset == scan.end as u64)
            && scan.last != Some((position.sequence, position.hash))
        {
            report.problem(number, scan.end, "the log here is not the one that the checkpoint was made from");
        }
    }
    scan
}

/// Whether a frame with this sequence and this hash of the one before it is the next one.
fn follows(last: Option<Link>, (sequence, previous): Link) -> bool {
    last.is_none_or(|(last, hash)| sequence == last + 1 && previous == hash)
}
