//! Serves ordinary NATS clients.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::core::Core;

pub(crate) async fn serve(
    core: &Arc<Core>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let _ = (core, listener);
    shutdown.await;
    Ok(())
}
