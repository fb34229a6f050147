//! What is kept of anybody, whom events of all partitions are about: the sums of each seller, for example.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_names as names;

use super::index::lane_of;
use super::reader::Reader;
use super::writer::Writer;
use crate::descriptor::Source;
use crate::failure::Failure;
use crate::problem::Problem;

/// What is kept of each owner, whom any text stands for: a share for each partition, so that each key has one writer. Whoever
/// reads puts them together, in any order.
pub struct Shares<T> {
    source: Source,
    name: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Shares<T> {
    /// Shares that follow the events of one service. The name is part of their keys.
    pub const fn new(source: Source, name: &'static str) -> Self {
        Self { source, name, kind: PhantomData }
    }

    /// Changes the share that an owner has in the event's partition, seeing what it is (none if there is none yet). One event may
    /// change it once.
    pub fn update(
        &self,
        writer: &Writer<'_>,
        owner: &str,
        change: impl FnOnce(Option<T>) -> T,
    ) -> Result<(), Failure> {
        if writer.source != self.source.name || writer.partition >= self.source.partitions {
            let Writer { source, partition, .. } = writer;
            let what = self.name;
            return Err(Failure::lasting(format!(
                "{what} has no share for events of partition {partition} of {source}"
            )));
        }
        writer.update(self.key(writer.generation, owner, writer.partition), |share| Some(change(share)))
    }

    /// The shares of an owner, for the price of one read.
    pub fn get(&self, reader: &Reader, owner: &str) -> Result<Vec<T>, Problem> {
        let partitions = || 0..self.source.partitions;
        let keys =
            |generation| partitions().map(|partition| self.key(generation, owner, partition)).collect();
        let shares: Vec<Option<T>> = reader.read(None, keys)?.parse(..)?;
        Ok(shares.into_iter().flatten().collect())
    }

    fn key(&self, generation: u64, owner: &str, partition: u32) -> String {
        names::doc_key(generation, self.source.name, self.name, &lane_of(owner, partition))
    }
}

impl<T> fmt::Debug for Shares<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shares({}.{})", self.source.name, self.name)
    }
}
