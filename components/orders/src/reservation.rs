//! Whose a ticket is. There is one reservation for each ticket, so all who want the ticket at the same time append the same
//! version of the same entity, and one of them is first.
//!
//! **Every decision looks at the time.** An order whose time is over is over, whether or not anybody has said so yet.

use std::time::Duration;

use trellis_kit::http::Located;
use trellis_kit::{Aggregate, Problem, config, id};

use crate::api::Cx;
use crate::errors::OrderError;
use crate::service::Orders;
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

/// How many payments are decided on for one order. Whoever comes with more is refused.
const PAYMENTS_MAX: usize = 100;

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
        match self.status() {
            Some(Status::Reserved | Status::Paying) => return Err(OrderError::Reserved),
            Some(Status::Paid) => return Err(OrderError::Sold),
            Some(Status::Cancelled | Status::Expired) | None => {}
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
            payment: None,
            placed_at: cx.now(),
            expires_at: cx.later(hold),
        }))
    }

    /// What happens when somebody wants to pay for an order. Of all payments, one is let pay at a time; which was refused is
    /// never let pay again.
    pub fn pay(&self, order: &str, payment: &str, now: &str) -> Option<ReservationEvent> {
        let is_decided = self.payments.iter().any(|decided| decided == payment);
        let is_payable = |order: &&Order| {
            order.status == Status::Reserved && !order.is_over(now) && self.payments.len() < PAYMENTS_MAX
        };
        match self.order(order) {
            Some(_) if is_decided => None,
            order if order.filter(is_payable).is_some() => Some(ReservationEvent::Paying(payment.to_owned())),
            _ => (!is_decided).then(|| ReservationEvent::Refused(payment.to_owned())),
        }
    }

    /// What happens when a payment has gone through, or has not.
    pub fn paid(&self, payment: &str, is_paid: bool, now: &str) -> Option<ReservationEvent> {
        let order = self.order.as_ref().filter(|order| order.status == Status::Paying)?;
        let is_this = order.payment.as_deref() == Some(payment);
        is_this.then(|| match is_paid {
            true => ReservationEvent::Completed,
            false if *order.expires_at <= *now => ReservationEvent::Expired,
            false => ReservationEvent::Resumed,
        })
    }

    /// What happens because of the time.
    pub fn expire(&self, now: &str) -> Option<ReservationEvent> {
        self.order.as_ref().filter(|order| order.is_over(now)).map(|_| ReservationEvent::Expired)
    }

    /// What happens when the buyer wants the order no more. An order that has ended without being paid is left so.
    pub fn cancel(&self, id: &str, now: &str) -> Result<Option<ReservationEvent>, OrderError> {
        let Some(order) = self.order(id) else { return Ok(None) };
        match order.status {
            Status::Reserved if order.is_over(now) => Ok(Some(ReservationEvent::Expired)),
            Status::Reserved => Ok(Some(ReservationEvent::Cancelled)),
            Status::Paying => Err(OrderError::BeingPaid),
            Status::Paid => Err(OrderError::Paid),
            Status::Cancelled | Status::Expired => Ok(None),
        }
    }

    /// What happens when the seller wants the ticket back.
    pub fn withdraw(&self, cx: &Cx) -> Result<Option<ReservationEvent>, OrderError> {
        if cx.caller.as_ref() != Some(&self.offer.seller) {
            return Err(OrderError::NotItsSeller);
        }
        match self.status() {
            Some(Status::Reserved | Status::Paying) => Err(OrderError::StillReserved),
            Some(Status::Paid) => Err(OrderError::Sold),
            Some(Status::Cancelled | Status::Expired) | None => {
                Ok((!self.is_withdrawn).then_some(ReservationEvent::Withdrawn))
            }
        }
    }

    /// What has become of the order that was placed last.
    fn status(&self) -> Option<Status> {
        self.order.as_ref().map(|order| order.status)
    }

    /// With its order as it has become, if it was one of these before.
    fn with(self, before: &[Status], status: Status, payment: Option<&String>) -> Option<Self> {
        let order = self.order.filter(|order| before.contains(&order.status))?;
        let payment = payment.cloned();
        Some(Self { order: Some(Order { status, payment, ..order }), ..self })
    }

    /// With a payment that was decided on.
    fn decided(mut self, payment: &str) -> Self {
        if self.payments.len() < PAYMENTS_MAX {
            self.payments.push(payment.to_owned());
        }
        self
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
            payment: self.payment.clone().filter(|_| is_buyer),
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
            return Some(Self {
                id,
                offer,
                order: None,
                payments: Vec::new(),
                is_withdrawn: false,
                version: 1,
            });
        };
        let after = Self { version: before.version + 1, ..before };
        match event {
            ReservationEvent::Offered(offer) => Some(Self { offer: offer.clone(), ..after }),
            ReservationEvent::Placed(order) => {
                let is_free = matches!(after.status(), None | Some(Status::Cancelled | Status::Expired));
                is_free.then(|| Self { order: Some(order.clone()), payments: Vec::new(), ..after })
            }
            ReservationEvent::Paying(payment) => {
                after.decided(payment).with(&[Status::Reserved], Status::Paying, Some(payment))
            }
            ReservationEvent::Refused(payment) => Some(after.decided(payment)),
            ReservationEvent::Resumed => after.with(&[Status::Paying], Status::Reserved, None),
            ReservationEvent::Completed => {
                let payment = after.order.as_ref().and_then(|order| order.payment.clone());
                after.with(&[Status::Paying], Status::Paid, payment.as_ref())
            }
            ReservationEvent::Cancelled => after.with(&[Status::Reserved], Status::Cancelled, None),
            ReservationEvent::Expired => {
                after.with(&[Status::Reserved, Status::Paying], Status::Expired, None)
            }
            ReservationEvent::Withdrawn => Some(Self { is_withdrawn: true, ..after }),
        }
    }
}
