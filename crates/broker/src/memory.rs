//! How much memory all connections together may take, for what came in and for what is to go out. How many connections
//! one peer may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Settings;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Memory {
    /// For messages that are being read. Slow clients can hold all of it, so nothing else is taken of it.
    pub reading: Incoming,
    /// For those that are on their way, which need nothing but the store and whoever subscribes.
    pub publishing: Incoming,
    pub outgoing: Arc<Outgoing>,
    peers: Peers,
}

/// Bytes of a message that came in, for as long as this is kept.
pub(crate) type Held = OwnedSemaphorePermit;

impl Memory {
    pub fn new(settings: &Settings) -> Memory {
        Memory {
            reading: Incoming::new(settings.incoming_bytes_max / 2),
            publishing: Incoming::new(settings.incoming_bytes_max / 2),
            outgoing: Arc::new(Outgoing {
                bytes: AtomicUsize::new(0),
                max: settings.pending_bytes_of_all_max,
            }),
            peers: Peers { open: Mutex::default(), max: settings.connections_of_peer_max },
        }
    }

    /// A place for a connection from `peer`, if it has not all that one peer may have.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let peer = peer.to_canonical();
        let mut open = self.peers.open.lock();
        let count = open.entry(peer).or_default();
        if *count >= self.peers.max {
            return None;
        }
        *count += 1;
        Some(Admitted { memory: self.clone(), peer })
    }
}

/// A bound on the bytes of messages that came in.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// A permit for each byte.
    free: Arc<Semaphore>,
    max: usize,
}

impl Incoming {
    fn new(max: usize) -> Incoming {
        Incoming { free: Arc::new(Semaphore::new(max)), max }
    }

    /// Waits until there is room for a message of `len` bytes, in the order in which connections asked.
    pub async fn hold(&self, len: usize) -> Option<Held> {
        // One that is larger than everything has everything to itself.
        let permits = u32::try_from(len.min(self.max)).unwrap_or(u32::MAX);
        self.free.clone().acquire_many_owned(permits).await.ok()
    }

    pub fn bytes(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}

/// How many connections each peer has.
#[derive(Debug)]
struct Peers {
    open: Mutex<HashMap<IpAddr, u64>>,
    max: u64,
}

/// A connection that is counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    memory: Arc<Memory>,
    peer: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.memory.peers.open.lock();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// What waits to be written to all clients together.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: AtomicUsize,
    max: usize,
}

/// Once half of what all may have is used, one client may have so small a part of it.
const SHARE_WHEN_SCARCE: usize = 32;

impl Outgoing {
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes `more` for a client that has `own` already. When little is left, whoever reads slowly is refused before the others.
    pub fn take(&self, own: usize, more: usize) -> bool {
        let allowed = |all: usize| {
            let all = all.saturating_add(more);
            let is_scarce = all > self.max / 2;
            (all <= self.max && (!is_scarce || own + more <= self.max / SHARE_WHEN_SCARCE)).then_some(all)
        };
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, allowed).is_ok()
    }

    pub fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_memory_is_scarce_whoever_has_most_is_refused_first() {
        let outgoing = Outgoing { bytes: AtomicUsize::new(0), max: 3_200 };
        assert!(outgoing.take(0, 1_600), "one may have half");
        assert!(!outgoing.take(1_600, 1));
        for _ in 0..16 {
            assert!(outgoing.take(0, 100), "others their share of the rest");
        }
        assert!(!outgoing.take(0, 1), "and then nobody more");
        outgoing.give_back(1_600);
        assert!(outgoing.take(99, 1) && outgoing.bytes() == 1_601);
    }
}
