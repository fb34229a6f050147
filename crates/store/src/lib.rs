//! Durable storage: an ordered map of bytes, written through one log.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the frame that holds it is on disk. It becomes visible then, not earlier.
    Synced,
    /// As soon as it is applied: it reaches the disk in order, with whatever is synced next. For what can be derived again.
    Ordered,
}

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A handle on the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    map: Arc<RwLock<BTreeMap<Bytes, Bytes>>>,
}

impl Store {
    pub fn in_memory() -> Store {
        Store { map: Arc::default() }
    }

    /// Runs `change` alone, in the one order of all writes. What it puts and deletes is one atomic frame.
    pub async fn write<T: Send + 'static>(
        &self,
        _durability: Durability,
        change: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> T {
        let mut map = self.map.write();
        change(&mut Transaction { map: &mut map })
    }

    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.map.read().get(key).cloned()
    }

    /// At most `limit` entries of `range`.
    pub fn scan(&self, range: impl RangeBounds<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)> {
        scan(&self.map.read(), range, order, limit)
    }
}

/// What a write sees and changes.
#[derive(Debug)]
pub struct Transaction<'a> {
    map: &'a mut BTreeMap<Bytes, Bytes>,
}

impl Transaction<'_> {
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.map.get(key).cloned()
    }

    pub fn scan(&self, range: impl RangeBounds<Bytes>, order: Order, limit: usize) -> Vec<(Bytes, Bytes)> {
        scan(self.map, range, order, limit)
    }

    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.map.insert(key.into(), value.into());
    }

    pub fn delete(&mut self, key: &[u8]) {
        self.map.remove(key);
    }
}

fn scan(
    map: &BTreeMap<Bytes, Bytes>,
    range: impl RangeBounds<Bytes>,
    order: Order,
    limit: usize,
) -> Vec<(Bytes, Bytes)> {
    let bounds: (Bound<&Bytes>, Bound<&Bytes>) = (range.start_bound(), range.end_bound());
    let entries = map.range::<Bytes, _>(bounds).map(|(k, v)| (k.clone(), v.clone()));
    match order {
        Order::Ascending => entries.take(limit).collect(),
        Order::Descending => entries.rev().take(limit).collect(),
    }
}
