//! What read models are read with.
//!
//! Which generation answers is in the bucket, too. Whoever does not know it reads the values of both slots, in one call with
//! the document that says which of them counts.

use std::cell::{Cell, RefCell};
use std::ops::RangeBounds;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use trellis_names as names;

use super::backlogs::{self, Backlogs};
use super::generation::{self, Generations};
use super::kept;
use crate::platform::{self, Fault, Platform};

/// What read models are read with: the generation that answers now.
#[derive(Debug, Clone)]
pub struct Reader(Rc<Known>);

#[derive(Debug, Default)]
struct Known {
    generation: Cell<Option<u64>>,
    /// What was read along with the generation.
    backlogs: RefCell<Option<Backlogs>>,
}

/// What keys hold.
type Entries = Vec<(String, Option<Vec<u8>>)>;

/// What was read of a generation.
#[derive(Debug)]
pub(crate) struct Values {
    pub generation: u64,
    pub entries: Entries,
}

/// What was read by somebody who did not know which generation answers.
#[derive(Debug)]
pub(crate) struct Found {
    /// The generation that answers.
    pub answers: u64,
    pub values: Values,
    /// What else was asked for.
    pub also: Vec<Option<Vec<u8>>>,
}

impl Reader {
    /// Learns with the first values that it reads which generation answers.
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    pub(crate) fn of(generation: u64) -> Self {
        Self(Rc::new(Known { generation: Cell::new(Some(generation)), backlogs: RefCell::default() }))
    }

    /// Reads what these keys hold in a generation, or else in the one that answers, with one call.
    pub(crate) fn read(
        &self,
        generation: Option<u64>,
        keys: impl Fn(u64) -> Vec<String>,
    ) -> Result<Values, Fault> {
        if let Some(answers) = self.0.generation.get() {
            let generation = generation.unwrap_or(answers);
            return Ok(Values { generation, entries: load(keys(generation))? });
        }
        let also = [backlogs::KEY.to_owned()];
        let found = Found::load(generation, &also, keys)?;
        self.0.backlogs.replace(Some(Backlogs::parse(found.also.into_iter().next().flatten())?));
        self.0.generation.set(Some(found.answers));
        Ok(found.values)
    }

    /// The generation that answers and what was noted of its backlogs, if that was read.
    pub(crate) fn backlogs(&self) -> Option<(u64, Backlogs)> {
        Some((self.0.generation.get()?, self.0.backlogs.borrow().clone()?))
    }
}

impl Found {
    /// Reads what keys hold in a generation, or else in the one that answers, and what other keys of the bucket hold.
    pub fn load(
        generation: Option<u64>,
        also: &[String],
        keys: impl Fn(u64) -> Vec<String>,
    ) -> Result<Self, Fault> {
        let mut slots = match generation {
            Some(generation) => vec![keys(generation)],
            None => vec![keys(0), keys(1)],
        };
        let first = [generation::KEY.to_owned()];
        let mut found = platform::current().get_many(&[&first, also, &slots.concat()].concat())?.into_iter();
        let answers = Generations::parse(found.next().flatten())?.active;
        let also = found.by_ref().take(also.len()).collect();
        let slot = if generation.is_some() { 0 } else { names::slot(answers) };
        let skipped = slots.iter().take(slot).map(Vec::len).sum();
        let entries = slots.swap_remove(slot).into_iter().zip(found.skip(skipped)).collect();
        Ok(Self { answers, values: Values { generation: generation.unwrap_or(answers), entries }, also })
    }
}

impl Values {
    /// Takes off what comes after so many.
    pub fn split_off(&mut self, at: usize) -> Self {
        Self { generation: self.generation, entries: self.entries.split_off(at) }
    }

    /// The values of some of the keys, in their order.
    pub fn parse<T: DeserializeOwned>(
        &self,
        range: impl RangeBounds<usize>,
    ) -> Result<Vec<Option<T>>, Fault> {
        let each = self.entries.iter().enumerate().filter(|(at, _)| range.contains(at));
        each.map(|(_, (key, bytes))| match bytes {
            Some(bytes) => Ok(kept::parse(key, bytes, self.generation)?.map(|kept| kept.value)),
            None => Ok(None),
        })
        .collect()
    }
}

fn load(keys: Vec<String>) -> Result<Entries, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let values = platform::current().get_many(&keys)?;
    Ok(keys.into_iter().zip(values).collect())
}
