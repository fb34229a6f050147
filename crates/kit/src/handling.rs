//! Events, and what a service does with them.

mod dead;
mod handle;
mod history;
mod process;
mod put_off;
mod reaction;
mod retry;
mod table;

pub use history::History;
pub(crate) use process::Handler;
pub use reaction::Reaction;
pub(crate) use retry::Outcome;
pub use table::{Project, Projections, React, Reactions, Table};
