//! Small records: the counter that names streams, fillings and consumers, and where a `Nats-Msg-Id` was seen.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use trellis_store::Transaction;

use super::keys;

/// The version of what `keys.rs` describes.
pub(crate) const FORMAT: u32 = 2;

/// A number that was never used and never will be again.
pub(crate) fn next(tx: &mut Transaction<'_>) -> u64 {
    let id = next_free(tx);
    write_meta(tx, id + 1);
    id
}

/// From now on the store is of this version's format.
pub(crate) fn write_format(tx: &mut Transaction<'_>) {
    let id = next_free(tx);
    write_meta(tx, id);
}

fn next_free(tx: &Transaction<'_>) -> u64 {
    tx.get(&keys::meta()).and_then(|value| read_meta(&value)).map_or(1, |(_, next)| next)
}

fn write_meta(tx: &mut Transaction<'_>, next: u64) {
    let mut value = BytesMut::with_capacity(12);
    value.put_u32(FORMAT);
    value.put_u64(next);
    tx.put(keys::meta(), value.freeze());
}

/// The format's version and the next free id.
pub(crate) fn read_meta(mut value: &[u8]) -> Option<(u32, u64)> {
    Some((value.try_get_u32().ok()?, value.try_get_u64().ok()?))
}

pub(crate) fn encode(seq: u64, date: i64) -> Bytes {
    let mut value = BytesMut::with_capacity(16);
    value.put_u64(seq);
    value.put_i64(date);
    value.freeze()
}

pub(crate) fn decode(mut value: &[u8]) -> Option<(u64, i64)> {
    Some((value.try_get_u64().ok()?, value.try_get_i64().ok()?))
}
