//! One script of operations is run against a real nats-server and against this broker, through the same plain TCP client. What
//! both say must be equal, errors included. Masked are dates, server ids and the nanoseconds in acknowledgement subjects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod client;
#[path = "../common/nats_server.rs"]
mod nats_server;
mod script;

use std::path::PathBuf;
use std::sync::Arc;

use nats_server::NatsServer;
use tokio::net::TcpListener;
use trellis_broker::{Broker, SystemClock};
use trellis_store::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transcript_equals_that_of_nats_server() {
    let nats = NatsServer::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = listener.local_addr().unwrap().to_string();
    let broker = Broker::open(Store::in_memory(), Arc::new(SystemClock)).await.unwrap();
    let serving = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.serve(listener, std::future::pending()).await })
    };
    let (theirs, ours) = tokio::join!(script::run(&nats.address), script::run(&ours));
    serving.abort();
    compare(&theirs, &ours);
}

fn compare(theirs: &[String], ours: &[String]) {
    if let Some(directory) = std::env::var_os("TRANSCRIPT_DIR").map(PathBuf::from) {
        std::fs::write(directory.join("nats-server"), theirs.join("\n")).unwrap();
        std::fs::write(directory.join("trellis"), ours.join("\n")).unwrap();
    }
    assert!(theirs.len() > 600, "the script said only {} lines", theirs.len());
    for (number, (their, our)) in theirs.iter().zip(ours).enumerate() {
        if their != our {
            let before = theirs[number.saturating_sub(6)..number].join("\n");
            panic!("line {}\n{before}\nnats-server: {their}\ntrellis:     {our}", number + 1);
        }
    }
    assert_eq!(theirs.len(), ours.len());
}
