//! How many calls of a component run at once, and for what.
//!
//! Requests leave a quarter of the permits to events: however many requests wait, what they are answered from keeps up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trellis_subjects::jetstream::is_acknowledgement;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody waits for the answer.
    Request,
    /// Something has happened.
    Event,
}

impl Purpose {
    /// A message that can be answered is a request, unless what is waited for is only its acknowledgement.
    pub(crate) fn of_message(reply_to: Option<&str>) -> Purpose {
        match reply_to {
            Some(reply_to) if !is_acknowledgement(reply_to) => Purpose::Request,
            _ => Purpose::Event,
        }
    }
}

/// The right to make one call.
#[derive(Debug)]
pub(crate) struct Permit {
    _any: OwnedSemaphorePermit,
    request: Option<OwnedSemaphorePermit>,
}

impl Permit {
    pub(crate) fn purpose(&self) -> Purpose {
        if self.request.is_some() { Purpose::Request } else { Purpose::Event }
    }
}

#[derive(Debug)]
pub(crate) struct Permits {
    count: AtomicUsize,
    any: Arc<Semaphore>,
    /// Of the permits, so many may be taken by requests.
    requests: Arc<Semaphore>,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Permits {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Permits {
            count: AtomicUsize::new(count),
            any: Arc::new(Semaphore::new(count)),
            requests: Arc::new(Semaphore::new(for_requests(count))),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A permit, if one is free.
    pub(crate) fn free(&self, purpose: Purpose) -> Option<Permit> {
        let request = match purpose {
            Purpose::Request => Some(self.requests.clone().try_acquire_owned().ok()?),
            Purpose::Event => None,
        };
        Some(Permit { _any: self.any.clone().try_acquire_owned().ok()?, request })
    }

    /// A permit, waited for as long as it takes; none once they are closed.
    pub(crate) async fn take(&self, purpose: Purpose) -> Option<Permit> {
        let request = match purpose {
            Purpose::Request => Some(self.requests.clone().acquire_owned().await.ok()?),
            Purpose::Event => None,
        };
        Some(Permit { _any: self.any.clone().acquire_owned().await.ok()?, request })
    }

    /// Makes it so many. When that is fewer, this returns once no more than that are taken.
    pub(crate) async fn resize(&self, count: usize) {
        let before = self.count();
        resize(&self.requests, for_requests(before), for_requests(count)).await;
        resize(&self.any, before, count).await;
        self.count.store(count, Ordering::Relaxed);
    }

    /// Waits until none is taken.
    pub(crate) async fn all_free(&self) {
        let all = u32::try_from(self.count()).unwrap_or(u32::MAX);
        // It only fails when they are closed, and then nobody waits for this.
        let _ = self.any.acquire_many(all).await;
    }

    /// Gives none out any more.
    pub(crate) fn close(&self) {
        self.requests.close();
        self.any.close();
    }
}

fn for_requests(count: usize) -> usize {
    count - count / 4
}

async fn resize(permits: &Semaphore, before: usize, count: usize) {
    if let Some(more) = count.checked_sub(before) {
        return permits.add_permits(more);
    }
    let fewer = u32::try_from(before - count).unwrap_or(u32::MAX);
    // The queue is fair: calls that come later wait behind this, so that it has its turn.
    if let Ok(taken) = permits.acquire_many(fewer).await {
        taken.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_leave_permits_to_events_whatever_the_size() {
        let permits = Permits::new(8);
        for (count, requests) in [(8, 6), (4, 3), (1, 1), (12, 9)] {
            permits.resize(count).await;
            let mut taken: Vec<Permit> = std::iter::from_fn(|| permits.free(Purpose::Request)).collect();
            assert_eq!(taken.len(), requests, "of {count}");
            taken.extend(std::iter::from_fn(|| permits.free(Purpose::Event)));
            assert_eq!((taken.len(), permits.count()), (count, count));
        }
    }

    #[tokio::test]
    async fn closed_permits_are_not_given_out() {
        let permits = Permits::new(1);
        let taken = permits.take(Purpose::Request).await;
        assert!(taken.is_some() && permits.free(Purpose::Event).is_none());
        permits.close();
        drop(taken);
        assert!(
            permits.take(Purpose::Request).await.is_none() && permits.take(Purpose::Event).await.is_none()
        );
    }
}
