//! Which generation of the read models answers, which one is being built, and how one follows the other.
//!
//! A rebuild begins with [`start`]: a new set of durable consumers reads all sources from their beginning into
//! the new generation, while the old one goes on being kept up to date and read. When the new consumers have
//! nothing left, [`advance`] makes the new generation the one that is read. Every step can be repeated, and is,
//! so it may stop anywhere.

use serde::{Deserialize, Serialize};

use crate::platform::{self, Fault, Platform};
use crate::{Service, log, names, position, provision};

pub(crate) const KEY: &str = "generation";

/// What the bucket says about generations. A service that never rebuilt has nothing there and reads generation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generations {
    pub active: u64,
    pub building: Option<u64>,
    /// No longer read; its consumers and dead letters remain to be removed.
    pub retired: Option<u64>,
    /// [`Service::VIEWS_SCHEMA`] of the newest of them, if it is not the first.
    #[serde(default = "first")]
    pub schema: u32,
}

fn first() -> u32 {
    1
}

impl Generations {
    /// Reads the value of [`KEY`].
    pub fn parse(value: Option<Vec<u8>>) -> Result<Self, Fault> {
        match value {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Fault::new(format!("the value of {KEY} cannot be read: {error}"))),
            None => Ok(Self { active: 1, building: None, retired: None, schema: first() }),
        }
    }

    /// Whether events are (still) to be projected into this generation.
    pub fn follows(&self, generation: u64) -> bool {
        self.live().any(|live| live == generation)
    }

    /// The generations that follow the events.
    pub fn live(&self) -> impl Iterator<Item = u64> {
        [Some(self.active), self.building].into_iter().flatten()
    }
}

pub(crate) fn load() -> Result<Generations, Fault> {
    Generations::parse(platform::current().get(KEY)?)
}

fn save(generations: Generations) -> Result<(), Fault> {
    let bytes = serde_json::to_vec(&generations).map_err(|error| Fault::new(error.to_string()))?;
    platform::current().set(KEY, &bytes)
}

/// Begins to build the read models anew. While a rebuild is under way, this changes nothing.
pub(crate) fn start<S: Service>() -> Result<(), Fault> {
    let now = clean_up::<S>(load()?)?;
    if now.building.is_none() {
        let next = now.active + 1;
        // A bucket that was lost counts from the start again, and consumers of that time have read it all.
        provision::remove::<S>(next)?;
        save(Generations { building: Some(next), schema: S::VIEWS_SCHEMA, ..now })?;
        log::info(&format!("{} builds generation {next} of its read models", S::NAME));
    }
    provision::consumers::<S>()?;
    advance::<S>(None).map(drop)
}

/// Builds the read models anew if they were made by a version of the service that makes others. Comes before their consumers:
/// nothing has been read yet of what there are no consumers for.
pub(crate) fn renew<S: Service>() -> Result<(), Fault> {
    let now = load()?;
    if now.schema == S::VIEWS_SCHEMA {
        return Ok(());
    }
    let read = position::come(now.active, &provision::projected::<S>()?)?;
    if read.into_iter().all(|seq| seq == 0) {
        return save(Generations { schema: S::VIEWS_SCHEMA, ..now });
    }
    log::info(&format!("read models of {} have schema {}, and now {}", S::NAME, now.schema, S::VIEWS_SCHEMA));
    start::<S>()
}

/// Builds the read models anew because of what is wrong with them, unless that is under way.
pub(crate) fn rebuild<S: Service>(why: &str) -> Result<(), Fault> {
    if load()?.building.is_some() {
        return Ok(());
    }
    log::error(&format!("{why}; the read models of {} are built anew", S::NAME));
    start::<S>()
}

/// Switches to the generation that is being built if it has caught up. `finishing` is a consumer whose last
/// message is just being finished, so that it need not be asked. Returns the generation that is read from now
/// on.
pub(crate) fn advance<S: Service>(finishing: Option<&str>) -> Result<u64, Fault> {
    let now = clean_up::<S>(load()?)?;
    let Some(next) = now.building else { return Ok(now.active) };
    for (source, partition) in provision::projected::<S>()? {
        let consumer = names::consumer(S::NAME, next, partition);
        let is_finishing = finishing == Some(&format!("{source}/{consumer}"));
        if !is_finishing && !provision::has_caught_up(source, &consumer)? {
            return Ok(now.active);
        }
    }
    let switched = Generations { active: next, building: None, retired: Some(now.active), ..now };
    save(switched)?;
    log::info(&format!("{} reads generation {next} of its read models", S::NAME));
    clean_up::<S>(switched)?;
    Ok(next)
}

/// Removes the consumers and the dead letters of the generation before. Its values stay, for lists that are being read, until the
/// next rebuild overwrites them.
fn clean_up<S: Service>(now: Generations) -> Result<Generations, Fault> {
    let Some(retired) = now.retired else { return Ok(now) };
    provision::remove::<S>(retired)?;
    let cleaned = Generations { retired: None, ..now };
    save(cleaned)?;
    Ok(cleaned)
}
