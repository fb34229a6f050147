//! What can go wrong with a publication, a request or a subscription.

use std::time::Duration;

use crate::SubjectError;

/// Why the broker did not open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "stored broker data at key {key} cannot be read: {reason}; run `trellis verify` on the data directory"
    )]
    Corrupt { key: String, reason: String },
    #[error(
        "broker data was written by version {found} of its format, this program reads {known}: use the newer program"
    )]
    NewerFormat { found: u32, known: u32 },
}

/// Why a publication did not reach all it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("payload and headers are {len} bytes; the most is {max}")]
    TooLarge { len: usize, max: usize },
    #[error(
        "{missed} subscriber(s) of {subject} had no room for {waited:?}; the message was dropped for them"
    )]
    NoRoom { subject: String, missed: usize, waited: Duration },
    #[error("stream refused the message: {description} (err_code {err_code})")]
    Refused { err_code: u16, description: String },
}

/// Why a request has no answer. Components are told in these words alone; the first ones are those of NATS clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("no responders: nobody listens on {subject}")]
    NoResponders { subject: String },
    #[error("request timed out: no answer on {subject} within {waited:?}; whether it was handled is unknown")]
    Timeout { subject: String, waited: Duration },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
}

impl From<std::convert::Infallible> for RequestError {
    fn from(never: std::convert::Infallible) -> RequestError {
        match never {}
    }
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    #[error(transparent)]
    Pattern(#[from] SubjectError),
    #[error("queue group {0:?} is empty, too long, or contains white space")]
    Queue(String),
    #[error("the broker has {0} subscriptions already, which is the most")]
    TooMany(usize),
}
