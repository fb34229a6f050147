//! Trying a dead letter once more.
//!
//! A letter is asked to be tried by a request on `deliver.<service>`, see `messages.rs`. It goes the way of every
//! event, so it is read as a live one would be. It is removed when that has gone well, and not before. Whatever fails
//! in between, it can be asked for again, for reacting twice changes nothing.
//!
//! A letter that a read model lacks is not tried. Its partition has one writer at a time, which has moved on to newer events; a
//! rebuild reads them all in their order again, the letter's too, and removes the letters of the generation that it replaces.

use serde::Serialize;
use trellis_names::{self as names, Purpose};

use super::dead::{Letter, UNREADABLE};
use super::handler::{Handled, Handler};
use crate::delivery::{Delivery, Term};
use crate::jetstream::{self, StreamError};
use crate::log;
use crate::models::generation;
use crate::platform::Fault;

/// What became of a letter.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", content = "why", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The event is handled and the letter removed.
    Handled,
    /// Read models have been built since without it, or with a letter of their own; this one is removed.
    Obsolete,
    /// The read models lack it until they are built anew.
    Rebuild,
    /// It is kept.
    Failed(String),
    /// There is no such letter (any more).
    Missing,
}

impl Handler {
    /// Tries a letter, and says what came of it.
    pub fn try_again(&self, seq: u64) -> Outcome {
        self.retry(seq).unwrap_or_else(|fault| Outcome::Failed(fault.to_string()))
    }

    fn retry(&self, seq: u64) -> Result<Outcome, Fault> {
        let stream = names::dead_stream(self.service.name);
        let fault = |error: StreamError| error.into_fault("dead letters");
        let stored = match jetstream::get(&stream, seq) {
            Ok(Some(stored)) => stored,
            Ok(None) | Err(StreamError::NoStream) => return Ok(Outcome::Missing),
            Err(error) => return Err(fault(error)),
        };
        let letter: Letter =
            serde_json::from_slice(&stored.body).map_err(|error| Fault::because(UNREADABLE, error))?;
        let Some(purpose) = Purpose::parse(self.service.name, &letter.consumer) else {
            let Letter { consumer, .. } = letter;
            return Err(Fault::new(format!(
                "{UNREADABLE}: {consumer} is no consumer of {}",
                self.service.name
            )));
        };
        let outcome = match purpose {
            Purpose::ReadModels { generation, .. }
                if generation::noted(self.service)?.named(generation).is_some() =>
            {
                return Ok(Outcome::Rebuild);
            }
            Purpose::ReadModels { .. } => Outcome::Obsolete,
            Purpose::Reactions { .. } | Purpose::Timers => {
                let body = letter.body(self.service)?;
                let event = Delivery::again(&letter.source, &letter.consumer, purpose, letter.seq, &body);
                match self.process(&event, Term::begin()) {
                    Ok(Handled::NotDue(ms)) => {
                        return Ok(Outcome::Failed(format!("it is not due for {ms} ms; try again then")));
                    }
                    Ok(_) => Outcome::Handled,
                    Err(failure) => return Ok(Outcome::Failed(failure.to_string())),
                }
            }
        };
        jetstream::delete(&stream, seq).map_err(fault)?;
        log::info(&format!("event {} of {} is no dead letter any more", letter.seq, letter.source));
        Ok(outcome)
    }
}
