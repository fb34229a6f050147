//! What the registry cannot tell.

use thiserror::Error;
use trellis_kit::Problem;

#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("There is no such service.")]
    NoSuchService,
    #[error("A trace is known by 32 digits from 0 to 9 and a to f.")]
    WrongTrace,
    #[error("Must be a time, as 2026-11-20T04:01:12.345Z.")]
    WrongTime,
    #[error("Must be what the page before ended with.")]
    WrongCursor,
    /// They are noted after the service that says them.
    #[error("the documents of {0} are not known yet")]
    NoDocumentsYet(String),
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NoSuchService | RegistryError::WrongTrace => Self::not_found(error.to_string()),
            RegistryError::WrongTime => Self::invalid("around", error.to_string()),
            RegistryError::WrongCursor => Self::malformed(error.to_string()),
            RegistryError::NoDocumentsYet(_) => Self::unavailable(error),
        }
    }
}
