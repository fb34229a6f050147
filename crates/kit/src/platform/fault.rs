//! What a platform says when it did not do what it was asked.

use std::fmt;

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
