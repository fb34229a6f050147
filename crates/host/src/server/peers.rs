//! How many connections each peer has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The place of one connection, until this is dropped.
#[derive(Debug)]
pub(super) struct PeerPlace {
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
}

impl Peers {
    /// A place for one more connection, if the peer has not `max` of them.
    pub(super) fn place(&self, peer: IpAddr, max: usize) -> Option<PeerPlace> {
        let peer = peer.to_canonical();
        let mut peers = self.0.lock();
        let count = peers.entry(peer).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(PeerPlace { peers: self.0.clone(), peer })
    }
}

impl Drop for PeerPlace {
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
