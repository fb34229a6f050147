//! Storing an event, and finding it again.
//!
//! Storing version 7 of an entity is a request on a subject that ends in `.7`, which JetStream refuses when
//! something is there already. So an append is a compare-and-swap, and the log is the only thing a state change
//! writes.

use trellis_names as names;

use super::envelope::Envelope;
use crate::descriptor::{Descriptor, Source};
use crate::jetstream::{self, Appended, StreamError};
use crate::limits::EVENT_MAX;
use crate::platform::Fault;
use crate::problem::Problem;
use crate::time::back_off;
use crate::{id, streams};

/// How often a request whose outcome stays unknown is looked at before the caller is told to try again.
const ATTEMPTS: u32 = 5;

/// One of the two logs of a service: the one that others follow, or the private one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub service: &'static Descriptor,
    pub is_private: bool,
}

impl Log {
    /// Its name among sources.
    pub fn source(self) -> &'static str {
        if self.is_private { self.service.private_log } else { self.service.name }
    }

    pub fn stream(self) -> String {
        names::log_stream(self.source())
    }

    fn partition(self, entity: &str) -> u32 {
        if self.is_private { 0 } else { id::partition(entity, self.service.partitions) }
    }

    fn make(self) -> Result<(), Fault> {
        if self.is_private { streams::make_own(self.service) } else { streams::make_log(self.service) }
    }
}

/// What became of an event.
pub(crate) enum Outcome {
    /// It is stored, with this sequence.
    Stored(u64),
    /// Somebody else's event has that version.
    Taken(Box<Envelope>),
}

/// The newest event of an entity, or the one of a version when `version` is one.
pub(crate) fn read(log: Log, entity: &str, version: Option<u64>) -> Result<Option<Envelope>, Fault> {
    match lookup(log, entity, version) {
        Err(StreamError::NoStream) => {
            log.make()?;
            Ok(None)
        }
        Ok(found) => Ok(found),
        Err(error) => Err(error.into_fault(log.source())),
    }
}

/// Stores an event as the version it says it is. However often the answer is lost, the event ends up in the log
/// at most once, and what this returns is true.
pub(crate) fn append(log: Log, event: &Envelope) -> Result<Outcome, Problem> {
    let subject = subject(log, &event.subject, event.version);
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
        match lookup(log, &event.subject, Some(event.version)) {
            Ok(Some(found)) if found.id == event.id => {
                return Ok(Outcome::Stored(found.seq));
            }
            Ok(Some(found)) => return Ok(Outcome::Taken(Box::new(found))),
            Ok(None) => why = unanswered(appended),
            Err(StreamError::NoStream) => {
                log.make()?;
                continue;
            }
            Err(error) => why = error.into_fault(log.source()),
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

fn lookup(log: Log, entity: &str, version: Option<u64>) -> Result<Option<Envelope>, StreamError> {
    let subject = match version {
        Some(version) => subject(log, entity, version),
        None => subject(log, entity, '*'),
    };
    newest(&log.stream(), &subject)
}

/// The newest event of an entity of another service, or the one of a version, if it is an entity of this kind.
pub(crate) fn look_up(
    source: Source,
    kind: &str,
    entity: &str,
    version: Option<u64>,
) -> Result<Option<Envelope>, Fault> {
    if !id::is_valid(entity) {
        return Ok(None);
    }
    let partition = id::partition(entity, source.partitions);
    let subject = match version {
        Some(version) => names::event_subject(source.name, partition, entity, version),
        None => names::event_subject(source.name, partition, entity, '*'),
    };
    match newest(&names::log_stream(source.name), &subject) {
        Ok(Some(event)) => {
            let (of, ..) =
                event.kind().map_err(|error| Fault::because(format!("{subject} holds no event"), error))?;
            Ok((of == kind).then_some(event))
        }
        Ok(None) | Err(StreamError::NoStream) => Ok(None),
        Err(error) => Err(error.into_fault(source.name)),
    }
}

fn newest(stream: &str, subject: &str) -> Result<Option<Envelope>, StreamError> {
    let Some(message) = jetstream::newest(stream, subject)? else {
        return Ok(None);
    };
    let mut event = Envelope::parse(&message.body)
        .map_err(|error| Fault::because(format!("{} holds no event", message.subject), error))?;
    event.seq = message.seq;
    Ok(Some(event))
}

fn subject(log: Log, entity: &str, version: impl std::fmt::Display) -> String {
    names::event_subject(log.source(), log.partition(entity), entity, version)
}
