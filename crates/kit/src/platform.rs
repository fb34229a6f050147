//! Everything the kit asks of the place it runs in, as one small trait.
//!
//! In a component that is the imports of the common world (`wasm`); natively it is a small simulation in
//! memory ([`memory`]), so that a service's domain and every failure path of the kit are tested without a host.
//! The kit reads no clock, takes no random number and does no I/O in any other way.

mod batch;
mod fault;
mod interface;
#[cfg(not(target_arch = "wasm32"))]
pub mod memory;
mod sending;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use fault::Fault;
pub use interface::{Entry, Level, Platform};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use memory::current;
pub(crate) use sending::Origin;
pub use sending::SendError;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::{current, is_of};
