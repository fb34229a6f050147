//! Why an event, or what a service does of itself, could not be handled, and what can be done about it.

use std::time::Duration;

use thiserror::Error;

use crate::limits::PUT_OFF_MAX;
use crate::platform::{self, Fault, Platform, SendError};
use crate::problem::Problem;
use crate::time::millis;
use crate::undecodable::Undecodable;

/// For how long an event is put off.
pub(crate) const SHORTEST_DELAY: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// Why an event could not be handled, by what can be done about it.
#[derive(Debug, Clone, Error)]
pub enum Failure {
    /// It may go well another time.
    #[error(transparent)]
    Passing(Cause),
    /// It will go wrong every time, until somebody changes something.
    #[error(transparent)]
    Lasting(Cause),
    /// It is for another version of this service, and waits for that one. No attempt is counted.
    #[error(transparent)]
    NotOurs(Cause),
    /// It cannot be done now, and is to be tried again after this time. No attempt is counted; what ends it is its age.
    #[error("{why}")]
    Later { after: Duration, why: Cause },
    /// Nothing is said of it until the server gives it to somebody: a write had no answer and may still be carried out, or
    /// somebody else has the event already.
    #[error(transparent)]
    Left(Cause),
}

/// What went wrong.
#[derive(Debug, Clone, Error)]
pub enum Cause {
    #[error("{0}")]
    Text(String),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Failure {
    pub fn passing(why: impl Into<Cause>) -> Self {
        Self::Passing(why.into())
    }

    pub fn lasting(why: impl Into<Cause>) -> Self {
        Self::Lasting(why.into())
    }

    /// It cannot be done now: try again after this time, from a second to five minutes. That goes on until the event is a day old,
    /// or has been due for that long. In a [timer](crate::timers) other events go on meanwhile; in any other reaction those
    /// of the same partition wait.
    pub fn later(after: Duration, why: impl Into<Cause>) -> Self {
        Self::Later { after: after.clamp(SHORTEST_DELAY, LONGEST_DELAY), why: why.into() }
    }

    /// The same, unless it was put off for too long already: since then.
    pub(crate) fn unless_too_old(self, since_ms: u64) -> Self {
        match self {
            Self::Later { why, .. }
                if platform::current().now_ms().saturating_sub(since_ms) >= millis(PUT_OFF_MAX) =>
            {
                Self::lasting(format!("it was put off for {} hours: {why}", PUT_OFF_MAX.as_secs() / 3600))
            }
            failure => failure,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Lasting(_))
    }

    pub(crate) fn not_ours(why: impl Into<Cause>) -> Self {
        Self::NotOurs(why.into())
    }

    pub(crate) fn left(why: impl Into<Cause>) -> Self {
        Self::Left(why.into())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::passing(fault)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::passing(problem)
    }
}

impl From<Undecodable> for Failure {
    fn from(undecodable: Undecodable) -> Self {
        match undecodable {
            Undecodable::Shape { .. } | Undecodable::Broken(_) => Self::lasting(undecodable),
            Undecodable::Newer(_) => Self::not_ours(undecodable),
        }
    }
}
