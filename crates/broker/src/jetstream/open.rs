//! Takes up what the store holds, and starts what works for it.

use std::sync::Arc;

use bytes::Bytes;
use trellis_store::Durability;

use super::config::StreamRequest;
use super::consumer::Consumer;
use super::consumer_config::ConsumerConfig;
use super::followed::Followed;
use super::records::{self, Position, Tail, Unacked};
use super::stream::Stream;
use super::streams::JetStream;
use super::{ids, janitor, keys, tally};
use crate::Error;

impl JetStream {
    /// Reads what the store holds, and starts the tasks.
    pub async fn open(self: &Arc<Self>) -> Result<(), Error> {
        if let Some(value) = self.store.get(&keys::meta()) {
            let (found, _) =
                ids::read_meta(&value).ok_or_else(|| corrupt(&keys::meta(), "not two numbers"))?;
            if found > ids::FORMAT {
                return Err(Error::NewerFormat { found, known: ids::FORMAT });
            }
            if found < ids::FORMAT {
                self.upgrade().await?;
            }
        }
        for (key, value) in self.scan_all(keys::streams()) {
            let name = key.get(2..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| corrupt(&key, "the stream's name is not UTF-8"))?;
            let (id, created, json) = named(&key, &value)?;
            let config =
                StreamRequest::parse(&json).map_err(|error| corrupt(&key, &error.description))?.config;
            let tail_key = keys::tail(id);
            let tail = self.store.get(&tail_key).and_then(|value| Tail::decode(&value));
            let tail = tail.ok_or_else(|| corrupt(&tail_key, "the stream's counts are missing"))?;
            let stream =
                Arc::new(Followed::new(Stream::new(name, id, created, config, tail, self.store.clone())));
            self.open_consumers(&stream).await?;
            self.registry.write().add(stream);
        }
        self.bus.spawn(self.keeper.clone().run());
        self.bus.spawn(janitor::run(self.clone()));
        Ok(())
    }

    /// Brings what an older version has written up to date: it kept no tallies.
    async fn upgrade(&self) -> Result<(), Error> {
        for (key, value) in self.scan_all(keys::streams()) {
            let (id, ..) = named(&key, &value)?;
            let tail = self.store.get(&keys::tail(id)).and_then(|value| Tail::decode(&value));
            if let Some(tail) = tail {
                tally::rebuild(&self.store, tail.data).await;
            }
        }
        self.store.write(Durability::Synced, ids::write_format).await;
        Ok(())
    }

    async fn open_consumers(self: &Arc<Self>, stream: &Arc<Followed>) -> Result<(), Error> {
        for (key, value) in self.scan_all(keys::consumers(stream.id)) {
            let name = key.get(10..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| corrupt(&key, "the consumer's name is not UTF-8"))?;
            let (id, created, json) = named(&key, &value)?;
            let config =
                ConsumerConfig::parse_stored(&json).map_err(|error| corrupt(&key, &error.description))?;
            let position_key = keys::position(stream.id, id);
            let position = self.store.get(&position_key).and_then(|value| Position::decode(&value));
            let position =
                position.ok_or_else(|| corrupt(&position_key, "the consumer's position is missing"))?;
            let mut unacked = Vec::new();
            for (key, value) in self.scan_all(keys::all_unacked(stream.id, id)) {
                let seq = keys::last_number(&key).ok_or_else(|| corrupt(&key, "no sequence"))?;
                let stored = Unacked::decode(&value).ok_or_else(|| corrupt(&key, "not a delivery"))?;
                unacked.push((seq, stored));
            }
            let consumer =
                Arc::new(Consumer::new(&stream.stream, &self.bus, &self.keeper, name, id, created, config));
            consumer.restore(position, unacked, self.bus.moment());
            self.start(stream, &consumer).await;
        }
        Ok(())
    }
}

fn named(key: &Bytes, value: &Bytes) -> Result<(u64, i64, Bytes), Error> {
    records::read_named(value).ok_or_else(|| corrupt(key, "the record is too short"))
}

fn corrupt(key: &[u8], reason: &str) -> Error {
    Error::Corrupt { key: key.escape_ascii().to_string(), reason: reason.to_owned() }
}
