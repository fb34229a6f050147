//! Events that wait for another version of this service, or until something can be done, with those behind them: how often each
//! was put off, which counts as no attempt.

use serde::{Deserialize, Serialize};

use crate::delivery::Delivery;
use crate::limits::ATTEMPTS;
use crate::platform::Fault;
use crate::{document, log};

const FIRST_DELAY_MS: u64 = 1000;
const LONGEST_DELAY_MS: u64 = 30_000;

/// How often an event was put off.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PutOff {
    seq: u64,
    times: u64,
}

/// How often an event was tried: how often it was delivered, less how often it was put off.
pub(crate) fn attempts(delivery: &Delivery<'_>) -> u64 {
    if delivery.attempt < ATTEMPTS {
        return delivery.attempt;
    }
    // Without the bucket nothing is put aside, since nothing was tried.
    put_off_before(delivery).map_or(1, |before| delivery.attempt.saturating_sub(before.times))
}

/// Notes that an event is put off. Returns for how many milliseconds, which grows each time.
pub(crate) fn put_off(delivery: &Delivery<'_>) -> u64 {
    let times = note(delivery);
    (FIRST_DELAY_MS << times.saturating_sub(1).min(16)).min(LONGEST_DELAY_MS)
}

/// Notes that an event is put off. Returns how often it was.
pub(crate) fn note(delivery: &Delivery<'_>) -> u64 {
    let noted = put_off_before(delivery).and_then(|before| {
        let now = PutOff { times: before.times + 1, ..before };
        document::save(&key(delivery), &now)?;
        Ok(now.times)
    });
    noted.unwrap_or_else(|fault| {
        log::warn(&format!(
            "that event {} of {} is put off is not noted: {fault}",
            delivery.seq, delivery.source
        ));
        delivery.attempt
    })
}

fn put_off_before(delivery: &Delivery<'_>) -> Result<PutOff, Fault> {
    let noted: Option<PutOff> = document::load(&key(delivery))?;
    let of_this_event = noted.filter(|noted| noted.seq == delivery.seq);
    Ok(of_this_event.unwrap_or(PutOff { seq: delivery.seq, times: 0 }))
}

fn key(delivery: &Delivery<'_>) -> String {
    ["put-off.", delivery.source, ".", delivery.consumer].concat()
}
