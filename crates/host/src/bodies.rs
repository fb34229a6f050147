//! The memory that bodies of requests may take together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Smaller ones are not counted: a connection has as much for its headers anyway, and whoever sends little need not wait for
/// those who send much, slowly.
const SMALL: usize = 16 << 10;

/// How much of it is free.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// A permit for each byte.
    free: Arc<Semaphore>,
    max: usize,
}

/// Room for one body, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Bodies {
    pub(crate) fn new(max: usize) -> Bodies {
        Bodies { free: Arc::new(Semaphore::new(max)), max }
    }

    /// Room for `len` bytes, waited for in the order in which it was asked for, but not for long.
    pub(crate) async fn room(&self, len: usize, patience: Duration) -> Option<Room> {
        if len <= SMALL {
            return Some(Room(None));
        }
        // A body that is larger than everything has everything to itself.
        let permits = u32::try_from(len.min(self.max)).unwrap_or(u32::MAX);
        let room = self.free.clone().acquire_many_owned(permits);
        Some(Room(Some(tokio::time::timeout(patience, room).await.ok()?.ok()?)))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}

impl Room {
    /// Gives back what a body of `len` bytes does not need.
    pub(crate) fn shrink(&mut self, len: usize) {
        let surplus = self.0.as_ref().map_or(0, |room| room.num_permits().saturating_sub(len));
        if let Some(room) = &mut self.0 {
            drop(room.split(surplus));
        }
    }
}
