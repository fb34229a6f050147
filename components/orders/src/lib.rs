//! Orders: who may buy a ticket, for how long, and what came of it.
//!
//! A ticket is withdrawn here, too: that nobody has it reserved is known here alone. What follows from all this for the ticket, the
//! service of tickets hears.

mod errors;
mod reservation;
mod service;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api::{Cx, Guest, NewOrder, Problem, ReadOrder};
use errors::OrderError;
use service::Orders;
use trellis::expiration::events::DeadlineEvent;
use trellis::orders::events::ReservationEvent;
use trellis::orders::types::{Offer, Order, Reservation};
use trellis::payments::events::PaymentEvent;
use trellis::payments::types::Payment;
use trellis::tickets::events::TicketEvent;
use trellis::tickets::types::Ticket;
use trellis_kit::{
    Docs, Entity, Failure, Lookup, Projections, Reaction, Reactions, Recorded, Route, Service, Source,
    Writer, id, projections, reactions, routes,
};

trellis_kit::bindings!(orders: tickets, payments, expiration);
trellis_kit::export!(Orders);

/// What is offered, where it was not told yet.
const TICKETS: Lookup<TicketEvent> = Lookup::of::<Orders>(sources::TICKETS);
/// All orders, as they are now.
const ORDERS: Docs<Order> = Docs::new(sources::ORDERS, "order");

impl Service for Orders {
    const NAME: &str = "orders";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("market");
    const PARTITIONS: u32 = sources::ORDERS.partitions;
    const ROUTES: &[Route] = routes! {
        POST "/orders" => created(Self::place),
        GET "/orders/{id}" => ok(Self::get),
        DELETE "/orders/{id}" => done(Self::cancel),
        DELETE "/tickets/{id}" => done(Self::withdraw),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Reservation>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! { sources::ORDERS => follow };
    const REACTIONS: Reactions = reactions! {
        sources::TICKETS => follow_tickets,
        sources::PAYMENTS => follow_payments,
        sources::EXPIRATION => follow_deadlines,
    };
    const READS: &[Source] = &[sources::TICKETS];
}

impl Guest for Orders {
    fn place(cx: &Cx, new: NewOrder) -> Result<ReadOrder, Problem> {
        let buyer = cx.caller.as_deref().ok_or(OrderError::NobodyKnown)?;
        let known: Option<Reservation> = cx.find(&new.ticket_id)?;
        let known = match known.filter(|known| known.offer.price == new.price) {
            Some(known) => known,
            None => look_up(cx, &new.ticket_id)?.ok_or(OrderError::UnknownTicket)?,
        };
        expire(cx, &known)?;
        let hold = reservation::hold()?;
        let placed = cx.once(&new.ticket_id, &new, |reservation: Option<&Reservation>| {
            let reservation = reservation.ok_or(OrderError::UnknownTicket)?;
            Ok(Some(reservation.place(buyer, &new.price, cx, hold)?))
        })?;
        let order = placed.order.ok_or(OrderError::NoSuchOrder)?;
        Ok(order.read_by(cx)?)
    }

    fn get(cx: &Cx, id: String) -> Result<ReadOrder, Problem> {
        Ok(order(cx, &id)?.read_by(cx)?)
    }

    fn cancel(cx: &Cx, id: String) -> Result<(), Problem> {
        order(cx, &id)?.expect_buyer(cx)?;
        cx.update(id::root(&id), |reservation: &Reservation| Ok(reservation.cancel(&id, &cx.now())?))?;
        Ok(())
    }

    fn withdraw(cx: &Cx, ticket: String) -> Result<(), Problem> {
        let known: Option<Reservation> = cx.find(&ticket)?;
        let known = known.map_or_else(|| look_up(cx, &ticket), |known| Ok(Some(known)))?;
        expire(cx, &known.ok_or(OrderError::NoSuchTicket)?)?;
        cx.update(&ticket, |reservation: &Reservation| Ok(reservation.withdraw(cx)?))?;
        Ok(())
    }
}

/// An order as it is now. One that another has come after is where it was written down.
fn order(cx: &Cx, id: &str) -> Result<Order, Problem> {
    let reservation: Option<Reservation> = cx.find(id::root(id))?;
    let last = reservation.and_then(|reservation| reservation.order(id).cloned());
    match last {
        Some(order) => Ok(order),
        None => Ok(ORDERS.get(&cx.views()?, id)?.ok_or(OrderError::NoSuchOrder)?),
    }
}

/// Learns what is offered now, as that may not have been told yet; none if there is no such ticket.
fn look_up(cx: &Cx, ticket: &str) -> Result<Option<Reservation>, Problem> {
    let found: Option<Ticket> = TICKETS.find(ticket)?;
    let Some(offer) = found.map(Offer::from) else { return Ok(None) };
    cx.execute(ticket, |known: Option<&Reservation>| Ok(Reservation::offer(known, offer.clone()))).map(Some)
}

/// Says that an order's time is over, if nobody has said so yet.
fn expire(cx: &Cx, known: &Reservation) -> Result<(), Problem> {
    if known.expire(&cx.now()).is_some() {
        cx.update(&known.id, |reservation: &Reservation| Ok(reservation.expire(&cx.now())))?;
    }
    Ok(())
}

/// Knows what is offered.
fn follow_tickets(event: &Recorded<TicketEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let (TicketEvent::Created(_) | TicketEvent::Changed(_)) = &event.data else { return Ok(()) };
    let offer = Offer::from(event.state::<Ticket>()?);
    reaction
        .execute(&event.entity, |known: Option<&Reservation>| Ok(Reservation::offer(known, offer.clone())))?;
    Ok(())
}

/// Decides who pays, and what comes of it. A payment that comes again finds that it was decided on.
fn follow_payments(event: &Recorded<PaymentEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let payment: Payment = event.state()?;
    let now = reaction.now();
    reaction.update(id::root(&payment.order_id), |reservation: &Reservation| {
        Ok(match event.data {
            PaymentEvent::Requested(_) => reservation.pay(&payment.order_id, &payment.id, &now),
            PaymentEvent::Succeeded => reservation.paid(&payment.id, true, &now),
            PaymentEvent::Failed(_) => reservation.paid(&payment.id, false, &now),
            PaymentEvent::Prepared(_) | PaymentEvent::Refused => None,
        })
    })?;
    Ok(())
}

/// Says that an order's time is over, if nobody has said so yet. By the clock of this service it may not be: then another time.
fn follow_deadlines(event: &Recorded<DeadlineEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let DeadlineEvent::Passed(deadline) = &event.data;
    let now = reaction.now();
    if *now < *deadline.expires_at {
        let why = format!("{} is not over before {}", deadline.id, deadline.expires_at);
        return Err(Failure::later(Duration::from_secs(1), why));
    }
    reaction.update(id::root(&deadline.id), |reservation: &Reservation| {
        let is_this = reservation.order(&deadline.id).is_some();
        Ok(if is_this { reservation.expire(&now) } else { None })
    })?;
    Ok(())
}

/// Keeps every order, with what came of it.
fn follow(event: &Recorded<ReservationEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match event.data {
        ReservationEvent::Offered(_) | ReservationEvent::Refused(_) | ReservationEvent::Withdrawn => Ok(()),
        ReservationEvent::Placed(_)
        | ReservationEvent::Paying(_)
        | ReservationEvent::Resumed
        | ReservationEvent::Completed
        | ReservationEvent::Cancelled
        | ReservationEvent::Expired => {
            let Some(order) = event.state::<Reservation>()?.order else { return Ok(()) };
            ORDERS.put(writer, &order.id, &order)
        }
    }
}
