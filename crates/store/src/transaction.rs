//! What one write sees and changes.

use std::fmt;
use std::ops::RangeBounds;

use bytes::Bytes;

use crate::frame::Changes;
use crate::memtable::detached;
use crate::range::Order;
use crate::shared::Shared;

/// What a write sees and changes. It sees every write before it, also those that are not durable yet, and its own.
pub struct Transaction<'a> {
    shared: &'a Shared,
    batch: &'a Changes,
    own: Changes,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(shared: &'a Shared, batch: &'a Changes) -> Transaction<'a> {
        Transaction { shared, batch, own: Changes::new() }
    }

    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.own.get(key).or_else(|| self.batch.get(key)) {
            Some(value) => value.as_ref().map(detached),
            None => self.shared.get(key),
        }
    }

    /// At most `limit` entries of `range`.
    pub fn scan(&self, range: impl RangeBounds<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)> {
        self.shared.scan(&[&self.own, self.batch], &range, order, limit)
    }

    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.own.insert(key.into(), Some(value.into()));
    }

    pub fn delete(&mut self, key: &[u8]) {
        self.own.insert(Bytes::copy_from_slice(key), None);
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.own
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("own", &self.own.len()).finish_non_exhaustive()
    }
}
