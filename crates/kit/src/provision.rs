//! What a service owns outside itself: made when it is missing, repaired when it was lost, each step as often
//! as anybody likes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::delivery::ACK_WAIT;
use crate::generation::Generations;
use crate::jetstream::{self, Consumer, ConsumerConfig, Progress, Refusal, StreamConfig};
use crate::platform::{self, Fault, Platform};
use crate::position::Place;
use crate::{Service, config, generation, log as lines, names, position, views, wanted};

/// The document of what was found when the service last looked.
const KEY: &str = "looked";
/// Whoever is told more often than this that time passes looks once.
const LOOK_EVERY_MS: u64 = 20_000;

/// Which sources there are, and how many partitions each has.
type Partitions = BTreeMap<String, u32>;

/// What was found, when, and by which version.
#[derive(Debug, Serialize, Deserialize)]
struct Looked {
    by: String,
    at_ms: u64,
    partitions: Partitions,
}

/// Makes sure of everything.
pub(crate) fn all<S: Service>() -> Result<(), Fault> {
    log::<S>()?;
    let mut partitions = Partitions::new();
    if sources::<S>().next().is_some() {
        dead_letters::<S>()?;
        own_stream::<S>()?;
        partitions = followed::<S>(Partitions::new())?;
        followers::<S>(&partitions)?;
    }
    note::<S>(partitions)
}

/// Makes sure that all is as it was found last time, unless that was just now. Returns whether it was done.
///
/// Everybody is told often that time passes, by each host. So this asks for what may be lost with nobody seeing it: the
/// consumers and the generations. A stream that is missing is made again by whoever needs it.
pub(crate) fn again<S: Service>() -> Result<bool, Fault> {
    let looked = platform::current().get(KEY)?;
    let looked = looked.and_then(|bytes| serde_json::from_slice::<Looked>(&bytes).ok());
    let Some(Looked { at_ms, partitions, .. }) = looked.filter(|looked| looked.by == version::<S>()) else {
        return all::<S>().map(|()| true);
    };
    // A clock that was set back must not make what was found last hold for ever.
    if (at_ms..at_ms.saturating_add(LOOK_EVERY_MS)).contains(&platform::current().now_ms()) {
        return Ok(false);
    }
    let partitions = followed::<S>(partitions)?;
    if followers::<S>(&partitions).is_ok() {
        note::<S>(partitions)?;
    } else {
        all::<S>()?;
    }
    Ok(true)
}

/// Notes that all is there.
fn note<S: Service>(partitions: Partitions) -> Result<(), Fault> {
    let looked = Looked { by: version::<S>(), at_ms: platform::current().now_ms(), partitions };
    let bytes = serde_json::to_vec(&looked).map_err(|error| Fault::new(error.to_string()))?;
    platform::current().set(KEY, &bytes)
}

/// Versions of the service that own the same.
fn version<S: Service>() -> String {
    let sources: BTreeSet<_> = sources::<S>().collect();
    format!("{} {} {sources:?}", S::VERSION, S::VIEWS_SCHEMA)
}

/// Makes sure of whatever follows events, and that nothing is lost of what it has made of them.
fn followers<S: Service>(partitions: &Partitions) -> Result<(), Fault> {
    // Two versions that note at once what they react to may each lose what the other one noted, until they look again.
    wanted::note::<S>()?;
    let now = generation::renew::<S>()?;
    let progress = consumers::<S>(&now, partitions)?;
    if now.building.is_some() || now.retired.is_some() {
        generation::advance::<S>(None)?;
    }
    if let Some(what) = lost(&progress)? {
        generation::rebuild::<S>(&what)?;
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

/// Makes sure of the stream of what is nobody else's concern.
pub(crate) fn own_stream<S: Service>() -> Result<(), Fault> {
    stream(&names::own_stream(S::NAME), &names::own_subjects(S::NAME), 1)
}

/// How far the consumer of a generation has come.
pub(crate) struct Follower {
    source: &'static str,
    partition: u32,
    generation: u64,
    progress: Progress,
}

/// Makes sure of the durable consumers for every partition of every source that exists by now: of the reactions, and of the
/// generations that this version makes. Returns how far the latter have come.
pub(crate) fn consumers<S: Service>(
    now: &Generations,
    partitions: &Partitions,
) -> Result<Vec<Follower>, Fault> {
    let of = |source: &'static str| {
        (0..partitions.get(source).copied().unwrap_or_default()).map(move |partition| (source, partition))
    };
    let projected: Vec<_> = projection_sources::<S>().into_iter().flat_map(of).collect();
    position::follow(&projected)?;
    let mut followers = Vec::new();
    for source in sources::<S>().collect::<BTreeSet<_>>() {
        if !partitions.contains_key(source) {
            continue;
        }
        let there =
            jetstream::consumers(&names::log_stream(source)).map_err(|refusal| fault(source, refusal))?;
        let there: BTreeMap<&str, &Consumer> = there.iter().map(|of| (of.name.as_str(), of)).collect();
        remove_strays::<S>(source, there.keys().copied(), now)?;
        for (_, partition) in of(source) {
            if projection_sources::<S>().contains(source) {
                for generation in now.of_schema(S::VIEWS_SCHEMA) {
                    let name = names::consumer(S::NAME, generation, partition);
                    let progress = consumer::<S>(source, partition, &name, &there)?;
                    followers.push(Follower { source, partition, generation, progress });
                }
            }
            if S::REACTIONS.iter().any(|line| line.source == source) {
                consumer::<S>(source, partition, &names::reaction_consumer(S::NAME, partition), &there)?;
            }
        }
    }
    Ok(followers)
}

/// Removes consumers of generations that there are no more: of a bucket and a stream that were lost, or of names that versions
/// before this one gave.
fn remove_strays<'a, S: Service>(
    source: &str,
    there: impl Iterator<Item = &'a str>,
    before: &Generations,
) -> Result<(), Fault> {
    let is_stray = |name: &str, now: &Generations| {
        let Some((partition, Some(_))) = names::parse_consumer(S::NAME, name) else { return false };
        let mut known = now.live().chain(now.retired);
        !known.any(|generation| names::consumer(S::NAME, generation, partition) == name)
    };
    for name in there.filter(|name| is_stray(name, before)) {
        // It may be of a generation that was begun between the look at the generations and the look at the consumers.
        if is_stray(name, &generation::current::<S>()?) {
            jetstream::delete_consumer(&names::log_stream(source), name)
                .map_err(|refusal| fault(source, refusal))?;
        }
    }
    Ok(())
}

/// What the read models lack and will never be told, because their bucket was lost, or because a log was and what is stored
/// now has numbers that they know, or because a write that was late has put an older value over a newer one. Others go on
/// meanwhile, so the order matters: an event is stored, then a place is noted, then the consumer has finished, and this looks at
/// the last first. Where events keep coming, [`delivery`](crate::delivery) sees it.
fn lost(followers: &[Follower]) -> Result<Option<String>, Fault> {
    let active = generation::load()?.active;
    let followers: Vec<&Follower> = followers.iter().filter(|of| of.generation == active).collect();
    let partitions: Vec<_> = followers.iter().map(|of| (of.source, of.partition)).collect();
    let places = position::places(active, &partitions)?;
    for (Follower { source, partition, progress, .. }, place) in followers.into_iter().zip(&places) {
        let log = names::log_stream(source);
        let fault = |refusal| fault(source, refusal);
        let come = place.seq;
        if come > progress.delivered && come > jetstream::last(&log).map_err(fault)? {
            return Ok(Some(format!("the log of {source} has lost event {come}, which was read")));
        }
        if come < progress.floor {
            let next = jetstream::next(&log, &names::partition_subjects(source, *partition), come + 1);
            // What the log itself has forgotten is no loss.
            if next.map_err(fault)?.is_some_and(|event| event.seq <= progress.floor) {
                return Ok(Some(format!("the bucket has lost what was read of {source} after event {come}")));
            }
        }
    }
    overwritten(active, &places)
}

/// A value that is older than one that stood there already.
fn overwritten(generation: u64, places: &[Place]) -> Result<Option<String>, Fault> {
    let watched: Vec<_> = places.iter().flat_map(Place::watched).collect();
    let keys: Vec<String> = watched.iter().map(|watched| watched.key.clone()).collect();
    let values = views::sequences(&keys, generation)?;
    let went_back =
        watched.into_iter().zip(values).find(|(watched, seq)| seq.is_none_or(|seq| seq < watched.seq));
    Ok(went_back.map(|(watched, _)| format!("a late write has put an older value over {}", watched.key)))
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
    partitions_of(projection_sources::<S>().into_iter())
}

/// Every partition of every source of the reactions.
pub(crate) fn reacted_to<S: Service>() -> Result<Vec<(&'static str, u32)>, Fault> {
    partitions_of(S::REACTIONS.iter().map(|line| line.source))
}

/// The sources that exist, and how many partitions they have; what is known of them already never changes.
pub(crate) fn followed<S: Service>(known: Partitions) -> Result<Partitions, Fault> {
    let unknown: Vec<_> = sources::<S>().filter(|source| !known.contains_key(*source)).collect();
    let mut partitions = known;
    for (source, partition) in partitions_of(unknown.into_iter())? {
        partitions.insert(source.to_owned(), partition + 1);
    }
    Ok(partitions)
}

/// Whether the service follows the log of another one, or looks at all.
pub(crate) fn is_concerned<S: Service>(by: &str) -> bool {
    S::WATCHES || by == S::NAME || sources::<S>().any(|source| source == by)
}

fn projection_sources<S: Service>() -> BTreeSet<&'static str> {
    S::PROJECTIONS.iter().map(|line| line.source).collect()
}

fn sources<S: Service>() -> impl Iterator<Item = &'static str> {
    S::PROJECTIONS.iter().map(|line| line.source).chain(S::REACTIONS.iter().map(|line| line.source))
}

/// Whether an event is with a handler of this generation.
pub(crate) fn is_with_handlers<S: Service>(generation: u64) -> Result<bool, Fault> {
    for (source, partition) in projected::<S>()? {
        let consumer = names::consumer(S::NAME, generation, partition);
        let progress = jetstream::progress(&names::log_stream(source), &consumer);
        if progress.map_err(|refusal| fault(source, refusal))?.is_some_and(|progress| progress.under_way > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
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

/// Makes sure of a consumer, among those that are there, and returns how far it has come.
fn consumer<S: Service>(
    source: &str,
    partition: u32,
    name: &str,
    there: &BTreeMap<&str, &Consumer>,
) -> Result<Progress, Fault> {
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
    match there.get(name) {
        Some(consumer) if consumer.is_as(&config) => Ok(consumer.progress.clone()),
        _ => jetstream::create_consumer(&names::log_stream(source), &config)
            .map_err(|refusal| fault(source, refusal)),
    }
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
