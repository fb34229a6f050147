//! Serves ordinary NATS clients: the core protocol with headers, over TCP. What a client may reach is the caller's matter,
//! who says where to listen.

mod connection;
mod info;
mod outbound;
mod protocol;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::core::Core;

/// How long to wait after the system refused a connection, so as not to ask in a circle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections may take to say goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);

pub(crate) async fn serve(
    core: &Arc<Core>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = core.bus.until_closed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => admit(core, &mut connections, socket, peer).await,
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    connections.abort_all();
    let _ =
        tokio::time::timeout(GOODBYE_WAIT, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn admit(core: &Arc<Core>, connections: &mut JoinSet<()>, mut socket: TcpStream, peer: SocketAddr) {
    let open = core.connections.fetch_add(1, Ordering::AcqRel);
    let admitted = core.memory.admit(peer.ip()).filter(|_| open < core.bus.settings.connections_max);
    let Some(admitted) = admitted else {
        core.connections.fetch_sub(1, Ordering::AcqRel);
        tracing::warn!(%peer, open, "connection refused: too many");
        // Best effort: the peer may be gone.
        let _ = socket.write_all(b"-ERR 'maximum connections exceeded'\r\n").await;
        return;
    };
    let core = core.clone();
    connections.spawn(async move {
        let _open = (Open(core.clone()), admitted);
        connection::run(core, socket, peer).await;
    });
}

/// Counts a connection for as long as it is open, however it ends.
struct Open(Arc<Core>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}
