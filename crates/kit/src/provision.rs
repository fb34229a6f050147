//! What a service owns outside itself: made when it is missing, repaired when it was lost, each step as often
//! as anybody likes.

use std::collections::BTreeSet;

use crate::delivery::ACK_WAIT;
use crate::jetstream::{self, ConsumerConfig, Refusal, StreamConfig};
use crate::platform::{self, Fault, Platform};
use crate::{Service, config, generation, log as lines, names, position};

/// Makes sure of everything.
pub(crate) fn all<S: Service>() -> Result<(), Fault> {
    log::<S>()?;
    if !(S::PROJECTIONS.is_empty() && S::REACTIONS.is_empty()) {
        dead_letters::<S>()?;
        consumers::<S>()?;
        generation::advance::<S>(None)?;
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

/// Makes sure of the durable consumers for every partition of every source that exists by now.
pub(crate) fn consumers<S: Service>() -> Result<(), Fault> {
    let projected = projected::<S>()?;
    position::follow(&projected)?;
    for (source, partition) in projected {
        for generation in generation::load()?.live() {
            consumer::<S>(source, partition, &names::consumer(S::NAME, generation, partition))?;
        }
    }
    for (source, partition) in reacted_to::<S>()? {
        consumer::<S>(source, partition, &names::reaction_consumer(S::NAME, partition))?;
    }
    Ok(())
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

fn consumer<S: Service>(source: &str, partition: u32, name: &str) -> Result<(), Fault> {
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
