//! What a platform says when it did not do what it was asked.

use std::error::Error;
use std::sync::Arc;

use thiserror::Error;

/// The platform did not do what it was asked, or did not say whether it did.
#[derive(Debug, Clone, Error)]
pub enum Fault {
    /// Nobody listens to the request, so nothing became of it.
    #[error("no answer on {subject}: {why}")]
    Nobody { subject: String, why: String },
    /// The answer did not come in time.
    #[error("no answer on {subject}: {why}")]
    Late { subject: String, why: String },
    /// It went wrong because something else did.
    #[error("{what}: {source}")]
    Because { what: String, source: Arc<dyn Error + Send + Sync> },
    /// Somebody can do something about it.
    #[error("{source}; {remedy}")]
    Remediable { source: Box<Self>, remedy: String },
    #[error("{0}")]
    Other(String),
}

impl Fault {
    pub fn new(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }

    pub fn because(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Because { what: what.into(), source: Arc::new(source) }
    }

    /// The same, with what may be done about it.
    pub(crate) fn with(self, remedy: &str) -> Self {
        Self::Remediable { source: Box::new(self), remedy: remedy.to_owned() }
    }

    /// A request without an answer. The messaging interface has nothing but text for the reason: the words that
    /// clients of NATS use, which providers and hosts pass on. A subject has no blanks, so it cannot feign them.
    pub(crate) fn unanswered(subject: &str, why: &str) -> Self {
        let (subject, why) = (subject.to_owned(), why.to_owned());
        if why.contains("no responders") {
            Self::Nobody { subject, why }
        } else if why.contains("timed out") {
            Self::Late { subject, why }
        } else {
            Self::Other(format!("no answer on {subject}: {why}"))
        }
    }
}

/// Two faults are the same if they say the same.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Fault {}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn what_became_of_a_request_is_read_from_the_words_of_providers_and_hosts() {
        let nobody: fn(&Fault) -> bool = |fault| matches!(fault, Fault::Nobody { .. });
        let late: fn(&Fault) -> bool = |fault| matches!(fault, Fault::Late { .. });
        let other: fn(&Fault) -> bool = |fault| matches!(fault, Fault::Other(_));
        let rows = [
            ("nats send error: no responders: no responders", nobody),
            ("no responders: nobody listens on svc.a", nobody),
            ("nats request timed out: deadline has elapsed", late),
            ("nats send error: request timed out: deadline has elapsed", late),
            ("request timed out: no answer on svc.a within 1s; whether it was handled is unknown", late),
            ("nats send error: request failed: broken pipe", other),
            ("no link to a messaging capability", other),
        ];
        for (why, is) in rows {
            assert!(is(&Fault::unanswered("svc.a", why)), "{why}");
        }
    }
}
