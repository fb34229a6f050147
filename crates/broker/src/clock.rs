//! Time, injected: nothing in the broker reads the machine's clock by itself. Dates come from a [`Clock`]. Whatever waits goes by
//! tokio's time, which no correction of the date moves.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Where the broker gets the date from. It may jump.
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

/// Now: the date, and tokio's time, which goes on evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// In nanoseconds since 1970.
    pub date: i64,
    pub at: Instant,
}

impl Moment {
    /// Tokio's time so many nanoseconds later.
    pub fn after(&self, nanos: i64) -> Instant {
        self.at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
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
