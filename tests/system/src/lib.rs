//! What the tests of the whole share: a running `trellis up` and a client that talks to it.
//!
//! The client writes its own HTTP, for the tests must also send what no client library would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bus;
mod client;
mod documents;
mod manifest;
mod nats;
mod trellis;

use std::time::{Duration, Instant};

pub use bus::{Bus, Message};
pub use client::{Client, Request, Response};
pub use documents::{python, wrong_in_asyncapi, wrong_in_openapi};
pub use manifest::{ANN, MIA, OLAF, Setting, configured};
pub use nats::{Nats, NoAnswer};
pub use trellis::{Trellis, command, repository};

/// How long anything may take before the test gives up. Far above what is normal, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until there is an answer, for [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
