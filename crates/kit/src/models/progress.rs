//! How far the read models have come, in all that they follow, and how many events they are behind.
//!
//! An [`Offset`] that has not been noted for [`FRESH`] says nothing about what has happened since: the [backlogs](Backlogs)
//! count then.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use trellis_names as names;

use super::backlogs::{self, Backlogs, FRESH};
use super::generation::{self, Generations};
use super::offset::{self, Offset, SOURCES_KEY};
use crate::platform::{self, Fault, Platform};
use crate::position::Position;
use crate::time::millis;
use crate::{document, instant};

/// How far the generation that is read has come, as the bucket says. An instance makes sense of it once for as long as the
/// bucket says the same.
#[derive(Debug)]
pub(crate) struct Progress {
    pub generation: u64,
    followed: Vec<Followed>,
    backlogs: Backlogs,
    said: Said,
}

thread_local! {
    static KNOWN: RefCell<Option<Rc<Progress>>> = const { RefCell::new(None) };
    static HAS_ANSWERED: Cell<bool> = const { Cell::new(false) };
}

/// One partition of a source.
#[derive(Debug)]
struct Followed {
    source: String,
    partition: u32,
    offset: Offset,
}

/// What was read: [`SAID_FIRST`], and then the offset of each partition.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    keys: Vec<String>,
    values: Vec<Option<Vec<u8>>>,
}

const SAID_FIRST: [&str; 3] = [backlogs::KEY, generation::KEY, SOURCES_KEY];

impl Said {
    fn value(&self, at: usize) -> Option<Vec<u8>> {
        self.values.get(at).cloned().flatten()
    }

    fn backlogs(&self) -> Result<Backlogs, Fault> {
        Backlogs::parse(self.value(0))
    }

    fn generation(&self) -> Result<u64, Fault> {
        Ok(Generations::parse(self.value(1))?.active)
    }

    fn partitions(&self) -> Result<Vec<(String, u32)>, Fault> {
        let sources = self.value(2).map(|bytes| document::read(SOURCES_KEY, &bytes)).transpose()?;
        let sources: BTreeMap<String, u32> = sources.unwrap_or_default();
        let each = sources.into_iter();
        Ok(each
            .flat_map(|(source, count)| (0..count).map(move |partition| (source.clone(), partition)))
            .collect())
    }

    /// Whether all is the same but the backlogs, which are not what anything is answered from.
    fn is_like(&self, other: &Self) -> bool {
        self.keys == other.keys && self.values.get(1..) == other.values.get(1..)
    }
}

impl Progress {
    /// Reads until what was read is all there is to read: which generation answers, and what it follows, may be others
    /// than whoever asked last was told.
    pub fn load() -> Result<Rc<Self>, Fault> {
        let known = KNOWN.take();
        let first = || SAID_FIRST.map(str::to_owned).to_vec();
        let mut keys = known.as_ref().map_or_else(first, |known| known.said.keys.clone());
        let progress = loop {
            let said = Said { values: platform::current().get_many(&keys)?, keys };
            if let Some(known) = known.as_ref().filter(|known| known.said == said) {
                break Rc::clone(known);
            }
            let (generation, partitions) = (said.generation()?, said.partitions()?);
            let of_offsets = partitions
                .iter()
                .map(|(source, partition)| names::offset_key(generation, source, *partition));
            keys = first().into_iter().chain(of_offsets).collect();
            if keys == said.keys {
                break Rc::new(Self::of(said, generation, partitions)?);
            }
        };
        KNOWN.set(Some(Rc::clone(&progress)));
        Ok(progress)
    }

    fn of(said: Said, generation: u64, partitions: Vec<(String, u32)>) -> Result<Self, Fault> {
        let backlogs = said.backlogs()?.of_generation(generation);
        let followed = partitions.into_iter().zip(SAID_FIRST.len()..).map(|((source, partition), at)| {
            let offset = offset::parse(said.value(at), generation)?.unwrap_or_default();
            Ok(Followed { source, partition, offset })
        });
        Ok(Self { generation, followed: followed.collect::<Result<_, Fault>>()?, backlogs, said })
    }

    pub fn have(&self, wanted: &Position) -> bool {
        let mut followed = self.followed.iter();
        followed.any(|of| {
            of.source == wanted.service && of.partition == wanted.partition && of.offset.seq >= wanted.seq
        })
    }

    /// Whether what is answered from these is what would be answered from those.
    pub fn answer_like(&self, others: &Self) -> bool {
        self.said.is_like(&others.said)
    }

    /// How many events the read models are behind.
    pub fn lag(&self, service: &str) -> u64 {
        let long_ago = platform::current().now_ms().saturating_sub(millis(FRESH));
        let long_ago = instant::rfc3339(long_ago);
        let (resting, moving): (Vec<_>, Vec<_>) =
            self.followed.iter().partition(|of| instant::is_older(&of.offset.time, &long_ago));
        let moving = moving.iter().map(|of| of.offset.behind).sum::<u64>();
        if resting.is_empty() {
            return moving;
        }
        let backlogs = self.backlogs.fresh(service, resting.iter().map(|of| of.source.as_str()));
        let at_rest = |of: &&Followed| backlogs.of(&of.source, of.partition).unwrap_or(of.offset.behind);
        moving + resting.iter().map(at_rest).sum::<u64>()
    }
}

/// Whether this is the first request of the instance. What has been read of the progress is worth nothing then: there is no
/// earlier answer that it could be compared for.
pub(crate) fn is_first_request() -> bool {
    !HAS_ANSWERED.replace(true)
}

/// As in an instance that was made anew.
#[cfg(test)]
pub(crate) fn forget() {
    KNOWN.set(None);
    HAS_ANSWERED.set(false);
}
