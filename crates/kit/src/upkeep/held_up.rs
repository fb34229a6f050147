//! Timers whose server does not ask their events any more.
//!
//! nats-server goes by its date: set back by an hour, it gives nothing out again for that hour, and with a full window nothing new
//! either. A consumer that is reset gives all of it out at once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trellis_names as names;

use super::partitions::timed;
use crate::descriptor::Descriptor;
use crate::limits::ACK_WAIT;
use crate::platform::{self, Fault, Platform};
use crate::time::millis;
use crate::{document, jetstream, log};

/// The document of what was seen, by source.
const KEY: &str = "timers";
/// Longer than an event takes to come again whose handler was killed: its attempts must be counted on.
const PATIENCE: Duration = ACK_WAIT.saturating_mul(2);

/// How often a consumer had delivered, and since when that is so.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Seen {
    deliveries: u64,
    since_ms: u64,
}

/// Resets the consumers that have given out nothing for long, though they have something out.
pub(crate) fn release(service: &Descriptor) -> Result<(), Fault> {
    if service.timed.is_empty() {
        return Ok(());
    }
    let now_ms = platform::current().now_ms();
    let before: BTreeMap<String, Seen> = document::load(KEY)?.unwrap_or_default();
    let mut seen = BTreeMap::new();
    let consumer = names::timer_consumer(service.name);
    for source in timed(service)? {
        let stream = names::log_stream(source);
        let progress = jetstream::progress(&stream, &consumer).map_err(|error| error.into_fault(source))?;
        let Some(progress) = progress.filter(|progress| progress.under_way > 0) else { continue };
        let deliveries = progress.deliveries;
        let before =
            before.get(source).filter(|seen| seen.deliveries == deliveries && seen.since_ms <= now_ms);
        let mut since_ms = before.map_or(now_ms, |seen| seen.since_ms);
        if now_ms - since_ms >= millis(PATIENCE) {
            since_ms = now_ms;
            log::warn(&format!("{consumer} has asked no event of {source} for long, and begins anew"));
            if let Err(error) = jetstream::reset_consumer(&stream, &consumer, progress.floor + 1) {
                log::error(&format!("{consumer} of {source} cannot be reset: {error}"));
            }
        }
        seen.insert(source.to_owned(), Seen { deliveries, since_ms });
    }
    if seen == before { Ok(()) } else { document::save(KEY, &seen) }
}
