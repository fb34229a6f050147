//! Read models: documents in the service's bucket that follow from events, and can be made again from them.
//!
//! **One writer per key.** A key belongs to one partition of one source, whose events come one after the other;
//! what two sources know of a thing is two documents, joined when read. Each value remembers the sequence of
//! the event that wrote it, and an older or equal event leaves it alone: redelivery changes nothing.
//!
//! **Generations.** A rebuild writes a new generation beside the one that is read. A generation lives in one of
//! two slots, so building number 3 writes over what number 1 left; a value also remembers its generation, and a
//! leftover counts as absent. So storage stays within twice the size of the read models, and no key is ever
//! searched for.

use std::cell::RefCell;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::delivery::Term;
use crate::platform::{self, Entry, Fault, Platform};
use crate::{Context, Failure, Problem, id, names, position};

/// Documents of one kind, by id. `T` is what is kept of each.
pub struct Docs<T> {
    source: &'static str,
    name: &'static str,
    of_one_partition: bool,
    kind: PhantomData<fn() -> T>,
}

/// What a projection writes with: it knows the event, its generation, and how long there is time. What an event
/// changes is kept until all of it is known, and then written together.
#[derive(Debug, Default)]
pub struct Writer<'a> {
    pub(crate) source: &'a str,
    pub(crate) partition: u32,
    pub(crate) entity: &'a str,
    pub(crate) seq: u64,
    pub(crate) generation: u64,
    pub(crate) term: Term,
    pub(crate) changes: RefCell<Vec<Entry>>,
}

/// What read models are read with: the generation that answers now.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    pub(crate) generation: u64,
}

impl Context {
    /// The read models as they are now or, if the request brings positions, as soon as they have come so far.
    pub fn views(&self) -> Result<Reader, Problem> {
        Ok(Reader { generation: position::reached()?.generation })
    }

    /// The same, once they also have what this request itself has written.
    pub fn views_with_mine(&self) -> Result<Reader, Problem> {
        position::want_mine();
        self.views()
    }
}

impl<T: Serialize + DeserializeOwned> Docs<T> {
    /// Documents that follow the events of one service. The name is part of their keys.
    pub const fn new(source: &'static str, name: &'static str) -> Self {
        Self { source, name, of_one_partition: false, kind: PhantomData }
    }

    /// Documents that follow the events of a service whose log has one partition: any of its events may write any of
    /// them, for they come one after the other.
    pub const fn of_one_partition(source: &'static str, name: &'static str) -> Self {
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
        if writer.source != self.source || !in_order {
            return Err(Failure::lasting(format!(
                "{} of {id} is not for events of {} in {} to write",
                self.name, writer.entity, writer.source
            )));
        }
        let key = self.key(writer.generation, id);
        if writer.has_changed(&key) {
            return Ok(());
        }
        let before = load::<T>(&key, writer.generation)?;
        if before.as_ref().is_some_and(|before| before.seq >= writer.seq) {
            return Ok(());
        }
        match change(before.map(|before| before.value)) {
            Some(value) => writer.save(key, value.borrow()),
            None => Ok(()),
        }
    }

    pub fn get(&self, reader: &Reader, id: &str) -> Result<Option<T>, Problem> {
        if !id::is_valid(id) {
            return Ok(None);
        }
        Ok(load(&self.key(reader.generation, id), reader.generation)?.map(|found| found.value))
    }

    /// The documents of these ids, in their order, for the price of one read; what is not there is left out.
    pub fn get_many(&self, reader: &Reader, ids: &[String]) -> Result<Vec<T>, Problem> {
        Ok(self.get_each(reader, ids)?.into_iter().flatten().collect())
    }

    /// The document of each of these ids, or none, for the price of one read.
    pub fn get_each(&self, reader: &Reader, ids: &[String]) -> Result<Vec<Option<T>>, Problem> {
        let keys: Vec<String> = ids.iter().map(|id| self.key(reader.generation, id)).collect();
        let found = load_many(&keys, reader.generation)?;
        Ok(found.into_iter().map(|found| Some(found?.value)).collect())
    }

    fn key(&self, generation: u64, id: &str) -> String {
        names::doc_key(generation, self.source, self.name, id)
    }
}

impl Writer<'_> {
    /// Will write a value, with everything else that the event changes.
    pub(crate) fn save<T: Serialize>(&self, key: String, value: &T) -> Result<(), Failure> {
        let bytes = self.kept(value)?;
        self.changes.borrow_mut().push((key, bytes));
        Ok(())
    }

    /// Writes a value that must be there before anything else that the event changes.
    pub(crate) fn save_first<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Failure> {
        self.in_time()?;
        platform::current().set(key, &self.kept(value)?).map_err(unanswered)
    }

    fn kept<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, Failure> {
        let kept = Kept { generation: self.generation, seq: self.seq, value };
        serde_json::to_vec(&kept).map_err(|error| Failure::lasting(error.to_string()))
    }

    pub(crate) fn has_changed(&self, key: &str) -> bool {
        self.changes.borrow().iter().any(|(changed, _)| changed == key)
    }

    /// Writes what the event changes and, behind it, `place`, while there is time. If only some of it is written, the next
    /// delivery of the event writes the rest: what each key becomes follows from the event and what that key was.
    pub(crate) fn finish(self, place: Entry) -> Result<(), Failure> {
        self.in_time()?;
        let mut changes = self.changes.into_inner();
        changes.push(place);
        platform::current().set_many(&changes).map_err(unanswered)
    }

    /// Refuses when so much time has passed that somebody else may have been given the same event.
    fn in_time(&self) -> Result<(), Failure> {
        if self.term.is_over() {
            return Err(Failure::passing("took more than half of the time there is for an event"));
        }
        Ok(())
    }
}

/// A write that failed may have been carried out, or may yet be.
fn unanswered(fault: Fault) -> Failure {
    Failure::left(format!("a write had no answer and may still be carried out: {fault}"))
}

/// A value in the bucket, with what wrote it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept<T> {
    #[serde(rename = "g")]
    generation: u64,
    #[serde(rename = "s")]
    pub seq: u64,
    #[serde(rename = "v")]
    pub value: T,
}

pub(crate) fn load<T: DeserializeOwned>(key: &str, generation: u64) -> Result<Option<Kept<T>>, Fault> {
    let bytes = platform::current().get(key)?;
    bytes.map_or(Ok(None), |bytes| parse(key, &bytes, generation))
}

pub(crate) fn load_many<T: DeserializeOwned>(
    keys: &[String],
    generation: u64,
) -> Result<Vec<Option<Kept<T>>>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = platform::current().get_many(keys)?;
    let each = keys.iter().zip(found);
    each.map(|(key, bytes)| bytes.map_or(Ok(None), |bytes| parse(key, &bytes, generation))).collect()
}

/// With which events the values of these keys were written, whatever their shapes; none for what is not there.
pub(crate) fn sequences(keys: &[String], generation: u64) -> Result<Vec<Option<u64>>, Fault> {
    let found = load_many::<IgnoredAny>(keys, generation)?;
    Ok(found.into_iter().map(|kept| Some(kept?.seq)).collect())
}

/// What an older generation left in the same slot may have any shape, and is as good as absent.
pub(crate) fn parse<T: DeserializeOwned>(
    key: &str,
    bytes: &[u8],
    generation: u64,
) -> Result<Option<Kept<T>>, Fault> {
    let broken = |error: serde_json::Error| Fault::new(format!("the value of {key} cannot be read: {error}"));
    let of_this_generation = |found: u64| found == generation;
    match serde_json::from_slice::<Kept<T>>(bytes) {
        Ok(kept) => Ok(Some(kept).filter(|kept| of_this_generation(kept.generation))),
        Err(error) => {
            let shapeless: Kept<IgnoredAny> = serde_json::from_slice(bytes).map_err(broken)?;
            if of_this_generation(shapeless.generation) { Err(broken(error)) } else { Ok(None) }
        }
    }
}

impl<T> std::fmt::Debug for Docs<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Docs({}.{})", self.source, self.name)
    }
}
