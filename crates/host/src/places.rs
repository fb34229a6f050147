//! How many calls of a component run at once, and for what.
//!
//! Requests leave a quarter of the places to events: however many requests wait, what they are answered from keeps up.

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
pub(crate) struct Place {
    _any: OwnedSemaphorePermit,
    _request: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
pub(crate) struct Places {
    count: AtomicUsize,
    any: Arc<Semaphore>,
    /// Of the places, so many may be taken by requests.
    requests: Arc<Semaphore>,
}

impl Places {
    pub(crate) fn new(count: usize) -> Places {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Places {
            count: AtomicUsize::new(count),
            any: Arc::new(Semaphore::new(count)),
            requests: Arc::new(Semaphore::new(for_requests(count))),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A place, if one is free.
    pub(crate) fn free(&self, purpose: Purpose) -> Option<Place> {
        let request = match purpose {
            Purpose::Request => Some(self.requests.clone().try_acquire_owned().ok()?),
            Purpose::Event => None,
        };
        Some(Place { _any: self.any.clone().try_acquire_owned().ok()?, _request: request })
    }

    /// A place, waited for as long as it takes; none once they are closed.
    pub(crate) async fn take(&self, purpose: Purpose) -> Option<Place> {
        let request = match purpose {
            Purpose::Request => Some(self.requests.clone().acquire_owned().await.ok()?),
            Purpose::Event => None,
        };
        Some(Place { _any: self.any.clone().acquire_owned().await.ok()?, _request: request })
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

async fn resize(places: &Semaphore, before: usize, count: usize) {
    if let Some(more) = count.checked_sub(before) {
        return places.add_permits(more);
    }
    let fewer = u32::try_from(before - count).unwrap_or(u32::MAX);
    // The queue is fair: calls that come later wait behind this, so that it has its turn.
    if let Ok(taken) = places.acquire_many(fewer).await {
        taken.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_leave_places_to_events_whatever_the_size() {
        let places = Places::new(8);
        for (count, requests) in [(8, 6), (4, 3), (1, 1), (12, 9)] {
            places.resize(count).await;
            let mut taken: Vec<Place> = std::iter::from_fn(|| places.free(Purpose::Request)).collect();
            assert_eq!(taken.len(), requests, "of {count}");
            taken.extend(std::iter::from_fn(|| places.free(Purpose::Event)));
            assert_eq!((taken.len(), places.count()), (count, count));
        }
    }

    #[tokio::test]
    async fn closed_places_are_not_given_out() {
        let places = Places::new(1);
        let taken = places.take(Purpose::Request).await;
        assert!(taken.is_some() && places.free(Purpose::Event).is_none());
        places.close();
        drop(taken);
        assert!(places.take(Purpose::Request).await.is_none() && places.take(Purpose::Event).await.is_none());
    }
}
