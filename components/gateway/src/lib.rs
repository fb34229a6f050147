//! Gateway: the one door. It knows which service answers what from what the registry tells, who calls from what accounts tell
//! or from the API keys of the config, and who may from the policy; the rest is the service's.
//!
//! Taking a request in and handing the answer out costs calls of the host. Passing it on costs these besides: one to
//! read routes, policy and what was counted, one to send it and wait, two to see how long it took, and one for the line in
//! the log. Rate limits add one for the time; another counts, for each request where the limit is small and seldom where it
//! is large. Everything else is remembered by the instance for as long as it is the same; a
//! fresh instance remembers nothing, asks once for the config, and does the same.

mod accept;
mod accounts;
mod callers;
mod cors;
mod documents;
mod door;
mod forward;
mod identity;
mod keys;
mod limits;
mod memo;
mod policy;
mod refusal;
mod rules;
mod session;
mod settings;
mod table;
#[cfg(test)]
mod tests;

use api::{Cx, Guest, Health, NewPolicy, Policy, Problem};
use settings::Settings;
use thiserror::Error;
use trellis::gateway::events::PolicyEvent;
use trellis_kit::{
    Aggregate, Asks, Docs, Entity, Failure, OPERATOR, Projections, Recorded, Request, Response, Route,
    Service, Writer, projections, routes, tally,
};

trellis_kit::bindings!(gateway: registry, accounts except ServiceEvent);
trellis_kit::export!(Gateway);

#[derive(Debug)]
pub struct Gateway;

impl Service for Gateway {
    const NAME: &str = "gateway";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("platform");
    /// There is one policy.
    const PARTITIONS: u32 = sources::GATEWAY.partitions;
    const ROUTES: &[Route] = routes! {
        only(OPERATOR) GET "/gateway/policy" => ok(Self::get_policy),
        only(OPERATOR) PUT "/gateway/policy" => ok(Self::set_policy),
        GET "/healthz" => ok(Self::healthy),
        GET "/readyz" => ok(Self::ready),
        GET "/openapi.json" => |_| documents::openapi(Self::routes()),
        GET "/asyncapi.json" => |_| documents::asyncapi(Self::routes()),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Policy>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! {
        sources::REGISTRY => table::follow,
        sources::REGISTRY => table::keep,
        sources::GATEWAY => follow,
        sources::ACCOUNTS => accounts::follow_user,
        sources::ACCOUNTS => accounts::follow_session,
        sources::ACCOUNTS => accounts::follow_key,
    };
    /// The routes of a service are one text since 2, documents are known by their own id since 3, for whom a route is since 4, who is
    /// signed in since 5, and whose a key is since 6.
    const VIEWS_SCHEMA: u32 = 6;
    /// Whoever has said hello has its routes.
    const ASKS: Asks = Asks::Anybody;

    fn respond(request: &Request) -> Response {
        door::respond(Self::routes(), request)
    }

    fn refuse(request: &Request, problem: &Problem) -> Response {
        door::refuse(request, problem)
    }

    fn look_around() -> Result<(), Failure> {
        if Settings::load()?.limits.is_some() {
            tally::make_key()?;
        }
        policy::apply_config()
    }
}

impl Guest for Gateway {
    fn get_policy(cx: &Cx) -> Result<Policy, Problem> {
        Ok(POLICY.get(&cx.views()?, policy::ID)?.unwrap_or_else(policy::built_in))
    }

    fn set_policy(cx: &Cx, to: NewPolicy) -> Result<Policy, Problem> {
        cx.require(OPERATOR)?;
        let set = policy::set(cx, to)?;
        // Whoever is answered finds it in force.
        match POLICY.get(&cx.views_with_mine()?, policy::ID)? {
            Some(known) if known.version >= set.version => Ok(set),
            _ => Err(NotYet::InForce.into()),
        }
    }

    fn healthy(_cx: &Cx) -> Result<Health, Problem> {
        Ok(ok())
    }

    fn ready(_cx: &Cx) -> Result<Health, Problem> {
        trellis_kit::ready::<Self>()?;
        if table::knows_services()? {
            return Ok(ok());
        }
        Err(NotYet::Told.into())
    }
}

/// What the gateway is still waiting for.
#[derive(Debug, Error)]
enum NotYet {
    #[error("the policy is stored, and not yet in force")]
    InForce,
    #[error("the registry has told of no service yet")]
    Told,
}

impl From<NotYet> for Problem {
    fn from(error: NotYet) -> Self {
        Self::unavailable(error)
    }
}

fn ok() -> Health {
    Health { status: "ok".to_owned() }
}

/// The policy in force, unless it is the one that is built in.
const POLICY: Docs<Policy> = Docs::new(sources::GATEWAY, policy::DOC);

impl Aggregate for Policy {
    type Service = Gateway;
    type Event = PolicyEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(_before: Option<Self>, event: &PolicyEvent) -> Option<Self> {
        let PolicyEvent::Set(policy) = event;
        Some(policy.clone())
    }
}

fn follow(event: &Recorded<PolicyEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    POLICY.put(writer, &event.entity, &event.state()?)
}
