//! Everything the kit asks of the place it runs in, as one small trait.
//!
//! In a component that is the imports of the common world (`wasm`); natively it is a small simulation in
//! memory ([`memory`]), so that a service's domain and every failure path of the kit are tested without a host.
//! The kit reads no clock, takes no random number and does no I/O in any other way.

use std::fmt;
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
pub mod memory;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use memory::current;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::current;

/// What a host gives to a service. Any call may be the last one of this instance.
pub trait Platform {
    /// Sends a request and waits for its answer. An error says nothing about whether the request was carried out.
    fn request(&self, subject: &str, body: &[u8], patience: Duration) -> Result<Vec<u8>, Fault>;
    /// Sends a message and waits for nothing.
    fn publish(&self, subject: &str, body: &[u8]) -> Result<(), Fault>;

    /// The value of a key in the service's own bucket.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
    /// The values of many keys, in the order of the keys, for the price of one call.
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault>;
    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault>;

    /// The time of day in milliseconds since 1970, which may jump.
    fn now_ms(&self) -> u64;
    /// Time since some fixed moment, which never jumps.
    fn elapsed(&self) -> Duration;
    fn pause(&self, time: Duration);
    fn random(&self) -> u64;

    /// What the operator set for this component.
    fn config(&self, key: &str) -> Result<Option<String>, Fault>;
    fn log(&self, level: Level, context: &str, message: &str);
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// The platform did not do what it was asked, or did not say whether it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
}

impl Fault {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}
