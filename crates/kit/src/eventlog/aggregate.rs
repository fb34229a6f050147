//! Entities whose state follows from their events.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::Event;
use super::store::Log;
use crate::descriptor::{Described, Entity, is_same};
use crate::schema::Wire;

/// An entity: its state is what its events made of it, and every change of it is one event.
pub trait Aggregate: Wire + Serialize + DeserializeOwned {
    /// The service whose log this entity lives in.
    type Service: Described;
    type Event: Event;

    fn id(&self) -> &str;

    /// What the event makes of the entity. It never refuses and never looks around: it only says what follows
    /// from what has happened. None is for an event that cannot happen to the entity as it is (which is then a
    /// mistake of the decision).
    fn evolve(before: Option<Self>, event: &Self::Event) -> Option<Self>;
}

impl Entity {
    pub const fn of<A: Aggregate>() -> Self {
        Self { of: A::Event::OF, schema: A::Event::SCHEMA, events: A::Event::JSON, state: A::JSON }
    }

    /// Whether the service says that it keeps this kind, for all to read or for itself. What is not listed is not described,
    /// and cannot be stored.
    pub(super) const fn is_listed<A: Aggregate>() -> bool {
        let service = <A::Service as Described>::DESCRIPTOR;
        Self::is_among::<A>(service.entities) != Self::is_among::<A>(service.private)
    }

    const fn is_among<A: Aggregate>(mut rest: &[Self]) -> bool {
        while let [entity, others @ ..] = rest {
            if is_same(entity.of, A::Event::OF) {
                return true;
            }
            rest = others;
        }
        false
    }
}

/// The log that entities of a kind are in.
pub(crate) const fn log_of<A: Aggregate>() -> Log {
    let service = <A::Service as Described>::DESCRIPTOR;
    Log { service, is_private: Entity::is_among::<A>(service.private) }
}
