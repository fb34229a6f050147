//! Read models: documents and lists in the service's bucket that follow from events, and can be made again from them.
//!
//! **One writer per key.** A key belongs to one partition of one source, whose events come one after the other;
//! what two sources know of a thing is two documents, joined when read. Each value remembers the sequence of
//! the event that wrote it, and an older or equal event leaves it alone: redelivery changes nothing.
//!
//! **Generations.** A rebuild writes a new generation beside the one that is read. A generation lives in one of
//! two slots, so building number 3 writes over what number 1 left; a value also remembers its generation, and a
//! leftover counts as absent. So storage stays within twice the size of the read models, and no key is ever
//! searched for.

pub(crate) mod backlogs;
mod docs;
pub(crate) mod generation;
mod glance;
pub(crate) mod index;
pub(crate) mod kept;
pub(crate) mod offset;
pub(crate) mod progress;
mod reader;
mod series;
mod shares;
mod watch;
pub(crate) mod writer;

pub use docs::Docs;
pub use glance::{DocKey, Glimpse, glance};
pub use index::{Index, Listed, Lists};
pub use reader::Reader;
pub use series::{Page, Series};
pub use shares::Shares;
pub use watch::Watch;
pub use writer::Writer;
