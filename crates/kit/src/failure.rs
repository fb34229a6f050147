//! Why an event, or what a service does of itself, could not be handled, and what can be done about it.

use crate::platform::Fault;
use crate::problem::Problem;

/// Why an event could not be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub why: String,
    pub kind: FailureKind,
}

/// What can be done about an event that could not be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It may go well another time.
    Passing,
    /// It will go wrong every time, until somebody changes something.
    Lasting,
    /// It is for another version of this service, and waits for that one. No attempt is counted.
    NotOurs,
    /// Nothing is said of it until the server gives it to somebody: a write had no answer and may still be carried out, or
    /// somebody else has the event already.
    Left,
}

impl Failure {
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Passing }
    }

    pub fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Lasting }
    }

    #[cfg(test)]
    pub(crate) fn is_lasting(&self) -> bool {
        self.kind == FailureKind::Lasting
    }

    pub(crate) fn not_ours(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::NotOurs }
    }

    pub(crate) fn left(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Left }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::passing(fault.what)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let Problem { status, title, detail, .. } = problem;
        Self::passing(format!("{status} {title}: {}", detail.unwrap_or_default()))
    }
}
