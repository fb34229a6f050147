//! What any version of this service has ever reacted to.
//!
//! Versions of a service share the consumers of its reactions. During an update, or after a way back, one of them may be given
//! an event that only another one reacts to. Acknowledged by the wrong version, the reaction would never happen; so it is put
//! off until the right version takes it. That ends with the right version, or with [`forget`], when somebody says that
//! none is to come.

use std::collections::{BTreeMap, BTreeSet};

use trellis_names as names;

use crate::descriptor::Descriptor;
use crate::jetstream::{self, StreamError};
use crate::platform::Fault;
use crate::{document, log};

/// The document of what is reacted to: kinds of entities, by the service that they are of.
const KEY: &str = "wanted";

type Wanted = BTreeMap<String, BTreeSet<String>>;

/// Notes what this version reacts to, besides what others did.
pub(crate) fn note(service: &Descriptor) -> Result<(), Fault> {
    if service.reacted_to.is_empty() {
        return Ok(());
    }
    let before = load()?;
    let mut wanted = before.clone();
    for (source, of) in mine(service) {
        wanted.entry(source.to_owned()).or_default().insert(of.to_owned());
    }
    if wanted == before { Ok(()) } else { save(&wanted) }
}

/// Whether any version of this service has reacted to this kind of entity.
pub(crate) fn is_wanted(source: &str, of: &str) -> Result<bool, Fault> {
    Ok(load()?.get(source).is_some_and(|kinds| kinds.contains(of)))
}

/// Forgets what only other versions followed of a source, and removes their consumers: what waits there for them never comes.
pub(crate) fn forget(service: &Descriptor, source: &str) -> Result<(), Fault> {
    let is_projected = service.projects(source);
    let kinds: BTreeSet<String> =
        mine(service).filter(|(of, _)| *of == source).map(|(_, kind)| kind.to_owned()).collect();
    let stream = names::log_stream(source);
    let consumers = match jetstream::consumers(&stream) {
        Ok(consumers) => consumers,
        Err(StreamError::NoStream) => Vec::new(),
        Err(error) => return Err(error.into_fault(source)),
    };
    for consumer in consumers {
        let is_of_others = match names::parse_consumer(service.name, &consumer.name) {
            Some((_, Some(_))) => !is_projected,
            Some((_, None)) => kinds.is_empty(),
            None => false,
        };
        if is_of_others {
            jetstream::delete_consumer(&stream, &consumer.name).map_err(|error| error.into_fault(source))?;
            log::info(&format!(
                "{} does not follow {source} any more: {} is removed",
                service.name, consumer.name
            ));
        }
    }
    let mut wanted = load()?;
    if kinds.is_empty() {
        wanted.remove(source)
    } else {
        wanted.insert(source.to_owned(), kinds)
    };
    save(&wanted)
}

fn mine(service: &Descriptor) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
    service.reacted_to.iter().map(|followed| (followed.source, followed.of))
}

fn load() -> Result<Wanted, Fault> {
    Ok(document::load(KEY)?.unwrap_or_default())
}

fn save(wanted: &Wanted) -> Result<(), Fault> {
    document::save(KEY, wanted)
}
