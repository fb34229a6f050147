//! How often a timer has tried to do what was due, and until when that is put off.
//!
//! An event that waits is delivered often, and nobody has tried anything. So an attempt is counted before it is made, but only
//! where there may have been another: the event is late, and comes again. Who keeps up counts nothing, nor does who catches up
//! with what came while nobody was there, but for what was in the window then.
//!
//! That an event is put off is noted with how many attempts were counted by then: they count no more. So it is read only where
//! it may have been written, which is where an event is late and comes again, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trellis_names::Purpose;

use super::put_off;
use crate::delivery::Delivery;
use crate::failure::{LONGEST_DELAY, SHORTEST_DELAY};
use crate::platform::{self, Fault, Platform};
use crate::time::millis;
use crate::upkeep::consumers::LONGEST_PAUSE;
use crate::{document, log};

/// Less than the time after which an event comes again whose handler was killed.
const LATE_MS: u64 = 5000;

/// That an event was put off.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PutOff {
    until_ms: u64,
    /// How many attempts had been counted.
    counted: u64,
}

impl PutOff {
    /// What is noted of an event that is late by so many milliseconds.
    pub fn of(delivery: &Delivery<'_>, late_ms: u64) -> Result<Self, Fault> {
        if delivery.is_again() || delivery.attempt == 1 || late_ms < millis(SHORTEST_DELAY) {
            return Ok(Self::default());
        }
        Ok(document::load(&note_key(delivery))?.unwrap_or_default())
    }

    /// For how many milliseconds it is put off yet. A clock that was set back makes it none.
    pub fn left(&self, now_ms: u64) -> Option<u64> {
        let left = self.until_ms.checked_sub(now_ms).filter(|left| *left > 0)?;
        (left <= millis(LONGEST_DELAY)).then(|| left.min(millis(LONGEST_PAUSE)))
    }

    /// Which attempt this is since then, or seems to be, after so many milliseconds.
    pub fn count(&self, delivery: &Delivery<'_>, late_ms: u64) -> Result<u64, Fault> {
        if delivery.is_again() || delivery.attempt == 1 || late_ms < LATE_MS {
            return Ok(1);
        }
        Ok(platform::current().increment(&key(delivery))?.saturating_sub(self.counted))
    }
}

/// Puts an event off. Returns for how many milliseconds it is to wait before it is looked at again.
pub(super) fn put_off(delivery: &Delivery<'_>, after: Duration) -> u64 {
    let after_ms = millis(after);
    let noted = counted(delivery).and_then(|counted| {
        let until_ms = platform::current().now_ms().saturating_add(after_ms);
        document::save(&note_key(delivery), &PutOff { until_ms, counted })
    });
    if let Err(fault) = noted {
        let Delivery { source, seq, .. } = delivery;
        log::warn(&format!("that event {seq} of {source} is put off is not noted: {fault}"));
    }
    after_ms.min(millis(LONGEST_PAUSE))
}

/// Which attempt has just failed.
pub(super) fn made(delivery: &Delivery<'_>) -> u64 {
    if delivery.purpose != Purpose::Timers {
        return put_off::attempts(delivery);
    }
    let since = PutOff::of(delivery, u64::MAX)
        .and_then(|before| Ok(counted(delivery)?.saturating_sub(before.counted)));
    since.unwrap_or_default().max(1)
}

/// How many attempts were counted.
fn counted(delivery: &Delivery<'_>) -> Result<u64, Fault> {
    let counted = platform::current().get(&key(delivery))?;
    Ok(counted.and_then(|count| str::from_utf8(&count).ok()?.parse().ok()).unwrap_or_default())
}

fn key(delivery: &Delivery<'_>) -> String {
    ["tries.", delivery.source, ".", &delivery.seq.to_string()].concat()
}

fn note_key(delivery: &Delivery<'_>) -> String {
    ["later.", delivery.source, ".", &delivery.seq.to_string()].concat()
}
