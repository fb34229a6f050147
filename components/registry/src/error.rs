//! What the registry cannot tell.

use thiserror::Error;
use trellis_kit::Problem;

#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("There is no such service.")]
    NoSuchService,
    /// They are noted after the service that says them.
    #[error("the documents of {0} are not known yet")]
    NoDocumentsYet(String),
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NoSuchService => Self::not_found(error.to_string()),
            RegistryError::NoDocumentsYet(_) => Self::unavailable(error),
        }
    }
}
