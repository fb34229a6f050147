//! Small records: the counter that names streams, fillings and consumers, and where a `Nats-Msg-Id` was seen.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use trellis_store::Transaction;

use super::keys;

/// The version of what `keys.rs` describes.
pub(crate) const FORMAT: u32 = 1;

/// A number that was never used and never will be again.
pub(crate) fn next(tx: &mut Transaction<'_>) -> u64 {
    let id = tx.get(&keys::meta()).and_then(|value| read_meta(&value)).map_or(1, |(_, next)| next);
    let mut value = BytesMut::with_capacity(12);
    value.put_u32(FORMAT);
    value.put_u64(id + 1);
    tx.put(keys::meta(), value.freeze());
    id
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
