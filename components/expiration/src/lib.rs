//! Expiration: it says of every order that its time is over, when it is. How long an order lasts is in the order; what follows
//! from its being over, others decide.

#[cfg(test)]
mod tests;

use api::{Cx, Guest, Problem};
use trellis::expiration::events::DeadlineEvent;
use trellis::expiration::types::Deadline;
use trellis::orders::events::ReservationEvent;
use trellis_kit::{
    Aggregate, Entity, Failure, OPERATOR, Reaction, Recorded, Route, Service, Timers, routes, timers,
};

trellis_kit::bindings!(expiration: orders);
trellis_kit::export!(Expiration);

#[derive(Debug)]
pub struct Expiration;

impl Service for Expiration {
    const NAME: &str = "expiration";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("market");
    const PARTITIONS: u32 = sources::EXPIRATION.partitions;
    const ROUTES: &[Route] = routes! {
        only(OPERATOR) GET "/deadlines/{order}" => ok(Self::get),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Deadline>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const TIMERS: Timers = timers! { sources::ORDERS => at(deadline, pass) };
}

impl Guest for Expiration {
    fn get(cx: &Cx, order: String) -> Result<Deadline, Problem> {
        cx.require(OPERATOR)?;
        cx.load(&order)
    }
}

impl Aggregate for Deadline {
    type Service = Expiration;
    type Event = DeadlineEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &DeadlineEvent) -> Option<Self> {
        match event {
            DeadlineEvent::Passed(deadline) => before.is_none().then(|| deadline.clone()),
        }
    }
}

/// Until when an order lasts that was placed.
fn deadline(event: &Recorded<ReservationEvent>) -> Result<Option<String>, Failure> {
    Ok(match &event.data {
        ReservationEvent::Placed(order) => Some(order.expires_at.clone()),
        _ => None,
    })
}

/// Says that its time is over, once, whatever has become of it since.
fn pass(event: &Recorded<ReservationEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let ReservationEvent::Placed(order) = &event.data else { return Ok(()) };
    let at = reaction.now();
    reaction.execute(&order.id, |deadline: Option<&Deadline>| {
        Ok(deadline.is_none().then(|| {
            DeadlineEvent::Passed(Deadline {
                id: order.id.clone(),
                expires_at: order.expires_at.clone(),
                passed_at: at.clone(),
            })
        }))
    })?;
    Ok(())
}
