//! How long a call may try, and how it waits between tries.

use std::time::Duration;

use tokio::time::Instant;

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A share of the time for which the caller waits: the rest is for the answer's way back, without which the caller would
/// see a timeout in place of the reason.
pub fn share_of(caller_waits: Duration) -> Duration {
    caller_waits * 4 / 5
}

/// One call's deadline, and pauses that grow towards it.
#[derive(Debug)]
pub struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, pause: PAUSE_MIN }
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits before another try, longer each time. False when there is no time for one.
    ///
    /// `salt` spreads callers who collided, so that they do not collide again in step.
    pub async fn pause(&mut self, salt: u64) -> bool {
        let spread = u32::try_from(salt % 8).unwrap_or(0);
        let pause = self.pause / 2 + self.pause / 16 * spread;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end_before_the_deadline() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(2));
        let mut pauses = 0;
        while patience.pause(pauses).await {
            pauses += 1;
        }
        assert!((20..60).contains(&pauses), "{pauses} pauses");
        assert!(start.elapsed() < Duration::from_secs(2) && start.elapsed() > Duration::from_millis(1_800));
    }
}
