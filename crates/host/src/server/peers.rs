//! How many connections each peer has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The permit of one connection, until this is dropped.
#[derive(Debug)]
pub(super) struct PeerPermit {
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
}

impl Peers {
    /// A permit for one more connection, if the peer has not `max` of them.
    pub(super) fn permit(&self, peer: IpAddr, max: usize) -> Option<PeerPermit> {
        let peer = peer.to_canonical();
        let mut peers = self.0.lock();
        let count = peers.entry(peer).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(PeerPermit { peers: self.0.clone(), peer })
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut peers = self.peers.lock();
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}
