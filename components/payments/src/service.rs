//! The service, by its name in Rust: what it keeps says whose it is.

#[derive(Debug)]
pub struct Payments;
