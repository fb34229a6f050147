//! Whether a service keeps up, seen by whoever asks `GET /readyz`: a read model that has stopped must tell, not be found out.
//!
//! A consumer is stuck if an event has waited for it for [`STUCK_AFTER`] and it has not finished any other meanwhile. Who
//! has much to catch up with, and does, is ready; the lag says how far behind it is. A timer's consumer is stuck if events wait
//! there and none of them was asked for that long.

use std::time::Duration;

use trellis_names::{self as names, Purpose};

use super::consumers::LONGEST_PAUSE;
use super::partitions::{projected, reacted_to, timed};
use crate::descriptor::{Described, Descriptor};
use crate::instant;
use crate::jetstream::{self, ConsumerProgress, StreamError};
use crate::models::generation;
use crate::platform::{self, Fault, Platform};
use crate::problem::Problem;
use crate::time::millis;

/// The path, at every service that has no route of its own there.
pub(crate) const PATH: &str = "/readyz";
/// How long events may wait for a consumer that does not move.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Refuses with 503, and what does not keep up, for services that have more to say about their being ready.
pub fn ready<S: Described>() -> Result<(), Problem> {
    expect_ready(S::DESCRIPTOR)
}

pub(crate) fn expect_ready(service: &Descriptor) -> Result<(), Problem> {
    let unready = unready(service)?;
    if unready.is_empty() { Ok(()) } else { Err(Problem::not_ready(unready.join(" "))) }
}

/// A sentence for each thing that is not as it should be.
fn unready(service: &Descriptor) -> Result<Vec<String>, Fault> {
    let mut unready = Vec::new();
    if service.partitions > 0
        && let Err(error) = jetstream::partitions(&names::log_stream(service.name))
    {
        match error {
            StreamError::NoStream => unready.push("The log is missing.".to_owned()),
            error => return Err(error.into_fault(service.name)),
        }
    }
    let generations = generation::load()?;
    let active = generations.active;
    if !service.projected.is_empty() && generations.schema > service.views_schema {
        return Ok(vec![generation::stepped_back(service, &generations)]);
    }
    for (source, partition) in projected(service)? {
        let consumer = names::consumer(service.name, active, partition);
        unready.extend(problem_of(source, partition, &consumer)?);
    }
    for (source, partition) in reacted_to(service)? {
        let consumer = names::reaction_consumer(service.name, partition);
        unready.extend(problem_of(source, partition, &consumer)?);
    }
    for source in timed(service)? {
        unready.extend(problem_of_timer(source, &names::timer_consumer(service.name))?);
    }
    Ok(unready)
}

/// Events that wait for their time are asked about it all the while.
fn problem_of_timer(source: &str, consumer: &str) -> Result<Option<String>, Fault> {
    let Some(progress) = progress(source, consumer)? else { return Ok(Some(missing(source, consumer))) };
    let long_ago = platform::current().now_ms().saturating_sub(millis(LONGEST_PAUSE + STUCK_AFTER));
    let is_asked = progress.handed_out.is_some_and(|at| !instant::is_before(&at, long_ago));
    if progress.backlog == 0 || is_asked {
        return Ok(None);
    }
    // What has come just now is asked soon.
    let oldest =
        jetstream::next(&names::log_stream(source), &Purpose::Timers.subjects(source), progress.floor + 1);
    let oldest = oldest.map_err(|error| error.into_fault(source))?;
    Ok(oldest.filter(|oldest| instant::is_before(&oldest.time, long_ago)).map(|_| {
        let backlog = progress.backlog;
        format!("The consumer {consumer} of {source} is stuck: none of {backlog} events is asked whether it is due.")
    }))
}

fn progress(source: &str, consumer: &str) -> Result<Option<ConsumerProgress>, Fault> {
    jetstream::progress(&names::log_stream(source), consumer).map_err(|error| error.into_fault(source))
}

fn missing(source: &str, consumer: &str) -> String {
    format!("The consumer {consumer} of {source} is missing; it is made again.")
}

fn problem_of(source: &str, partition: u32, consumer: &str) -> Result<Option<String>, Fault> {
    let Some(progress) = progress(source, consumer)? else { return Ok(Some(missing(source, consumer))) };
    let long_ago = platform::current().now_ms().saturating_sub(millis(STUCK_AFTER));
    let has_moved = progress.moved.is_some_and(|moved| !instant::is_before(&moved, long_ago));
    if progress.backlog == 0 || has_moved {
        return Ok(None);
    }
    let subjects = names::partition_subjects(source, partition);
    let oldest = jetstream::next(&names::log_stream(source), &subjects, progress.floor + 1);
    let oldest = oldest.map_err(|error| error.into_fault(source))?;
    Ok(oldest.filter(|oldest| instant::is_before(&oldest.time, long_ago)).map(|oldest| {
        let (backlog, since) = (progress.backlog, oldest.time);
        format!(
            "The consumer {consumer} of {source} is stuck: {backlog} events wait, the oldest since {since}."
        )
    }))
}
