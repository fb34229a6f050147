//! What the tests of the whole share: a running application, clients that talk to it, and load.
//!
//! [`Trellis`] is the application on what is under test: the embedded host or, with `cargo xtask test --lattice`, a real
//! wasmCloud lattice. What only the embedded host can do is done to [`Embedded`], in `tests/embedded`.
//!
//! The client writes its own HTTP, for the tests must also send what no client library would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod application;
mod bus;
mod client;
mod deployed;
mod documents;
mod embedded;
mod load;
mod manifest;
mod nats;
mod random;
mod settled;
mod trellis;

use std::time::{Duration, Instant};

pub use application::{Application, command, repository};
pub use bus::{Bus, Message};
pub use client::{Client, Request, Response};
pub use deployed::{Deployed, done};
pub use documents::{python, wrong_for_kubernetes, wrong_in_asyncapi, wrong_in_dockerfile, wrong_in_openapi};
pub use embedded::Embedded;
pub use load::{Load, Written};
pub use manifest::{ANN, MIA, OLAF, Setting, configured};
pub use nats::{Nats, NoAnswer};
pub use random::Random;
pub use settled::{ReadModels, assert_each_is_there_once, assert_equal, settled, settled_within};
pub use trellis::{Reuse, Runtime, Trellis};

/// How long anything may take before the test gives up. Far above what is normal, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for until it is there: none, or an error that says what is missing, for not yet.
pub trait Asked {
    type Answer;

    fn answer(self) -> Result<Self::Answer, String>;
}

impl<T> Asked for Option<T> {
    type Answer = T;

    fn answer(self) -> Result<T, String> {
        self.ok_or_else(|| "not yet".to_owned())
    }
}

impl<T> Asked for Result<T, String> {
    type Answer = T;

    fn answer(self) -> Result<T, String> {
        self
    }
}

/// Asks again until there is an answer, for [`PATIENCE`].
#[track_caller]
pub fn eventually<A: Asked>(what: &str, ask: impl FnMut() -> A) -> A::Answer {
    within(PATIENCE, what, ask)
}

/// The same, for so long.
#[track_caller]
pub fn within<A: Asked>(patience: Duration, what: &str, mut ask: impl FnMut() -> A) -> A::Answer {
    let deadline = Instant::now() + patience;
    loop {
        match ask().answer() {
            Ok(answer) => return answer,
            Err(missing) => assert!(Instant::now() < deadline, "not within {patience:?}: {what} ({missing})"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
