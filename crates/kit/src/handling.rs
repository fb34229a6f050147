//! Events, and what a service does with them.

mod batch;
mod dead;
mod handle;
mod handler;
mod history;
mod process;
mod put_off;
mod reaction;
mod retry;
mod table;
mod timer;
mod tries;

pub(crate) use handler::Handler;
pub use history::History;
pub use reaction::Reaction;
pub(crate) use retry::Outcome;
pub use table::{Due, Project, Projections, React, Reactions, Table, Timer, Timers};
