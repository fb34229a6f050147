//! What a request costs in messages, as somebody who listens to everything on NATS counts them: the number depends on no machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::json;
use system::{Request, Trellis};
use tempfile::tempdir;

/// When nothing has come for so long, nothing more follows from a request.
const QUIET: Duration = Duration::from_millis(250);
const ROUNDS: usize = 12;

/// The least of some rounds: hosts, wadm and services have things to say that have nothing to do with it.
#[track_caller]
fn messages(trellis: &Trellis, request: &Request, expected: u16) -> usize {
    let mut bus = trellis.bus();
    bus.subscribe(">");
    let counts = (0..ROUNDS).map(|_| {
        bus.receive_until_quiet(QUIET);
        assert_eq!(trellis.send(request).status, expected);
        bus.receive_until_quiet(QUIET).len()
    });
    counts.min().unwrap()
}

#[test]
fn a_request_costs_so_many_messages() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let post = Request::post("/posts", json!({ "title": "A post" }).to_string());
    for _ in 0..10 {
        assert_eq!(trellis.send(&post).status, 201);
    }
    let feed = messages(&trellis, &Request::get("/posts?limit=10"), 200);
    // With all that follows: three services read it.
    let post = messages(&trellis, &post, 201);
    eprintln!("a feed of ten posts: {feed} messages, a post: {post}");
    let most = if trellis.is_on_a_lattice() { (70, 136) } else { (1, 8) };
    assert!(feed <= most.0 && post <= most.1, "{feed} and {post} are more than {most:?}");
    trellis.stop();
}
