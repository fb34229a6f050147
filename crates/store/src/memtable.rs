//! What is newer than the checkpoint, in memory; and how it is read together with the checkpoint.
//!
//! Newest first: a transaction's own changes, those of its batch, the active memtable, the frozen one (which is just
//! being checkpointed), redb. The first that knows a key decides, and `None` there means deleted.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::{CheckpointError, Snapshot};
use crate::frame::{Changes, Entries};
use crate::range::{Order, Range};

/// Changes in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    pub entries: Changes,
    /// The log they came from: memory that is held, and what a start would have to read again.
    pub log_bytes: usize,
}

impl Memtable {
    /// Takes over the body of one frame, and says how many entries it has.
    pub(crate) fn apply(&mut self, body: Bytes) -> Result<usize, &'static str> {
        let mut count = 0;
        for entry in Entries(body) {
            let (key, value) = entry?;
            self.entries.insert(key, value);
            count += 1;
        }
        Ok(count)
    }
}

/// Everything that readers see. Replaced and changed only under the store's lock.
#[derive(Debug)]
pub(crate) struct Layers {
    pub active: Memtable,
    pub frozen: Option<Arc<Memtable>>,
    pub base: Arc<Snapshot>,
}

impl Layers {
    /// What memory says of a key: nothing, that it was deleted, or its value.
    pub(crate) fn recent(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.active.entries.get(key).or_else(|| self.frozen.as_ref()?.entries.get(key))
    }

    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Changes> {
        std::iter::once(&self.active.entries).chain(self.frozen.as_deref().map(|table| &table.entries))
    }
}

/// A copy of its own. What is in memory shares the buffer of a whole batch. That must not live as long as the
/// longest-lived value that somebody has read out of it.
pub(crate) fn detached(value: &Bytes) -> Bytes {
    Bytes::copy_from_slice(value)
}

/// A range that `BTreeMap` would panic on has nothing in it.
pub(crate) fn is_empty(range: &Range) -> bool {
    match (&range.0, &range.1) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        _ => false,
    }
}

/// The part of memory that a scan of `limit` entries can need: up to `limit` values, and every deletion before them.
/// `tables` go from the newest to the oldest.
pub(crate) fn recent_of<'a>(
    tables: impl Iterator<Item = &'a Changes>,
    range: &Range,
    order: Order,
    limit: usize,
) -> Vec<(Bytes, Option<Bytes>)> {
    let mut sources: Vec<Peekable<Ordered<'a>>> =
        tables.map(|table| ordered(table, range, order).peekable()).collect();
    let mut found = Vec::new();
    let mut values = 0;
    while values < limit {
        let Some(key) = first_key(&mut sources, order) else { break };
        let mut newest = None;
        for source in &mut sources {
            if let Some((_, value)) = source.next_if(|(other, _)| *other == key) {
                newest = newest.or(Some(value));
            }
        }
        let value = newest.and_then(Option::as_ref).map(detached);
        values += usize::from(value.is_some());
        found.push((detached(key), value));
    }
    found
}

type Ordered<'a> = Box<dyn Iterator<Item = (&'a Bytes, &'a Option<Bytes>)> + 'a>;

fn ordered<'a>(table: &'a BTreeMap<Bytes, Option<Bytes>>, range: &Range, order: Order) -> Ordered<'a> {
    let entries = table.range::<Bytes, _>((range.0.as_ref(), range.1.as_ref()));
    match order {
        Order::Ascending => Box::new(entries),
        Order::Descending => Box::new(entries.rev()),
    }
}

fn first_key<'a>(sources: &mut [Peekable<Ordered<'a>>], order: Order) -> Option<&'a Bytes> {
    let keys = sources.iter_mut().filter_map(|source| source.peek().map(|(key, _)| *key));
    match order {
        Order::Ascending => keys.min(),
        Order::Descending => keys.max(),
    }
}

/// Puts what memory said over what the checkpoint has.
pub(crate) fn over_base(
    recent: Vec<(Bytes, Option<Bytes>)>,
    base: &Snapshot,
    range: &Range,
    order: Order,
    limit: usize,
) -> Result<Vec<(Bytes, Bytes)>, CheckpointError> {
    let mut found = Vec::new();
    let mut recent = recent.into_iter().peekable();
    let mut older = base.range(range, order)?.peekable();
    while found.len() < limit {
        let from_memory = match (recent.peek(), older.peek()) {
            (None, None) => break,
            (None, Some(_)) => false,
            (Some(_), None | Some(Err(_))) => true,
            (Some((new, _)), Some(Ok((old, _)))) => match order {
                Order::Ascending => new <= old,
                Order::Descending => new >= old,
            },
        };
        if from_memory {
            let Some((key, value)) = recent.next() else { break };
            older.next_if(|entry| matches!(entry, Ok((old, _)) if *old == key));
            found.extend(value.map(|value| (key, value)));
        } else if let Some(entry) = older.next() {
            found.push(entry?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::{Backend, Checkpoint, LogPosition};
    use crate::disk::Disk;
    use crate::sim::SimDisk;

    struct Rng(u64);

    impl Rng {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        fn key(&mut self) -> Bytes {
            Bytes::from(format!("{:02}", self.below(40)))
        }

        /// Changes of which a good part are deletions, often of what is not there.
        fn changes(&mut self, layer: &str) -> Changes {
            let count = self.below(15);
            (0..count)
                .map(|_| (self.key(), (self.below(3) > 0).then(|| Bytes::from(layer.to_owned()))))
                .collect()
        }

        fn bound(&mut self) -> Bound<Bytes> {
            match self.below(4) {
                0 => Bound::Unbounded,
                1 => Bound::Excluded(self.key()),
                _ => Bound::Included(self.key()),
            }
        }
    }

    /// All layers in every state, against one map to which their changes were made one after the other.
    #[test]
    fn a_scan_over_all_layers_finds_what_one_map_holds() {
        let mut rng = Rng(4);
        for round in 0..200 {
            let file = SimDisk::new(0).create("file").unwrap();
            let checkpoint = Checkpoint::open(Backend(file), 1 << 20).unwrap();
            let layers = ["base", "frozen", "active", "batch", "own"].map(|name| rng.changes(name));
            checkpoint.advance(&layers[0], &LogPosition::default()).unwrap();
            let base = Arc::new(checkpoint.snapshot().unwrap());

            let mut model = BTreeMap::new();
            for layer in &layers {
                for (key, value) in layer {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                }
            }
            for _ in 0..50 {
                let range: Range = (rng.bound(), rng.bound());
                let limit = rng.below(12) as usize;
                for order in [Order::Ascending, Order::Descending] {
                    let found = if is_empty(&range) {
                        vec![]
                    } else {
                        let recent = recent_of(layers[1..].iter().rev(), &range, order, limit);
                        over_base(recent, &base, &range, order, limit).unwrap()
                    };
                    let matching = model
                        .iter()
                        .filter(|(key, _)| std::ops::RangeBounds::<Bytes>::contains(&range, *key));
                    let mut expected: Vec<_> = matching.map(|(k, v)| (k.clone(), v.clone())).collect();
                    if order == Order::Descending {
                        expected.reverse();
                    }
                    expected.truncate(limit);
                    assert_eq!(found, expected, "round {round}, {range:?}, {order:?}, limit {limit}");
                }
            }
        }
    }
}
