//! How far a generation of the read models has come in one partition of a source: an [`Offset`], which each (source,
//! partition) notes in one small document.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trellis_names as names;

use super::generation::{self, Generations};
use crate::delivery::Delivery;
use crate::platform::{self, Entry, Fault, Platform};
use crate::time::millis;
use crate::{document, instant};

/// The document that lists what the read models follow, also those that another version of the service makes.
pub(crate) const SOURCES_KEY: &str = "sources";

/// How far one partition of a source has come in one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offset {
    #[serde(rename = "g")]
    generation: u64,
    /// The last event that is done with.
    pub seq: u64,
    /// How many more there were when this was noted.
    pub behind: u64,
    /// When this was noted.
    pub time: String,
    /// With which delivery of its consumer; not known of an offset that a version before this one has noted.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    watched: Vec<Watched>,
}

/// A key that an earlier attempt may still write: its write had no answer, or whoever makes it is held up. That would put an
/// older value over a newer one, which is seen by its sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub key: String,
    /// With which event it was written since, if it was; or else 0.
    pub seq: u64,
    until_ms: u64,
}

/// What handling an event begins with.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub generations: Generations,
    /// None if nobody reads that generation any more.
    pub offset: Option<Offset>,
    /// By key.
    pub values: BTreeMap<String, Option<Vec<u8>>>,
}

/// How long a key is watched.
const WATCH: Duration = Duration::from_secs(5 * 60);
/// The most keys of a partition that are watched; the newest count.
const WATCHED_MAX: usize = 1024;

impl Offset {
    /// The generations and, for the same price, the offset in a partition of the one that consumers know by this name, and
    /// what these keys hold.
    pub fn load(source: &str, partition: u32, name: u64, keys: Vec<String>) -> Result<Loaded, Fault> {
        let first = [generation::KEY.to_owned(), names::offset_key(name, source, partition)];
        let all: Vec<String> = first.into_iter().chain(keys).collect();
        let mut values = platform::current().get_many(&all)?.into_iter();
        let generations = Generations::parse(values.next().flatten())?;
        let (offset, values) = (values.next().flatten(), all.into_iter().skip(2).zip(values).collect());
        let Some(generation) = generations.named(name) else {
            return Ok(Loaded { generations, offset: None, values });
        };
        let offset = parse(offset, generation)?.unwrap_or(Self { generation, ..Self::default() });
        Ok(Loaded { generations, offset: Some(offset), values })
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the offset of an event before this one was noted and is not there any more: what was noted with it may be
    /// lost, too.
    pub fn went_back_before(&self, event: &Delivery<'_>) -> bool {
        // The delivery with which the event before was done.
        let before = event.nth.saturating_sub(event.attempt);
        if self.time.is_empty() { before > 0 } else { self.nth.is_some_and(|nth| nth < before) }
    }

    /// That the event is done with, and those before it, by which these keys were changed: each with the last of them, or 0 if
    /// only an earlier attempt may have changed it. Events come in order, unless a lost consumer was made anew and
    /// begins from the start: the offset does not go back then.
    pub fn passed<'a>(
        &self,
        event: &Delivery<'_>,
        changed: impl Iterator<Item = (&'a String, u64)>,
    ) -> Result<Entry, Fault> {
        let watched = self.watch(event, changed);
        self.entry(
            event,
            Self { seq: self.seq.max(event.seq), behind: event.behind, watched, ..Self::default() },
        )
    }

    /// That an event and those behind it have to wait.
    pub fn stuck(&self, event: &Delivery<'_>) -> Result<Entry, Fault> {
        let watched = self.watched.clone();
        let behind = event.behind.saturating_add(1);
        self.entry(event, Self { seq: self.seq, behind, watched, ..Self::default() })
    }

    fn entry(&self, event: &Delivery<'_>, offset: Self) -> Result<Entry, Fault> {
        let time = instant::rfc3339(platform::current().now_ms());
        let offset = Self { generation: self.generation, time, nth: Some(event.nth), ..offset };
        let key = names::offset_key(self.generation, event.source, event.partition());
        Ok((key, document::write(&offset)?))
    }

    /// What is to be watched once the event is done with. What is changed for the first time has nobody behind it.
    fn watch<'a>(
        &self,
        event: &Delivery<'_>,
        changed: impl Iterator<Item = (&'a String, u64)>,
    ) -> Vec<Watched> {
        let now_ms = platform::current().now_ms();
        let until_ms = now_ms.saturating_add(millis(WATCH));
        let mut watched: Vec<Watched> = self.watched().cloned().collect();
        for (key, seq) in changed {
            match watched.iter_mut().find(|watched| watched.key == *key) {
                Some(watched) => watched.seq = watched.seq.max(seq),
                None if event.attempt > 1 => watched.push(Watched { key: key.clone(), seq, until_ms }),
                None => {}
            }
        }
        let surplus = watched.len().saturating_sub(WATCHED_MAX);
        watched.split_off(surplus)
    }

    /// The keys that are still watched.
    pub fn watched(&self) -> impl Iterator<Item = &Watched> {
        let now_ms = platform::current().now_ms();
        self.watched.iter().filter(move |watched| watched.until_ms > now_ms)
    }
}

/// How far a generation has come in each of these partitions, as the bucket says.
pub(crate) fn load_all(generation: u64, partitions: &[(&'static str, u32)]) -> Result<Vec<Offset>, Fault> {
    let keys = partitions.iter().map(|(source, partition)| names::offset_key(generation, source, *partition));
    let values = platform::current().get_many(&keys.collect::<Vec<_>>())?;
    values.into_iter().map(|value| Ok(parse(value, generation)?.unwrap_or_default())).collect()
}

/// Sources, and how many partitions each has.
pub(crate) type Sources = BTreeMap<String, u32>;

/// What was noted of what the read models follow.
pub(crate) fn followed() -> Result<Sources, Fault> {
    let noted = platform::current().get(SOURCES_KEY)?;
    // What cannot be read is noted anew.
    Ok(noted.and_then(|bytes| document::read(SOURCES_KEY, &bytes).ok()).unwrap_or_default())
}

/// Notes what the read models follow, by what was noted before, so that their offsets are found without asking anybody.
pub(crate) fn follow(find: impl FnOnce(&Sources) -> Result<Sources, Fault>) -> Result<(), Fault> {
    let noted = followed()?;
    let sources = find(&noted)?;
    if sources == noted { Ok(()) } else { document::save(SOURCES_KEY, &sources) }
}

/// What another generation left in the same slot is not there.
pub(super) fn parse(value: Option<Vec<u8>>, generation: u64) -> Result<Option<Offset>, Fault> {
    let offset: Option<Offset> = value.map(|bytes| document::read("an offset", &bytes)).transpose()?;
    Ok(offset.filter(|offset| offset.generation == generation))
}
