//! Whose a ticket is. There is one reservation for each ticket, so all who want the ticket at the same time append the same
//! version of the same entity, and one of them is first.
//!
//! **Every decision looks at the time.** An order whose time is over is over, whether or not anybody has said so yet.

use std::time::Duration;

use trellis_kit::http::Located;
use trellis_kit::{Aggregate, Problem, config, id};

use crate::Orders;
use crate::api::Cx;
use crate::errors::OrderError;
use crate::trellis::orders::events::ReservationEvent;
use crate::trellis::orders::types::{Offer, Order, ReadOrder, Reservation, Status};
use crate::trellis::tickets::types::{Money, Ticket};

/// How long a ticket is reserved where the config does not say it.
const HOLD_SECONDS: u64 = 15 * 60;
/// Whoever has it for longer has more than a reservation.
const HOLD_SECONDS_MAX: u64 = 24 * 60 * 60;

/// How long a ticket is reserved.
pub fn hold() -> Result<Duration, Problem> {
    let seconds = config::json("hold-seconds")?.unwrap_or(HOLD_SECONDS);
    if !(1..=HOLD_SECONDS_MAX).contains(&seconds) {
        return Err(Problem::unavailable(format_args!(
            "config hold-seconds is {seconds}; it must be from 1 to {HOLD_SECONDS_MAX}"
        )));
    }
    Ok(Duration::from_secs(seconds))
}

impl Reservation {
    /// What happens when a ticket is offered like this. An offer that is older than the one at hand is none any more.
    pub fn offer(known: Option<&Self>, offer: Offer) -> Option<ReservationEvent> {
        let is_new = known.is_none_or(|known| known.offer.ticket_version < offer.ticket_version);
        is_new.then_some(ReservationEvent::Offered(offer))
    }

    /// What happens when somebody wants the ticket for a price.
    pub fn place(
        &self,
        buyer: &str,
        price: &Money,
        cx: &Cx,
        hold: Duration,
    ) -> Result<ReservationEvent, OrderError> {
        if self.is_withdrawn {
            return Err(OrderError::Withdrawn);
        }
        if self.offer.seller == buyer {
            return Err(OrderError::OwnTicket);
        }
        if self.is_reserved() {
            return Err(OrderError::Reserved);
        }
        let Offer { seller, title, price: asked, .. } = &self.offer;
        if asked != price {
            return Err(OrderError::AnotherPrice(asked.clone()));
        }
        Ok(ReservationEvent::Placed(Order {
            id: format!("{}-{}", self.id, id::unique()),
            buyer: buyer.to_owned(),
            seller: seller.clone(),
            title: title.clone(),
            price: asked.clone(),
            status: Status::Reserved,
            placed_at: cx.now(),
            expires_at: cx.later(hold),
        }))
    }

    /// What happens because of the time.
    pub fn expire(&self, now: &str) -> Option<ReservationEvent> {
        self.order.as_ref().filter(|order| order.is_over(now)).map(|_| ReservationEvent::Expired)
    }

    /// What happens when the buyer wants the order no more. An order that has ended in another way is left so.
    pub fn cancel(&self, id: &str, now: &str) -> Option<ReservationEvent> {
        let is_this = |_: &ReservationEvent| self.order(id).is_some();
        self.expire(now).or_else(|| self.is_reserved().then_some(ReservationEvent::Cancelled)).filter(is_this)
    }

    /// What happens when the seller wants the ticket back.
    pub fn withdraw(&self, cx: &Cx) -> Result<Option<ReservationEvent>, OrderError> {
        if cx.caller.as_ref() != Some(&self.offer.seller) {
            return Err(OrderError::NotItsSeller);
        }
        match self.is_reserved() {
            true => Err(OrderError::StillReserved),
            false => Ok((!self.is_withdrawn).then_some(ReservationEvent::Withdrawn)),
        }
    }

    fn is_reserved(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.status == Status::Reserved)
    }

    /// Free again, as its order has come to this.
    fn ended(self, status: Status) -> Option<Self> {
        let order = self.order.filter(|order| order.status == Status::Reserved)?;
        Some(Self { order: Some(Order { status, ..order }), ..self })
    }

    /// The order with this id, if it is the one that was placed last.
    pub fn order(&self, id: &str) -> Option<&Order> {
        self.order.as_ref().filter(|order| order.id == id)
    }
}

impl Order {
    /// Whether its time is over and nobody has said so.
    fn is_over(&self, now: &str) -> bool {
        self.status == Status::Reserved && *self.expires_at <= *now
    }

    /// As far as this reader may see it: for others than its buyer and its seller there is none.
    pub fn read_by(&self, cx: &Cx) -> Result<ReadOrder, OrderError> {
        let is_buyer = cx.caller.as_ref() == Some(&self.buyer);
        if !is_buyer && cx.caller.as_ref() != Some(&self.seller) {
            return Err(OrderError::NoSuchOrder);
        }
        Ok(ReadOrder {
            id: self.id.clone(),
            ticket_id: id::root(&self.id).to_owned(),
            buyer: is_buyer.then(|| self.buyer.clone()),
            seller: self.seller.clone(),
            title: self.title.clone(),
            price: self.price.clone(),
            status: if self.is_over(&cx.now()) { Status::Expired } else { self.status },
            placed_at: self.placed_at.clone(),
            expires_at: self.expires_at.clone(),
        })
    }

    pub fn expect_buyer(&self, cx: &Cx) -> Result<(), OrderError> {
        match cx.caller.as_ref() {
            Some(caller) if *caller == self.buyer => Ok(()),
            Some(caller) if *caller == self.seller => Err(OrderError::NotItsBuyer),
            _ => Err(OrderError::NoSuchOrder),
        }
    }
}

impl Located for ReadOrder {
    fn id(&self) -> &str {
        &self.id
    }
}

impl From<Ticket> for Offer {
    fn from(ticket: Ticket) -> Self {
        let Ticket { id, version, seller, title, price, .. } = ticket;
        Self { ticket_id: id, ticket_version: version, seller, title, price }
    }
}

impl Aggregate for Reservation {
    type Service = Orders;
    type Event = ReservationEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &ReservationEvent) -> Option<Self> {
        let Some(before) = before else {
            let ReservationEvent::Offered(offer) = event else { return None };
            let (id, offer) = (offer.ticket_id.clone(), offer.clone());
            return Some(Self { id, offer, order: None, is_withdrawn: false, version: 1 });
        };
        let after = Self { version: before.version + 1, ..before };
        match event {
            ReservationEvent::Offered(offer) => Some(Self { offer: offer.clone(), ..after }),
            ReservationEvent::Placed(order) => {
                (!after.is_reserved()).then(|| Self { order: Some(order.clone()), ..after })
            }
            ReservationEvent::Cancelled => after.ended(Status::Cancelled),
            ReservationEvent::Expired => after.ended(Status::Expired),
            ReservationEvent::Withdrawn => Some(Self { is_withdrawn: true, ..after }),
        }
    }
}
