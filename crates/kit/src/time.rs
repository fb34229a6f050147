//! Time: how long something took, and how long to wait.

use std::time::Duration;

use crate::instant;
use crate::platform::{self, Platform};

/// Time since some fixed moment, which never jumps: for how long something took.
pub fn elapsed() -> Duration {
    platform::current().elapsed()
}

/// The time from 1970 to an instant that is written as this kit writes them: `2026-11-20T04:01:12.345Z`.
pub fn since_1970(instant: &str) -> Option<Duration> {
    instant::parse(instant).map(Duration::from_millis)
}

/// Waits a little before trying again, each time longer and never as long as anybody else.
pub(crate) fn back_off(attempt: u32) {
    let platform = platform::current();
    let longest_us = 2_000_u64 << attempt.min(6);
    platform.pause(Duration::from_micros(platform.random() % longest_us));
}

/// In whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
