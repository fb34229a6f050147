//! Who of this process increments a key next.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Increments of one key wait for each other here, in the order they came, and so collide only with those of other
/// processes. Keys share a few places, which costs an unlucky pair some waiting and keeps the memory fixed.
#[derive(Debug)]
pub(crate) struct Turns {
    places: [Mutex<()>; 64],
    collisions: AtomicU64,
}

impl Default for Turns {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| Mutex::new(())), collisions: AtomicU64::new(0) }
    }
}

impl Turns {
    pub async fn take(&self, key: &str) -> Option<MutexGuard<'_, ()>> {
        let hash =
            key.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let place = self.places.get(hash % self.places.len())?;
        Some(place.lock().await)
    }

    /// Differs from one collision to the next, and from one process to the next.
    pub fn salt(&self) -> u64 {
        let count = self.collisions.fetch_add(1, Ordering::Relaxed);
        count.wrapping_mul(5).wrapping_add(u64::from(std::process::id()))
    }
}
