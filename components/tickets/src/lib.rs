//! Tickets: somebody offers one for a price, everybody may see what is for sale.
//!
//! Whether a ticket is reserved or withdrawn is for orders to decide, where buyers and the seller meet. It is heard here.

mod price;
#[cfg(test)]
mod tests;

use api::{Cx, Guest, Offer, PageRequest, Problem, Ticket, TicketPage};
use thiserror::Error;
use trellis::orders::events::ReservationEvent;
use trellis::orders::types::{Reservation, Status as OrderStatus};
use trellis::tickets::events::TicketEvent;
use trellis::tickets::types::Status;
use trellis_kit::{
    Aggregate, Entity, Failure, Projections, Reaction, Reactions, Recorded, Route, Series, Service, Writer,
    projections, reactions, routes, text,
};

trellis_kit::bindings!(tickets: orders);
trellis_kit::export!(Tickets);

#[derive(Debug)]
pub struct Tickets;

/// How many characters a title may have.
const TITLE_MAX: usize = 200;

/// All tickets, as they came.
const TICKETS: Series<Ticket> = Series::new(sources::TICKETS, "ticket", "all");

impl Service for Tickets {
    const NAME: &str = "tickets";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("market");
    const PARTITIONS: u32 = sources::TICKETS.partitions;
    const ROUTES: &[Route] = routes! {
        POST "/tickets" => created(Self::create),
        own GET "/tickets" => page(Self::list),
        own GET "/tickets/{id}" => ok(Self::get),
        PUT "/tickets/{id}" => ok(Self::change),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Ticket>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! { sources::TICKETS => follow };
    const REACTIONS: Reactions = reactions! { sources::ORDERS => follow_reservation };
}

impl Guest for Tickets {
    fn create(cx: &Cx, new: Offer) -> Result<Ticket, Problem> {
        let seller = cx.caller.clone().ok_or(TicketError::NobodyKnown)?;
        let Offer { title, price } = checked(&new)?;
        cx.create(&new, |id| {
            TicketEvent::Created(Ticket {
                id,
                seller,
                title,
                price,
                status: Status::ForSale,
                reservation: 0,
                listed_at: cx.now(),
                version: 1,
            })
        })
    }

    fn get(cx: &Cx, id: String) -> Result<Ticket, Problem> {
        cx.load(&id)
    }

    fn list(cx: &Cx, page: PageRequest) -> Result<TicketPage, Problem> {
        let listed = TICKETS.list(&cx.views()?, &page)?;
        let offered = listed.items.into_iter().filter(|ticket| ticket.status != Status::Withdrawn);
        Ok(TicketPage { items: offered.collect(), next: listed.next })
    }

    fn change(cx: &Cx, id: String, to: Offer) -> Result<Ticket, Problem> {
        let to = checked(&to)?;
        cx.update(&id, |ticket: &Ticket| {
            ticket.expect_seller(cx)?;
            match ticket.status {
                Status::Withdrawn => Err(TicketError::Withdrawn.into()),
                Status::Reserved => Err(TicketError::Reserved.into()),
                Status::Sold => Err(TicketError::Sold.into()),
                Status::ForSale => Ok((ticket.offer() != to).then(|| TicketEvent::Changed(to.clone()))),
            }
        })
    }
}

/// Why a ticket is not offered, or stays as it is.
#[derive(Debug, Error)]
enum TicketError {
    #[error("Sign in to offer a ticket.")]
    NobodyKnown,
    #[error("Only its seller may change a ticket.")]
    NotItsSeller,
    #[error("Somebody has reserved this ticket. Change it when the order has ended.")]
    Reserved,
    #[error("Somebody has bought this ticket.")]
    Sold,
    #[error("This ticket was withdrawn. Offer it anew.")]
    Withdrawn,
}

impl From<TicketError> for Problem {
    fn from(error: TicketError) -> Self {
        let detail = error.to_string();
        match error {
            TicketError::NobodyKnown => Self::unauthorized(detail),
            TicketError::NotItsSeller => Self::forbidden(detail),
            TicketError::Reserved | TicketError::Sold | TicketError::Withdrawn => Self::conflict(detail),
        }
    }
}

/// The offer as it is kept.
fn checked(offer: &Offer) -> Result<Offer, Problem> {
    let title = text::one_line("title", &offer.title, TITLE_MAX)?;
    price::check("price", &offer.price)?;
    Ok(Offer { title, price: offer.price.clone() })
}

impl Ticket {
    fn offer(&self) -> Offer {
        Offer { title: self.title.clone(), price: self.price.clone() }
    }

    fn expect_seller(&self, cx: &Cx) -> Result<(), TicketError> {
        if cx.caller.as_ref() == Some(&self.seller) { Ok(()) } else { Err(TicketError::NotItsSeller) }
    }
}

impl Aggregate for Ticket {
    type Service = Tickets;
    type Event = TicketEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &TicketEvent) -> Option<Self> {
        let Some(before) = before else {
            let TicketEvent::Created(ticket) = event else { return None };
            return Some(ticket.clone());
        };
        let after = Self { version: before.version + 1, ..before };
        let now = |status, reservation| Self { status, reservation, ..after.clone() };
        match event {
            TicketEvent::Created(_) => None,
            TicketEvent::Changed(Offer { title, price }) => {
                Some(Self { title: title.clone(), price: price.clone(), ..after })
            }
            TicketEvent::Reserved(reservation) => Some(now(Status::Reserved, *reservation)),
            TicketEvent::Released(reservation) => Some(now(Status::ForSale, *reservation)),
            TicketEvent::Sold(reservation) => Some(now(Status::Sold, *reservation)),
            TicketEvent::Withdrawn(reservation) => Some(now(Status::Withdrawn, *reservation)),
        }
    }
}

/// Does what orders says. What is older than what was already followed changes nothing, so it does not matter in which order it
/// comes, or how often.
fn follow_reservation(event: &Recorded<ReservationEvent>, reaction: &Reaction) -> Result<(), Failure> {
    if let ReservationEvent::Offered(_) | ReservationEvent::Refused(_) = event.data {
        return Ok(());
    }
    let reservation: Reservation = event.state()?;
    let status = reservation.order.map(|order| order.status);
    reaction.update(&event.entity, |ticket: &Ticket| {
        Ok((ticket.reservation < event.version).then_some(match status {
            _ if reservation.is_withdrawn => TicketEvent::Withdrawn(event.version),
            Some(OrderStatus::Reserved | OrderStatus::Paying) => TicketEvent::Reserved(event.version),
            Some(OrderStatus::Paid) => TicketEvent::Sold(event.version),
            Some(OrderStatus::Cancelled | OrderStatus::Expired) | None => {
                TicketEvent::Released(event.version)
            }
        }))
    })?;
    Ok(())
}

/// Keeps the list of tickets.
fn follow(event: &Recorded<TicketEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match &event.data {
        TicketEvent::Created(ticket) => TICKETS.add(writer, &ticket.id, ticket),
        TicketEvent::Changed(_)
        | TicketEvent::Reserved(_)
        | TicketEvent::Released(_)
        | TicketEvent::Sold(_)
        | TicketEvent::Withdrawn(_) => TICKETS.change(writer, &event.entity, &event.state()?),
    }
}
