//! `wasi:keyvalue` (store, atomics, batch): buckets in the host's own store.
//!
//! ```yaml
//! - type: link
//!   properties:
//!     namespace: wasi
//!     package: keyvalue
//!     interfaces: [store, atomics, batch]
//!     target:
//!       name: keyvalue
//!       config:
//!         - name: posts-bucket
//!           properties: { bucket: posts }
//! ```
//!
//! A component opens a bucket by the name of its link, `default` unless the manifest says otherwise. Writes are ordered, not
//! synced: they reach the disk together with the next append, which is right for what can be built again from the logs.
//! Keys and sizes are those that a bucket on NATS would take, so that a component that works here works there. `set-many` sets
//! all its keys or none, which is more than the interface says: so it is said under a key where the kit looks for it
//! (`crates/kit/src/platform/batch.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use trellis_store::{Durability, Order, Store};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use xxhash_rust::xxh3::xxh3_64;

use crate::keys;
use crate::observe::{Fingerprint, Probe};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/keyvalue",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}
use generated::wasi::keyvalue::store::{Error, KeyResponse};
use generated::wasi::keyvalue::{atomics, batch, store};

const KEY_BYTES_MAX: usize = 1024;
const VALUE_BYTES_MAX: usize = 1 << 20;
const BATCH_LEN_MAX: usize = 1000;
/// Where a component finds what `set-many` does beyond what the interface says; it cannot be written.
const PROMISE_KEY: &str = "provider/set-many";
const LAST_AFTER_ALL: &[u8] = b"last-after-all";
/// Keys in one page of `list-keys`.
const PAGE_LEN: usize = 1000;
/// Listings that may be under way at once in one component; the oldest is forgotten first.
const CURSORS_MAX: usize = 1024;

/// The buckets of one component, by the name of the link.
#[derive(Clone)]
pub(crate) struct KeyValueCtx {
    store: Store,
    buckets: BTreeMap<String, Arc<str>>,
    cursors: Arc<Mutex<Cursors>>,
}

impl KeyValueCtx {
    pub(crate) fn new(store: Store, buckets: BTreeMap<String, Arc<str>>) -> KeyValueCtx {
        KeyValueCtx { store, buckets, cursors: Arc::default() }
    }

    fn read(&self, bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, Error> {
        if key == PROMISE_KEY {
            return Ok(Some(LAST_AFTER_ALL.to_vec()));
        }
        Ok(self.store.get(&bucket.stored(key)?).map(|value| value.to_vec()))
    }

    /// Puts and deletes together, or not at all.
    async fn change(&self, changes: Vec<(Bytes, Option<Bytes>)>) -> Result<(), Error> {
        let change = move |tx: &mut trellis_store::Transaction<'_>| {
            for (key, value) in changes {
                match value {
                    Some(value) => tx.put(key, value),
                    None => tx.delete(&key),
                }
            }
        };
        self.store.write(Durability::Ordered, change).await;
        Ok(())
    }

    /// The keys after those that `cursor` stands for.
    ///
    /// A cursor is a number that the guest may make up. It is not a position: that would make a page cost as much as all
    /// before it. It is the name of a place that this component was given before; any other number is refused.
    fn page(&self, bucket: &Bucket, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let all = keys::bucket(&bucket.name);
        let start = match cursor {
            None => Bound::Included(all.start.clone()),
            Some(cursor) => match self.cursors.lock().place(cursor) {
                Some(last) if all.contains(&last) => Bound::Excluded(last),
                _ => {
                    return Err(Error::Other(
                        "this cursor was not given out lately: list from the start".to_owned(),
                    ));
                }
            },
        };
        let mut entries = self.store.scan((start, Bound::Excluded(all.end)), Order::Ascending, PAGE_LEN + 1);
        let more = entries.len() > PAGE_LEN;
        entries.truncate(PAGE_LEN);
        let cursor = entries.last().filter(|_| more).map(|(last, _)| self.cursors.lock().give_out(last));
        let keys = entries.iter().filter_map(|(key, _)| keys::guest_part(&bucket.name, key)).collect();
        Ok(KeyResponse { keys, cursor })
    }

    async fn increment(&self, key: Bytes, delta: u64) -> Result<u64, Error> {
        let change = move |tx: &mut trellis_store::Transaction<'_>| {
            let old = match tx.get(&key) {
                None => 0,
                Some(text) => {
                    std::str::from_utf8(&text).ok().and_then(|text| text.parse::<u64>().ok()).ok_or_else(
                        || Error::Other("the value is not a number: it was not made by increment".to_owned()),
                    )?
                }
            };
            let new = old
                .checked_add(delta)
                .ok_or_else(|| Error::Other("the counter would overflow".to_owned()))?;
            tx.put(key, new.to_string());
            Ok(new)
        };
        self.store.write(Durability::Ordered, change).await
    }
}

/// Whether NATS would take `name` as the name of a bucket.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    store::add_to_linker::<T, KeyValue>(linker, view)?;
    atomics::add_to_linker::<T, KeyValue>(linker, view)?;
    batch::add_to_linker::<T, KeyValue>(linker, view)
}

struct KeyValue;

impl HasData for KeyValue {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a KeyValueCtx,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) probe: &'a Probe,
}

/// An open bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    name: Arc<str>,
}

impl Bucket {
    /// Where `key` is stored, if it is a key that NATS would take too.
    fn stored(&self, key: &str) -> Result<Bytes, Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'_' | b'=' | b'.');
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::Other(format!(
                "a key has 1 to {KEY_BYTES_MAX} bytes, this one has {}",
                key.len()
            )));
        }
        if key.starts_with('.') || key.ends_with('.') || !key.bytes().all(allowed) {
            let rule = "a key has letters, digits and - / _ = . only, and no dot at either end";
            return Err(Error::Other(rule.to_owned()));
        }
        if key == PROMISE_KEY {
            return Err(Error::Other(format!("{key} says what the host promises, and cannot be written")));
        }
        Ok(keys::value(&self.name, key))
    }
}

fn checked_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > VALUE_BYTES_MAX {
        let len = value.len();
        return Err(Error::Other(format!("a value has at most {VALUE_BYTES_MAX} bytes, this one has {len}")));
    }
    Ok(())
}

fn checked_batch(len: usize) -> Result<(), Error> {
    if len > BATCH_LEN_MAX {
        return Err(Error::Other(format!("a batch has at most {BATCH_LEN_MAX} keys, this one has {len}")));
    }
    Ok(())
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl View<'_> {
    fn bucket(&self, handle: &Resource<Bucket>) -> wasmtime::Result<Bucket> {
        Ok(self.table.get(handle)?.clone())
    }

    /// Tells the probe how the call `name` ended, and passes its result on.
    fn leave<T>(
        &self,
        name: &'static str,
        result: Result<T, Error>,
        add: impl Fn(&mut Fingerprint, &T),
    ) -> Answer<T> {
        self.probe.leave(name, |f| match &result {
            Ok(value) => add(f, value),
            Err(error) => _ = f.add(format!("{error:?}")),
        })?;
        Ok(result)
    }
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        self.probe.enter("keyvalue.open", |f| _ = f.add(&identifier)).await?;
        let Some(name) = self.ctx.buckets.get(&identifier) else { return Ok(Err(Error::NoSuchStore)) };
        let bucket = Bucket { name: name.clone() };
        Ok(Ok(self.table.push(bucket)?))
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, handle: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let bucket = self.bucket(&handle)?;
        self.probe.enter("keyvalue.get", |f| _ = f.add(&*bucket.name).add(&key)).await?;
        let result = self.ctx.read(&bucket, &key);
        self.leave("keyvalue.get", result, |f, value| _ = f.add(value.as_deref().unwrap_or_default()))
    }

    async fn set(&mut self, handle: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let bucket = self.bucket(&handle)?;
        self.probe.enter("keyvalue.set", |f| _ = f.add(&*bucket.name).add(&key).add(&value)).await?;
        let result = checked_value(&value).and_then(|()| bucket.stored(&key));
        let result = match result {
            Ok(stored) => self.ctx.change(vec![(stored, Some(value.into()))]).await,
            Err(error) => Err(error),
        };
        self.leave("keyvalue.set", result, |_, ()| ())
    }

    async fn delete(&mut self, handle: Resource<Bucket>, key: String) -> Answer<()> {
        let bucket = self.bucket(&handle)?;
        self.probe.enter("keyvalue.delete", |f| _ = f.add(&*bucket.name).add(&key)).await?;
        let result = match bucket.stored(&key) {
            Ok(stored) => self.ctx.change(vec![(stored, None)]).await,
            Err(error) => Err(error),
        };
        self.leave("keyvalue.delete", result, |_, ()| ())
    }

    async fn exists(&mut self, handle: Resource<Bucket>, key: String) -> Answer<bool> {
        let bucket = self.bucket(&handle)?;
        self.probe.enter("keyvalue.exists", |f| _ = f.add(&*bucket.name).add(&key)).await?;
        let result = self.ctx.read(&bucket, &key).map(|value| value.is_some());
        self.leave("keyvalue.exists", result, |f, found| _ = f.add([u8::from(*found)]))
    }

    async fn list_keys(&mut self, handle: Resource<Bucket>, cursor: Option<u64>) -> Answer<KeyResponse> {
        let bucket = self.bucket(&handle)?;
        let cursor_bytes = cursor.unwrap_or_default().to_le_bytes();
        self.probe.enter("keyvalue.list-keys", |f| _ = f.add(&*bucket.name).add(cursor_bytes)).await?;
        let result = self.ctx.page(&bucket, cursor);
        self.leave("keyvalue.list-keys", result, |f, page| {
            page.keys.iter().for_each(|key| _ = f.add(key));
        })
    }

    async fn drop(&mut self, handle: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    /// Counters are decimal text, as they are in a bucket on NATS.
    async fn increment(&mut self, handle: Resource<Bucket>, key: String, delta: u64) -> Answer<u64> {
        let bucket = self.bucket(&handle)?;
        self.probe
            .enter("keyvalue.increment", |f| _ = f.add(&*bucket.name).add(&key).add(delta.to_le_bytes()))
            .await?;
        let result = match bucket.stored(&key) {
            Ok(stored) => self.ctx.increment(stored, delta).await,
            Err(error) => Err(error),
        };
        self.leave("keyvalue.increment", result, |f, value| _ = f.add(value.to_le_bytes()))
    }
}

impl batch::Host for View<'_> {
    async fn get_many(
        &mut self,
        handle: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let bucket = self.bucket(&handle)?;
        self.probe.enter("keyvalue.get-many", |f| keys.iter().for_each(|key| _ = f.add(key))).await?;
        let get = |key: String| Ok(self.ctx.read(&bucket, &key)?.map(|value| (key, value)));
        let result =
            checked_batch(keys.len()).and_then(|()| keys.into_iter().map(get).collect::<Result<Vec<_>, _>>());
        self.leave("keyvalue.get-many", result, |f, found| {
            found.iter().flatten().for_each(|(key, value)| _ = f.add(key).add(value));
        })
    }

    async fn set_many(&mut self, handle: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let bucket = self.bucket(&handle)?;
        self.probe
            .enter("keyvalue.set-many", |f| pairs.iter().for_each(|(key, value)| _ = f.add(key).add(value)))
            .await?;
        let change = |(key, value): (String, Vec<u8>)| {
            checked_value(&value)?;
            Ok((bucket.stored(&key)?, Some(Bytes::from(value))))
        };
        let result = checked_batch(pairs.len()).and_then(|()| pairs.into_iter().map(change).collect());
        let result = match result {
            Ok(changes) => self.ctx.change(changes).await,
            Err(error) => Err(error),
        };
        self.leave("keyvalue.set-many", result, |_, ()| ())
    }

    async fn delete_many(&mut self, handle: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        let bucket = self.bucket(&handle)?;
        self.probe.enter("keyvalue.delete-many", |f| keys.iter().for_each(|key| _ = f.add(key))).await?;
        let change = |key: String| Ok((bucket.stored(&key)?, None));
        let result = checked_batch(keys.len()).and_then(|()| keys.into_iter().map(change).collect());
        let result = match result {
            Ok(changes) => self.ctx.change(changes).await,
            Err(error) => Err(error),
        };
        self.leave("keyvalue.delete-many", result, |_, ()| ())
    }
}

/// The places that were given out as cursors, oldest first.
#[derive(Debug, Default)]
struct Cursors {
    places: BTreeMap<u64, Bytes>,
    order: VecDeque<u64>,
}

impl Cursors {
    fn give_out(&mut self, last: &Bytes) -> u64 {
        let cursor = xxh3_64(last);
        if self.places.insert(cursor, last.clone()).is_none() {
            self.order.push_back(cursor);
        }
        if self.order.len() > CURSORS_MAX {
            self.order.pop_front().and_then(|oldest| self.places.remove(&oldest));
        }
        cursor
    }

    fn place(&self, cursor: u64) -> Option<Bytes> {
        self.places.get(&cursor).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctx() -> KeyValueCtx {
        KeyValueCtx::new(Store::in_memory(), BTreeMap::new())
    }

    fn posts() -> Bucket {
        Bucket { name: "posts".into() }
    }

    #[tokio::test]
    async fn every_key_is_listed_once_page_by_page() {
        let ctx = ctx();
        let key = |i: usize| format!("key.{i:05}");
        let total = 2 * PAGE_LEN + 1;
        let put =
            (0..total).map(|i| (keys::value("posts", &key(i)), Some(Bytes::from_static(b"v")))).collect();
        ctx.change(put).await.unwrap();
        ctx.change(vec![(keys::value("posts2", "other"), Some(Bytes::new()))]).await.unwrap();
        let (mut seen, mut cursor) = (Vec::new(), None);
        for _ in 0..3 {
            let page = ctx.page(&posts(), cursor).unwrap();
            assert!(page.keys.len() <= PAGE_LEN);
            seen.extend(page.keys);
            cursor = page.cursor;
        }
        assert_eq!(cursor, None);
        assert_eq!(seen, (0..total).map(key).collect::<Vec<_>>());
    }

    #[test]
    fn a_cursor_that_the_guest_made_up_is_refused() {
        let ctx = ctx();
        for cursor in [0, 1, u64::MAX, xxh3_64(b"x")] {
            assert!(matches!(ctx.page(&posts(), Some(cursor)), Err(Error::Other(_))));
        }
        let elsewhere = ctx.cursors.lock().give_out(&keys::value("secrets", "a"));
        assert!(ctx.page(&posts(), Some(elsewhere)).is_err());
    }

    #[test]
    fn cursors_are_bounded() {
        let mut cursors = Cursors::default();
        for i in 0..2 * CURSORS_MAX {
            cursors.give_out(&Bytes::from(i.to_string()));
        }
        assert_eq!((cursors.places.len(), cursors.order.len()), (CURSORS_MAX, CURSORS_MAX));
    }

    #[test]
    fn keys_that_nats_refuses_are_refused() {
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for key in ["", ".", "a.", ".a", "a b", "a*", "a>", "é", "a\0b", "a\nb", &long] {
            assert!(posts().stored(key).is_err(), "{key:?}");
        }
        for key in ["a", "a.b", "a/b=c_d-e", &"x".repeat(KEY_BYTES_MAX)] {
            assert!(posts().stored(key).is_ok(), "{key:?}");
        }
    }

    #[test]
    fn what_set_many_does_is_said_where_the_kit_looks_for_it() {
        assert_eq!(ctx().read(&posts(), PROMISE_KEY).unwrap().unwrap(), LAST_AFTER_ALL);
        assert_eq!(ctx().read(&posts(), "a").unwrap(), None);
        assert!(posts().stored(PROMISE_KEY).is_err(), "nobody can say it in its place");
        let kit = include_str!("../../../kit/src/platform/batch.rs");
        assert!(kit.contains(&format!("PROMISE_KEY: &str = {PROMISE_KEY:?};")));
        let promise = std::str::from_utf8(LAST_AFTER_ALL).unwrap();
        assert!(kit.contains(&format!("LAST_AFTER_ALL: &[u8] = b{promise:?};")));
    }

    #[tokio::test]
    async fn increments_are_atomic_and_never_wrap() {
        let ctx = ctx();
        let key = keys::value("posts", "n");
        assert_eq!(ctx.increment(key.clone(), 2).await.unwrap(), 2);
        assert_eq!(ctx.increment(key.clone(), 3).await.unwrap(), 5);
        assert!(ctx.increment(key.clone(), u64::MAX).await.is_err());
        assert_eq!(ctx.store.get(&key).unwrap(), "5");
        ctx.change(vec![(key.clone(), Some(Bytes::from_static(b"text")))]).await.unwrap();
        assert!(ctx.increment(key, 1).await.is_err());
    }
}
