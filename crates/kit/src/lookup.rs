//! Entities of another service, looked up in its log.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::descriptor::{Described, Source};
use crate::eventlog::{self, Event};
use crate::id;
use crate::problem::Problem;

/// The entities of another service, by its events `E`, as its log has them now: whoever follows that log may not have been told yet.
///
/// A service need not follow a log to look there. It says in its [`READS`](crate::Service::READS) where it looks, or the constant
/// does not compile.
pub struct Lookup<E> {
    source: Source,
    kind: PhantomData<fn() -> E>,
}

impl<E: Event> Lookup<E> {
    /// For the service `S`.
    pub const fn of<S: Described>(source: Source) -> Self {
        assert!(
            S::DESCRIPTOR.reads(source),
            "the service does not say in its READS that it looks in this log"
        );
        Self { source, kind: PhantomData }
    }

    /// Goes on if there is such an entity, and others can belong to it: it is the root of its family.
    pub fn expect(&self, id: &str) -> Result<(), Problem> {
        if id::root(id) == id && eventlog::look_up(self.source, E::OF, id, Some(1))?.is_some() {
            return Ok(());
        }
        Err(Problem::not_found(format!("There is no such {}.", E::OF)))
    }

    /// The entity as it is now, if there is one.
    pub fn find<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, Problem> {
        let newest = eventlog::look_up(self.source, E::OF, id, None)?;
        Ok(newest.map(|event| event.state::<E, T>()).transpose()?)
    }
}

impl<E> fmt::Debug for Lookup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lookup").field(&self.source).finish()
    }
}
