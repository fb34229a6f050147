//! Which generation of the read models answers, which one is being built, and how one follows the other.
//!
//! A rebuild begins with [`start`]: a new set of durable consumers reads all sources from their beginning into
//! the new generation, while the old one goes on being kept up to date and read. When the new consumers have
//! nothing left, [`advance`] makes the new generation the one that is read. Every step can be repeated, and is,
//! so it may stop anywhere.
//!
//! **Each change is one append** to a stream of the service's own, as version n + 1 of what was decided on, so that of two
//! who change the same thing at once one decides anew. The bucket has a copy, for whoever handles an event or answers a
//! request. A copy may be late; nothing is decided, removed or taken for done because of it.
//!
//! **A late handler has nowhere to write.** Generations take turns in two slots. A slot is used again when no event of the
//! generation before is with any handler, or every such handler has had to stop ([`ACK_WAIT`]).
//!
//! **A generation belongs to the schema that began it** ([`Service::VIEWS_SCHEMA`]). Other versions of the service neither
//! write into it nor end it. A newer version leaves what an older one builds and builds its own; an older one steps back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::delivery::ACK_WAIT;
use crate::eventlog::backoff;
use crate::jetstream::{self, Appended, Refusal};
use crate::platform::{self, Fault, Platform};
use crate::provision::fault;
use crate::{Service, log, names, position, provision};

pub(crate) const KEY: &str = "generation";

/// How often a change is decided on before somebody else is left to it.
const ATTEMPTS: u32 = 5;

/// What there is of generations. A service that never rebuilt reads generation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generations {
    /// How many changes led to this.
    #[serde(default)]
    pub change: u64,
    pub active: u64,
    pub building: Option<u64>,
    /// No longer kept up to date; its consumers and dead letters remain to be removed.
    pub retired: Option<u64>,
    /// [`Service::VIEWS_SCHEMA`] of the one that is being built, or else of the active one.
    #[serde(default = "first")]
    pub schema: u32,
    /// That of the active one while another is being built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_schema: Option<u32>,
    /// The newest there has ever been: numbers are not used twice.
    #[serde(default)]
    pub newest: u64,
    /// When the retired one was last kept up to date.
    #[serde(default)]
    pub retired_ms: u64,
}

fn first() -> u32 {
    1
}

impl Generations {
    const FIRST: Self = Self {
        change: 0,
        active: 1,
        building: None,
        retired: None,
        schema: 1,
        active_schema: None,
        newest: 1,
        retired_ms: 0,
    };

    /// Reads the value of [`KEY`].
    pub fn parse(value: Option<Vec<u8>>) -> Result<Self, Fault> {
        value.map_or(Ok(Self::FIRST), |bytes| read(KEY, &bytes))
    }

    /// The generations that follow the events.
    pub fn live(&self) -> impl Iterator<Item = u64> {
        [Some(self.active), self.building].into_iter().flatten()
    }

    /// The generation that consumers know by this name.
    pub fn named(&self, name: u64) -> Option<u64> {
        self.live().find(|generation| names::generation_name(*generation) == name)
    }

    /// Those of this schema among the generations that follow the events.
    pub fn of_schema(&self, schema: u32) -> impl Iterator<Item = u64> {
        self.live().filter(move |generation| self.schema_of(*generation) == schema)
    }

    /// By which version of its service a generation is made.
    pub fn schema_of(&self, generation: u64) -> u32 {
        if self.building == Some(generation) {
            self.schema
        } else {
            self.active_schema.unwrap_or(self.schema)
        }
    }

    /// The number of the next one, which has the slot that the active one has not.
    fn next(&self) -> u64 {
        let newest = [self.newest, self.active, self.building.unwrap_or(0), self.retired.unwrap_or(0)];
        let next = newest.into_iter().max().unwrap_or(self.active) + 1;
        if names::slot(next) == names::slot(self.active) { next + 1 } else { next }
    }

    /// Whether a handler may still be at work that took the retired generation for a live one.
    fn may_have_late_handlers(&self) -> bool {
        let wait_ms = u64::try_from(ACK_WAIT.as_millis()).unwrap_or(u64::MAX);
        (self.retired_ms..self.retired_ms.saturating_add(wait_ms)).contains(&platform::current().now_ms())
    }
}

/// What the bucket says: what was so at some time not long ago.
pub(crate) fn load() -> Result<Generations, Fault> {
    Generations::parse(platform::current().get(KEY)?)
}

/// What is so.
pub(crate) fn current<S: Service>() -> Result<Generations, Fault> {
    let newest = jetstream::newest(&names::own_stream(S::NAME), &names::generation_change(S::NAME, '*'));
    match newest {
        Ok(Some(message)) => read(&message.subject, &message.body),
        // Until the first change, what versions before this one left in the bucket.
        Ok(None) | Err(Refusal::NoStream) => load(),
        Err(refusal) => Err(fault(S::NAME, refusal)),
    }
}

/// What is so, once the bucket says so too.
pub(crate) fn noted<S: Service>() -> Result<Generations, Fault> {
    let now = current::<S>()?;
    note(now)?;
    Ok(now)
}

/// Makes sure that the bucket does not say what was so before.
fn note(now: Generations) -> Result<(), Fault> {
    let value = platform::current().get(KEY)?;
    let is_noted = value.is_some() && Generations::parse(value)?.change >= now.change;
    if is_noted || now == Generations::FIRST {
        return Ok(());
    }
    platform::current().set(KEY, &bytes(&now)?)
}

/// Changes what `decide` finds to be changed, if anything, and returns what is so then. Whoever is slower than somebody else
/// decides anew, on what that one made of it.
fn change<S: Service>(
    mut decide: impl FnMut(&Generations) -> Result<Option<Generations>, Fault>,
) -> Result<Generations, Fault> {
    let mut why = Fault::new("somebody else was faster each time");
    for attempt in 0..ATTEMPTS {
        let now = noted::<S>()?;
        let Some(next) = decide(&now)? else { return Ok(now) };
        let next = Generations { change: now.change + 1, newest: now.newest.max(next.newest), ..next };
        match jetstream::append(&names::generation_change(S::NAME, next.change), &bytes(&next)?) {
            Appended::At(_) => {
                note(next)?;
                return Ok(next);
            }
            Appended::Taken => backoff(attempt),
            // If it was stored after all, there is nothing left to decide on.
            Appended::Unknown(fault) => {
                provision::own_stream::<S>()?;
                why = fault;
            }
        }
    }
    Err(why.with("the generations of the read models are as they were"))
}

/// Begins to build the read models anew. While a rebuild is under way, this changes nothing. Returns whether one is, or was
/// done at once: where an event may still be written into the slot that comes next, it cannot begin yet.
pub(crate) fn start<S: Service>() -> Result<bool, Fault> {
    clean_up::<S>()?;
    let mut begun = None;
    let now = change::<S>(|now| {
        begun = None;
        if now.building.is_some() || now.retired.is_some() {
            return Ok(None);
        }
        let next = now.next();
        begun = Some(next);
        Ok(Some(Generations {
            building: Some(next),
            newest: next,
            schema: S::VIEWS_SCHEMA,
            active_schema: Some(now.schema_of(now.active)),
            ..*now
        }))
    })?;
    if let Some(retired) = now.retired {
        log::info(&format!(
            "an event may still be handled for generation {retired} of the read models of {}: they are built anew \
             within {ACK_WAIT:?}",
            S::NAME
        ));
        return Ok(false);
    }
    if let Some(next) = begun {
        log::info(&format!("{} builds generation {next} of its read models", S::NAME));
    }
    provision::consumers::<S>(&now, &provision::followed::<S>(BTreeMap::new())?)?;
    advance::<S>(None)?;
    Ok(true)
}

/// Builds the read models anew if they were made by an older version of the service. Comes before their consumers: nothing
/// has been read yet of what there are no consumers for.
pub(crate) fn renew<S: Service>() -> Result<Generations, Fault> {
    let now = noted::<S>()?;
    if now.schema == S::VIEWS_SCHEMA {
        return Ok(now);
    }
    if now.schema > S::VIEWS_SCHEMA {
        log::warn(&stepped_back::<S>(&now));
        return Ok(now);
    }
    let places = position::places(now.active, &provision::projected::<S>()?)?;
    if now.building.is_none() && places.iter().all(|place| place.seq == 0) {
        let mine = |now: &Generations| Generations { schema: S::VIEWS_SCHEMA, ..*now };
        return change::<S>(|now| Ok((now.schema < S::VIEWS_SCHEMA).then(|| mine(now))));
    }
    log::info(&format!("read models of {} have schema {}, and now {}", S::NAME, now.schema, S::VIEWS_SCHEMA));
    leave_older::<S>()?;
    start::<S>()?;
    noted::<S>()
}

/// Why a version of the service leaves the read models alone.
pub(crate) fn stepped_back<S: Service>(now: &Generations) -> String {
    format!(
        "The read models of {} have schema {}, of a newer version; this version makes schema {} and leaves them alone. \
         If this version is to stay, `trellis replay {}` builds them as it makes them.",
        S::NAME,
        now.schema,
        S::VIEWS_SCHEMA,
        S::NAME
    )
}

/// Stops to build a generation that an older version of the service has begun.
fn leave_older<S: Service>() -> Result<(), Fault> {
    let retired_ms = platform::current().now_ms();
    change::<S>(|now| {
        let is_older = now.building.is_some() && now.schema < S::VIEWS_SCHEMA;
        Ok(is_older.then(|| Generations {
            building: None,
            retired: now.building,
            retired_ms,
            schema: now.schema_of(now.active),
            active_schema: None,
            ..*now
        }))
    })?;
    Ok(())
}

/// Builds the read models anew because of what is wrong with them, unless that is under way. Returns what [`start`] does.
pub(crate) fn rebuild<S: Service>(why: &str) -> Result<bool, Fault> {
    if current::<S>()?.building.is_some() {
        return Ok(true);
    }
    log::error(&format!("{why}; the read models of {} are built anew", S::NAME));
    start::<S>()
}

/// Switches to the generation that is being built if it has caught up. `finishing` is a consumer whose last
/// message is just being finished, so that it need not be asked. Returns the generation that is read from now
/// on.
pub(crate) fn advance<S: Service>(finishing: Option<&str>) -> Result<u64, Fault> {
    let now = clean_up::<S>()?;
    let Some(next) = now.building.filter(|_| now.schema == S::VIEWS_SCHEMA) else { return Ok(now.active) };
    for (source, partition) in provision::projected::<S>()? {
        let consumer = names::consumer(S::NAME, next, partition);
        let is_finishing = finishing == Some(&format!("{source}/{consumer}"));
        if !is_finishing && !provision::has_caught_up(source, &consumer)? {
            return Ok(now.active);
        }
    }
    let retired_ms = platform::current().now_ms();
    let switched = change::<S>(|now| {
        Ok((now.building == Some(next)).then_some(Generations {
            active: next,
            building: None,
            retired: Some(now.active),
            retired_ms,
            active_schema: None,
            ..*now
        }))
    })?;
    log::info(&format!("{} reads generation {} of its read models", S::NAME, switched.active));
    Ok(clean_up::<S>()?.active)
}

/// Removes the consumers and the dead letters of the retired generation, once nobody writes into it any more. Its values stay,
/// for lists that are being read, until the next rebuild overwrites them.
fn clean_up<S: Service>() -> Result<Generations, Fault> {
    let now = noted::<S>()?;
    let Some(retired) = now.retired else { return Ok(now) };
    if now.may_have_late_handlers() && provision::is_with_handlers::<S>(retired)? {
        return Ok(now);
    }
    provision::remove::<S>(retired)?;
    change::<S>(|now| Ok((now.retired == Some(retired)).then_some(Generations { retired: None, ..*now })))
}

fn bytes(generations: &Generations) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(generations).map_err(|error| Fault::new(error.to_string()))
}

fn read(of: &str, bytes: &[u8]) -> Result<Generations, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::new(format!("the value of {of} cannot be read: {error}")))
}
