//! What a service does with events: [`projections!`](crate::projections), by which it makes read models of them, and
//! [`reactions!`](crate::reactions), by which it does something about them.

use super::reaction::Reaction;
use crate::descriptor::{Followed, Source};
use crate::eventlog::{Event, Incoming, Recorded};
use crate::failure::Failure;
use crate::models::Writer;

/// Functions, each with the events that it takes.
#[derive(Debug, Clone, Copy)]
pub struct Table<F: 'static> {
    pub followed: &'static [Followed],
    /// As many, in the same order.
    pub functions: &'static [F],
}

/// What a service makes read models of.
pub type Projections = Table<Project>;
/// What a service reacts to.
pub type Reactions = Table<React>;

pub type Project = fn(&Incoming, &Writer<'_>) -> Result<(), Failure>;
pub type React = fn(&Incoming, &Reaction) -> Result<(), Failure>;

impl<F> Table<F> {
    pub const NONE: Self = Self { followed: &[], functions: &[] };

    /// The functions that take events of a service, with the kinds of entities that these are about.
    pub(crate) fn of(&self, source: &str) -> impl Iterator<Item = (&'static str, &'static F)> + Clone {
        let all = self.followed.iter().zip(self.functions);
        all.filter(move |(followed, _)| followed.source == source)
            .map(|(followed, function)| (followed.of, function))
    }
}

impl Followed {
    const fn of<E: Event>(source: Source) -> Self {
        Self { source: source.name, of: E::OF, schema: E::SCHEMA, events: E::JSON }
    }

    /// By a function that writes read models, as its type says.
    #[doc(hidden)]
    pub const fn by<E: Event>(
        source: Source,
        _: &impl Fn(&Recorded<E>, &Writer<'_>) -> Result<(), Failure>,
    ) -> Self {
        assert!(!source.is_private(), "read models follow logs that others may read");
        Self::of::<E>(source)
    }

    /// By a function that reacts.
    #[doc(hidden)]
    pub const fn by_reaction<E: Event>(
        source: Source,
        _: &impl Fn(&Recorded<E>, &Reaction) -> Result<(), Failure>,
    ) -> Self {
        Self::of::<E>(source)
    }
}
