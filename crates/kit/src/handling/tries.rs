//! How often a timer has tried to do what was due.
//!
//! An event that waits is delivered often, and nobody has tried anything. So an attempt is counted before it is made, but only
//! where there may have been another: the event is late, and comes again. Who keeps up counts nothing, nor does who catches up
//! with what came while nobody was there, but for what was in the window then.

use trellis_names::Purpose;

use super::put_off;
use crate::delivery::Delivery;
use crate::platform::{self, Fault, Platform};

/// Less than the time after which an event comes again whose handler was killed.
const LATE_MS: u64 = 5000;

/// Which attempt this is, or seems to be, after so many milliseconds.
pub(super) fn count(delivery: &Delivery<'_>, late_ms: u64) -> Result<u64, Fault> {
    if delivery.is_again() || delivery.attempt == 1 || late_ms < LATE_MS {
        return Ok(1);
    }
    platform::current().increment(&key(delivery))
}

/// Which attempt has just failed.
pub(super) fn made(delivery: &Delivery<'_>) -> u64 {
    if delivery.purpose != Purpose::Timers {
        return put_off::attempts(delivery);
    }
    let counted = platform::current().get(&key(delivery)).ok().flatten();
    counted.and_then(|count| str::from_utf8(&count).ok()?.parse().ok()).unwrap_or(1)
}

fn key(delivery: &Delivery<'_>) -> String {
    ["tries.", delivery.source, ".", &delivery.seq.to_string()].concat()
}
