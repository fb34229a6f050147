//! The kit with which every service of Trellis is made.
//!
//! A service implements the functions of its WIT contract and says how its entities follow from their events. Everything between that
//! and the platform is here: the log with optimistic concurrency, idempotent requests, at-least-once events with an exactly-once
//! effect, read models that can be rebuilt, HTTP, provisioning. `components/posts` is the example to read first.

// The macros speak of this crate by its name, here as everywhere.
extern crate self as trellis_kit;

mod aggregate;
mod delivery;
mod describe;
pub mod event;
mod eventlog;
mod generation;
pub mod http;
pub mod id;
mod index;
mod jetstream;
pub mod log;
mod messages;
mod names;
pub mod platform;
mod problem;
mod provision;
mod reaction;
pub mod rt;
mod service;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod text;
mod time;
mod trace;
mod views;

pub use aggregate::Aggregate;
pub use contract::types::{Context, PageRequest};
pub use delivery::{Failure, Incoming, Projection, Reacts};
pub use event::{Event, Recorded};
pub use http::{Call, Response, Route};
pub use index::{Index, Listed};
pub use problem::{FieldError, Problem};
pub use reaction::Reaction;
pub use service::Service;
pub use trellis_kit_macros::{Wire, bindings};
pub use views::{Docs, Reader, Writer};

/// The types that all services share, from `wit/common.wit`.
pub mod contract {
    pub use crate::rt::bindings::trellis::common::types;
}
