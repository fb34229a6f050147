//! What read models are read with.
//!
//! Which generation answers is in the bucket, too. Whoever does not know it reads the values of both slots, in one call with
//! the document that says which of them counts.

use std::cell::{Cell, RefCell};
use std::ops::RangeBounds;
use std::rc::Rc;

use serde::de::DeserializeOwned;

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
    entries: Entries,
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
        let slots = generation.map_or_else(|| vec![0, 1], |generation| vec![generation]);
        let of_slots = slots.iter().flat_map(|slot| keys(*slot));
        let first = [backlogs::KEY.to_owned(), generation::KEY.to_owned()];
        let mut entries = load(first.into_iter().chain(of_slots).collect())?.into_iter();
        let mut next = || entries.next().and_then(|(_, value)| value);
        let (backlogs, generations) = (Backlogs::parse(next())?, Generations::parse(next())?);
        self.0.backlogs.replace(Some(backlogs));
        self.0.generation.set(Some(generations.active));
        let generation = generation.unwrap_or(generations.active);
        let keys = keys(generation);
        let entries = entries.skip_while(|(key, _)| Some(key) != keys.first()).take(keys.len());
        Ok(Values { generation, entries: entries.collect() })
    }

    /// The generation that answers and what was noted of its backlogs, if that was read.
    pub(crate) fn backlogs(&self) -> Option<(u64, Backlogs)> {
        Some((self.0.generation.get()?, self.0.backlogs.borrow().clone()?))
    }
}

impl Values {
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
