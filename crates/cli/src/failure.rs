//! Why the command failed, in words for the person who ran it, and the exit code.

use std::path::Path;
use std::process::ExitCode;

use trellis_host::StartError;
use trellis_store::OpenError;

pub(crate) const USAGE: u8 = 2;
pub(crate) const DATA: u8 = 3;
pub(crate) const ATTENTION: u8 = 4;

/// A failure that is final.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    what: String,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Failure {
        Failure { code: 1, what: what.into() }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure { code: USAGE, what: what.into() }
    }

    pub(crate) fn data(directory: &Path, error: &OpenError) -> Failure {
        let directory = directory.display();
        Failure { code: DATA, what: format!("the data directory {directory} cannot be used: {error}") }
    }

    /// The same, with what to do about it.
    pub(crate) fn remedy(self, remedy: &str) -> Failure {
        Failure { what: format!("{}; {remedy}", self.what), ..self }
    }

    pub(crate) fn report(self) -> ExitCode {
        eprintln!("error: {}", self.what);
        ExitCode::from(self.code)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Broker(_) => Failure { code: DATA, what: error.to_string() },
            other => Failure::new(other.to_string()),
        }
    }
}

impl From<trellis_host::manifest::ManifestError> for Failure {
    fn from(error: trellis_host::manifest::ManifestError) -> Failure {
        Failure::new(error.to_string())
    }
}
