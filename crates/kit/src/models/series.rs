//! Documents in the order in which they came.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::docs::{Docs, Pair};
use super::index::{Index, Listed};
use super::reader::{Reader, Values};
use super::writer::Writer;
use crate::contract::types::PageRequest;
use crate::descriptor::Source;
use crate::failure::Failure;
use crate::platform::Fault;
use crate::problem::Problem;

/// Documents of one kind, by id and in a list, newest first. The list holds the newest documents itself: so its beginning is read
/// with one call, and documents further down with another.
#[derive(Debug)]
pub struct Series<T> {
    docs: Docs<T>,
    index: Index,
}

/// A part of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What to ask for the next part with; none is the end.
    pub next: Option<String>,
}

impl<T: Serialize + DeserializeOwned> Series<T> {
    /// Documents that follow the events of one service. Both names, of the documents and of the list, are part of keys.
    pub const fn new(source: Source, docs: &'static str, list: &'static str) -> Self {
        Self { docs: Docs::new(source, docs), index: Index::new(source, list) }
    }

    /// Writes the document of the event's entity, which is new, and lists it as the newest.
    pub fn add(&self, writer: &Writer<'_>, id: &str, value: &T) -> Result<(), Failure> {
        self.docs.put(writer, id, value)?;
        self.index.add_shown(writer, id, raw(value)?)
    }

    /// Writes what the document of the event's entity has become. It stays where it is in the list.
    pub fn change(&self, writer: &Writer<'_>, id: &str, value: &T) -> Result<(), Failure> {
        self.docs.put(writer, id, value)?;
        self.index.show(writer, id, raw(value)?)
    }

    /// The documents themselves.
    pub const fn docs(&self) -> &Docs<T> {
        &self.docs
    }

    /// The documents that a page request asks for.
    pub fn list(&self, reader: &Reader, request: &PageRequest) -> Result<Page<T>, Problem> {
        let Page { items, next } = self.list_each(reader, request, |_, _| Vec::new())?.0;
        Ok(Page { items: items.into_iter().flatten().collect(), next })
    }

    /// The documents that a page request asks for, and with another call those of another kind with the same ids.
    pub fn list_with<U: DeserializeOwned>(
        &self,
        others: &Docs<U>,
        reader: &Reader,
        request: &PageRequest,
    ) -> Result<Page<Pair<T, U>>, Problem> {
        let (Page { items, next }, others) =
            self.list_each(reader, request, |generation, ids| others.keys(generation, ids))?;
        Ok(Page { items: items.into_iter().zip(others.parse(..)?).collect(), next })
    }

    /// The documents that a page request asks for, or none where one is not there, and what is read with those that the list
    /// does not hold itself.
    fn list_each(
        &self,
        reader: &Reader,
        request: &PageRequest,
        also: impl Fn(u64, &[String]) -> Vec<String>,
    ) -> Result<(Page<Option<T>>, Values), Problem> {
        let (Listed { ids, next }, mut shown) = self.index.list_shown(reader, request)?;
        let missing: Vec<String> = ids.iter().filter(|id| !shown.contains_key(*id)).cloned().collect();
        let keys = |generation| [self.docs.keys(generation, &missing), also(generation, &ids)].concat();
        let mut read = reader.read(None, keys)?;
        let others = read.split_off(missing.len());
        let mut read = read.parse(..)?.into_iter();
        let each = ids.iter().map(|id| match shown.remove(id) {
            Some(shown) => Ok(Some(serde_json::from_str(shown.get())?)),
            None => Ok(read.next().flatten()),
        });
        let items = each.collect::<Result<_, serde_json::Error>>();
        let items =
            items.map_err(|error| Fault::because(format!("{:?} cannot be read", self.docs), error))?;
        Ok((Page { items, next }, others))
    }
}

fn raw<T: Serialize>(value: &T) -> Result<Box<RawValue>, Failure> {
    to_raw_value(value).map_err(|error| Failure::lasting(error.to_string()))
}
