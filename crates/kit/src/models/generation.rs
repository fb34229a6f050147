//! Which generation of the read models answers, and which one is being built.
//!
//! **Each change is one append** to a stream of the service's own, as version n + 1 of what was decided on, so that of two
//! who change the same thing at once one decides anew. The bucket has a copy, for whoever handles an event or answers a
//! request. A copy may be late; nothing is decided, removed or taken for done because of it.
//!
//! **A generation belongs to the schema that began it** ([`VIEWS_SCHEMA`](crate::Service::VIEWS_SCHEMA)). Other versions of
//! the service neither write into it nor end it.

use serde::{Deserialize, Serialize};
use trellis_names as names;

use crate::descriptor::Descriptor;
use crate::jetstream::{self, Appended, StreamError};
use crate::limits::ACK_WAIT;
use crate::platform::{self, Fault, Platform};
use crate::time::{back_off, millis};
use crate::{document, streams};

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
    /// [`VIEWS_SCHEMA`](crate::Service::VIEWS_SCHEMA) of the one that is being built, or else of the active one.
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
        value.map_or(Ok(Self::FIRST), |bytes| document::read(KEY, &bytes))
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
    pub fn next(&self) -> u64 {
        let newest = [self.newest, self.active, self.building.unwrap_or(0), self.retired.unwrap_or(0)];
        let next = newest.into_iter().max().unwrap_or(self.active) + 1;
        if names::slot(next) == names::slot(self.active) { next + 1 } else { next }
    }

    /// Whether a handler may still be at work that took the retired generation for a live one.
    pub fn may_have_late_handlers(&self) -> bool {
        (self.retired_ms..self.retired_ms.saturating_add(millis(ACK_WAIT)))
            .contains(&platform::current().now_ms())
    }
}

/// What the bucket says: what was so at some time not long ago.
pub(crate) fn load() -> Result<Generations, Fault> {
    Generations::parse(platform::current().get(KEY)?)
}

/// What is so.
pub(crate) fn current(service: &Descriptor) -> Result<Generations, Fault> {
    let newest =
        jetstream::newest(&names::own_stream(service.name), &names::generation_change(service.name, '*'));
    match newest {
        Ok(Some(message)) => document::read(&message.subject, &message.body),
        // Until the first change, what versions before this one left in the bucket.
        Ok(None) | Err(StreamError::NoStream) => load(),
        Err(error) => Err(error.into_fault(service.name)),
    }
}

/// What is so, once the bucket says so too.
pub(crate) fn noted(service: &Descriptor) -> Result<Generations, Fault> {
    let now = current(service)?;
    note(now)?;
    Ok(now)
}

/// Makes sure that the bucket does not say what was so before.
pub(crate) fn note(now: Generations) -> Result<(), Fault> {
    let value = platform::current().get(KEY)?;
    let is_noted = value.is_some() && Generations::parse(value)?.change >= now.change;
    if is_noted || now == Generations::FIRST {
        return Ok(());
    }
    document::save(KEY, &now)
}

/// Changes what `decide` finds to be changed, if anything, and returns what is so then. It decides on what was read before;
/// whoever was slower than somebody else decides anew, on what that one made of it.
pub(crate) fn change(
    service: &Descriptor,
    mut now: Generations,
    mut decide: impl FnMut(&Generations) -> Option<Generations>,
) -> Result<Generations, Fault> {
    let mut why = Fault::new("somebody else was faster each time");
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            now = noted(service)?;
        }
        let Some(next) = decide(&now) else { return Ok(now) };
        let next = Generations { change: now.change + 1, newest: now.newest.max(next.newest), ..next };
        match jetstream::append(
            &names::generation_change(service.name, next.change),
            &document::write(&next)?,
        ) {
            Appended::At(_) => {
                note(next)?;
                return Ok(next);
            }
            Appended::Taken => back_off(attempt),
            // If it was stored after all, there is nothing left to decide on.
            Appended::Unknown(fault) => {
                streams::make_own(service)?;
                why = fault;
            }
        }
    }
    Err(why.with("the generations of the read models are as they were"))
}

/// Why a version of the service leaves the read models alone.
pub(crate) fn stepped_back(service: &Descriptor, now: &Generations) -> String {
    format!(
        "The read models of {} have schema {}, of a newer version; this version makes schema {} and leaves them alone. \
         If this version is to stay, `trellis replay {}` builds them as it makes them.",
        service.name, now.schema, service.views_schema, service.name
    )
}
