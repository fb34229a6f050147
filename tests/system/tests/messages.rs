//! What a request costs in messages, as somebody who listens to everything on NATS counts them: the number depends on no machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::json;
use system::{Request, Runtime, Trellis};
use tempfile::tempdir;

/// When nothing has come for so long, nothing more follows from a request.
const QUIET: Duration = Duration::from_millis(250);
const ROUNDS: usize = 12;

/// Which partition a post is in follows from its key, so all rounds of all runs are alike.
fn post(key: &str) -> Request {
    Request::post("/posts", json!({ "title": key }).to_string()).header("idempotency-key", key)
}

/// The least of some rounds: hosts, wadm and services have things to say that have nothing to do with it.
#[track_caller]
fn messages(trellis: &Trellis, request: impl Fn(usize) -> Request, expected: u16) -> usize {
    let mut bus = trellis.bus();
    bus.subscribe(">");
    let counts = (0..ROUNDS).map(|round| {
        bus.receive_until_quiet(QUIET);
        assert_eq!(trellis.send(&request(round)).status, expected);
        bus.receive_until_quiet(QUIET).len()
    });
    counts.min().unwrap()
}

#[test]
fn a_request_costs_so_many_messages() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    for n in 0..20 {
        assert_eq!(trellis.send(&post(&format!("before-{n}"))).status, 201);
    }
    let feed = messages(&trellis, |_| Request::get("/posts?limit=10"), 200);
    // With all that follows: two services handle its event.
    let post = messages(&trellis, |round| post(&format!("round-{round}")), 201);
    eprintln!("a feed of ten posts: {feed} messages; a post: {post}");
    // After a rebuild a first read finds the heads of the generation before, too: eight messages more. Who has used this lattice
    // before may have made one.
    let log = trellis.nats().jetstream("STREAM.INFO.LOG_posts", json!({}));
    let most = match (trellis.runtime(), &log["config"]["num_replicas"]) {
        (Runtime::Embedded, _) => (1, 8),
        (Runtime::Lattice, one) if *one == 1 => (77, 116),
        // Of a bucket with replicas, each key is read from the leader by a request of its own.
        (Runtime::Lattice, _) => (134, 131),
        (Runtime::V2, _) => (110, 100),
    };
    assert!(feed <= most.0 && post <= most.1, "{feed} and {post} are more than {most:?}");
    trellis.stop();
}
