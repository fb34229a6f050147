//! What any version of this service has ever reacted to, at once or by a timer.
//!
//! Versions of a service share the consumers of its reactions, and those of its timers. During an update, or after a way back, one of them may be given
//! an event that only another one reacts to. Acknowledged by the wrong version, the reaction would never happen; so it is put
//! off until the right version takes it. That ends with the right version, or with [`forget`], when somebody says that
//! none is to come.

use std::collections::{BTreeMap, BTreeSet};

use trellis_names::{self as names, Purpose};

use crate::descriptor::{Descriptor, Followed};
use crate::jetstream::{self, StreamError};
use crate::platform::Fault;
use crate::{document, log};

/// The documents of what is reacted to, and of what is timed: kinds of entities, by the service that they are of.
const REACTED_TO: &str = "wanted";
const TIMED: &str = "timed";

type Wanted = BTreeMap<String, BTreeSet<String>>;

/// Notes what this version reacts to, besides what others did.
pub(crate) fn note(service: &Descriptor) -> Result<(), Fault> {
    for (key, followed) in mine(service).into_iter().filter(|(_, followed)| !followed.is_empty()) {
        let before = load(key)?;
        let mut wanted = before.clone();
        for Followed { source, of, .. } in followed {
            wanted.entry((*source).to_owned()).or_default().insert((*of).to_owned());
        }
        if wanted != before {
            document::save(key, &wanted)?;
        }
    }
    Ok(())
}

/// Whether any version of this service has reacted to this kind of entity.
pub(crate) fn is_wanted(source: &str, of: &str) -> Result<bool, Fault> {
    has(REACTED_TO, source, of)
}

/// Whether any version of this service has had a timer for this kind of entity.
pub(crate) fn is_timed(source: &str, of: &str) -> Result<bool, Fault> {
    has(TIMED, source, of)
}

fn has(key: &str, source: &str, of: &str) -> Result<bool, Fault> {
    Ok(load(key)?.get(source).is_some_and(|kinds| kinds.contains(of)))
}

/// Forgets what only other versions followed of a source, and removes their consumers: what waits there for them never comes.
pub(crate) fn forget(service: &Descriptor, source: &str) -> Result<(), Fault> {
    let stream = names::log_stream(source);
    let consumers = match jetstream::consumers(&stream) {
        Ok(consumers) => consumers,
        Err(StreamError::NoStream) => Vec::new(),
        Err(error) => return Err(error.into_fault(source)),
    };
    for consumer in consumers {
        let is_of_others = match Purpose::parse(service.name, &consumer.name) {
            Some(Purpose::ReadModels { .. }) => !service.projects(source),
            Some(Purpose::Reactions { .. }) => !service.reacts_to(source),
            Some(Purpose::Timers) => !service.times(source),
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
    for (key, followed) in mine(service) {
        let mut wanted = load(key)?;
        let of_source = followed.iter().filter(|followed| followed.source == source);
        let kinds: BTreeSet<String> = of_source.map(|followed| followed.of.to_owned()).collect();
        let before =
            if kinds.is_empty() { wanted.remove(source) } else { wanted.insert(source.to_owned(), kinds) };
        if before.as_ref() != wanted.get(source) {
            document::save(key, &wanted)?;
        }
    }
    Ok(())
}

fn mine(service: &Descriptor) -> [(&'static str, &'static [Followed]); 2] {
    [(REACTED_TO, service.reacted_to), (TIMED, service.timed)]
}

fn load(key: &str) -> Result<Wanted, Fault> {
    Ok(document::load(key)?.unwrap_or_default())
}
