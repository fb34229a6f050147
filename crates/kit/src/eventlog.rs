//! A service's log: one stream, in which every event of every entity has a subject of its own.
//!
//! Storing version 7 of an entity is a request on a subject that ends in `.7`, which JetStream refuses when
//! something is there already. So an append is a compare-and-swap, and the log is the only thing a state change
//! writes.

use std::time::Duration;

use crate::event::{Envelope, MAX_BYTES};
use crate::jetstream::{self, Appended, Refusal};
use crate::platform::{self, Fault, Platform};
use crate::{Problem, Service, id, names, position, provision};

/// How often a request whose outcome stays unknown is looked at before the caller is told to try again.
const ATTEMPTS: u32 = 5;

/// What became of an event.
pub(crate) enum Outcome {
    /// It is stored.
    Stored,
    /// Somebody else's event has that version.
    Taken(Box<Envelope>),
}

/// The newest event of an entity, or the one of a version when `version` is one.
pub(crate) fn read<S: Service>(entity: &str, version: Option<u64>) -> Result<Option<Envelope>, Fault> {
    match lookup::<S>(entity, version) {
        Err(Refusal::NoStream) => {
            provision::log::<S>()?;
            Ok(None)
        }
        Ok(found) => Ok(found),
        Err(refusal) => Err(fault(refusal)),
    }
}

/// Stores an event as the version it says it is. However often the answer is lost, the event ends up in the log
/// at most once, and what this returns is true.
pub(crate) fn append<S: Service>(event: &Envelope) -> Result<Outcome, Problem> {
    let subject = subject::<S>(&event.subject, event.version);
    let body = serde_json::to_vec(event).map_err(Problem::internal)?;
    if body.len() > MAX_BYTES {
        let detail = format!("This would make {} bytes to store; {MAX_BYTES} are possible.", body.len());
        return Err(Problem::too_large(detail));
    }
    let mut why = Fault::new("never tried");
    for attempt in 0..ATTEMPTS {
        let appended = jetstream::append(&subject, &body);
        if let Appended::At(seq) = appended {
            position::wrote::<S>(&event.subject, seq);
            return Ok(Outcome::Stored);
        }
        // Taken: perhaps by ourselves, if an earlier answer was lost. Unknown: perhaps it was stored. Both are
        // settled by what is there.
        match lookup::<S>(&event.subject, Some(event.version)) {
            Ok(Some(found)) if found.id == event.id => {
                position::wrote::<S>(&found.subject, found.seq);
                return Ok(Outcome::Stored);
            }
            Ok(Some(found)) => return Ok(Outcome::Taken(Box::new(found))),
            Ok(None) => why = unanswered(appended),
            Err(Refusal::NoStream) => {
                provision::log::<S>()?;
                continue;
            }
            Err(refusal) => why = fault(refusal),
        }
        backoff(attempt);
    }
    Err(why.into())
}

fn unanswered(appended: Appended) -> Fault {
    match appended {
        Appended::Unknown(fault) => fault,
        Appended::At(_) | Appended::Taken => Fault::new("the log holds a version that it does not show"),
    }
}

/// Waits a little before trying again, each time longer and never as long as anybody else.
pub(crate) fn backoff(attempt: u32) {
    let platform = platform::current();
    let longest_us = 2_000_u64 << attempt.min(6);
    platform.pause(Duration::from_micros(platform.random() % longest_us));
}

fn lookup<S: Service>(entity: &str, version: Option<u64>) -> Result<Option<Envelope>, Refusal> {
    let subject = match version {
        Some(version) => subject::<S>(entity, version),
        None => subject::<S>(entity, '*'),
    };
    let Some(message) = jetstream::newest(&names::log_stream(S::NAME), &subject)? else { return Ok(None) };
    let mut event = Envelope::parse(&message.body)
        .map_err(|error| Fault::new(format!("{} holds no event: {error}", message.subject)))?;
    event.seq = message.seq;
    Ok(Some(event))
}

fn subject<S: Service>(entity: &str, version: impl std::fmt::Display) -> String {
    names::event_subject(S::NAME, id::partition(entity, S::PARTITIONS), entity, version)
}

fn fault(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Fault(fault) => fault,
        Refusal::NoStream => Fault::new("the log's stream is missing"),
        Refusal::ExistsOtherwise(what) => Fault::new(format!("the log's stream has another shape: {what}")),
    }
}
