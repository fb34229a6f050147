//! Dead letters: events that could not be handled, put aside with why, each of which can be tried once more.
//!
//! A letter is asked to be tried by a request on `deliver.<service>`, see `messages.rs`. It goes the way of every
//! event, so it is read as a live one would be, and it is removed when that has gone well, not before: whatever fails in
//! between, it can be asked for again, for reacting twice changes nothing.
//!
//! A letter that a read model lacks is not tried. Its partition has one writer at a time, which has moved on to newer events; a
//! rebuild reads them all in their order again, the letter's too, and removes the letters of the generation that it replaces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::delivery::{self, Delivery, Failure, Term};
use crate::jetstream::{self, Appended};
use crate::platform::{self, Fault, Platform};
use crate::{Service, generation, log, names, provision, time};

/// A letter, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    error: String,
    source: String,
    seq: u64,
    consumer: String,
    attempts: u64,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    /// The event as it is, if it is not even JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

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

/// Puts an event among the dead letters, once, however often this is done.
pub(crate) fn bury<S: Service>(delivery: &Delivery<'_>, failure: &Failure) -> Result<(), Fault> {
    let Delivery { source, seq, consumer, attempt, body, .. } = *delivery;
    let generation = match delivery.generation.map(|name| generation::noted::<S>().map(|now| now.named(name)))
    {
        // Of a generation that nobody reads any more.
        Some(Ok(None)) => return Ok(()),
        Some(generation) => generation?,
        None => None,
    };
    let event = serde_json::from_slice::<Box<RawValue>>(body).ok();
    let letter = Letter {
        error: failure.why.clone(),
        source: source.to_owned(),
        seq,
        consumer: consumer.to_owned(),
        attempts: attempt,
        time: time::rfc3339(platform::current().now_ms()),
        base64: event.is_none().then(|| BASE64.encode(body)),
        event,
    };
    let letter = serde_json::to_vec(&letter).map_err(|error| Fault::new(error.to_string()))?;
    let subject = names::dead_subject(S::NAME, source, seq, generation);
    let stored = match jetstream::append(&subject, &letter) {
        Appended::Unknown(_) => {
            provision::dead_letters::<S>()?;
            jetstream::append(&subject, &letter)
        }
        stored => stored,
    };
    match stored {
        Appended::At(_) | Appended::Taken => {
            log::error(&format!("event {seq} of {source} is a dead letter now: {}", failure.why));
            Ok(())
        }
        Appended::Unknown(fault) => Err(fault),
    }
}

/// Tries a letter, and says what came of it.
pub(crate) fn try_again<S: Service>(seq: u64) -> Outcome {
    replay::<S>(seq).unwrap_or_else(|fault| Outcome::Failed(fault.what))
}

fn replay<S: Service>(seq: u64) -> Result<Outcome, Fault> {
    let stream = names::dead_stream(S::NAME);
    let fault = |refusal| provision::fault("dead letters", refusal);
    let stored = match jetstream::get(&stream, seq) {
        Ok(Some(stored)) => stored,
        Ok(None) | Err(jetstream::Refusal::NoStream) => return Ok(Outcome::Missing),
        Err(refusal) => return Err(fault(refusal)),
    };
    let unreadable = |why: String| Fault::new(format!("the letter cannot be read: {why}"));
    let letter: Letter =
        serde_json::from_slice(&stored.body).map_err(|error| unreadable(error.to_string()))?;
    let Some((partition, generation)) = names::parse_consumer(S::NAME, &letter.consumer) else {
        return Err(unreadable(format!("{} is no consumer of {}", letter.consumer, S::NAME)));
    };
    let outcome = match generation {
        Some(name) if generation::noted::<S>()?.named(name).is_some() => return Ok(Outcome::Rebuild),
        Some(_) => Outcome::Obsolete,
        None => {
            let body = letter.body().map_err(unreadable)?;
            let event = Delivery::again(&letter.source, &letter.consumer, partition, letter.seq, &body);
            if let Err(failure) = delivery::process::<S>(&event, Term::begin()) {
                return Ok(Outcome::Failed(failure.why));
            }
            Outcome::Handled
        }
    };
    jetstream::delete(&stream, seq).map_err(fault)?;
    log::info(&format!("event {} of {} is no dead letter any more", letter.seq, letter.source));
    Ok(outcome)
}

impl Letter {
    /// The event, as it was delivered.
    fn body(&self) -> Result<Vec<u8>, String> {
        match (&self.event, &self.base64) {
            (Some(event), _) => Ok(event.get().as_bytes().to_vec()),
            (None, Some(base64)) => BASE64.decode(base64).map_err(|error| error.to_string()),
            (None, None) => Err("there is no event in it".to_owned()),
        }
    }
}
