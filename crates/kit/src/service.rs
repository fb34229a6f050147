//! A service as a whole: [`Service`], what it is made of, and [`export!`](crate::export), which makes a
//! component of it.

use crate::delivery::{Failure, Projection, Reacts};
use crate::http::{self, Request, Response, Route};
use crate::{Entity, Problem, Trace};

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
    const PROJECTIONS: &'static [Projection] = &[];

    /// The events that it does something about.
    const REACTIONS: &'static [Reacts] = &[];

    /// How many entities can be followed side by side: events of one partition are delivered one after the
    /// other. It decides where events are stored, so it never changes once there are any. 0 is a service
    /// without a log.
    const PARTITIONS: u32 = 8;

    /// Counts the schemas that its read models have had. Whoever changes what a projection writes, or what it makes of an event,
    /// raises it, and what was built before is built anew.
    const VIEWS_SCHEMA: u32 = 1;

    /// Which services it asks, with [`http::ask`].
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
        http::by_routes::<Self>(request)
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

/// Makes a component of a service: exports its WIT functions, its routes over HTTP and as messages, and its
/// event handling. What the service says of itself is put
/// beside the code, from where hosts know what it may do.
///
/// Natively it does nothing, so that the crate is a plain library there and its domain can be tested.
#[macro_export]
macro_rules! export {
    ($service:ident) => {
        $crate::statement!($service);
        #[cfg(target_arch = "wasm32")]
        #[allow(
            unsafe_code,
            reason = "the exports of a component are raw functions, written by the binding generators"
        )]
        const _: () = {
            type Events = $crate::rt::Events<$service>;
            type Http = $crate::rt::Http<$service>;
    bindings::export!($service with_types_in bindings);
    $crate::rt::export_events!(Events with_types_in $crate::rt::bindings);
    $crate::rt::wasi::http::proxy::export!(Http with_types_in $crate::rt::wasi);
        };
    };
}
