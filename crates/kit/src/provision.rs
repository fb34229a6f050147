//! What a service owns outside itself: made when it is missing, repaired when it was lost, each step as often
//! as anybody likes.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::ACK_WAIT;
use crate::jetstream::{self, ConsumerConfig, Refusal, StreamConfig};
use crate::platform::{self, Fault, Platform};
use crate::{Service, config, generation, log as lines, names, position};

/// Makes sure of everything.
pub(crate) fn all<S: Service>() -> Result<(), Fault> {
    log::<S>()?;
    if !(S::PROJECTIONS.is_empty() && S::REACTIONS.is_empty()) {
        dead_letters::<S>()?;
        generation::renew::<S>()?;
        let floors = consumers::<S>()?;
        generation::advance::<S>(None)?;
        if let Some(what) = lost(&floors)? {
            generation::rebuild::<S>(&what)?;
        }
    }
    Ok(())
}

/// Makes sure that the service has its log, if it keeps one. Others are told of a new one: they wait for its
/// events.
pub(crate) fn log<S: Service>() -> Result<(), Fault> {
    if S::PARTITIONS == 0 {
        return Ok(());
    }
    let name = names::log_stream(S::NAME);
    let is_new = matches!(jetstream::partitions(&name), Err(Refusal::NoStream));
    stream(&name, &names::log_subjects(S::NAME), S::PARTITIONS)?;
    if is_new {
        let announcement = serde_json::json!({ "service": S::NAME });
        platform::current().publish(names::ANNOUNCE, announcement.to_string().as_bytes())?;
    }
    Ok(())
}

/// Makes sure that there is a place for events that cannot be handled.
pub(crate) fn dead_letters<S: Service>() -> Result<(), Fault> {
    stream(&names::dead_stream(S::NAME), &names::dead_subjects(S::NAME), 1)
}

/// Up to where a consumer has finished everything.
pub(crate) struct Floor {
    source: &'static str,
    partition: u32,
    generation: u64,
    seq: u64,
}

/// Makes sure of the durable consumers for every partition of every source that exists by now. Returns the floors of those
/// that keep read models.
pub(crate) fn consumers<S: Service>() -> Result<Vec<Floor>, Fault> {
    let projected = projected::<S>()?;
    position::follow(&projected)?;
    let mut floors = Vec::new();
    for (source, partition) in projected {
        for generation in generation::load()?.live() {
            let name = names::consumer(S::NAME, generation, partition);
            let seq = consumer::<S>(source, partition, &name)?;
            floors.push(Floor { source, partition, generation, seq });
        }
    }
    for (source, partition) in reacted_to::<S>()? {
        consumer::<S>(source, partition, &names::reaction_consumer(S::NAME, partition))?;
    }
    Ok(floors)
}

/// What the read models lack and will never be told, because their bucket was lost, or because a log was and what is stored
/// now has numbers that they know. Others go on meanwhile, so the order matters: an event is stored, then a place is noted,
/// then the consumer has finished, and this looks at the last first. Where events keep coming, [`delivery`](crate::delivery) sees it.
fn lost(floors: &[Floor]) -> Result<Option<String>, Fault> {
    let active = generation::load()?.active;
    let floors: Vec<&Floor> = floors.iter().filter(|floor| floor.generation == active).collect();
    let partitions: Vec<_> = floors.iter().map(|floor| (floor.source, floor.partition)).collect();
    let come = position::come(active, &partitions)?;
    let mut ends = BTreeMap::new();
    for source in partitions.iter().map(|(source, _)| *source).collect::<BTreeSet<_>>() {
        let end = jetstream::last(&names::log_stream(source)).map_err(|refusal| fault(source, refusal))?;
        ends.insert(source, end);
    }
    for (&Floor { source, partition, seq: floor, .. }, come) in floors.into_iter().zip(come) {
        if ends.get(source).is_some_and(|end| come > *end) {
            return Ok(Some(format!("the log of {source} has lost event {come}, which was read")));
        }
        if come < floor {
            let log = names::log_stream(source);
            let next = jetstream::next(&log, &names::partition_subjects(source, partition), come + 1);
            // What the log itself has forgotten is no loss.
            if next.map_err(|refusal| fault(source, refusal))?.is_some_and(|event| event.seq <= floor) {
                return Ok(Some(format!("the bucket has lost what was read of {source} after event {come}")));
            }
        }
    }
    Ok(None)
}

/// Removes the consumers of a generation, and its dead letters: what replaced it has read those events again.
pub(crate) fn remove<S: Service>(generation: u64) -> Result<(), Fault> {
    for (source, partition) in projected::<S>()? {
        let name = names::consumer(S::NAME, generation, partition);
        jetstream::delete_consumer(&names::log_stream(source), &name)
            .map_err(|refusal| fault(source, refusal))?;
    }
    let letters = names::dead_subjects_of(S::NAME, generation);
    match jetstream::purge(&names::dead_stream(S::NAME), &letters) {
        Ok(()) | Err(Refusal::NoStream) => Ok(()),
        Err(refusal) => Err(fault("dead letters", refusal)),
    }
}

/// Every partition of every source of the read models.
pub(crate) fn projected<S: Service>() -> Result<Vec<(&'static str, u32)>, Fault> {
    partitions_of(S::PROJECTIONS.iter().map(|line| line.source))
}

/// Every partition of every source of the reactions.
pub(crate) fn reacted_to<S: Service>() -> Result<Vec<(&'static str, u32)>, Fault> {
    partitions_of(S::REACTIONS.iter().map(|line| line.source))
}

/// Whether a consumer exists and has nothing left to do.
pub(crate) fn has_caught_up(source: &str, consumer: &str) -> Result<bool, Fault> {
    let progress = jetstream::progress(&names::log_stream(source), consumer);
    Ok(progress.map_err(|refusal| fault(source, refusal))?.is_some_and(|progress| progress.backlog == 0))
}

/// A source that does not exist yet has no partitions; it announces itself when it comes.
fn partitions_of(sources: impl Iterator<Item = &'static str>) -> Result<Vec<(&'static str, u32)>, Fault> {
    let mut all = Vec::new();
    for source in sources.collect::<BTreeSet<_>>() {
        match jetstream::partitions(&names::log_stream(source)) {
            Ok(partitions) => all.extend((0..partitions).map(|partition| (source, partition))),
            Err(Refusal::NoStream) => {}
            Err(refusal) => return Err(fault(source, refusal)),
        }
    }
    Ok(all)
}

/// Makes sure of a consumer, and returns up to where everything is finished.
fn consumer<S: Service>(source: &str, partition: u32, name: &str) -> Result<u64, Fault> {
    let config = ConsumerConfig {
        durable_name: name,
        name,
        deliver_subject: &names::deliver_subject(S::NAME),
        deliver_group: S::NAME,
        deliver_policy: "all",
        ack_policy: "explicit",
        ack_wait: u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX),
        max_ack_pending: 1,
        filter_subject: &names::partition_subjects(source, partition),
    };
    jetstream::create_consumer(&names::log_stream(source), &config).map_err(|refusal| fault(source, refusal))
}

fn stream(name: &str, subjects: &str, partitions: u32) -> Result<(), Fault> {
    match jetstream::create_stream(&StreamConfig::new(name, subjects, replicas()?, partitions)) {
        Ok(()) => Ok(()),
        Err(Refusal::ExistsOtherwise(why)) => {
            let what = format!(
                "stream {name} exists, but not as this service needs it ({why}). Nothing can be stored until \
                 that is settled: see `nats stream info {name}`; it needs {partitions} partitions in its \
                 metadata, and the replicas of the config"
            );
            lines::error(&what);
            Err(Fault::new(what))
        }
        Err(refusal) => {
            let Fault { kind, what } = fault(name, refusal);
            Err(Fault { kind, what: format!("stream {name} cannot be made: {what}") })
        }
    }
}

/// How many servers keep a copy, as the operator says.
fn replicas() -> Result<u32, Fault> {
    let Some(text) = config::text("replicas")? else { return Ok(1) };
    match text.parse() {
        Ok(replicas @ 1..=5) => Ok(replicas),
        _ => Err(Fault::new(format!("config replicas is {text:?}; it must be a number from 1 to 5"))),
    }
}

pub(crate) fn fault(of: &str, refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Fault(fault) => fault,
        Refusal::NoStream => Fault::new(format!("the stream of {of} has gone")),
        Refusal::ExistsOtherwise(why) => {
            Fault::new(format!("what {of} needs exists in another shape: {why}"))
        }
    }
}
