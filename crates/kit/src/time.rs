//! Time: how long something took, and how long to wait.

use std::time::Duration;

use crate::platform::{self, Platform};

/// Time since some fixed moment, which never jumps: for how long something took.
pub fn elapsed() -> Duration {
    platform::current().elapsed()
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
