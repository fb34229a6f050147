//! The market as it is read: what is for sale, and what of it is whose.
//!
//! Tickets tell what is offered, orders tells who has it. Whether a ticket can be had is read from the log that decides it: whoever
//! has just reserved one brings the position of that, and sees it.

use std::collections::BTreeMap;

use trellis_kit::{
    Docs, Failure, Lists, PageRequest, Problem, Reader, Recorded, Series, Shares, Wire, Writer, id,
};

use crate::api::{Cx, OwnOrderPage, ReadTicket, ReadTicketPage, SalesPage};
use crate::errors::QueryError;
use crate::names::Names;
use crate::sources;
use crate::trellis::orders::events::ReservationEvent;
use crate::trellis::orders::types::{Order, Reservation, Status as OrderStatus};
use crate::trellis::payments::events::PaymentEvent;
use crate::trellis::payments::types::Payment;
use crate::trellis::query::types::{OwnOrder, ReadPayment, Sale, Sales, Total};
use crate::trellis::tickets::events::TicketEvent;
use crate::trellis::tickets::types::{Money, Status, Ticket};

/// All tickets, as they came.
const TICKETS: Series<Ticket> = Series::new(sources::TICKETS, "ticket", "market");
/// Whether each ticket can be had.
const HELD: Docs<Held> = Docs::new(sources::ORDERS, "held");
const ORDERS: Docs<Kept> = Docs::new(sources::ORDERS, "order");
/// The orders of each buyer, as they came, and those of each seller that were paid.
const ORDERS_OF: Lists = Lists::of_anybody(sources::ORDERS, "orders-of");
const SALES_OF: Lists = Lists::of_anybody(sources::ORDERS, "sales-of");
/// What the sales of each seller come to, by currency.
const TOTALS: Shares<Totals> = Shares::new(sources::ORDERS, "totals");
const PAYMENTS: Docs<ReadPayment> = Docs::new(sources::PAYMENTS, "payment");

/// What a reservation says of its ticket.
#[derive(Debug, Wire)]
struct Held {
    status: Status,
    free_at: Option<String>,
    reservation: u64,
}

/// An order, and what is remembered of it.
#[derive(Debug, Wire)]
struct Kept {
    order: Order,
    /// The payment that was let pay last.
    payment: Option<String>,
    sold_at: Option<String>,
}

/// By currency.
#[derive(Debug, Default, Wire)]
struct Totals {
    each: BTreeMap<String, Sum>,
}

/// What sales come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Wire)]
struct Sum {
    count: u64,
    /// None if it is more than can be counted.
    amount: Option<u64>,
}

pub fn tickets(cx: &Cx, page: &PageRequest) -> Result<ReadTicketPage, Problem> {
    let views = cx.views()?;
    let listed = TICKETS.list_with(&HELD, &views, page)?;
    let tickets = listed.items.into_iter().filter_map(|(ticket, held)| Some((ticket?, held)));
    let tickets: Vec<(Ticket, Option<Held>)> = tickets.collect();
    let names = Names::of(&views, tickets.iter().map(|(ticket, _)| &ticket.seller))?;
    let read = tickets.into_iter().map(|(ticket, held)| read_ticket(ticket, held, &names, &cx.now()));
    let offered = read.filter(|ticket| ticket.status != Status::Withdrawn);
    Ok(ReadTicketPage { items: offered.collect(), next: listed.next })
}

pub fn ticket(cx: &Cx, id: &str) -> Result<ReadTicket, Problem> {
    let views = cx.views()?;
    let (ticket, held) = TICKETS.docs().get_with(&HELD, &views, id)?;
    let ticket = ticket.ok_or(QueryError::NoSuchTicket)?;
    let names = Names::of(&views, [&ticket.seller])?;
    Ok(read_ticket(ticket, held, &names, &cx.now()))
}

pub fn orders(cx: &Cx, page: &PageRequest) -> Result<OwnOrderPage, Problem> {
    let (buyer, views) = (cx.caller.as_deref().ok_or(QueryError::NobodyKnown)?, cx.views()?);
    let listed = ORDERS_OF.list(&views, buyer, page)?;
    let kept = ORDERS.get_many(&views, &listed.ids)?;
    Ok(OwnOrderPage { items: own_orders(&views, kept, &cx.now())?, next: listed.next })
}

pub fn sales(cx: &Cx, page: &PageRequest) -> Result<SalesPage, Problem> {
    let (seller, views) = (cx.caller.as_deref().ok_or(QueryError::NobodyKnown)?, cx.views()?);
    let listed = SALES_OF.list(&views, seller, page)?;
    let items = ORDERS.get_many(&views, &listed.ids)?.into_iter().filter_map(|kept| {
        let Kept { order: Order { id, title, price, .. }, sold_at, .. } = kept;
        let ticket_id = id::root(&id).to_owned();
        Some(Sale { order_id: id, ticket_id, title, price, sold_at: sold_at? })
    });
    let totals = TOTALS.get(&views, seller)?.into_iter().fold(Totals::default(), Totals::with_all);
    let sales = Sales { totals: totals.read(), items: items.collect() };
    Ok(SalesPage { sales, next: listed.next })
}

/// A ticket as it is now: when its time is over it is for sale again, whether or not that was told.
fn read_ticket(ticket: Ticket, held: Option<Held>, names: &Names, now: &str) -> ReadTicket {
    let held = held.unwrap_or(Held { status: Status::ForSale, free_at: None, reservation: 0 });
    let is_free = held.free_at.as_ref().is_some_and(|free_at| **free_at <= *now);
    let (status, free_at) = if is_free { (Status::ForSale, None) } else { (held.status, held.free_at) };
    let Ticket { id, seller, title, price, listed_at, version, .. } = ticket;
    let (seller_name, reservation) = (names.get(&seller), held.reservation);
    ReadTicket { id, seller, seller_name, title, price, status, reservation, free_at, listed_at, version }
}

fn own_orders(views: &Reader, kept: Vec<Kept>, now: &str) -> Result<Vec<OwnOrder>, Problem> {
    let paying: Vec<String> = kept.iter().filter_map(|kept| kept.payment.clone()).collect();
    let payments = if paying.is_empty() { Vec::new() } else { PAYMENTS.get_many(views, &paying)? };
    let payments: BTreeMap<String, ReadPayment> =
        payments.into_iter().map(|payment| (payment.id.clone(), payment)).collect();
    let names = Names::of(views, kept.iter().map(|kept| &kept.order.seller))?;
    let own = kept.into_iter().map(|Kept { order, payment, .. }| {
        let is_over = order.status == OrderStatus::Reserved && *order.expires_at <= *now;
        let Order { id, seller, title, price, placed_at, expires_at, .. } = order;
        OwnOrder {
            ticket_id: id::root(&id).to_owned(),
            id,
            seller_name: names.get(&seller),
            seller,
            title,
            price,
            status: if is_over { OrderStatus::Expired } else { order.status },
            payment: payment.and_then(|payment| payments.get(&payment).cloned()),
            placed_at,
            expires_at,
        }
    });
    Ok(own.collect())
}

pub fn follow_tickets(event: &Recorded<TicketEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match &event.data {
        TicketEvent::Created(ticket) => TICKETS.add(writer, &ticket.id, ticket),
        TicketEvent::Changed(_)
        | TicketEvent::Reserved(_)
        | TicketEvent::Released(_)
        | TicketEvent::Sold(_)
        | TicketEvent::Withdrawn(_) => TICKETS.change(writer, &event.entity, &event.state()?),
    }
}

pub fn follow_payments(event: &Recorded<PaymentEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let Payment { id, status, reason, .. } = event.state()?;
    PAYMENTS.put(writer, &event.entity, &ReadPayment { id, status, reason })
}

pub fn follow_orders(event: &Recorded<ReservationEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let reservation: Reservation = event.state()?;
    HELD.put(writer, &event.entity, &Held::by(&reservation))?;
    match (&event.data, reservation.order) {
        (
            ReservationEvent::Placed(_)
            | ReservationEvent::Paying(_)
            | ReservationEvent::Resumed
            | ReservationEvent::Completed
            | ReservationEvent::Cancelled
            | ReservationEvent::Expired,
            Some(order),
        ) => follow_order(event, order, writer),
        _ => Ok(()),
    }
}

fn follow_order(
    event: &Recorded<ReservationEvent>,
    order: Order,
    writer: &Writer<'_>,
) -> Result<(), Failure> {
    let is_sold = matches!(event.data, ReservationEvent::Completed);
    match event.data {
        ReservationEvent::Placed(_) => ORDERS_OF.add(writer, &order.buyer, &order.id)?,
        ReservationEvent::Completed => {
            SALES_OF.add(writer, &order.seller, &order.id)?;
            TOTALS.update(writer, &order.seller, |totals| totals.unwrap_or_default().with(&order.price))?;
        }
        _ => {}
    }
    let sold_at = is_sold.then(|| event.time.clone());
    let id = order.id.clone();
    ORDERS.update(writer, &id, |before| {
        let payment = order.payment.clone().or_else(|| before?.payment);
        Some(Kept { order, payment, sold_at })
    })
}

impl Held {
    fn by(reservation: &Reservation) -> Self {
        let order = reservation.order.as_ref();
        let (status, free_at) = match order.map(|order| order.status) {
            _ if reservation.is_withdrawn => (Status::Withdrawn, None),
            Some(OrderStatus::Reserved) => (Status::Reserved, order.map(|order| order.expires_at.clone())),
            Some(OrderStatus::Paying) => (Status::Reserved, None),
            Some(OrderStatus::Paid) => (Status::Sold, None),
            Some(OrderStatus::Cancelled | OrderStatus::Expired) | None => (Status::ForSale, None),
        };
        Self { status, free_at, reservation: reservation.version }
    }
}

impl Totals {
    /// With one more sale.
    fn with(self, price: &Money) -> Self {
        self.with_sum(price.currency.clone(), Sum { count: 1, amount: Some(price.amount) })
    }

    fn with_all(self, others: Self) -> Self {
        others.each.into_iter().fold(self, |all, (currency, sum)| all.with_sum(currency, sum))
    }

    fn with_sum(mut self, currency: String, more: Sum) -> Self {
        let sum = self.each.entry(currency).or_insert(Sum { count: 0, amount: Some(0) });
        *sum = sum.with(more);
        self
    }

    fn read(self) -> Vec<Total> {
        let each = self.each.into_iter();
        each.map(|(currency, Sum { count, amount })| Total { currency, count, amount }).collect()
    }
}

impl Sum {
    fn with(self, more: Self) -> Self {
        let amount = self.amount.zip(more.amount).and_then(|(sum, more)| sum.checked_add(more));
        Self { count: self.count.saturating_add(more.count), amount }
    }
}
