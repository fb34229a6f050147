//! Whether the read models hear a source: an event that waits for them must not be taken for one that never was, where somebody is let
//! in by them. The server is asked by one request in [`LOOK_EVERY`], and what it said is noted for the others, who read it with
//! what they read anyway.

use std::cell::RefCell;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trellis_names::{self as names, Purpose};

use super::generation;
use crate::descriptor::{Descriptor, Source};
use crate::jetstream;
use crate::platform::{self, Fault, Platform};
use crate::problem::Problem;
use crate::time::millis;
use crate::{document, instant, log};

/// How long an event may wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what is known is good enough.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A source that somebody relies on. One is made for each request.
#[derive(Debug)]
pub struct Watch {
    source: Source,
    seen: RefCell<Option<Vec<u8>>>,
}

/// What was found, and when.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Heard {
    asked_ms: u64,
    /// What waits for too long, in a sentence.
    waiting: Option<String>,
}

impl Watch {
    pub fn new(source: Source) -> Self {
        Self { source, seen: RefCell::default() }
    }

    pub(crate) fn key(&self) -> String {
        format!("heard.{}", self.source.name)
    }

    pub(crate) fn learn(&self, seen: Option<Vec<u8>>) {
        self.seen.replace(seen);
    }

    /// Refuses as long as an event of the source waits for the service, once [`glance`](super::glance()) has read for it.
    pub fn expect_heard(&self, service: &Descriptor) -> Result<(), Problem> {
        let noted: Option<Heard> = match self.seen.take() {
            Some(bytes) => Some(document::read(&self.key(), &bytes)?),
            None => None,
        };
        let now_ms = platform::current().now_ms();
        // A clock that was set back must not make what was noted last hold for ever.
        let is_fresh = |noted: &Heard| {
            (noted.asked_ms..noted.asked_ms.saturating_add(millis(LOOK_EVERY))).contains(&now_ms)
        };
        let heard = match noted {
            Some(noted) if is_fresh(&noted) => noted,
            noted => self.look(service, now_ms, noted.unwrap_or_default())?,
        };
        heard.waiting.map_or(Ok(()), |waiting| Err(Problem::not_ready(waiting)))
    }

    fn look(&self, service: &Descriptor, now_ms: u64, before: Heard) -> Result<Heard, Fault> {
        let mut heard = Heard { asked_ms: now_ms, ..before };
        // Noted before it is done, so that of many who come at once one asks.
        document::save(&self.key(), &heard)?;
        match self.waiting(service, now_ms) {
            Ok(waiting) => heard.waiting = waiting,
            // What cannot be found out is what was noted last.
            Err(fault) => {
                log::warn(&format!("who waits for {} cannot be found out: {fault}", self.source.name))
            }
        }
        document::save(&self.key(), &heard)?;
        Ok(heard)
    }

    fn waiting(&self, service: &Descriptor, now_ms: u64) -> Result<Option<String>, Fault> {
        let source = self.source.name;
        let active = generation::load()?.active;
        let stream = names::log_stream(source);
        let long_ago = now_ms.saturating_sub(millis(PATIENCE));
        let mut partitions = 0;
        for consumer in jetstream::consumers(&stream).map_err(|error| error.into_fault(source))? {
            let Some(Purpose::ReadModels { generation, partition }) =
                Purpose::parse(service.name, &consumer.name)
            else {
                continue;
            };
            if names::generation_name(active) != generation {
                continue;
            }
            partitions += 1;
            if consumer.progress.backlog == 0 {
                continue;
            }
            let subjects = names::partition_subjects(source, partition);
            let oldest = jetstream::next(&stream, &subjects, consumer.progress.floor + 1);
            let oldest = oldest.map_err(|error| error.into_fault(source))?;
            if let Some(oldest) = oldest.filter(|oldest| instant::is_before(&oldest.time, long_ago)) {
                return Ok(Some(format!("An event of {source} waits here since {}.", oldest.time)));
            }
        }
        let is_whole = partitions >= self.source.partitions;
        Ok((!is_whole).then(|| format!("Not all events of {source} come here yet.")))
    }
}
