//! Finding the end of the log: which frames are there, and whether any is missing.
//!
//! From the checkpoint's position on, frames are taken as long as each has right checksums, the next sequence and the
//! hash of the one before. Where that stops is the end, unless something shows that a frame there had been durable:
//! a seal without a next segment, or any later frame, in this segment or another, whose durable mark reaches it.

use bytes::Bytes;

use crate::checkpoint::LogPosition;
use crate::disk::{self, Access, Disk};
use crate::error::{Damage, OpenError};
use crate::frame::{self, Frame, Kind, Salt};
use crate::log::{SEGMENT_HEAD_BYTES, segment_head, segment_name};

/// The largest segment that can be asked for.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 512 << 20;
/// No file is larger, even if one frame alone is larger than a segment should be.
const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX + 2 * frame::BODY_BYTES_MAX as u64;

/// The end of the log.
#[derive(Debug)]
pub(crate) struct End {
    pub position: LogPosition,
    /// Why there is no further frame.
    pub reason: &'static str,
    pub frames: u64,
    pub last: Option<Kind>,
}

/// Reads the log from `from` to its end and hands every frame to `sink`. `segments`: the numbers of all that exist,
/// ascending. Changes nothing.
pub(crate) fn walk(
    disk: &dyn Disk,
    salt: Salt,
    from: LogPosition,
    segments: &[u64],
    mut sink: impl FnMut(Frame) -> Result<(), &'static str>,
) -> Result<End, OpenError> {
    let mut end = End { position: from, reason: "", frames: 0, last: None };
    loop {
        let number = end.position.segment;
        if !segments.contains(&number) {
            return Err(damage(disk, number, 0, "the file is missing, though the log goes on in it"));
        }
        let log = read(disk, number)?;
        check_head(disk, salt, number, &log)?;
        let Some(start) = usize::try_from(end.position.offset).ok().filter(|offset| *offset <= log.len())
        else {
            let what = format!("the file ends here, though the log had reached byte {}", end.position.offset);
            return Err(damage(disk, number, log.len() as u64, what));
        };
        end.reason = take_frames(disk, salt, &log, start, &mut end, &mut sink)?;
        if end.last == Some(Kind::Sealed) {
            end.position.segment += 1;
            end.position.offset = SEGMENT_HEAD_BYTES as u64;
            end.last = None;
            continue;
        }
        refuse_if_more(disk, salt, &end, segments, &log)?;
        return Ok(end);
    }
}

fn take_frames(
    disk: &dyn Disk,
    salt: Salt,
    log: &Bytes,
    start: usize,
    end: &mut End,
    sink: &mut impl FnMut(Frame) -> Result<(), &'static str>,
) -> Result<&'static str, OpenError> {
    let mut offset = start;
    loop {
        let frame = match frame::decode(log, offset, salt) {
            Ok(frame) => frame,
            Err(reason) => return Ok(reason),
        };
        let head = frame.head;
        if head.sequence != end.position.sequence + 1 || head.previous != end.position.hash {
            return Ok("the frame here is not the next one");
        }
        let here = end.position.offset;
        offset += frame.length;
        end.position = LogPosition {
            sequence: head.sequence,
            hash: frame.hash,
            epoch: head.epoch,
            offset: offset as u64,
            ..end.position
        };
        end.frames += 1;
        end.last = Some(head.kind);
        sink(frame).map_err(|what| damage(disk, end.position.segment, here, what))?;
        if head.kind == Kind::Sealed {
            return Ok("the segment is sealed");
        }
    }
}

/// Looks behind the end for evidence that there was more.
fn refuse_if_more(
    disk: &dyn Disk,
    salt: Salt,
    end: &End,
    segments: &[u64],
    log: &Bytes,
) -> Result<(), OpenError> {
    let number = end.position.segment;
    let offset = end.position.offset;
    let missing = end.position.sequence + 1;
    let lost = |file: u64, at: usize| {
        let what = format!(
            "{}, but the frame at byte {at} of {} was written when frame {missing}, which belongs here, was durable",
            end.reason,
            segment_name(file),
        );
        Err(damage(disk, number, offset, what))
    };
    let behind = usize::try_from(offset).unwrap_or(usize::MAX);
    if let Some(at) = frame::find(log, behind, salt, |head| head.durable >= missing) {
        return lost(number, at);
    }
    for later in segments.iter().copied().filter(|later| *later > number) {
        let content = read(disk, later)?;
        if let Some(at) = frame::find(&content, 0, salt, |head| head.durable >= missing) {
            return lost(later, at);
        }
        if later > number + 1 {
            let what =
                format!("{}, but {} exists, so this segment was full", end.reason, segment_name(later));
            return Err(damage(disk, number, offset, what));
        }
    }
    Ok(())
}

pub(crate) fn check_head(disk: &dyn Disk, salt: Salt, number: u64, log: &Bytes) -> Result<(), OpenError> {
    if log.get(..SEGMENT_HEAD_BYTES) == Some(segment_head(salt, number).as_slice()) {
        return Ok(());
    }
    Err(damage(disk, number, 0, "the segment's head is not that of this segment in this directory"))
}

pub(crate) fn read(disk: &dyn Disk, number: u64) -> Result<Bytes, OpenError> {
    let name = segment_name(number);
    let content = disk.open(&name, Access::Read).and_then(|file| disk::read_all(&*file, FILE_BYTES_MAX));
    match content {
        Ok(content) => Ok(content.into()),
        Err(source) => Err(OpenError::Io { directory: disk.label(), action: format!("read {name}"), source }),
    }
}

fn damage(disk: &dyn Disk, segment: u64, offset: u64, what: impl Into<String>) -> OpenError {
    Damage { directory: disk.label(), file: segment_name(segment), offset, what: what.into() }.into()
}
