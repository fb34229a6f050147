//! Services as users of a real nats-server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod apart;
mod common;
mod permissions;
