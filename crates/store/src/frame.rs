//! A frame: one transaction in the log, whole or not there.
//!
//! ```text
//!  0 magic     u32      16 durable   u64     36 kind        u8, then 3 zero bytes
//!  4 length    u32      24 previous  u64     40 body CRC32C u32
//!  8 sequence  u64      32 epoch     u32     44 head CRC32C u32, of the 44 bytes before
//! 48 body: entries, zero bytes up to a multiple of 8
//! entry: tag u8 (1 put, 2 delete), key length u32, [value length u32], key, [value]
//! ```
//!
//! * `sequence` goes up by one per frame. `previous` is the hash of the frame before. So a frame left over from an
//!   earlier life of the file can never be taken for the next one.
//! * `durable` is the last sequence that was known to be synced when this frame was written: the evidence that
//!   tells a lost frame from one that never was.
//! * `epoch` counts the starts of the store, so that two lives never write the same bytes at the same place.
//! * Both checksums start from the directory's own secret number: bytes inside somebody's value cannot look like a
//!   frame, and a length is trusted only after the head's checksum.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) const HEAD_BYTES: usize = 48;
pub(crate) const ALIGNMENT: usize = 8;
/// No frame is longer than this: a bound for whoever reads one.
pub(crate) const BODY_BYTES_MAX: usize = 32 << 20;

const MAGIC: u32 = u32::from_le_bytes(*b"TrFr");
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What a transaction changes: `None` deletes.
pub(crate) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A transaction.
    Changes = 1,
    /// A start of the store: what follows was written in this epoch.
    Opened = 2,
    /// Nothing happened for a while: says only that what came before is durable.
    Settled = 3,
    /// The last frame of a segment; there is a next one.
    Sealed = 4,
    /// The last frame of an orderly stop.
    Closed = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Changes, Kind::Opened, Kind::Settled, Kind::Sealed, Kind::Closed]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: Kind,
    pub sequence: u64,
    pub durable: u64,
    pub previous: u64,
    pub epoch: u32,
}

/// The directory's own number, from which all checksums start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub u64);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Salt {
    fn head_crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append((self.0 >> 32) as u32, bytes)
    }

    fn body_crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0 as u32, bytes)
    }

    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.0)
    }
}

fn padded(body_bytes: usize) -> usize {
    body_bytes.next_multiple_of(ALIGNMENT)
}

/// How many bytes the frame of these changes takes in the log.
pub(crate) fn frame_bytes(changes: &Changes) -> usize {
    HEAD_BYTES + padded(body_bytes(changes))
}

pub(crate) fn body_bytes(changes: &Changes) -> usize {
    changes
        .iter()
        .map(|(key, value)| match value {
            Some(value) => 9 + key.len() + value.len(),
            None => 5 + key.len(),
        })
        .sum()
}

/// Appends the frame to `out` and returns its hash.
pub(crate) fn encode(out: &mut BytesMut, salt: Salt, head: &Head, changes: &Changes) -> u64 {
    let start = out.len();
    out.reserve(frame_bytes(changes));
    out.put_bytes(0, HEAD_BYTES);
    for (key, value) in changes {
        // Lengths fit: a body is at most BODY_BYTES_MAX.
        out.put_u8(if value.is_some() { PUT } else { DELETE });
        out.put_u32_le(key.len() as u32);
        if let Some(value) = value {
            out.put_u32_le(value.len() as u32);
        }
        out.put_slice(key);
        if let Some(value) = value {
            out.put_slice(value);
        }
    }
    let length = out.len() - start - HEAD_BYTES;
    out.put_bytes(0, padded(length) - length);

    let Some((space, body)) = out.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(HEAD_BYTES))
    else {
        return 0;
    };
    let mut fields = &mut *space;
    fields.put_u32_le(MAGIC);
    fields.put_u32_le(length as u32);
    fields.put_u64_le(head.sequence);
    fields.put_u64_le(head.durable);
    fields.put_u64_le(head.previous);
    fields.put_u32_le(head.epoch);
    fields.put_u32_le(u32::from(head.kind as u8));
    fields.put_u32_le(salt.body_crc(body));
    if let Some((covered, crc)) = space.split_last_chunk_mut::<4>() {
        *crc = salt.head_crc(covered).to_le_bytes();
    }
    out.get(start..).map_or(0, |frame| salt.hash(frame))
}

/// A frame whose checksums are right. Whether it is the one that belongs here is for its reader to say.
#[derive(Debug)]
pub(crate) struct Frame {
    pub head: Head,
    pub body: Bytes,
    pub hash: u64,
    /// Bytes in the log.
    pub length: usize,
}

/// Reads the frame that starts at `offset`, or says why there is none.
pub(crate) fn decode(log: &Bytes, offset: usize, salt: Salt) -> Result<Frame, &'static str> {
    let head_bytes = log
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<HEAD_BYTES>())
        .ok_or("the file ends before the frame's head does")?;
    let field = |at: usize| -> u32 {
        head_bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let wide = |at: usize| u64::from(field(at)) | u64::from(field(at + 4)) << 32;

    if field(0) != MAGIC {
        return Err("no frame starts here");
    }
    if salt.head_crc(head_bytes.get(..44).unwrap_or_default()) != field(44) {
        return Err("the frame's head does not match its checksum");
    }
    let kind =
        u8::try_from(field(36)).ok().and_then(Kind::from_byte).ok_or("the frame is of an unknown kind")?;
    let body_length = field(4) as usize;
    if body_length > BODY_BYTES_MAX {
        return Err("the frame's length is beyond any that is written");
    }
    let body_start = offset + HEAD_BYTES;
    let end = body_start + padded(body_length);
    let Some(body) = log.get(body_start..end) else {
        return Err("the file ends before the frame does");
    };
    if salt.body_crc(body) != field(40) {
        return Err("the frame's content does not match its checksum");
    }
    let head = Head { kind, sequence: wide(8), durable: wide(16), previous: wide(24), epoch: field(32) };
    let hash = salt.hash(log.get(offset..end).unwrap_or_default());
    Ok(Frame { head, body: log.slice(body_start..body_start + body_length), hash, length: end - offset })
}

/// The first frame with right checksums at or after `offset` that `wanted` is true for.
pub(crate) fn find(log: &Bytes, offset: usize, salt: Salt, wanted: impl Fn(&Head) -> bool) -> Option<usize> {
    let mut at = offset.next_multiple_of(ALIGNMENT);
    while let Some(start) = log.get(at..).and_then(|rest| rest.first_chunk()) {
        if u32::from_le_bytes(*start) == MAGIC
            && let Ok(frame) = decode(log, at, salt)
        {
            if wanted(&frame.head) {
                return Some(at);
            }
            at += frame.length;
            continue;
        }
        at += ALIGNMENT;
    }
    None
}

/// The entries of a body, as slices of it.
pub(crate) struct Entries(pub Bytes);

impl Iterator for Entries {
    type Item = Result<(Bytes, Option<Bytes>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry().ok_or("an entry does not fit into its frame, or is of an unknown kind");
        if entry.is_err() {
            self.0.clear();
        }
        Some(entry)
    }
}

impl Entries {
    fn entry(&mut self) -> Option<(Bytes, Option<Bytes>)> {
        let tag = *self.0.first()?;
        let key_length = self.length_at(1)?;
        match tag {
            PUT => {
                let value_length = self.length_at(5)?;
                let key = self.take(9, key_length)?;
                Some((key, Some(self.take(0, value_length)?)))
            }
            DELETE => Some((self.take(5, key_length)?, None)),
            _ => None,
        }
    }

    fn length_at(&self, at: usize) -> Option<usize> {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes) as usize)
    }

    fn take(&mut self, skip: usize, length: usize) -> Option<Bytes> {
        let end = skip.checked_add(length).filter(|end| *end <= self.0.len())?;
        let taken = self.0.split_to(end);
        Some(taken.slice(skip..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(0x0123_4567_89ab_cdef);

    fn head() -> Head {
        Head { kind: Kind::Changes, sequence: 7, durable: 5, previous: 99, epoch: 3 }
    }

    fn sample() -> (Bytes, u64) {
        let mut changes = Changes::new();
        changes.insert(Bytes::from_static(b"a"), Some(Bytes::from_static(b"one")));
        changes.insert(Bytes::from_static(b"b"), None);
        changes.insert(Bytes::from_static(b""), Some(Bytes::new()));
        let mut out = BytesMut::new();
        let hash = encode(&mut out, SALT, &head(), &changes);
        assert_eq!(out.len(), frame_bytes(&changes));
        (out.freeze(), hash)
    }

    #[test]
    fn what_was_written_is_read() {
        let (log, hash) = sample();
        let frame = decode(&log, 0, SALT).unwrap();
        assert_eq!((frame.head, frame.hash, frame.length), (head(), hash, log.len()));
        let entries: Vec<_> = Entries(frame.body).map(Result::unwrap).collect();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1], (Bytes::from_static(b"a"), Some(Bytes::from_static(b"one"))));
        assert_eq!(entries[2], (Bytes::from_static(b"b"), None));
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let (log, _) = sample();
        for bit in 0..log.len() * 8 {
            let mut mangled = log.to_vec();
            mangled[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&mangled.into(), 0, SALT).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_shorter_file_holds_the_frame() {
        let (log, _) = sample();
        for length in 0..log.len() {
            assert!(decode(&log.slice(..length), 0, SALT).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_frame_of_another_directory_is_refused() {
        let (log, _) = sample();
        assert!(decode(&log, 0, Salt(SALT.0 ^ 1)).is_err());
        assert!(decode(&log, 0, Salt(SALT.0 ^ 1 << 32)).is_err());
    }

    #[test]
    fn a_frame_is_found_behind_rubbish() {
        let (log, _) = sample();
        let mut rubbish = vec![0xff; 24];
        rubbish.extend_from_slice(b"TrFr\xff\xff\xff\xff");
        let place = rubbish.len();
        rubbish.extend_from_slice(&log);
        let rubbish = Bytes::from(rubbish);
        assert_eq!(find(&rubbish, 0, SALT, |head| head.durable >= 5), Some(place));
        assert_eq!(find(&rubbish, 0, SALT, |head| head.durable >= 6), None);
    }

    #[test]
    fn entries_that_overrun_are_refused() {
        for body in [&b"\x01"[..], b"\x01\xff\xff\xff\xff\x01\0\0\0k", b"\x02\x02\0\0\0k", b"\x03\0\0\0\0"] {
            assert!(Entries(Bytes::from_static(body)).next().unwrap().is_err());
        }
    }
}
