//! Why a service that was asked gave no answer.

use thiserror::Error;

use crate::platform::Fault;
use crate::problem::Problem;

/// Why there is no answer to pass on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// Nobody listens: the request reached no one.
    #[error("nobody listens")]
    NoService,
    /// No answer came in time; the request may have been carried out.
    #[error("no answer in time")]
    Late,
    /// What came is no answer, for this reason; the request may have been carried out.
    #[error("garbled answer: {0}")]
    Garbled(String),
    /// The request is larger than a message may be, and was not sent.
    #[error("too large for a message")]
    TooLarge,
    /// The platform failed, and did not say what became of the request.
    #[error("failed: {0}")]
    Failed(#[source] Fault),
}

/// Why a function of another service has no result.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CallError {
    /// The service refused, and nothing was done.
    #[error("refused with {}", .0.status)]
    Refused(Problem),
    /// The service failed, with this status; what was asked for may have been done.
    #[error("failed with {status}")]
    Failed { status: u16 },
    #[error("{service}: {error}")]
    NoAnswer {
        service: &'static str,
        #[source]
        error: AskError,
    },
}

impl From<Problem> for CallError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Fault> for AskError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Nobody { .. } => Self::NoService,
            Fault::Late { .. } => Self::Late,
            fault => Self::Failed(fault),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoService => Self::unavailable("nobody listens to the service"),
            AskError::Late => {
                Self::late("The service did not answer in time; what was asked for may have been done.")
            }
            AskError::Garbled(why) => Self::bad_gateway(why),
            AskError::TooLarge => Self::too_large("The request is larger than a message may be."),
            AskError::Failed(fault) => Self::unavailable(fault),
        }
    }
}
