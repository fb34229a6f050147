//! Wall-clock time, injected: nothing in the broker reads the machine's clock by itself.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Where the broker gets the date from. Delays are computed from it and slept with `tokio::time`, so a clock must move
/// together with tokio's.
pub trait Clock: Send + Sync {
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that starts at a given date and follows tokio's time, which tests and simulations pause and advance.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    date_at_start: SystemTime,
    start: Instant,
}

impl TokioClock {
    pub fn starting_at(date: SystemTime) -> TokioClock {
        TokioClock { date_at_start: date, start: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        self.date_at_start + self.start.elapsed()
    }
}

/// Nanoseconds since 1970, the form in which times are stored. Dates outside of 1970..2262 are clamped.
pub(crate) fn unix_nanos(date: SystemTime) -> i64 {
    let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_tokio_clock_moves_with_paused_time() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let clock = TokioClock::starting_at(start);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), start + Duration::from_secs(5));
    }

    #[test]
    fn dates_before_1970_are_clamped() {
        assert_eq!(unix_nanos(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
