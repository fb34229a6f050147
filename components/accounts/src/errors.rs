//! What is refused, and what each is in HTTP.

use thiserror::Error;
use trellis_kit::Problem;

/// Why somebody stays unknown, or an account as it is.
#[derive(Debug, Error)]
pub enum AccountError {
    #[error("Somebody has signed up with this email already. Sign in, if that was you.")]
    EmailKnown,
    #[error("There is no account with this email and this password.")]
    NotTogether,
    #[error("Sign in first.")]
    NotSignedIn,
    #[error("This is not the current password.")]
    AnotherPassword,
    #[error("There is no such session.")]
    NoSuchSession,
    #[error("This account is blocked.")]
    Blocked,
    #[error("This code is not known, or not any more. The host has printed the one that is.")]
    NoSuchCode,
    #[error("Another admin has to do this.")]
    Oneself,
    #[error("Only an admin may do this, and you are none any more.")]
    NoAdmin,
    #[error("No key is an admin. People are.")]
    AdminKey,
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let text = error.to_string();
        match error {
            AccountError::EmailKnown => Self::conflict(text),
            AccountError::NotTogether | AccountError::NotSignedIn => Self::unauthorized(text),
            AccountError::AnotherPassword => Self::invalid("current_password", text),
            AccountError::NoSuchSession => Self::not_found(text),
            AccountError::NoSuchCode => Self::invalid("code", text),
            AccountError::AdminKey => Self::invalid("roles", text),
            AccountError::Blocked | AccountError::Oneself | AccountError::NoAdmin => Self::forbidden(text),
        }
    }
}
