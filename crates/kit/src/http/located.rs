//! What is found by its id, below the path at which it was made.

use serde::Serialize;

use crate::eventlog::Aggregate;

/// What can be answered as `created` or `accepted`: it is found by its id. Every entity is, and whatever a service shows of one.
pub trait Located: Serialize {
    fn id(&self) -> &str;
}

impl<A: Aggregate> Located for A {
    fn id(&self) -> &str {
        Aggregate::id(self)
    }
}
