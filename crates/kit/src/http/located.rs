//! What is found by its id, below the path at which it was made.

use serde::Serialize;

use crate::eventlog::Aggregate;

/// What can be answered as `created` or `accepted`: it is found by its id. Every entity is, and whatever a service shows of one.
pub trait Located: Serialize {
    fn id(&self) -> &str;
}

/// What can be answered as `awaited`: something comes of it in time.
pub trait Awaited: Located {
    /// Whether that is known.
    fn is_settled(&self) -> bool;
}

impl<A: Aggregate> Located for A {
    fn id(&self) -> &str {
        Aggregate::id(self)
    }
}
