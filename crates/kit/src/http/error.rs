//! Why a service that was asked gave no answer.

use std::fmt;

use crate::platform::{Fault, FaultKind};
use crate::problem::Problem;

/// Why there is no answer to pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// Nobody listens: the request reached no one.
    NoService,
    /// No answer came in time; the request may have been carried out.
    Late,
    /// What came is no answer, for this reason; the request may have been carried out.
    Garbled(String),
    /// The request is larger than a message may be, and was not sent.
    TooLarge,
    /// The platform failed, and did not say what became of the request.
    Failed(Fault),
}

impl From<Fault> for AskError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Nobody => Self::NoService,
            FaultKind::Late => Self::Late,
            FaultKind::Other => Self::Failed(fault),
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

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService => f.write_str("nobody listens"),
            Self::Late => f.write_str("no answer in time"),
            Self::Garbled(why) => write!(f, "garbled answer: {why}"),
            Self::TooLarge => f.write_str("too large for a message"),
            Self::Failed(fault) => write!(f, "failed: {fault}"),
        }
    }
}

impl std::error::Error for AskError {}
