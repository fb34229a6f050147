//! Who may do what on NATS.
//!
//! The lattice (wadm, hosts, providers, `wash`) has an account of its own, and so has the application; of the lattice the
//! application hears events, and nothing else passes between them. Each service is a user of the application's account. The
//! account says what its users may do: the permissions are in what the servers have, not in the credentials.

pub mod account;
mod folder;
mod jwt;
mod manifest;
pub mod permissions;
pub mod services;

pub use folder::Folder;
pub use manifest::Manifest;
