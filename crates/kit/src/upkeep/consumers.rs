//! The durable consumers that deliver events to a service, made when they are missing and removed when they are not needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trellis_names::{self as names, Purpose};

use super::partitions::{Partitions, projected};
use crate::descriptor::Descriptor;
use crate::jetstream::{self, Consumer, ConsumerConfig, ConsumerProgress, StreamError};
use crate::limits::ACK_WAIT;
use crate::models::generation::{self, Generations};
use crate::models::offset;
use crate::platform::Fault;

/// How many events of a source wait at a timer at once: those that are due first. The others are in the log.
pub(crate) const WINDOW: u32 = 64;
/// How long such an event waits before it is asked again when it is due. That costs a delivery of each in the window, and is how
/// late an event may be after a clock has jumped.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How far the consumer of a generation has come.
pub(crate) struct Follower {
    pub source: &'static str,
    pub partition: u32,
    pub generation: u64,
    pub progress: ConsumerProgress,
}

/// Makes sure of the durable consumers for every partition of those of these sources that exist by now: of the reactions, and of
/// the generations that this version makes; and of one for each timer. Returns how far the generations have come.
pub(crate) fn make(
    service: &Descriptor,
    now: &Generations,
    partitions: &Partitions,
    sources: impl Iterator<Item = &'static str>,
) -> Result<Vec<Follower>, Fault> {
    let of = |source: &'static str| {
        (0..partitions.get(source).copied().unwrap_or_default()).map(move |partition| (source, partition))
    };
    offset::follow(|noted| {
        let mine = partitions.iter().filter(|(source, _)| service.projects(source));
        let others = noted.iter().filter(|(source, _)| !service.projects(source));
        let others = followed_by_others(service, others, now)?;
        Ok(mine.map(|(source, count)| (source.clone(), *count)).chain(others).collect())
    })?;
    let mut followers = Vec::new();
    for source in sources.collect::<BTreeSet<_>>() {
        if !partitions.contains_key(source) {
            continue;
        }
        let there =
            jetstream::consumers(&names::log_stream(source)).map_err(|error| error.into_fault(source))?;
        let there: BTreeMap<&str, &Consumer> = there.iter().map(|of| (of.name.as_str(), of)).collect();
        remove_strays(service, source, there.keys().copied(), now)?;
        if service.times(source) {
            consumer(service, source, Purpose::Timers, &names::timer_consumer(service.name), &there)?;
        }
        for (_, partition) in of(source) {
            if service.projects(source) {
                for generation in now.of_schema(service.views_schema) {
                    let name = names::consumer(service.name, generation, partition);
                    let purpose = Purpose::ReadModels { generation, partition };
                    let progress = consumer(service, source, purpose, &name, &there)?;
                    followers.push(Follower { source, partition, generation, progress });
                }
            }
            if service.reacts_to(source) {
                let name = names::reaction_consumer(service.name, partition);
                consumer(service, source, Purpose::Reactions { partition }, &name, &there)?;
            }
        }
    }
    Ok(followers)
}

/// Those of these sources that another version's read models still follow; this version's do not. The consumers of a version
/// that is gone are removed with the generations that it made.
fn followed_by_others<'a>(
    service: &Descriptor,
    sources: impl Iterator<Item = (&'a String, &'a u32)>,
    now: &Generations,
) -> Result<Vec<(String, u32)>, Fault> {
    let mut followed = Vec::new();
    for (source, count) in sources {
        let there = match jetstream::consumers(&names::log_stream(source)) {
            Ok(there) => there,
            Err(StreamError::NoStream) => Vec::new(),
            Err(error) => return Err(error.into_fault(source)),
        };
        let there = || there.iter().map(|consumer| consumer.name.as_str());
        remove_strays(service, source, there(), now)?;
        let is_of_models =
            |name| matches!(Purpose::parse(service.name, name), Some(Purpose::ReadModels { .. }));
        // What was just removed is looked for once more the next time.
        if there().any(is_of_models) {
            followed.push((source.clone(), *count));
        }
    }
    Ok(followed)
}

/// Removes consumers of generations that there are no more: of a bucket and a stream that were lost, or of names that versions
/// before this one gave.
fn remove_strays<'a>(
    service: &Descriptor,
    source: &str,
    there: impl Iterator<Item = &'a str>,
    before: &Generations,
) -> Result<(), Fault> {
    let is_stray = |name: &str, now: &Generations| {
        let Some(Purpose::ReadModels { partition, .. }) = Purpose::parse(service.name, name) else {
            return false;
        };
        let mut known = now.live().chain(now.retired);
        !known.any(|generation| names::consumer(service.name, generation, partition) == name)
    };
    for name in there.filter(|name| is_stray(name, before)) {
        // It may be of a generation that was begun between the look at the generations and the look at the consumers.
        if is_stray(name, &generation::current(service)?) {
            jetstream::delete_consumer(&names::log_stream(source), name)
                .map_err(|error| error.into_fault(source))?;
        }
    }
    Ok(())
}

/// Removes the consumers of a generation, and its dead letters: what replaced it has read those events again.
pub(crate) fn remove(service: &Descriptor, generation: u64) -> Result<(), Fault> {
    for (source, partition) in projected(service)? {
        let name = names::consumer(service.name, generation, partition);
        jetstream::delete_consumer(&names::log_stream(source), &name)
            .map_err(|error| error.into_fault(source))?;
    }
    let letters = names::dead_subjects_of(service.name, generation);
    match jetstream::purge(&names::dead_stream(service.name), &letters) {
        Ok(()) | Err(StreamError::NoStream) => Ok(()),
        Err(error) => Err(error.into_fault("dead letters")),
    }
}

/// Whether an event is with a handler of this generation.
pub(crate) fn is_with_handlers(service: &Descriptor, generation: u64) -> Result<bool, Fault> {
    for (source, partition) in projected(service)? {
        let consumer = names::consumer(service.name, generation, partition);
        let progress = jetstream::progress(&names::log_stream(source), &consumer);
        if progress.map_err(|error| error.into_fault(source))?.is_some_and(|progress| progress.under_way > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a consumer exists and has nothing left to do.
pub(crate) fn has_caught_up(source: &str, consumer: &str) -> Result<bool, Fault> {
    let progress = jetstream::progress(&names::log_stream(source), consumer);
    Ok(progress.map_err(|error| error.into_fault(source))?.is_some_and(|progress| progress.backlog == 0))
}

/// Makes sure of a consumer, among those that are there, and returns how far it has come.
fn consumer(
    service: &Descriptor,
    source: &str,
    purpose: Purpose,
    name: &str,
    there: &BTreeMap<&str, &Consumer>,
) -> Result<ConsumerProgress, Fault> {
    let config = ConsumerConfig {
        durable_name: name,
        name,
        deliver_subject: &names::deliver_subject(service.name),
        deliver_group: service.name,
        deliver_policy: "all",
        ack_policy: "explicit",
        ack_wait: u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX),
        max_ack_pending: if purpose == Purpose::Timers { WINDOW } else { 1 },
        filter_subject: &purpose.subjects(source),
    };
    match there.get(name) {
        Some(consumer) if consumer.is_as(&config) => Ok(consumer.progress.clone()),
        _ => jetstream::create_consumer(&names::log_stream(source), &config)
            .map_err(|error| error.into_fault(source)),
    }
}
