//! The service, by its name in Rust: what it keeps says whose it is.

/// The most characters of what somebody or something is called.
pub const NAME_MAX: usize = 80;

#[derive(Debug)]
pub struct Accounts;
