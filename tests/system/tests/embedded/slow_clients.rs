//! Clients that take their time. The HTTP provider of a lattice waits for them for ever; what stands before it must not.

use std::io::{Read, Write};

use system::{Client, Embedded};
use tempfile::tempdir;

/// Clients that never finish must not keep others from being served, and are sent away in the end.
#[test]
fn slow_clients() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let client = trellis.client();
    let started = [
        "GET /po",
        "GET /posts HTTP/1.1\r\nhost: x\r\n",
        "POST /posts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    ];
    let slow: Vec<_> = (0..60).map(|n| start(&client, started[n % started.len()])).collect();
    for _ in 0..20 {
        assert_eq!(trellis.get("/posts").status, 200);
    }
    for mut connection in slow {
        // Ends with a refusal or without a word, within the patience of the socket.
        let mut answer = Vec::new();
        match connection.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    trellis.stop();
}

fn start(client: &Client, bytes: &str) -> std::net::TcpStream {
    let mut connection = client.connect().unwrap();
    connection.write_all(bytes.as_bytes()).unwrap();
    connection
}
