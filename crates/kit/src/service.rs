//! A service as a whole: [`Service`], what it is made of, and [`export!`](crate::export), which makes a
//! component of it.

use crate::descriptor::{Asks, Described, Descriptor, Entity};
use crate::failure::Failure;
use crate::handling::{Handler, Projections, Reactions};
use crate::http::{Request, Response, Route, Routes};
use crate::problem::Problem;
use crate::trace::Trace;

/// One component of the application: it owns one log, one bucket, and the requests on its name.
pub trait Service: 'static {
    /// The name under which everybody knows it. It is part of every stored event's address: it never changes.
    const NAME: &'static str;
    const VERSION: &'static str;
    const ROUTES: &'static [Route];

    /// What it keeps in its log.
    const ENTITIES: &'static [Entity] = &[];

    /// What the WIT says of the functions that its routes name: `FUNCTIONS`, which `bindings!` reads there.
    const FUNCTIONS: &'static [(&'static str, &'static str)] = &[];

    /// The events, its own or others', that its read models follow.
    const PROJECTIONS: Projections = Projections::NONE;

    /// The events that it does something about.
    const REACTIONS: Reactions = Reactions::NONE;

    /// How many entities can be followed side by side: events of one partition are delivered one after the
    /// other. It decides where events are stored, so it never changes once there are any. 0 is a service
    /// without a log.
    const PARTITIONS: u32 = 8;

    /// Counts the schemas that its read models have had. Whoever changes what a projection writes, or what it makes of an event,
    /// raises it, and what was built before is built anew.
    const VIEWS_SCHEMA: u32 = 1;

    /// Which services it asks, with [`http::ask`](crate::http::ask).
    const ASKS: Asks = Asks::Nobody;

    /// Whether it looks at all others, with [`services`](crate::services): at their logs and at whether they listen.
    const WATCHES: bool = false;

    /// Whether it makes streams and consumers for all others where these may not, see [`guard`](crate::guard).
    const PROVISIONS: bool = false;

    /// Answers a request: by the routes, unless the service stands in front of others.
    fn respond(request: &Request) -> Response
    where
        Self: Sized,
    {
        Self::routes().answer(request)
    }

    /// What answers by its routes.
    fn routes() -> Routes
    where
        Self: Sized,
    {
        Routes { service: Self::DESCRIPTOR, all: Self::ROUTES }
    }

    /// Answers a request that cannot be read, of which as much is there as could be.
    fn refuse(request: &Request, problem: &Problem) -> Response {
        Response::refusal(problem, Trace::accept(request.header("traceparent")).id())
    }

    /// Looks after what changes without an event of this service. Called when somebody is new and every half a minute,
    /// once all that the service owns is there, on one of its instances; whatever fails is tried again the next time.
    fn look_around() -> Result<(), Failure> {
        Ok(())
    }

    /// Hears a message on a subject that the manifest subscribes this service to, beyond those that every service is
    /// subscribed to. It may come twice or not at all. An error is for the host's log.
    fn hear(subject: &str, _body: &[u8]) -> Result<(), Failure> {
        Err(Failure::lasting(format!("nobody here knows what a message on {subject} means")))
    }
}

impl<S: Service> Described for S {
    const DESCRIPTOR: &'static Descriptor = &Descriptor {
        name: S::NAME,
        version: S::VERSION,
        partitions: S::PARTITIONS,
        views_schema: S::VIEWS_SCHEMA,
        entities: S::ENTITIES,
        functions: S::FUNCTIONS,
        projected: S::PROJECTIONS.followed,
        reacted_to: S::REACTIONS.followed,
        asks: S::ASKS,
        watches: S::WATCHES,
        provisions: S::PROVISIONS,
    };
}

/// What a service does with events.
pub(crate) fn handler<S: Service>() -> Handler {
    Handler { service: S::DESCRIPTOR, projections: S::PROJECTIONS, reactions: S::REACTIONS }
}
