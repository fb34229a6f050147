//! A service's log: one stream, in which every event of every entity has a subject of its own; and the entities whose
//! state follows from it.

mod aggregate;
mod envelope;
pub mod event;
mod execute;
mod incoming;
mod once;
mod store;

pub use aggregate::Aggregate;
pub(crate) use aggregate::log_of;
#[cfg(test)]
pub(crate) use envelope::Draft;
pub(crate) use envelope::Envelope;
pub use event::{Event, Recorded};
pub use incoming::Incoming;
pub(crate) use store::look_up;
