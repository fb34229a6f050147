//! The trait of every platform.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use secrecy::SecretString;

use super::fault::Fault;
use super::sending::SendError;

/// What a host gives to a service. Any call may be the last one of this instance.
pub trait Platform {
    /// Sends a request and waits for its answer. An error says nothing about whether the request was carried out.
    fn request(&self, subject: &str, body: &[u8], patience: Duration) -> Result<Vec<u8>, Fault>;
    /// Sends a message and waits for nothing.
    fn publish(&self, subject: &str, body: &[u8]) -> Result<(), Fault>;

    /// Sends a request to a server outside, once, and waits for its answer, however long that is on its way.
    fn send(&self, request: &Request<Vec<u8>>, patience: Duration) -> Result<Response<Vec<u8>>, SendError>;

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
    /// A secret that the operator gives this component, if there is one of that name.
    fn secret(&self, name: &str) -> Result<Option<SecretString>, Fault>;
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
