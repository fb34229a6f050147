//! Storing an event, and finding it again.
//!
//! Storing version 7 of an entity is a request on a subject that ends in `.7`, which JetStream refuses when
//! something is there already. So an append is a compare-and-swap, and the log is the only thing a state change
//! writes.

use trellis_names as names;

use super::envelope::Envelope;
use crate::descriptor::Descriptor;
use crate::jetstream::{self, Appended, StreamError};
use crate::limits::EVENT_MAX;
use crate::platform::Fault;
use crate::problem::Problem;
use crate::time::back_off;
use crate::{id, streams};

/// How often a request whose outcome stays unknown is looked at before the caller is told to try again.
const ATTEMPTS: u32 = 5;

/// What became of an event.
pub(crate) enum Outcome {
    /// It is stored, with this sequence.
    Stored(u64),
    /// Somebody else's event has that version.
    Taken(Box<Envelope>),
}

/// The newest event of an entity, or the one of a version when `version` is one.
pub(crate) fn read(
    service: &Descriptor,
    entity: &str,
    version: Option<u64>,
) -> Result<Option<Envelope>, Fault> {
    match lookup(service, entity, version) {
        Err(StreamError::NoStream) => {
            streams::make_log(service)?;
            Ok(None)
        }
        Ok(found) => Ok(found),
        Err(error) => Err(error.into_fault(service.name)),
    }
}

/// Stores an event as the version it says it is. However often the answer is lost, the event ends up in the log
/// at most once, and what this returns is true.
pub(crate) fn append(service: &Descriptor, event: &Envelope) -> Result<Outcome, Problem> {
    let subject = subject(service, &event.subject, event.version);
    let body = serde_json::to_vec(event).map_err(Problem::internal)?;
    if body.len() > EVENT_MAX {
        let detail = format!("This would make {} bytes to store; {EVENT_MAX} are possible.", body.len());
        return Err(Problem::too_large(detail));
    }
    let mut why = Fault::new("never tried");
    for attempt in 0..ATTEMPTS {
        let appended = jetstream::append(&subject, &body);
        if let Appended::At(seq) = appended {
            return Ok(Outcome::Stored(seq));
        }
        // Taken: perhaps by ourselves, if an earlier answer was lost. Unknown: perhaps it was stored. Both are
        // settled by what is there.
        match lookup(service, &event.subject, Some(event.version)) {
            Ok(Some(found)) if found.id == event.id => {
                return Ok(Outcome::Stored(found.seq));
            }
            Ok(Some(found)) => return Ok(Outcome::Taken(Box::new(found))),
            Ok(None) => why = unanswered(appended),
            Err(StreamError::NoStream) => {
                streams::make_log(service)?;
                continue;
            }
            Err(error) => why = error.into_fault(service.name),
        }
        back_off(attempt);
    }
    Err(why.into())
}

fn unanswered(appended: Appended) -> Fault {
    match appended {
        Appended::Unknown(fault) => fault,
        Appended::At(_) | Appended::Taken => Fault::new("the log holds a version that it does not show"),
    }
}

fn lookup(service: &Descriptor, entity: &str, version: Option<u64>) -> Result<Option<Envelope>, StreamError> {
    let subject = match version {
        Some(version) => subject(service, entity, version),
        None => subject(service, entity, '*'),
    };
    let Some(message) = jetstream::newest(&names::log_stream(service.name), &subject)? else {
        return Ok(None);
    };
    let mut event = Envelope::parse(&message.body)
        .map_err(|error| Fault::because(format!("{} holds no event", message.subject), error))?;
    event.seq = message.seq;
    Ok(Some(event))
}

fn subject(service: &Descriptor, entity: &str, version: impl std::fmt::Display) -> String {
    names::event_subject(service.name, id::partition(entity, service.partitions), entity, version)
}
