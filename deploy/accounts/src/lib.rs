//! Who may do what on NATS.
//!
//! The lattice (wadm, hosts, providers, `wash`) has an account of its own, and so have the logs, each service and each
//! bucket. What passes between them is in `network.rs`. The account says what its users may do: the permissions are in what
//! the servers have, not in the credentials.

pub mod account;
mod folder;
mod jwt;
mod manifest;
mod network;
pub mod permissions;
mod services;

pub use folder::Folder;
pub use manifest::Manifest;
pub use services::Components;
