//! What a service writes into the log of the host: lines for people, never needed by the program.

use crate::platform::{self, Level, Platform};

/// For whoever follows one request or event through its services.
pub fn debug(message: &str) {
    platform::current().log(Level::Debug, "trellis", message);
}

pub fn info(message: &str) {
    platform::current().log(Level::Info, "trellis", message);
}

/// A line of a kind of its own, for programs that read the log.
pub fn entry(kind: &str, message: &str) {
    platform::current().log(Level::Info, kind, message);
}

pub fn warn(message: &str) {
    platform::current().log(Level::Warn, "trellis", message);
}

pub fn error(message: &str) {
    platform::current().log(Level::Error, "trellis", message);
}
