//! What a service is, as plain data: made once of its [`Service`](crate::Service), and all that most of the kit needs to
//! know of it.

use std::collections::BTreeSet;

use crate::schema::Schema;

/// A service, among all that its parts have in common.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    pub name: &'static str,
    pub version: &'static str,
    /// The services that it is one of, as people think of them.
    pub group: Option<&'static str>,
    /// Into how many its log is divided; 0 is no log.
    pub partitions: u32,
    /// How many schemas its read models have had.
    pub views_schema: u32,
    pub entities: &'static [Entity],
    /// What nobody else may read, and the log that these are in, as a source.
    pub private: &'static [Entity],
    pub private_log: &'static str,
    /// What the WIT says of the functions that its routes name.
    pub functions: &'static [(&'static str, &'static str)],
    /// What its read models follow.
    pub projected: &'static [Followed],
    /// What it reacts to.
    pub reacted_to: &'static [Followed],
    /// What it does something about some time later.
    pub timed: &'static [Followed],
    /// The logs of others that it looks in.
    pub reads: &'static [Source],
    pub asks: Asks,
    pub watches: bool,
    pub provisions: bool,
}

/// What has a descriptor: every service.
pub trait Described: 'static {
    const DESCRIPTOR: &'static Descriptor;
}

/// A kind of entity that a service keeps in its log.
#[derive(Debug, Clone, Copy)]
pub struct Entity {
    pub(crate) of: &'static str,
    /// The version of the contract of its events and its state.
    pub(crate) schema: u32,
    pub(crate) events: &'static Schema,
    pub(crate) state: &'static Schema,
}

/// A log that can be followed: the service whose it is, and into how many partitions it is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub name: &'static str,
    pub partitions: u32,
}

impl Source {
    pub const fn new(name: &'static str, partitions: u32) -> Self {
        Self { name, partitions }
    }

    /// Whether nobody but its service may follow it. No service has a slash in its name.
    pub(crate) const fn is_private(&self) -> bool {
        let mut rest = self.name.as_bytes();
        while let [byte, others @ ..] = rest {
            if *byte == b'/' {
                return true;
            }
            rest = others;
        }
        false
    }
}

/// The events of one kind of entity that a service follows.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    /// The service whose log they are in.
    pub source: &'static str,
    pub(crate) of: &'static str,
    pub(crate) schema: u32,
    pub(crate) events: &'static Schema,
}

/// Which services a service asks. What it does not say here, it cannot do, and its user on NATS may not do it either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Nobody,
    These(&'static [&'static str]),
    Anybody,
}

impl Asks {
    pub fn include(self, service: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::These(names) => names.contains(&service),
            Self::Anybody => true,
        }
    }
}

impl Followed {
    /// Whether it is in a log that nobody else is told of.
    pub(crate) fn is_private(&self) -> bool {
        Source::new(self.source, 1).is_private()
    }
}

impl Descriptor {
    /// What it says to others that it reacts to, at once or later.
    pub fn told_reactions(&self) -> impl Iterator<Item = &'static Followed> + Clone + use<> {
        self.reacted_to.iter().chain(self.timed).filter(|followed| !followed.is_private())
    }

    /// The services whose events it follows, some of them more than once.
    pub fn sources(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.projected.iter().chain(self.reacted_to).chain(self.timed).map(|followed| followed.source)
    }

    /// The services that its read models follow.
    pub fn projected_sources(&self) -> BTreeSet<&'static str> {
        self.projected.iter().map(|followed| followed.source).collect()
    }

    /// Whether its read models follow this service.
    pub fn projects(&self, source: &str) -> bool {
        self.projected.iter().any(|followed| followed.source == source)
    }

    /// Whether it reacts to events of this service.
    pub fn reacts_to(&self, source: &str) -> bool {
        self.reacted_to.iter().any(|followed| followed.source == source)
    }

    /// Whether it has a timer for events of this service.
    pub fn times(&self, source: &str) -> bool {
        self.timed.iter().any(|followed| followed.source == source)
    }

    /// Whether it looks in the log of this service. In what is private nobody else does.
    pub const fn reads(&self, source: Source) -> bool {
        let mut rest = self.reads;
        while let [read, others @ ..] = rest {
            if is_same(read.name, source.name) {
                return !source.is_private();
            }
            rest = others;
        }
        false
    }
}

/// `==` for constants.
pub(crate) const fn is_same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, rest_of_one @ ..], [b, rest_of_other @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest_of_one, rest_of_other);
    }
    one.is_empty() && other.is_empty()
}
