//! Which entities another service has, for a service whose own entities belong to them.

use std::fmt;
use std::time::Duration;

use crate::cx::Cx;
use crate::descriptor::Source;
use crate::eventlog::{Event, Recorded};
use crate::failure::Failure;
use crate::id;
use crate::models::{Docs, Reader, Writer};
use crate::problem::Problem;

/// How long the news of an entity may take, and how often to look for it.
const GRACE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The entities of another service that exist, as far as its events `E` have come. `sources::POSTS => follow_posts` in
/// the projections keeps it, with a function that calls [`follow`](Self::follow).
///
/// An entity that was created just now may not be known yet. So whoever writes waits for it with
/// [`expect`](Self::expect). Whoever reads asks [`find`](Self::find), which does not wait: a caller who has created the
/// entity brings its position along.
pub struct Known<E>(Docs<()>, std::marker::PhantomData<fn() -> E>);

impl<E: Event> Known<E> {
    pub const fn new(source: Source) -> Self {
        Self(Docs::new(source, "known"), std::marker::PhantomData)
    }

    /// Keeps the entity that an event creates.
    pub fn follow(&self, event: &Recorded<E>, writer: &Writer<'_>) -> Result<(), Failure> {
        if event.version == 1 { self.0.put(writer, &event.entity, &()) } else { Ok(()) }
    }

    /// Goes on once the entity is known. Only an id that the other service could have given is waited for; after a second
    /// the answer is 404.
    pub fn expect(&self, cx: &Cx, id: &str) -> Result<(), Problem> {
        let could_be = id::is_valid(id) && id::root(id) == id;
        let patience = if could_be { GRACE } else { Duration::ZERO };
        cx.within(patience, LOOK_EVERY, || self.0.get(&cx.views()?, id))?.ok_or_else(missing::<E>)
    }

    /// Goes on if the entity is known now.
    pub fn find(&self, reader: &Reader, id: &str) -> Result<(), Problem> {
        self.0.get(reader, id)?.ok_or_else(missing::<E>)
    }
}

fn missing<E: Event>() -> Problem {
    Problem::not_found(format!("There is no such {}.", E::OF))
}

impl<E> fmt::Debug for Known<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Known").field(&self.0).finish()
    }
}
