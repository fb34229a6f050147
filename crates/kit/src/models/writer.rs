//! What projections write with.
//!
//! **A projection runs twice for an event.** The first time nothing is read or written: the keys that it changes are noted.
//! They are read with one call, along with what else is needed to handle the event. The second time it sees what they hold.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::kept::{self, Kept};
use crate::delivery::Term;
use crate::failure::Failure;
use crate::platform::{self, Entry, Fault, Platform};

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
    pub(crate) before: Before,
}

/// What is known of the keys that an event changes.
#[derive(Debug)]
pub(crate) enum Before {
    /// Which they are, as far as the projections have said.
    Noted(RefCell<Vec<String>>),
    /// What they hold, of those that were read together.
    Read(BTreeMap<String, Option<Vec<u8>>>),
}

impl Default for Before {
    fn default() -> Self {
        Self::Read(BTreeMap::new())
    }
}

impl Writer<'_> {
    /// What a key holds that the event changes; outer none if it is only noted this time, and nothing is to be changed.
    pub(crate) fn before<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Option<Kept<T>>>, Fault> {
        match &self.before {
            Before::Noted(keys) => {
                keys.borrow_mut().push(key.to_owned());
                Ok(None)
            }
            Before::Read(read) => Ok(Some(match read.get(key) {
                Some(None) => None,
                Some(Some(bytes)) => kept::parse(key, bytes, self.generation)?,
                None => kept::load(key, self.generation)?,
            })),
        }
    }

    /// The keys that were noted.
    pub(crate) fn into_noted(self) -> Vec<String> {
        match self.before {
            Before::Noted(keys) => keys.into_inner(),
            Before::Read(_) => Vec::new(),
        }
    }

    /// What the event changes, and what is known of these keys.
    pub(crate) fn into_parts(self) -> (Vec<Entry>, BTreeMap<String, Option<Vec<u8>>>) {
        let before = match self.before {
            Before::Noted(_) => BTreeMap::new(),
            Before::Read(values) => values,
        };
        (self.changes.into_inner(), before)
    }

    /// Changes what a key holds, seeing what that is. Answering none leaves it as it is, and so does an event that has changed it
    /// before.
    pub(crate) fn update<T: Serialize + DeserializeOwned, V: Borrow<T>>(
        &self,
        key: String,
        change: impl FnOnce(Option<T>) -> Option<V>,
    ) -> Result<(), Failure> {
        if self.has_changed(&key) {
            return Ok(());
        }
        let Some(before) = self.before::<T>(&key)? else { return Ok(()) };
        if before.as_ref().is_some_and(|before| before.seq >= self.seq) {
            return Ok(());
        }
        match change(before.map(|before| before.value)) {
            Some(value) => self.save(key, value.borrow()),
            None => Ok(()),
        }
    }

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

    /// Writes what the event changes and, behind it, the offset, while there is time. If only some of it is written, the next
    /// delivery of the event writes the rest: what each key becomes follows from the event and what that key was.
    pub(crate) fn finish(self, offset: Entry) -> Result<(), Failure> {
        self.in_time()?;
        let mut changes = self.changes.into_inner();
        changes.push(offset);
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
    Failure::left(Fault::because("a write had no answer and may still be carried out", fault))
}
