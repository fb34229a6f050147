//! What tickets promise, in the words of the domain, and how they look over HTTP.

use trellis_kit::Response;
use trellis_kit::testing::{
    Json, anonymous, caller, deliver, every_event_twice, given, given_nothing, json, platform, play, request,
    settle, start, trouble_at_every_call,
};

use super::*;
use crate::trellis::orders::types::{Offer as Offered, Order};
use crate::trellis::tickets::types::Money;

play! {
    /// The service where tickets are reserved.
    Orders: sources::ORDERS {
        Reservation.id by ReservationEvent: |before, event| {
            let Some(before) = before else {
                let ReservationEvent::Offered(offer) = event else { return None };
                let (id, offer) = (offer.ticket_id.clone(), offer.clone());
                let (order, payments) = (None, Vec::new());
                return Some(Reservation { id, offer, order, payments, is_withdrawn: false, version: 1 });
            };
            let after = Reservation { version: before.version + 1, ..before };
            let now = |status| {
                let order = after.order.clone().map(|order| Order { status, ..order });
                Some(Reservation { order, ..after.clone() })
            };
            match event {
                ReservationEvent::Offered(_) | ReservationEvent::Refused(_) => Some(after),
                ReservationEvent::Placed(order) => Some(Reservation { order: Some(order.clone()), ..after }),
                ReservationEvent::Paying(_) => now(OrderStatus::Paying),
                ReservationEvent::Resumed => now(OrderStatus::Reserved),
                ReservationEvent::Completed => now(OrderStatus::Paid),
                ReservationEvent::Cancelled => now(OrderStatus::Cancelled),
                ReservationEvent::Expired => now(OrderStatus::Expired),
                ReservationEvent::Withdrawn => Some(Reservation { is_withdrawn: true, ..after }),
            }
        }
    }
}

/// What a gateway passes on for ann. The key is that of a repeated request.
fn as_ann(method: &str, target: &str, key: &str, body: &str) -> Response {
    platform().configure("caller-header", "x-caller");
    let headers = [("content-type", "application/json"), ("x-caller", "ann"), ("idempotency-key", key)];
    request::<Tickets>(method, target, &headers, body)
}

fn euros(amount: u64) -> Money {
    Money { amount, currency: "EUR".to_owned() }
}

fn offer(title: &str, amount: u64) -> Offer {
    Offer { title: title.to_owned(), price: euros(amount) }
}

fn listed(id: &str) -> TicketEvent {
    TicketEvent::Created(Ticket {
        id: id.to_owned(),
        seller: "ann".to_owned(),
        title: "Concert".to_owned(),
        price: euros(1999),
        status: Status::ForSale,
        reservation: 0,
        listed_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

fn change(by: &Cx, to: Offer) -> Result<Ticket, Problem> {
    Tickets::change(by, "t1".to_owned(), to)
}

fn offered(id: &str) -> ReservationEvent {
    let (ticket_id, seller, title) = (id.to_owned(), "ann".to_owned(), "Concert".to_owned());
    ReservationEvent::Offered(Offered { ticket_id, ticket_version: 1, seller, title, price: euros(1999) })
}

fn placed(id: &str) -> ReservationEvent {
    ReservationEvent::Placed(Order {
        id: format!("{id}-o"),
        buyer: "bob".to_owned(),
        seller: "ann".to_owned(),
        title: "Concert".to_owned(),
        price: euros(1999),
        status: OrderStatus::Reserved,
        payment: None,
        placed_at: "2026-01-01T00:00:00.000Z".to_owned(),
        expires_at: "2026-01-01T00:15:00.000Z".to_owned(),
    })
}

/// The ticket `t1`, which can be reserved.
fn known() {
    given::<Ticket>("t1", [listed("t1")]);
    given::<Reservation>("t1", [offered("t1")]);
    start::<Tickets>();
}

/// What has happened to the reservation of `t1`, and is heard.
fn heard(events: impl IntoIterator<Item = ReservationEvent>) -> Ticket {
    given::<Reservation>("t1", events);
    settle::<Tickets>();
    Tickets::get(&anonymous(), "t1".to_owned()).unwrap()
}

#[test]
fn a_ticket_is_offered_by_its_caller() {
    let ticket =
        given_nothing::<Ticket>().when(|| Tickets::create(&caller("ann"), offer(" Concert ", 1999))).ok();
    assert_eq!((ticket.title.as_str(), ticket.seller.as_str(), ticket.version), ("Concert", "ann", 1));
    assert_eq!((&ticket.price, ticket.status), (&euros(1999), Status::ForSale));
    assert_eq!(Tickets::get(&anonymous(), ticket.id.clone()).unwrap(), ticket);
}

#[test]
fn nobody_offers_anonymously() {
    given_nothing::<Ticket>().when(|| Tickets::create(&anonymous(), offer("Concert", 1))).then_problem(401);
}

#[test]
fn its_seller_changes_what_is_offered() {
    let ticket = given::<Ticket>("t1", [listed("t1")])
        .when(|| change(&caller("ann"), offer("Concert, row 1", 2500)))
        .then([TicketEvent::Changed(offer("Concert, row 1", 2500))]);
    assert_eq!((ticket.title.as_str(), &ticket.price, ticket.version), ("Concert, row 1", &euros(2500), 2));
    given::<Ticket>("t1", []).when(|| change(&caller("ann"), offer("Concert, row 1", 2500))).then([]);
}

#[test]
fn others_change_nothing() {
    for by in [anonymous(), caller("bob"), caller("")] {
        given::<Ticket>("t1", []).when(|| change(&by, offer("Mine", 1))).then_problem(404);
    }
    given::<Ticket>("t1", [listed("t1")]);
    for by in [anonymous(), caller("bob"), caller("")] {
        given::<Ticket>("t1", []).when(|| change(&by, offer("Mine", 1))).then_problem(403);
    }
}

#[test]
fn what_is_withdrawn_stays_so() {
    known();
    assert_eq!(heard([ReservationEvent::Withdrawn]).status, Status::Withdrawn);
    given::<Ticket>("t1", []).when(|| change(&caller("ann"), offer("Again", 1))).then_problem(409);
    let late = heard([placed("t1"), ReservationEvent::Expired]);
    assert_eq!((late.status, late.reservation), (Status::Withdrawn, 4));
}

#[test]
fn what_is_reserved_is_not_changed_until_it_is_free_again() {
    known();
    let reserved = heard([placed("t1")]);
    assert_eq!((reserved.status, reserved.reservation, reserved.version), (Status::Reserved, 2, 2));
    given::<Ticket>("t1", []).when(|| change(&caller("ann"), offer("Dearer", 2500))).then_problem(409);
    for (version, event) in [(3, ReservationEvent::Expired), (5, ReservationEvent::Cancelled)] {
        let free = heard([event]);
        assert_eq!((free.status, free.reservation), (Status::ForSale, version));
        change(&caller("ann"), offer("Concert", 2500 + version)).unwrap();
        heard([placed("t1")]);
    }
}

#[test]
fn what_is_sold_is_never_for_sale_again() {
    known();
    let paying = heard([placed("t1"), ReservationEvent::Paying("p1".to_owned())]);
    assert_eq!((paying.status, paying.reservation), (Status::Reserved, 3));
    let refused = heard([ReservationEvent::Refused("p2".to_owned())]);
    assert_eq!((refused.status, refused.reservation), (Status::Reserved, 3));
    let sold = heard([ReservationEvent::Completed]);
    assert_eq!((sold.status, sold.reservation), (Status::Sold, 5));
    given::<Ticket>("t1", []).when(|| change(&caller("ann"), offer("Again", 1))).then_problem(409);
}

#[test]
fn what_orders_said_before_changes_nothing() {
    known();
    given::<Reservation>("t1", [placed("t1"), ReservationEvent::Expired, placed("t1")]);
    let mut told = Vec::new();
    while let Some(delivery) = platform().deliver(Tickets::NAME) {
        assert_eq!(deliver::<Tickets>(&delivery), Ok(()));
        told.push(delivery);
    }
    let now = Tickets::get(&anonymous(), "t1".to_owned()).unwrap();
    assert_eq!((now.status, now.reservation), (Status::Reserved, 4));
    for delivery in told.iter().rev().chain(&told) {
        assert_eq!(deliver::<Tickets>(delivery), Ok(()));
    }
    assert_eq!(Tickets::get(&anonymous(), "t1".to_owned()).unwrap(), now);
}

#[test]
fn a_bad_offer_changes_nothing() {
    let price = r#"{"amount":1999,"currency":"EUR"}"#;
    let with = |title: &str, price: &str| format!(r#"{{"title":{title},"price":{price}}}"#);
    let long = format!("\"{}\"", "x".repeat(201));
    let mut bad = vec![
        ("title", r#"{"price":{"amount":1,"currency":"EUR"}}"#.to_owned()),
        ("price", r#"{"title":"a"}"#.to_owned()),
        ("seller", r#"{"title":"a","price":{"amount":1,"currency":"EUR"},"seller":"bob"}"#.to_owned()),
        ("price.cents", with(r#""a""#, r#"{"amount":1,"currency":"EUR","cents":1}"#)),
        ("price.amount", with(r#""a""#, r#"{"amount":1,"amount":2,"currency":"EUR"}"#)),
        ("price.amount", with(r#""a""#, r#"{"currency":"EUR"}"#)),
        ("price.currency", with(r#""a""#, r#"{"amount":1}"#)),
        ("price.currency", with(r#""a""#, r#"{"amount":1,"currency":"ZZZ"}"#)),
        ("price.currency", with(r#""a""#, r#"{"amount":1,"currency":["EUR"]}"#)),
        ("price", with(r#""a""#, "1999")),
        ("price", with(r#""a""#, "\"19.99 EUR\"")),
    ];
    for title in ["\"\"", "\"  \"", "\"a\\nb\"", "\"a\\u202eb\"", &long, "1", "null", "[\"a\"]"] {
        bad.push(("title", with(title, price)));
    }
    for amount in ["0", "-1", "1.5", "1e3", "9223372036854775808", "18446744073709551616", "\"1\"", "null"] {
        bad.push(("price.amount", with(r#""a""#, &format!(r#"{{"amount":{amount},"currency":"EUR"}}"#))));
    }
    given::<Ticket>("t1", [listed("t1")]);
    for (field, body) in &bad {
        for (method, path) in [("POST", "/tickets"), ("PUT", "/tickets/t1")] {
            let answer = as_ann(method, path, "k", body);
            assert_eq!(answer.status, 422, "{method} {body}: {answer:?}");
            assert_eq!(answer.problem().unwrap().errors[0].field, *field, "{method} {body}");
        }
    }
    assert_eq!(Tickets::get(&anonymous(), "t1".to_owned()).unwrap().version, 1);
}

fn offer_three_and_withdraw_one() {
    given::<Reservation>("unheard-of", [offered("unheard-of")]);
    start::<Tickets>();
    for title in ["a", "b", "c"] {
        let body = format!(r#"{{"title":"{title}","price":{{"amount":1,"currency":"EUR"}}}}"#);
        let answer = as_ann("POST", "/tickets", title, &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        if title == "b" {
            let id = json::<Ticket>(&answer).id;
            given::<Reservation>(&id, [offered(&id), ReservationEvent::Withdrawn]);
        }
    }
}

fn assert_for_sale(when: &str) {
    let listed: Json = json(&request::<Tickets>("GET", "/tickets", &[], ""));
    let titles: Vec<_> = listed.as_array().unwrap().iter().map(|ticket| &ticket["title"]).collect();
    assert_eq!(titles, ["c", "a"], "{when}");
}

#[test]
fn what_is_for_sale_is_listed_newest_first() {
    offer_three_and_withdraw_one();
    settle::<Tickets>();
    assert_for_sale("without trouble");
}

#[test]
fn events_that_come_twice_and_instances_that_die_change_nothing() {
    every_event_twice::<Tickets, _>(offer_three_and_withdraw_one, |(), when| assert_for_sale(when));
    trouble_at_every_call::<Tickets, _>(1, offer_three_and_withdraw_one, |(), when| assert_for_sale(when));
}
