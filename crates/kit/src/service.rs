//! A service as a whole: [`Service`], what it is made of, and [`export!`](crate::export), which makes a
//! component of it.

use std::marker::PhantomData;

use trellis_names as names;

use crate::descriptor::{Asks, Described, Descriptor, Entity, Source};
use crate::failure::Failure;
use crate::handling::{Handler, Projections, Reactions, Timers};
use crate::http::{Request, Response, Route, Routes};
use crate::problem::Problem;
use crate::trace::Trace;

/// One component of the application: it owns one log, one bucket, and the requests on its name.
pub trait Service: 'static {
    /// The name under which everybody knows it. It is part of every stored event's address: it never changes.
    const NAME: &'static str;
    const VERSION: &'static str;
    const ROUTES: &'static [Route];

    /// The services that it is one of, as people think of them: `market`. They are shown beside each other.
    const GROUP: Option<&'static str> = None;

    /// What it keeps in its log.
    const ENTITIES: &'static [Entity] = &[];

    /// What it keeps in a log that nobody else can read, and that no document speaks of: what must not be told, as the hash
    /// of a password. Its types need not be in the WIT.
    const PRIVATE: &'static [Entity] = &[];

    /// That log, for its own [`REACTIONS`](Self::REACTIONS). It has one partition.
    const PRIVATE_LOG: Source = Source::new(PrivateLog::<Self>::NAME, 1);

    /// What the WIT says of the functions that its routes name: `FUNCTIONS`, which `bindings!` reads there.
    const FUNCTIONS: &'static [(&'static str, &'static str)] = &[];

    /// The events, its own or others', that its read models follow.
    const PROJECTIONS: Projections = Projections::NONE;

    /// The events that it does something about.
    const REACTIONS: Reactions = Reactions::NONE;

    /// The events that it does something about when their time has come.
    const TIMERS: Timers = Timers::NONE;

    /// How many entities can be followed side by side: events of one partition are delivered one after the
    /// other. It decides where events are stored, so it never changes once there are any. 0 is a service
    /// without a log.
    const PARTITIONS: u32 = 8;

    /// Counts the schemas that its read models have had. Whoever changes what a projection writes, or what it makes of an event,
    /// raises it, and what was built before is built anew.
    const VIEWS_SCHEMA: u32 = 1;

    /// The logs of others in which it looks, with a [`Lookup`](crate::Lookup).
    const READS: &'static [Source] = &[];

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
        group: S::GROUP,
        partitions: S::PARTITIONS,
        views_schema: S::VIEWS_SCHEMA,
        entities: S::ENTITIES,
        private: S::PRIVATE,
        private_log: PrivateLog::<S>::NAME,
        functions: S::FUNCTIONS,
        projected: S::PROJECTIONS.followed,
        reacted_to: S::REACTIONS.followed,
        timed: S::TIMERS.one_for_each_source().followed,
        reads: S::READS,
        asks: S::ASKS,
        watches: S::WATCHES,
        provisions: S::PROVISIONS,
    };
}

/// A longer name does not compile.
const PRIVATE_LOG_LEN_MAX: usize = 128;

/// The name of the private log of a service, made by the compiler.
struct PrivateLog<S: ?Sized>(PhantomData<S>);

#[allow(clippy::indexing_slicing, reason = "run by the compiler, which refuses what is outside")]
impl<S: Service + ?Sized> PrivateLog<S> {
    const BYTES: [u8; PRIVATE_LOG_LEN_MAX] = {
        let (begin, name) = (names::PRIVATE.as_bytes(), S::NAME.as_bytes());
        let mut bytes = [0; PRIVATE_LOG_LEN_MAX];
        let mut at = 0;
        while at < begin.len() + name.len() {
            bytes[at] = if at < begin.len() { begin[at] } else { name[at - begin.len()] };
            at += 1;
        }
        bytes
    };

    const NAME: &'static str =
        match str::from_utf8(Self::BYTES.split_at(names::PRIVATE.len() + S::NAME.len()).0) {
            Ok(name) => name,
            Err(_) => panic!("the name of a service is no text"),
        };
}

/// What a service does with events.
pub(crate) fn handler<S: Service>() -> Handler {
    Handler {
        service: S::DESCRIPTOR,
        projections: S::PROJECTIONS,
        reactions: S::REACTIONS,
        timers: S::TIMERS,
    }
}
