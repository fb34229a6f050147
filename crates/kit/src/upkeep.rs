//! What keeps all that a service owns as it should be: its consumers, its read models, what it knows of other versions of
//! itself; and whether it keeps up.

pub(crate) mod consumers;
mod held_up;
mod lost;
mod partitions;
pub(crate) mod readiness;
pub(crate) mod rebuild;
pub(crate) mod setup;
pub(crate) mod wanted;
