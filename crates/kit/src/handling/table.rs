//! What a service does with events: [`projections!`](crate::projections), by which it makes read models of them,
//! [`reactions!`](crate::reactions), by which it does something about them, and [`timers!`](crate::timers), by which it does
//! something some time later.

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

/// What a service does when its time has come.
pub type Timers = Table<Timer>;

pub type Project = fn(&Incoming, &Writer<'_>) -> Result<(), Failure>;
pub type React = fn(&Incoming, &Reaction) -> Result<(), Failure>;

/// When something is to be done about an event, and what.
#[derive(Debug, Clone, Copy)]
pub struct Timer {
    pub due: Due,
    pub act: React,
}

/// When something is to be done.
#[derive(Debug, Clone, Copy)]
pub enum Due {
    /// As soon as the event is there.
    AtOnce,
    /// At an instant, as [`Context::later`](crate::Context::later) writes it; none for an event about which nothing is to be done.
    At(fn(&Incoming) -> Result<Option<String>, Failure>),
}

impl<F> Table<F> {
    pub const NONE: Self = Self { followed: &[], functions: &[] };

    /// The functions that take events of a service, with the kinds of entities that these are about.
    pub(crate) fn of(&self, source: &str) -> impl Iterator<Item = (&'static str, &'static F)> + Clone {
        let all = self.followed.iter().zip(self.functions);
        all.filter(move |(followed, _)| followed.source == source)
            .map(|(followed, function)| (followed.of, function))
    }
}

impl Timers {
    /// Does not compile where a source has two: its events wait in one queue.
    #[allow(clippy::indexing_slicing, reason = "run by the compiler, which refuses what is outside")]
    pub(crate) const fn one_for_each_source(self) -> Self {
        let mut one = 0;
        while one < self.followed.len() {
            let mut other = one + 1;
            while other < self.followed.len() {
                assert!(
                    !is_same(self.followed[one].source, self.followed[other].source),
                    "a source has one timer"
                );
                other += 1;
            }
            one += 1;
        }
        self
    }
}

#[allow(clippy::indexing_slicing, reason = "run by the compiler, which refuses what is outside")]
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
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

    /// By a function that reacts when the time has come that another one says.
    #[doc(hidden)]
    pub const fn by_timer<E: Event>(
        source: Source,
        _: &impl Fn(&Recorded<E>) -> Result<Option<String>, Failure>,
        _: &impl Fn(&Recorded<E>, &Reaction) -> Result<(), Failure>,
    ) -> Self {
        Self::of::<E>(source)
    }
}
