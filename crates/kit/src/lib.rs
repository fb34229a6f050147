//! The kit with which every service of Trellis is made.
//!
//! A service implements the functions of its WIT contract and says how its entities follow from their events. Everything between that
//! and the platform is here: the log with optimistic concurrency, idempotent requests, at-least-once events with an exactly-once
//! effect, read models that can be rebuilt, HTTP, provisioning. `components/posts` is the example to read first.

// The macros speak of this crate by its name, here as everywhere.
extern crate self as trellis_kit;

mod aggregate;
pub mod event;
mod eventlog;
pub mod http;
pub mod id;
mod jetstream;
pub mod log;
mod messages;
mod names;
pub mod platform;
mod problem;
mod provision;
pub mod rt;
mod service;
mod time;
mod trace;

pub use aggregate::Aggregate;
pub use contract::types::{Context, PageRequest};
pub use event::{Event, Recorded};
pub use http::{Call, Response, Route};
pub use problem::{FieldError, Problem};
pub use service::Service;
pub use trellis_kit_macros::{Wire, bindings};

/// The types that all services share, from `wit/common.wit`.
pub mod contract {
    pub use crate::rt::bindings::trellis::common::types;
}
