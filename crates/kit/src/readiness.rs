//! Whether a service keeps up, seen by whoever asks `GET /readyz`: a read model that has stopped must tell, not be found out.
//!
//! A consumer is stuck if an event has waited for it for [`STUCK_AFTER`] and it has not finished any other meanwhile. Who
//! has much to catch up with, and does, is ready; the lag says how far behind it is.

use std::time::Duration;

use serde_json::json;

use crate::jetstream::{self, Refusal};
use crate::platform::{self, Fault, Platform};
use crate::provision::{self, fault};
use crate::{Problem, Response, Service, generation, names, time};

/// The path, at every service that has no route of its own there.
pub(crate) const PATH: &str = "/readyz";
/// How long events may wait for a consumer that does not move.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// 200 if the service keeps up.
pub(crate) fn answer<S: Service>() -> Result<Response, Problem> {
    ready::<S>()?;
    Response::json(200, &json!({ "ready": true }))
}

/// Refuses with 503, and what does not keep up, for services that have more to say about their being ready.
pub fn ready<S: Service>() -> Result<(), Problem> {
    let unready = unready::<S>()?;
    if unready.is_empty() { Ok(()) } else { Err(Problem::not_ready(unready.join(" "))) }
}

/// A sentence for each thing that is not as it should be.
fn unready<S: Service>() -> Result<Vec<String>, Fault> {
    let mut unready = Vec::new();
    if S::PARTITIONS > 0
        && let Err(refusal) = jetstream::partitions(&names::log_stream(S::NAME))
    {
        match refusal {
            Refusal::NoStream => unready.push("The log is missing.".to_owned()),
            refusal => return Err(fault(S::NAME, refusal)),
        }
    }
    let generations = generation::load()?;
    let active = generations.active;
    if !S::PROJECTIONS.is_empty() && generations.schema > S::VIEWS_SCHEMA {
        return Ok(vec![generation::stepped_back::<S>(&generations)]);
    }
    for (source, partition) in provision::projected::<S>()? {
        let consumer = names::consumer(S::NAME, active, partition);
        unready.extend(problem_of(source, partition, &consumer)?);
    }
    for (source, partition) in provision::reacted_to::<S>()? {
        let consumer = names::reaction_consumer(S::NAME, partition);
        unready.extend(problem_of(source, partition, &consumer)?);
    }
    Ok(unready)
}

fn problem_of(source: &str, partition: u32, consumer: &str) -> Result<Option<String>, Fault> {
    let stream = names::log_stream(source);
    let Some(progress) = jetstream::progress(&stream, consumer).map_err(|refusal| fault(source, refusal))?
    else {
        return Ok(Some(format!("The consumer {consumer} of {source} is missing; it is made again.")));
    };
    let long_ago = platform::current().now_ms().saturating_sub(millis(STUCK_AFTER));
    let has_moved = progress.moved.is_some_and(|moved| !time::is_before(&moved, long_ago));
    if progress.backlog == 0 || has_moved {
        return Ok(None);
    }
    let oldest = jetstream::next(&stream, &names::partition_subjects(source, partition), progress.floor + 1);
    let oldest = oldest.map_err(|refusal| fault(source, refusal))?;
    Ok(oldest.filter(|oldest| time::is_before(&oldest.time, long_ago)).map(|oldest| {
        let (backlog, since) = (progress.backlog, oldest.time);
        format!(
            "The consumer {consumer} of {source} is stuck: {backlog} events wait, the oldest since {since}."
        )
    }))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
