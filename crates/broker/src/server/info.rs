//! What the server says of itself to each client.

use std::net::SocketAddr;

use serde::Serialize;
use tokio::net::TcpStream;

use crate::jetstream::{COMPATIBLE_VERSION, SERVER_ID};

#[derive(Serialize)]
struct Info<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    proto: u32,
    host: String,
    port: u16,
    headers: bool,
    max_payload: usize,
    jetstream: bool,
    client_id: u64,
    client_ip: String,
}

/// What the server says first. Clients decide by its version what they may ask, so it names the one it is compatible with.
pub(crate) fn info(payload_len_max: usize, socket: &TcpStream, peer: SocketAddr, client_id: u64) -> String {
    let local = socket.local_addr().unwrap_or(peer);
    let info = Info {
        server_id: SERVER_ID,
        server_name: "trellis",
        version: COMPATIBLE_VERSION,
        proto: 1,
        host: local.ip().to_string(),
        port: local.port(),
        headers: true,
        max_payload: payload_len_max,
        jetstream: true,
        client_id,
        client_ip: peer.ip().to_string(),
    };
    // Strings and numbers always serialize.
    serde_json::to_string(&info).unwrap_or_default()
}
