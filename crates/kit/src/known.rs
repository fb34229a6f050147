//! Which entities another service has, for a service whose own entities belong to them.

use std::fmt;
use std::marker::PhantomData;

use crate::cx::Cx;
use crate::descriptor::Source;
use crate::eventlog::{self, Event, Recorded};
use crate::failure::Failure;
use crate::id;
use crate::models::{Docs, Reader, Writer};
use crate::problem::Problem;

/// The entities of another service that exist, by its events `E`. `sources::POSTS => follow_posts` in the projections
/// keeps it, with a function that calls [`follow`](Self::follow).
///
/// The event of an entity that was created just now may not have come yet. Whoever writes must not be refused for that and asks
/// [`expect`](Self::expect), which also looks in the log. Whoever reads asks [`find`](Self::find): a caller who has created the
/// entity brings its position along.
pub struct Known<E> {
    source: Source,
    docs: Docs<()>,
    kind: PhantomData<fn() -> E>,
}

impl<E: Event> Known<E> {
    pub const fn new(source: Source) -> Self {
        Self { source, docs: Docs::new(source, "known"), kind: PhantomData }
    }

    /// Keeps the entity that an event creates.
    pub fn follow(&self, event: &Recorded<E>, writer: &Writer<'_>) -> Result<(), Failure> {
        if event.version == 1 { self.docs.put(writer, &event.entity, &()) } else { Ok(()) }
    }

    /// Goes on if the entity is known now, or else if the log of its service has it.
    pub fn expect(&self, cx: &Cx, id: &str) -> Result<(), Problem> {
        let is_logged = || {
            Ok::<_, Problem>(
                id::root(id) == id && eventlog::look_up(self.source, E::OF, id, Some(1))?.is_some(),
            )
        };
        match self.docs.get(&cx.views()?, id)?.is_some() || is_logged()? {
            true => Ok(()),
            false => Err(missing::<E>()),
        }
    }

    /// Goes on if the entity is known now.
    pub fn find(&self, reader: &Reader, id: &str) -> Result<(), Problem> {
        self.docs.get(reader, id)?.ok_or_else(missing::<E>)
    }
}

fn missing<E: Event>() -> Problem {
    Problem::not_found(format!("There is no such {}.", E::OF))
}

impl<E> fmt::Debug for Known<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Known").field(&self.docs).finish()
    }
}
