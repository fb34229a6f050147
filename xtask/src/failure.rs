//! Why a step failed, and what to do about it.

use std::fmt;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Failure>;

/// What happened and, where we know it, what the reader should do next.
#[derive(Debug)]
pub struct Failure {
    what: String,
    remedy: Option<String>,
}

impl Failure {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None }
    }

    /// What else is known of it, each on a line of its own.
    pub fn with(mut self, facts: impl IntoIterator<Item = String>) -> Self {
        for fact in facts {
            self.what += "\n";
            self.what += &fact;
        }
        self
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// An error of the file system, with the path that it was about.
    pub fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n\nWhat to do: {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
