//! What a service owns outside itself: made when it is missing, repaired when it was lost, each step as often
//! as anybody likes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::lost::what_is_lost;
use super::partitions::{Partitions, followed};
use super::{consumers, held_up, rebuild, wanted};
use crate::descriptor::Descriptor;
use crate::platform::{self, Fault, Platform};
use crate::{document, log, streams};

/// The document of what was found when the service last looked.
const KEY: &str = "looked";
/// Whoever is told more often than this that time passes looks once.
const LOOK_EVERY_MS: u64 = 20_000;

/// What was found, when, and by which version.
#[derive(Debug, Serialize, Deserialize)]
struct Looked {
    by: String,
    at_ms: u64,
    partitions: Partitions,
}

/// Makes sure of everything.
pub(crate) fn all(service: &Descriptor) -> Result<(), Fault> {
    streams::make_log(service)?;
    let mut partitions = Partitions::new();
    if !service.private.is_empty() {
        streams::make_own(service)?;
    }
    if service.sources().next().is_some() {
        streams::make_dead_letters(service)?;
        streams::make_own(service)?;
        partitions = followed(service, Partitions::new())?;
        followers(service, &partitions, service.sources())?;
    }
    note(service, partitions)
}

/// Makes sure of what follows the log of this service, which is new. When all services are new, each hears of every log that it
/// follows, and the rest is under way already.
pub(crate) fn source(service: &Descriptor, new: &str) -> Result<(), Fault> {
    let Some(new) = service.sources().find(|source| *source == new) else { return Ok(()) };
    let known = looked(service)?.map(|looked| looked.partitions).unwrap_or_default();
    followers(service, &followed(service, known)?, std::iter::once(new))
}

/// Makes sure that all is as it was found last time, unless that was just now. Returns whether it was done.
///
/// Everybody is told often that time passes, by each host. So this asks for what may be lost with nobody seeing it: the
/// consumers and the generations. A stream that is missing is made again by whoever needs it.
pub(crate) fn again(service: &Descriptor) -> Result<bool, Fault> {
    let Some(Looked { at_ms, partitions, .. }) = looked(service)? else {
        return all(service).map(|()| true);
    };
    // A clock that was set back must not make what was found last hold for ever.
    if (at_ms..at_ms.saturating_add(LOOK_EVERY_MS)).contains(&platform::current().now_ms()) {
        return Ok(false);
    }
    let partitions = followed(service, partitions)?;
    match followers(service, &partitions, service.sources()) {
        Ok(()) => note(service, partitions)?,
        Err(fault) => {
            log::warn(&format!("{} makes sure of everything, because of this: {fault}", service.name));
            all(service)?;
        }
    }
    Ok(true)
}

/// What a version that owns the same found last. What cannot be read is found anew.
fn looked(service: &Descriptor) -> Result<Option<Looked>, Fault> {
    let looked = platform::current().get(KEY)?;
    let looked = looked.and_then(|bytes| document::read::<Looked>(KEY, &bytes).ok());
    Ok(looked.filter(|looked| looked.by == version(service)))
}

/// Notes that all is there.
fn note(service: &Descriptor, partitions: Partitions) -> Result<(), Fault> {
    let looked = Looked { by: version(service), at_ms: platform::current().now_ms(), partitions };
    document::save(KEY, &looked)
}

/// Versions of the service that own the same.
fn version(service: &Descriptor) -> String {
    let sources: BTreeSet<_> = service.sources().collect();
    format!("{} {} {sources:?}", service.version, service.views_schema)
}

/// Makes sure of whatever follows events of these sources, and that nothing is lost of what it has made of them.
fn followers(
    service: &Descriptor,
    partitions: &Partitions,
    sources: impl Iterator<Item = &'static str>,
) -> Result<(), Fault> {
    // Two versions that note at once what they react to may each lose what the other one noted, until they look again.
    wanted::note(service)?;
    let now = rebuild::begin_if_older(service)?;
    let progress = consumers::make(service, &now, partitions, sources)?;
    held_up::release(service)?;
    if now.building.is_some() || now.retired.is_some() {
        rebuild::advance(service, now, None)?;
    }
    if let Some(what) = what_is_lost(&progress)? {
        rebuild::begin_because(service, &what)?;
    }
    Ok(())
}
