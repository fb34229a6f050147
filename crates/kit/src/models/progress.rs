//! How far the read models have come, in all that they follow, and how many events they are behind.
//!
//! An [`Offset`] that has not been noted for [`FRESH`] says nothing about what has happened since: the server is asked
//! then, by one answer in that time, and what it said is [noted](Backlogs) for the others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trellis_names as names;

use super::generation::{self, Generations};
use super::offset::{self, Offset, SOURCES_KEY};
use crate::platform::{self, Fault, Platform};
use crate::position::Position;
use crate::time::millis;
use crate::{document, instant, jetstream, log};

/// The document of [`Backlogs`].
const BACKLOGS_KEY: &str = "backlogs";
/// How long what is known of a backlog is good enough.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// How far the generation that is read has come, as the bucket says. An instance makes sense of it once for as long as the
/// bucket says the same.
#[derive(Debug)]
pub(crate) struct Progress {
    pub generation: u64,
    followed: Vec<Followed>,
    backlogs: Backlogs,
    said: Said,
}

/// One partition of a source.
#[derive(Debug)]
struct Followed {
    source: String,
    partition: u32,
    offset: Offset,
}

impl Followed {
    /// By which the backlogs know it.
    fn name(&self) -> String {
        [&self.source, ":", &self.partition.to_string()].concat()
    }
}

/// What was read: [`SAID_FIRST`], and then the offset of each partition.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    keys: Vec<String>,
    values: Vec<Option<Vec<u8>>>,
}

const SAID_FIRST: [&str; 3] = [BACKLOGS_KEY, generation::KEY, SOURCES_KEY];

impl Said {
    fn value(&self, at: usize) -> Option<Vec<u8>> {
        self.values.get(at).cloned().flatten()
    }

    fn backlogs(&self) -> Result<Backlogs, Fault> {
        parse_or_default(BACKLOGS_KEY, self.value(0))
    }

    fn generation(&self) -> Result<u64, Fault> {
        Ok(Generations::parse(self.value(1))?.active)
    }

    fn partitions(&self) -> Result<Vec<(String, u32)>, Fault> {
        let sources: BTreeMap<String, u32> = parse_or_default(SOURCES_KEY, self.value(2))?;
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
        thread_local!(static KNOWN: RefCell<Option<Rc<Progress>>> = const { RefCell::new(None) });
        let known = KNOWN.take();
        let first = || SAID_FIRST.map(str::to_owned).to_vec();
        let mut keys = known.as_ref().map_or_else(first, |known| known.said.keys.clone());
        let progress = loop {
            let said = Said { values: platform::current().get_many(&keys)?, keys };
            if let Some(known) = known.as_ref().filter(|known| known.said == said) {
                break Rc::clone(known);
            }
            let (generation, partitions) = (said.generation()?, said.partitions()?);
            let of_offsets =
                partitions.iter().map(|(source, partition)| names::place_key(generation, source, *partition));
            keys = first().into_iter().chain(of_offsets).collect();
            if keys == said.keys {
                break Rc::new(Self::of(said, generation, partitions)?);
            }
        };
        KNOWN.set(Some(Rc::clone(&progress)));
        Ok(progress)
    }

    fn of(said: Said, generation: u64, partitions: Vec<(String, u32)>) -> Result<Self, Fault> {
        let mut backlogs = said.backlogs()?;
        if backlogs.generation != generation {
            backlogs = Backlogs { generation, ..Backlogs::default() };
        }
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

    /// How many events the read models are behind. What cannot be found out is what was noted last.
    pub fn lag(&self, service: &str) -> u64 {
        let now_ms = platform::current().now_ms();
        let fresh_ms = millis(FRESH);
        let long_ago = instant::rfc3339(now_ms.saturating_sub(fresh_ms));
        let (resting, moving): (Vec<_>, Vec<_>) =
            self.followed.iter().partition(|of| instant::is_older(&of.offset.time, &long_ago));
        let known_until = self.backlogs.asked_ms.saturating_add(fresh_ms);
        // A clock that was set back must not make what was noted last for ever.
        let is_known = (self.backlogs.asked_ms..known_until).contains(&now_ms);
        let asked = (!resting.is_empty() && !is_known).then(|| self.ask(service, now_ms, &resting));
        let waiting = &asked.as_ref().unwrap_or(&self.backlogs).waiting;
        let at_rest = |of: &&Followed| waiting.get(&of.name()).copied().unwrap_or(of.offset.behind);
        resting.iter().map(at_rest).sum::<u64>() + moving.iter().map(|of| of.offset.behind).sum::<u64>()
    }

    /// Asks the server about the partitions in which nothing moves.
    fn ask(&self, service: &str, now_ms: u64, resting: &[&Followed]) -> Backlogs {
        let mut backlogs = Backlogs { asked_ms: now_ms, ..self.backlogs.clone() };
        // Noted before it is done, so that of many who come at once one asks.
        note(&backlogs);
        for of in resting {
            let consumer = names::consumer(service, self.generation, of.partition);
            if let Ok(Some(progress)) = jetstream::progress(&names::log_stream(&of.source), &consumer) {
                backlogs.waiting.insert(of.name(), progress.backlog);
            }
        }
        note(&backlogs);
        backlogs
    }
}

/// What the server said when it was asked how much waits for the partitions in which nothing moves. Whoever answers
/// a request may note it: it is about the same things at about the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Backlogs {
    generation: u64,
    asked_ms: u64,
    /// By the name of the partition.
    waiting: BTreeMap<String, u64>,
}

/// What is not noted is asked for once more.
fn note(backlogs: &Backlogs) {
    if let Err(fault) = document::save(BACKLOGS_KEY, backlogs) {
        log::warn(&format!("the backlogs are not noted: {fault}"));
    }
}

fn parse_or_default<T: DeserializeOwned + Default>(key: &str, value: Option<Vec<u8>>) -> Result<T, Fault> {
    value.map_or_else(|| Ok(T::default()), |bytes| document::read(key, &bytes))
}
