//! Something stored that cannot be read.

use std::sync::Arc;

use thiserror::Error;

use crate::problem::Problem;

/// Why something stored cannot be read.
#[derive(Debug, Clone, Error)]
pub enum Undecodable {
    /// It is not JSON, or not of the shape that it should have. Trying again will not help.
    #[error("{what}: {source}")]
    Shape { what: String, source: Arc<serde_json::Error> },
    /// It contradicts itself or the code. Trying again will not help.
    #[error("{0}")]
    Broken(String),
    /// A newer version of this code can read it.
    #[error("{0}")]
    Newer(String),
}

impl Undecodable {
    pub(crate) fn shape(what: String, error: serde_json::Error) -> Self {
        Self::Shape { what, source: Arc::new(error) }
    }
}

impl From<Undecodable> for Problem {
    fn from(undecodable: Undecodable) -> Self {
        match undecodable {
            Undecodable::Shape { .. } | Undecodable::Broken(_) => Self::internal(undecodable),
            // An instance of the newer version may get the next attempt.
            Undecodable::Newer(_) => Self::unavailable(undecodable),
        }
    }
}
