//! What expiration promises, in the words of the domain.

use std::time::Duration;

use trellis_kit::testing::{
    anonymous, caller_as, deliver, every_event_twice, given, platform, play, settle, start,
    trouble_at_every_call,
};

use super::*;
use crate::trellis::orders::types::{Offer, Order, Reservation, Status};
use crate::trellis::tickets::types::Money;

play! {
    /// The service that orders come from.
    Orders: sources::ORDERS {
        Reservation.id by ReservationEvent: |before, event| match event {
            ReservationEvent::Offered(offer) => Some(Reservation {
                id: offer.ticket_id.clone(),
                offer: offer.clone(),
                order: None,
                payments: Vec::new(),
                is_withdrawn: false,
                version: 1,
            }),
            ReservationEvent::Placed(order) => {
                before.map(|reservation| Reservation { order: Some(order.clone()), ..reservation })
            }
            _ => before,
        }
    }
}

const HOLD: Duration = Duration::from_secs(15 * 60);

fn euros() -> Money {
    Money { amount: 1999, currency: "EUR".to_owned() }
}

fn offered(ticket: &str) -> ReservationEvent {
    ReservationEvent::Offered(Offer {
        ticket_id: ticket.to_owned(),
        ticket_version: 1,
        seller: "sue".to_owned(),
        title: "Concert".to_owned(),
        price: euros(),
    })
}

/// An order of now, for so long.
fn placed(id: &str, hold: Duration) -> ReservationEvent {
    let cx = anonymous();
    ReservationEvent::Placed(Order {
        id: id.to_owned(),
        buyer: "bob".to_owned(),
        seller: "sue".to_owned(),
        title: "Concert".to_owned(),
        price: euros(),
        status: Status::Reserved,
        payment: None,
        placed_at: cx.now(),
        expires_at: cx.later(hold),
    })
}

/// Three orders of two tickets; one was cancelled before its time was over.
fn orders() -> [&'static str; 3] {
    given::<Reservation>("t1", [offered("t1"), placed("t1-a", HOLD), ReservationEvent::Cancelled])
        .and("t1", [placed("t1-b", HOLD)])
        .and("t2", [offered("t2"), placed("t2-c", HOLD), ReservationEvent::Expired]);
    start::<Expiration>();
    ["t1-a", "t1-b", "t2-c"]
}

/// What was told, in the order of the ids.
fn told() -> Vec<Deadline> {
    let mut told: Vec<Deadline> = platform()
        .stored("LOG_expiration")
        .iter()
        .map(|message| {
            let event: trellis_kit::testing::Json = trellis_kit::testing::parse(&message.body);
            assert_eq!(event["type"], "deadline.passed.v1");
            trellis_kit::testing::parse(event["data"].to_string().as_bytes())
        })
        .collect();
    told.sort_by(|one, other| one.id.cmp(&other.id));
    told
}

#[test]
fn each_order_is_told_of_once_when_its_time_is_over_and_not_before() {
    let over = anonymous().later(HOLD);
    let ids = orders();
    let handle = || {
        while let Some(delivery) = platform().deliver("expiration") {
            deliver::<Expiration>(&delivery).unwrap();
        }
    };
    handle();
    platform().advance(HOLD - Duration::from_millis(1));
    handle();
    assert_eq!(told(), []);
    platform().advance(Duration::from_millis(1));
    handle();
    let expected =
        ids.map(|id| Deadline { id: id.to_owned(), expires_at: over.clone(), passed_at: over.clone() });
    assert_eq!(told(), expected);
    settle::<Expiration>();
    assert_eq!(told(), expected);
    let by = caller_as("operator", "olaf");
    assert_eq!(Expiration::get(&by, "t1-b".to_owned()).unwrap(), expected[1]);
    assert_eq!(Expiration::get(&by, "t1-x".to_owned()).unwrap_err().status, 404);
    assert_eq!(Expiration::get(&anonymous(), "t1-b".to_owned()).unwrap_err().status, 403);
}

#[test]
fn the_deadlines_of_a_ticket_are_one_family() {
    orders();
    settle::<Expiration>();
    let stored = platform().stored("LOG_expiration");
    let partition = |id: &str| {
        let of = stored.iter().find(|message| message.subject.contains(id)).unwrap();
        of.subject.split('.').nth(2).unwrap().to_owned()
    };
    assert_eq!(partition("t1-a"), partition("t1-b"));
}

#[test]
fn an_order_that_lasts_as_its_config_says_is_told_of_then() {
    given::<Reservation>("t1", [offered("t1"), placed("t1-a", Duration::from_secs(5))]);
    start::<Expiration>();
    let over = anonymous().later(Duration::from_secs(5));
    settle::<Expiration>();
    assert_eq!(told()[0].passed_at, over);
}

fn orders_that_are_over() -> [&'static str; 3] {
    let orders = orders();
    platform().advance(HOLD);
    orders
}

fn assert_told_once(ids: &[&str; 3]) {
    let told = told();
    assert_eq!(told.iter().map(|deadline| deadline.id.as_str()).collect::<Vec<_>>(), ids);
    assert!(told.iter().all(|deadline| deadline.passed_at >= deadline.expires_at));
    assert_eq!(platform().stored("DEAD_expiration"), []);
}

#[test]
fn every_event_twice_tells_once() {
    every_event_twice::<Expiration, _>(orders_that_are_over, |ids, _| assert_told_once(ids));
}

#[test]
fn dying_anywhere_it_tells_once() {
    let calls =
        trouble_at_every_call::<Expiration, _>(1, orders_that_are_over, |ids, _| assert_told_once(ids));
    assert!(calls >= 9, "the test has seen the whole history: {calls}");
}
