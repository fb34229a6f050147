//! What is in a service's own log, read from its beginning: for work on every entity that there is.

use trellis_names as names;

use super::reaction::Reaction;
use crate::eventlog::{Aggregate, Envelope, Event, Recorded, log_of};
use crate::failure::Failure;
use crate::jetstream;

/// Part of a log.
#[derive(Debug)]
pub struct History<E> {
    /// Oldest first.
    pub events: Vec<Recorded<E>>,
    /// The last event that was looked at; none if that was the end of the log.
    pub position: Option<u64>,
}

impl Reaction {
    /// The first events of entities of one kind, each entity once, in the order in which they began: those after a
    /// position, and not after another one. At most `max` events are looked at, whatever kind they are of, so that
    /// the price of a call is known.
    pub fn births<A: Aggregate>(
        &self,
        after: u64,
        end: u64,
        max: usize,
    ) -> Result<History<A::Event>, Failure> {
        let log = log_of::<A>();
        let (service, stream, subjects) = (log.source(), log.stream(), names::first_events(log.source()));
        let mut events = Vec::new();
        let mut position = after;
        for _ in 0..max {
            let message = jetstream::next(&stream, &subjects, position.saturating_add(1))
                .map_err(|error| error.into_fault(service))?;
            let Some(message) = message.filter(|message| message.seq <= end) else {
                return Ok(History { events, position: None });
            };
            position = message.seq;
            let envelope = Envelope::parse(&message.body)?;
            if envelope.kind()?.0 == A::Event::OF {
                events.push(envelope.decode(message.seq)?);
            }
        }
        Ok(History { events, position: Some(position) })
    }
}
