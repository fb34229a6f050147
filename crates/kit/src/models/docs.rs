//! Documents, by id.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_names as names;

use super::reader::Reader;
use super::writer::Writer;
use crate::descriptor::Source;
use crate::failure::Failure;
use crate::id;
use crate::problem::Problem;

/// Two documents of one id, of different kinds; none is not there.
pub type Pair<T, U> = (Option<T>, Option<U>);

/// Documents of one kind, by id. `T` is what is kept of each.
pub struct Docs<T> {
    source: Source,
    name: &'static str,
    of_one_partition: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Docs<T> {
    /// Documents that follow the events of one service. The name is part of their keys.
    pub const fn new(source: Source, name: &'static str) -> Self {
        Self { source, name, of_one_partition: false, kind: PhantomData }
    }

    /// Documents that follow the events of a service whose log has one partition: any of its events may write any of
    /// them, for they come one after the other.
    pub const fn of_one_partition(source: Source, name: &'static str) -> Self {
        assert!(source.partitions == 1, "events of several partitions come in any order");
        Self { of_one_partition: true, ..Self::new(source, name) }
    }

    /// Writes the document of the event's entity, or of one in the same family.
    pub fn put(&self, writer: &Writer<'_>, id: &str, value: &T) -> Result<(), Failure> {
        self.update(writer, id, |_| Some(value))
    }

    /// Changes a document, seeing what it is (none if there is none yet). Answering none leaves it as it is.
    ///
    /// One event may write a document once: a second change looks like a redelivery.
    pub fn update<V: std::borrow::Borrow<T>>(
        &self,
        writer: &Writer<'_>,
        id: &str,
        change: impl FnOnce(Option<T>) -> Option<V>,
    ) -> Result<(), Failure> {
        let in_order = if self.of_one_partition {
            writer.partition == 0
        } else {
            id::root(id) == id::root(writer.entity)
        };
        if writer.source != self.source.name || !in_order {
            return Err(Failure::lasting(format!(
                "{} of {id} is not for events of {} in {} to write",
                self.name, writer.entity, writer.source
            )));
        }
        writer.update(self.key(writer.generation, id), change)
    }

    pub fn get(&self, reader: &Reader, id: &str) -> Result<Option<T>, Problem> {
        if !id::is_valid(id) {
            return Ok(None);
        }
        Ok(self.get_each(reader, &[id.to_owned()])?.into_iter().flatten().next())
    }

    /// A document, and for the same price one of another kind with the same id.
    pub fn get_with<U: DeserializeOwned>(
        &self,
        others: &Docs<U>,
        reader: &Reader,
        id: &str,
    ) -> Result<Pair<T, U>, Problem> {
        if !id::is_valid(id) {
            return Ok((None, None));
        }
        Ok(self.get_each_with(others, reader, &[id.to_owned()])?.pop().unwrap_or_default())
    }

    /// The documents of these ids, in their order, for the price of one read; what is not there is left out.
    pub fn get_many(&self, reader: &Reader, ids: &[String]) -> Result<Vec<T>, Problem> {
        Ok(self.get_each(reader, ids)?.into_iter().flatten().collect())
    }

    /// The document of each of these ids, or none, for the price of one read.
    pub fn get_each(&self, reader: &Reader, ids: &[String]) -> Result<Vec<Option<T>>, Problem> {
        Ok(reader.read(None, |generation| self.keys(generation, ids))?.parse(..)?)
    }

    /// The documents of these ids, and for the same price those of another kind with the same ids.
    pub fn get_each_with<U: DeserializeOwned>(
        &self,
        others: &Docs<U>,
        reader: &Reader,
        ids: &[String],
    ) -> Result<Vec<Pair<T, U>>, Problem> {
        let both = |generation| [self.keys(generation, ids), others.keys(generation, ids)].concat();
        let found = reader.read(None, both)?;
        let (docs, others) = (found.parse(..ids.len())?, found.parse(ids.len()..)?);
        Ok(docs.into_iter().zip(others).collect())
    }
}

impl<T> Docs<T> {
    fn key(&self, generation: u64, id: &str) -> String {
        names::doc_key(generation, self.source.name, self.name, id)
    }

    pub(super) fn keys(&self, generation: u64, ids: &[String]) -> Vec<String> {
        ids.iter().map(|id| self.key(generation, id)).collect()
    }
}

impl<T> std::fmt::Debug for Docs<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Docs({}.{})", self.source.name, self.name)
    }
}
