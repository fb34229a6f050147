//! What is not there, or is not for whoever asks, and what that is in HTTP.

use thiserror::Error;
use trellis_kit::Problem;

#[derive(Debug, Error)]
pub enum QueryError {
    #[error("There is no such post.")]
    NoSuchPost,
    #[error("There is no such ticket.")]
    NoSuchTicket,
    #[error("Sign in to see what is yours.")]
    NobodyKnown,
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::NoSuchPost | QueryError::NoSuchTicket => Self::not_found(text),
            QueryError::NobodyKnown => Self::unauthorized(text),
        }
    }
}
