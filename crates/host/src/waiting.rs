//! How many requests of a component wait for the answers of one service.
//!
//! Who asks several services, as a gateway does, waits in an instance for each answer. A service that is slow or silent may
//! take so many of them and no more: the rest is for who asks the others. As long as answers come soon, whoever comes
//! beyond the bound waits for one; once they do not, the request is refused at once, and the caller can say so.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use trellis_names as names;

/// Answers that take longer do not come soon.
const SOON: Duration = Duration::from_millis(500);

/// The requests of one component.
#[derive(Debug)]
pub(crate) struct Waiting {
    max: usize,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

/// Those that wait for one service.
#[derive(Debug)]
struct Line {
    permits: Arc<Semaphore>,
    /// When they began, in that order.
    begun: Mutex<Begun>,
}

#[derive(Debug, Default)]
struct Begun {
    count: u64,
    at: BTreeMap<u64, Instant>,
}

/// A request that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    waiting: Arc<Waiting>,
    subject: String,
    line: Arc<Line>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    /// For a component of so many instances, half of which may wait for the same service.
    pub(crate) fn new(instances: usize) -> Arc<Self> {
        let max = (instances / 2).clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { max, lines: Mutex::default() })
    }

    /// Takes a permit for a request on this subject; an error says why there is none. Nothing is to be taken for subjects
    /// on which no service is asked: what else is asked is the broker's own, which is never behind.
    pub(crate) async fn enter(self: &Arc<Self>, subject: &str) -> Result<Option<Entered>, String> {
        if names::parse_request(subject).is_none() {
            return Ok(None);
        }
        let line = self.line(subject);
        let patience = SOON.saturating_sub(line.longest());
        let permit = timeout(patience, line.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            self.forget(subject, &line);
            return Err(format!("{} requests wait for an answer on {subject} already", self.max));
        };
        let number = {
            let mut begun = line.begun.lock();
            begun.count += 1;
            let number = begun.count;
            begun.at.insert(number, Instant::now());
            number
        };
        Ok(Some(Entered {
            waiting: self.clone(),
            subject: subject.to_owned(),
            line,
            number,
            _permit: permit,
        }))
    }

    fn line(&self, subject: &str) -> Arc<Line> {
        let new = || Line { permits: Arc::new(Semaphore::new(self.max)), begun: Mutex::default() };
        self.lines.lock().entry(subject.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// Nothing is kept of a service that nobody waits for. Lines are handed out under the lock alone, so that one which is
    /// in no other hands than these and the map's is not needed.
    fn forget(&self, subject: &str, line: &Arc<Line>) {
        let mut lines = self.lines.lock();
        if Arc::strong_count(line) == 2 {
            lines.remove(subject);
        }
    }
}

impl Line {
    /// How long the one that has waited longest has.
    fn longest(&self) -> Duration {
        self.begun.lock().at.first_key_value().map_or(Duration::ZERO, |(_, begun)| begun.elapsed())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.line.begun.lock().at.remove(&self.number);
        self.waiting.forget(&self.subject, &self.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_slow_leaves_permits_for_the_others() {
        let waiting = Waiting::new(8);
        let mut slow = Vec::new();
        for _ in 0..4 {
            slow.push(waiting.enter("svc.slow").await.unwrap().unwrap());
        }
        let begun = Instant::now();
        for _ in 0..500 {
            waiting.enter("svc.slow").await.unwrap_err();
        }
        assert_eq!(begun.elapsed(), SOON, "only the first of them waits to see whether an answer comes");
        assert!(waiting.enter("svc.other").await.unwrap().is_some());
        assert!(waiting.enter("log.posts.0.a.1").await.unwrap().is_none(), "what no service answers");
        slow.pop();
        assert!(waiting.enter("svc.slow").await.is_ok(), "one has left");
    }

    #[tokio::test(start_paused = true)]
    async fn as_long_as_answers_come_soon_nobody_is_refused() {
        let waiting = Waiting::new(2);
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let waiting = waiting.clone();
            all.spawn(async move {
                let entered = waiting.enter("svc.quick").await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                entered.is_ok()
            });
        }
        assert!(all.join_all().await.into_iter().all(|was_let_in| was_let_in));
    }

    #[tokio::test]
    async fn a_subject_without_waiting_requests_takes_no_memory() {
        let waiting = Waiting::new(2);
        for nth in 0..100 {
            drop(waiting.enter(&format!("svc.{nth}")).await.unwrap());
        }
        assert_eq!(waiting.lines.lock().len(), 0);
    }
}
