//! What any version of this service has ever reacted to, and what waits for another version.
//!
//! Versions of a service share the consumers of its reactions. During an update, or after a way back, one of them may be given
//! an event that only another one reacts to. Acknowledged by the wrong version, the reaction would never happen; so it is put
//! off until the right version takes it. That ends with the right version, or with [`forget`], when somebody says that
//! none is to come.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::delivery::{ATTEMPTS, Delivery};
use crate::jetstream::{self, Refusal};
use crate::platform::{self, Fault, Platform};
use crate::{Service, log, names, provision};

/// The document of what is reacted to: kinds of entities, by the service that they are of.
const KEY: &str = "wanted";

const FIRST_DELAY_MS: u64 = 1000;
const LONGEST_DELAY_MS: u64 = 30_000;

type Wanted = BTreeMap<String, BTreeSet<String>>;

/// How often an event was put off.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PutOff {
    seq: u64,
    times: u64,
}

/// Notes what this version reacts to, besides what others did.
pub(crate) fn note<S: Service>() -> Result<(), Fault> {
    if S::REACTIONS.is_empty() {
        return Ok(());
    }
    let before = load()?;
    let mut wanted = before.clone();
    for (source, of) in mine::<S>() {
        wanted.entry(source.to_owned()).or_default().insert(of.to_owned());
    }
    if wanted == before { Ok(()) } else { save(&wanted) }
}

/// Whether any version of this service has reacted to this kind of entity.
pub(crate) fn is_wanted(source: &str, of: &str) -> Result<bool, Fault> {
    Ok(load()?.get(source).is_some_and(|kinds| kinds.contains(of)))
}

/// Forgets what only other versions followed of a source, and removes their consumers: what waits there for them never comes.
pub(crate) fn forget<S: Service>(source: &str) -> Result<(), Fault> {
    let is_projected = S::PROJECTIONS.iter().any(|line| line.source == source);
    let kinds: BTreeSet<String> =
        mine::<S>().filter(|(of, _)| *of == source).map(|(_, kind)| kind.to_owned()).collect();
    let stream = names::log_stream(source);
    let consumers = match jetstream::consumers(&stream) {
        Ok(consumers) => consumers,
        Err(Refusal::NoStream) => Vec::new(),
        Err(refusal) => return Err(provision::fault(source, refusal)),
    };
    for consumer in consumers {
        let is_of_others = match names::parse_consumer(S::NAME, &consumer.name) {
            Some((_, Some(_))) => !is_projected,
            Some((_, None)) => kinds.is_empty(),
            None => false,
        };
        if is_of_others {
            jetstream::delete_consumer(&stream, &consumer.name)
                .map_err(|refusal| provision::fault(source, refusal))?;
            log::info(&format!(
                "{} does not follow {source} any more: {} is removed",
                S::NAME,
                consumer.name
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

/// How often an event was tried: how often it was delivered, less how often it was put off.
pub(crate) fn attempts(delivery: &Delivery<'_>) -> u64 {
    if delivery.attempt < ATTEMPTS {
        return delivery.attempt;
    }
    // Without the bucket nothing is put aside, since nothing was tried.
    put_off_before(delivery).map_or(1, |before| delivery.attempt.saturating_sub(before.times))
}

/// Notes that an event is put off. Returns for how many milliseconds, which grows each time.
pub(crate) fn put_off(delivery: &Delivery<'_>) -> u64 {
    let noted = put_off_before(delivery).and_then(|before| {
        let now = PutOff { times: before.times + 1, ..before };
        let bytes = serde_json::to_vec(&now).map_err(|error| Fault::new(error.to_string()))?;
        platform::current().set(&key(delivery), &bytes)?;
        Ok(now.times)
    });
    let times = noted.unwrap_or_else(|fault| {
        log::warn(&format!(
            "that event {} of {} is put off is not noted: {fault}",
            delivery.seq, delivery.source
        ));
        delivery.attempt
    });
    (FIRST_DELAY_MS << times.saturating_sub(1).min(16)).min(LONGEST_DELAY_MS)
}

fn put_off_before(delivery: &Delivery<'_>) -> Result<PutOff, Fault> {
    let noted: Option<PutOff> = read(&key(delivery))?;
    let of_this_event = noted.filter(|noted| noted.seq == delivery.seq);
    Ok(of_this_event.unwrap_or(PutOff { seq: delivery.seq, times: 0 }))
}

fn key(delivery: &Delivery<'_>) -> String {
    ["put-off.", delivery.source, ".", delivery.consumer].concat()
}

fn mine<S: Service>() -> impl Iterator<Item = (&'static str, &'static str)> {
    S::REACTIONS.iter().map(|line| (line.source, line.events.of))
}

fn load() -> Result<Wanted, Fault> {
    Ok(read(KEY)?.unwrap_or_default())
}

fn save(wanted: &Wanted) -> Result<(), Fault> {
    let bytes = serde_json::to_vec(wanted).map_err(|error| Fault::new(error.to_string()))?;
    platform::current().set(KEY, &bytes)
}

fn read<T: serde::de::DeserializeOwned>(key: &str) -> Result<Option<T>, Fault> {
    let Some(bytes) = platform::current().get(key)? else { return Ok(None) };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|error| Fault::new(format!("the value of {key} cannot be read: {error}")))
}
