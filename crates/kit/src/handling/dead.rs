//! Dead letters: events that could not be handled, put aside with why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use trellis_names::{self as names, Purpose};

use crate::delivery::Delivery;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::jetstream::{self, Appended};
use crate::models::generation;
use crate::platform::{self, Fault, Platform};
use crate::{document, instant, log, streams};

pub(super) const UNREADABLE: &str = "the letter cannot be read";

/// A letter, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    error: String,
    pub source: String,
    pub seq: u64,
    pub consumer: String,
    attempts: u64,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    /// The event as it is, if it is not even JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Puts an event among the dead letters, once, however often this is done.
pub(crate) fn bury(service: &Descriptor, delivery: &Delivery<'_>, failure: &Failure) -> Result<(), Fault> {
    let Delivery { source, seq, consumer, attempt, body, .. } = *delivery;
    let mut purpose = delivery.purpose;
    if let Purpose::ReadModels { generation, .. } = &mut purpose {
        // Of a generation that nobody reads any more.
        let Some(number) = generation::noted(service)?.named(*generation) else { return Ok(()) };
        *generation = number;
    }
    // What is private stays where it is: operators read letters.
    let is_private = source == service.private_log;
    let event = serde_json::from_slice::<Box<RawValue>>(body).ok().filter(|_| !is_private);
    let letter = Letter {
        error: failure.to_string(),
        source: source.to_owned(),
        seq,
        consumer: consumer.to_owned(),
        attempts: attempt,
        time: instant::rfc3339(platform::current().now_ms()),
        base64: (event.is_none() && !is_private).then(|| BASE64.encode(body)),
        event,
    };
    let letter = document::write(&letter)?;
    let subject = names::dead_subject(service.name, source, seq, purpose);
    let stored = match jetstream::append(&subject, &letter) {
        Appended::Unknown(_) => {
            streams::make_dead_letters(service)?;
            jetstream::append(&subject, &letter)
        }
        stored => stored,
    };
    match stored {
        Appended::At(_) | Appended::Taken => {
            log::error(&format!("event {seq} of {source} is a dead letter now: {failure}"));
            Ok(())
        }
        Appended::Unknown(fault) => Err(fault),
    }
}

impl Letter {
    /// The event, as it was delivered.
    pub fn body(&self, service: &Descriptor) -> Result<Vec<u8>, Fault> {
        if self.source == service.private_log {
            let stored = jetstream::get(&names::log_stream(&self.source), self.seq);
            let stored = stored.map_err(|error| error.into_fault(&self.source))?;
            return stored
                .map(|event| event.body)
                .ok_or_else(|| Fault::new(format!("event {} of {} is gone", self.seq, self.source)));
        }
        match (&self.event, &self.base64) {
            (Some(event), _) => Ok(event.get().as_bytes().to_vec()),
            (None, Some(base64)) => BASE64.decode(base64).map_err(|error| Fault::because(UNREADABLE, error)),
            (None, None) => Err(Fault::new(format!("{UNREADABLE}: there is no event in it"))),
        }
    }
}
