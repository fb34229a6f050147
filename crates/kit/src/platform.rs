//! Everything the kit asks of the place it runs in, as one small trait.
//!
//! In a component that is the imports of the common world (`wasm`); natively it is a small simulation in
//! memory ([`memory`]), so that a service's domain and every failure path of the kit are tested without a host.
//! The kit reads no clock, takes no random number and does no I/O in any other way.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

mod batch;
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
    /// Counts a key up by one, and gives what it is then. However many do so at once, each gets another number.
    fn increment(&self, key: &str) -> Result<u64, Fault>;
    /// Sets many keys: all but the last in any order and, once they all are set, the last. If it fails, any of them may have
    /// been set, the last only if all others were. The price is one call, or one for each key where the provider does
    /// not promise this order.
    fn set_many(&self, entries: &[Entry]) -> Result<(), Fault>;

    /// The time of day in milliseconds since 1970, which may jump.
    fn now_ms(&self) -> u64;
    /// Time since some fixed moment, which never jumps.
    fn elapsed(&self) -> Duration;
    fn pause(&self, time: Duration);
    fn random(&self) -> u64;

    /// All that the operator set for this component.
    fn settings(&self) -> Result<Rc<BTreeMap<String, String>>, Fault>;
    fn log(&self, level: Level, context: &str, message: &str);
}

/// A key and its value.
pub type Entry = (String, Vec<u8>);

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// The platform did not do what it was asked, or did not say whether it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub what: String,
}

/// How much is known of what became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Nobody listens to the request, so nothing became of it.
    Nobody,
    /// The answer did not come in time.
    Late,
    Other,
}

impl Fault {
    pub fn new(what: impl Into<String>) -> Self {
        Self { kind: FaultKind::Other, what: what.into() }
    }

    /// The same, with what may be done about it.
    pub(crate) fn with(self, remedy: &str) -> Self {
        Self { what: format!("{}; {remedy}", self.what), ..self }
    }

    /// A request without an answer. The messaging interface has nothing but text for the reason: the words that
    /// clients of NATS use, which providers and hosts pass on. A subject has no blanks, so it cannot feign them.
    pub(crate) fn unanswered(subject: &str, why: &str) -> Self {
        let kind = if why.contains("no responders") {
            FaultKind::Nobody
        } else if why.contains("timed out") {
            FaultKind::Late
        } else {
            FaultKind::Other
        };
        Self { kind, what: format!("no answer on {subject}: {why}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultKind};

    #[test]
    fn what_became_of_a_request_is_read_from_the_words_of_providers_and_hosts() {
        let rows = [
            ("nats send error: no responders: no responders", FaultKind::Nobody),
            ("no responders: nobody listens on svc.a", FaultKind::Nobody),
            ("nats request timed out: deadline has elapsed", FaultKind::Late),
            ("nats send error: request timed out: deadline has elapsed", FaultKind::Late),
            (
                "request timed out: no answer on svc.a within 1s; whether it was handled is unknown",
                FaultKind::Late,
            ),
            ("nats send error: request failed: broken pipe", FaultKind::Other),
            ("no link to a messaging capability", FaultKind::Other),
        ];
        for (why, kind) in rows {
            assert_eq!(Fault::unanswered("svc.a", why).kind, kind, "{why}");
        }
    }
}
