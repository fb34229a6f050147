//! What orders promises, in the words of the domain, and how it looks over HTTP.

use std::time::Duration;

use trellis_kit::testing::{
    Json, anonymous, caller, deliver, every_event_twice, given, json, parse, platform, play, request, settle,
    start, trouble_at_every_call,
};

mod races;

use super::*;
use crate::trellis::expiration::types::Deadline;
use crate::trellis::orders::types::Status;
use crate::trellis::payments::types::Status as PaymentStatus;
use crate::trellis::tickets::types::{Money, Offer as Offered, Status as TicketStatus};

play! {
    /// The service that tickets come from.
    Tickets: sources::TICKETS {
        Ticket.id by TicketEvent: |before, event| match event {
            TicketEvent::Created(ticket) => Some(ticket.clone()),
            TicketEvent::Changed(Offered { title, price }) => before.map(|ticket| Ticket {
                title: title.clone(),
                price: price.clone(),
                version: ticket.version + 1,
                ..ticket
            }),
            _ => before,
        }
    }
}

play! {
    /// The service that payments come from.
    Payments: sources::PAYMENTS {
        Payment.id by PaymentEvent: |before, event| match event {
            PaymentEvent::Requested(payment) => Some(payment.clone()),
            PaymentEvent::Prepared(_) => before,
            PaymentEvent::Succeeded => before.map(|payment| Payment { status: PaymentStatus::Succeeded, ..payment }),
            PaymentEvent::Failed(_) => before.map(|payment| Payment { status: PaymentStatus::Failed, ..payment }),
            PaymentEvent::Refused => before.map(|payment| Payment { status: PaymentStatus::Refused, ..payment }),
        }
    }
}

play! {
    /// The service that says when time is over.
    Expiration: sources::EXPIRATION {
        Deadline.id by DeadlineEvent: |_, event| match event {
            DeadlineEvent::Passed(deadline) => Some(deadline.clone()),
        }
    }
}

fn euros(amount: u64) -> Money {
    Money { amount, currency: "EUR".to_owned() }
}

fn listed(id: &str) -> TicketEvent {
    TicketEvent::Created(Ticket {
        id: id.to_owned(),
        seller: "sue".to_owned(),
        title: "Concert".to_owned(),
        price: euros(1999),
        status: TicketStatus::ForSale,
        reservation: 0,
        listed_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

/// The ticket `t1`, which sue sells for 19.99, and of which orders has heard.
fn ticket() {
    given::<Ticket>("t1", [listed("t1")]);
    given::<Payment>("p0", [asked("p0", "t1-never")]);
    start::<Orders>();
    settle::<Orders>();
}

/// Somebody wants to pay for an order.
fn asked(payment: &str, order: &str) -> PaymentEvent {
    PaymentEvent::Requested(Payment {
        id: payment.to_owned(),
        order_id: order.to_owned(),
        buyer: "ann".to_owned(),
        amount: euros(1999),
        status: PaymentStatus::Requested,
        reason: None,
        processor: None,
        processor_id: None,
        requested_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

/// What happens to a payment, and is heard.
fn heard(payment: &str, event: PaymentEvent) {
    given::<Payment>(payment, [event]);
    settle::<Orders>();
}

fn declined() -> PaymentEvent {
    PaymentEvent::Failed("card_declined".to_owned())
}

fn dearer() -> TicketEvent {
    TicketEvent::Changed(Offered { title: "Concert".to_owned(), price: euros(2500) })
}

fn place(by: &Cx, price: u64) -> Result<ReadOrder, Problem> {
    Orders::place(by, NewOrder { ticket_id: "t1".to_owned(), price: euros(price) })
}

fn cancel(by: &Cx, order: &ReadOrder) -> Result<(), Problem> {
    Orders::cancel(by, order.id.clone())
}

fn withdraw(by: &Cx) -> Result<(), Problem> {
    Orders::withdraw(by, "t1".to_owned())
}

fn get(by: &Cx, order: &ReadOrder) -> Result<ReadOrder, Problem> {
    Orders::get(by, order.id.clone())
}

fn status(order: &ReadOrder) -> Status {
    let buyer = order.buyer.as_deref().unwrap();
    get(&caller(buyer), order).unwrap().status
}

/// Where nothing but what is done here has happened since.
fn since() -> trellis_kit::testing::Given<Reservation> {
    given::<Reservation>("t1", [])
}

#[test]
fn a_ticket_is_reserved_for_who_wants_it() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    assert!(order.id.starts_with("t1-"), "{}", order.id);
    assert_eq!(
        (order.ticket_id.as_str(), order.title.as_str(), &order.price),
        ("t1", "Concert", &euros(1999))
    );
    assert_eq!((order.buyer.as_deref(), order.seller.as_str()), (Some("ann"), "sue"));
    assert_eq!(
        (order.status, &order.expires_at),
        (Status::Reserved, &caller("ann").later(Duration::from_secs(900)))
    );
    assert_eq!(get(&caller("ann"), &order).unwrap(), order);
}

#[test]
fn nobody_else_has_it_meanwhile_and_who_comes_after_the_time_does() {
    ticket();
    platform().configure("hold-seconds", "60");
    let first = place(&caller("ann"), 1999).unwrap();
    platform().advance(Duration::from_millis(59_999));
    since().when(|| place(&caller("bob"), 1999)).then_problem(409);
    assert_eq!(status(&first), Status::Reserved);
    platform().advance(Duration::from_millis(1));
    assert_eq!(status(&first), Status::Expired, "though nobody has said so yet");
    let second = place(&caller("bob"), 1999).unwrap();
    settle::<Orders>();
    assert_eq!((status(&first), status(&second)), (Status::Expired, Status::Reserved));
}

/// Expiration says that the time of an order is over, by its own clock.
fn pass(order: &ReadOrder) {
    given::<Deadline>(&order.id, [passed(&order.id, &order.expires_at)]);
    start::<Orders>();
}

fn passed(order: &str, expires_at: &str) -> DeadlineEvent {
    let (id, expires_at) = (order.to_owned(), expires_at.to_owned());
    DeadlineEvent::Passed(Deadline { id, passed_at: expires_at.clone(), expires_at })
}

/// What has happened to the reservation, by the names of its events.
fn happened() -> Vec<String> {
    let events = platform().stored("LOG_orders");
    events
        .iter()
        .map(|event| trellis_kit::testing::parse::<Json>(&event.body)["type"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_ticket_is_free_again_when_the_time_is_over_though_nobody_asks() {
    ticket();
    let first = place(&caller("ann"), 1999).unwrap();
    platform().advance(Duration::from_secs(900));
    pass(&first);
    settle::<Orders>();
    assert_eq!(happened().last().unwrap(), "reservation.expired.v1");
    // What was told of it comes late for the next one.
    let second = place(&caller("bob"), 1999).unwrap();
    platform().advance(Duration::from_secs(900));
    platform().forget_bucket();
    platform().lose_stream("LOG_expiration");
    pass(&first);
    settle::<Orders>();
    assert_eq!(happened().last().unwrap(), "reservation.placed.v1");
    assert_eq!((status(&first), status(&second)), (Status::Expired, Status::Expired));
}

#[test]
fn a_deadline_that_comes_early_by_this_clock_frees_nothing_yet() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    platform().advance(Duration::from_millis(900_000 - 1));
    pass(&order);
    while let Some(delivery) = platform().deliver("orders") {
        trellis_kit::testing::deliver::<Orders>(&delivery).unwrap();
    }
    assert_eq!(happened().last().unwrap(), "reservation.placed.v1");
    settle::<Orders>();
    assert_eq!(happened().last().unwrap(), "reservation.expired.v1");
}

#[test]
fn what_cannot_be_had_is_refused_with_the_reason() {
    ticket();
    since().when(|| place(&anonymous(), 1999)).then_problem(401);
    for price in [0, 1998, 2000, u64::MAX] {
        let refused = since().when(|| place(&caller("ann"), price)).then_problem(409);
        assert!(refused.detail.unwrap().contains("1999 EUR"), "{price}");
    }
    let dollars = Money { amount: 1999, currency: "USD".to_owned() };
    let in_dollars = NewOrder { ticket_id: "t1".to_owned(), price: dollars };
    since().when(|| Orders::place(&caller("ann"), in_dollars)).then_problem(409);
    let own = since().when(|| place(&caller("sue"), 1999)).then_problem(409);
    assert!(own.detail.unwrap().contains("your own"));
    for id in ["t2", "t1-x", "", "t.1", ">", "*"] {
        let order = NewOrder { ticket_id: id.to_owned(), price: euros(1999) };
        let refused = since().when(|| Orders::place(&caller("ann"), order)).then_problem(422);
        assert_eq!(refused.errors[0].field, "ticket_id");
    }
}

#[test]
fn what_was_offered_just_now_can_be_had_at_once() {
    start::<Orders>();
    settle::<Orders>();
    given::<Ticket>("t1", [listed("t1")]);
    let first = place(&caller("ann"), 1999).unwrap();
    cancel(&caller("ann"), &first).unwrap();
    given::<Ticket>("t1", [dearer()]);
    let second = place(&caller("ann"), 2500).unwrap();
    assert_eq!(second.price, euros(2500));
    assert_eq!(get(&caller("ann"), &second).unwrap().price, euros(2500));
    // What is told afterwards is known already.
    let before = platform().stored("LOG_orders").len();
    settle::<Orders>();
    assert_eq!(platform().stored("LOG_orders").len(), before);
}

#[test]
fn a_price_that_changes_is_that_of_the_next_order() {
    ticket();
    let first = place(&caller("ann"), 1999).unwrap();
    given::<Ticket>("t1", [dearer()]);
    settle::<Orders>();
    assert_eq!(get(&caller("ann"), &first).unwrap().price, euros(1999));
    cancel(&caller("ann"), &first).unwrap();
    since().when(|| place(&caller("bob"), 1999)).then_problem(409);
    assert_eq!(place(&caller("bob"), 2500).unwrap().price, euros(2500));
}

#[test]
fn its_buyer_gives_it_back_and_nobody_else_does() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    for (by, expected) in [(anonymous(), 404), (caller("bob"), 404), (caller("sue"), 403)] {
        since().when(|| cancel(&by, &order)).then_problem(expected);
    }
    since().when(|| cancel(&caller("ann"), &order)).then([ReservationEvent::Cancelled]);
    since().when(|| cancel(&caller("ann"), &order)).then([]);
    settle::<Orders>();
    assert_eq!(status(&order), Status::Cancelled);
    let next = place(&caller("bob"), 1999).unwrap();
    since().when(|| cancel(&caller("ann"), &order)).then([]);
    assert_eq!(status(&next), Status::Reserved, "an order that has ended frees nobody else's ticket");
    settle::<Orders>();
    assert_eq!((status(&order), status(&next)), (Status::Cancelled, Status::Reserved));
}

#[test]
fn an_order_whose_time_is_over_cannot_be_cancelled_any_more() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    platform().advance(Duration::from_secs(900));
    since().when(|| cancel(&caller("ann"), &order)).then([ReservationEvent::Expired]);
    assert_eq!(status(&order), Status::Expired);
}

#[test]
fn an_order_is_for_its_buyer_and_without_the_buyer_for_the_seller() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    let sold = get(&caller("sue"), &order).unwrap();
    assert_eq!(sold, ReadOrder { buyer: None, ..order.clone() });
    for by in [anonymous(), caller("bob"), caller("")] {
        assert_eq!(get(&by, &order).unwrap_err().status, 404);
    }
    for never in ["t1", "t2", "t1-x", "", ">", "t1-*"] {
        assert_eq!(Orders::get(&caller("ann"), never.to_owned()).unwrap_err().status, 404, "{never}");
    }
}

#[test]
fn its_seller_takes_a_ticket_off_the_market() {
    ticket();
    for by in [anonymous(), caller("ann")] {
        since().when(|| withdraw(&by)).then_problem(403);
    }
    let order = place(&caller("ann"), 1999).unwrap();
    since().when(|| withdraw(&caller("sue"))).then_problem(409);
    platform().advance(Duration::from_secs(900));
    since().when(|| withdraw(&caller("sue"))).then([ReservationEvent::Expired, ReservationEvent::Withdrawn]);
    since().when(|| withdraw(&caller("sue"))).then([]);
    since().when(|| place(&caller("bob"), 1999)).then_problem(409);
    assert_eq!(status(&order), Status::Expired);
}

#[test]
fn a_ticket_can_be_withdrawn_before_it_was_heard_of() {
    start::<Orders>();
    given::<Ticket>("t1", [listed("t1")]);
    withdraw(&caller("sue")).unwrap();
    settle::<Orders>();
    since().when(|| place(&caller("ann"), 1999)).then_problem(409);
    since().when(|| Orders::withdraw(&caller("sue"), "t2".to_owned())).then_problem(404);
}

#[test]
fn an_order_is_paid_by_one_payment() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    heard("p1", asked("p1", &order.id));
    heard("p2", asked("p2", &order.id));
    let paying = get(&caller("ann"), &order).unwrap();
    assert_eq!((paying.status, paying.payment.as_deref()), (Status::Paying, Some("p1")));
    assert_eq!(get(&caller("sue"), &order).unwrap().payment, None);
    assert_eq!(refused(), ["p0", "p2"]);
    since().when(|| cancel(&caller("ann"), &order)).then_problem(409);
    since().when(|| withdraw(&caller("sue"))).then_problem(409);
    since().when(|| place(&caller("bob"), 1999)).then_problem(409);
    heard("p2", PaymentEvent::Refused);
    heard("p1", PaymentEvent::Prepared("pi".to_owned()));
    assert_eq!(status(&order), Status::Paying, "what the processor calls it decides nothing");
    heard("p1", PaymentEvent::Succeeded);
    let paid = get(&caller("ann"), &order).unwrap();
    assert_eq!((paid.status, paid.payment.as_deref()), (Status::Paid, Some("p1")));
    heard("p3", asked("p3", &order.id));
    assert_eq!(refused(), ["p0", "p2", "p3"], "it is paid");
    platform().advance(Duration::from_secs(900));
    since().when(|| cancel(&caller("ann"), &order)).then_problem(409);
    since().when(|| withdraw(&caller("sue"))).then_problem(409);
    since().when(|| place(&caller("bob"), 1999)).then_problem(409);
    assert_eq!(status(&order), Status::Paid);
}

#[test]
fn what_comes_of_another_payment_changes_nothing() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    heard("p1", asked("p1", &order.id));
    heard("p2", asked("p2", &order.id));
    for other in [declined(), PaymentEvent::Succeeded] {
        heard("p2", other);
        assert_eq!(status(&order), Status::Paying);
    }
}

#[test]
fn an_offer_that_comes_late_changes_nothing() {
    given::<Ticket>("t1", [listed("t1")]);
    start::<Orders>();
    let late = platform().deliver(Orders::NAME).unwrap();
    given::<Ticket>("t1", [dearer()]);
    let order = place(&caller("ann"), 2500).unwrap();
    assert_eq!(deliver::<Orders>(&late), Ok(()));
    cancel(&caller("ann"), &order).unwrap();
    assert_eq!(place(&caller("bob"), 2500).unwrap().price, euros(2500));
    assert_eq!(happened().iter().filter(|event| **event == "reservation.offered.v1").count(), 1);
}

/// The payments that were refused.
fn refused() -> Vec<String> {
    let told = platform().stored("LOG_orders").into_iter().map(|stored| parse::<Json>(&stored.body));
    let refused = told.filter(|event| event["type"] == "reservation.refused.v1");
    refused.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn after_a_payment_that_failed_there_is_time_for_another_one() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    heard("p1", asked("p1", &order.id));
    heard("p1", declined());
    let resumed = get(&caller("ann"), &order).unwrap();
    assert_eq!((resumed.status, resumed.payment), (Status::Reserved, None));
    heard("p2", asked("p2", &order.id));
    heard("p2", PaymentEvent::Succeeded);
    assert_eq!(status(&order), Status::Paid);
}

#[test]
fn an_order_that_is_being_paid_does_not_expire_until_that_has_failed() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    platform().advance(Duration::from_millis(899_999));
    heard("p1", asked("p1", &order.id));
    platform().advance(Duration::from_secs(60 * 60));
    assert_eq!(status(&order), Status::Paying);
    since().when(|| place(&caller("bob"), 1999)).then_problem(409);
    heard("p1", declined());
    assert_eq!(status(&order), Status::Expired, "in the same decision");
    assert_eq!(happened().last().unwrap(), "reservation.expired.v1");
    place(&caller("bob"), 1999).unwrap();
}

#[test]
fn what_has_ended_is_not_paid() {
    for end in ["cancelled", "expired"] {
        platform().forget_everything();
        ticket();
        let order = place(&caller("ann"), 1999).unwrap();
        match end {
            "cancelled" => cancel(&caller("ann"), &order).unwrap(),
            _ => platform().advance(Duration::from_secs(900)),
        }
        heard("p1", asked("p1", &order.id));
        assert_eq!(refused(), ["p0", "p1"], "{end}");
        let next = place(&caller("bob"), 1999).unwrap();
        heard("p2", asked("p2", &order.id));
        assert_eq!(refused(), ["p0", "p1", "p2"], "{end}");
        assert_eq!(status(&next), Status::Reserved, "nobody pays for what another has");
    }
}

#[test]
fn what_was_refused_is_refused_however_often_it_comes() {
    ticket();
    let order = place(&caller("ann"), 1999).unwrap();
    heard("p1", asked("p1", &order.id));
    given::<Payment>("p2", [asked("p2", &order.id)]);
    let refusal = platform().deliver(Orders::NAME).unwrap();
    assert_eq!(deliver::<Orders>(&refusal), Ok(()));
    heard("p1", declined());
    assert_eq!(deliver::<Orders>(&refusal), Ok(()));
    let resumed = get(&caller("ann"), &order).unwrap();
    assert_eq!((resumed.status, refused()), (Status::Reserved, vec!["p0".to_owned(), "p2".to_owned()]));
}

#[test]
fn a_time_that_is_none_reserves_nothing() {
    ticket();
    for bad in ["0", "86401", "-1", "1.5", "\"60\"", "soon", ""] {
        platform().configure("hold-seconds", bad);
        since().when(|| place(&caller("ann"), 1999)).then_problem(503);
    }
}

/// What a gateway passes on.
fn send(by: &str, method: &str, target: &str, key: &str, body: &str) -> trellis_kit::Response {
    platform().configure("caller-header", "x-caller");
    let headers = [("content-type", "application/json"), ("x-caller", by), ("idempotency-key", key)];
    request::<Orders>(method, target, &headers, body)
}

const ORDER: &str = r#"{"ticket_id":"t1","price":{"amount":1999,"currency":"EUR"}}"#;

#[test]
fn the_same_key_is_one_order_whatever_became_of_it() {
    ticket();
    let id = |answer: &trellis_kit::Response| json::<Json>(answer)["id"].clone();
    let first = send("ann", "POST", "/orders", "k", ORDER);
    assert_eq!(first.status, 201, "{first:?}");
    let path = first.header("location").unwrap().split('?').next().unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(send("ann", "POST", "/orders", "k", ORDER).body, first.body);
    }
    assert_eq!(send("ann", "POST", "/orders", "other", ORDER).status, 409);
    assert_eq!(send("bob", "POST", "/orders", "k", ORDER).status, 409, "a key is its caller's");
    assert_eq!(send("ann", "DELETE", &path, "d", "").status, 204);
    let again = send("ann", "POST", "/orders", "k", ORDER);
    assert_eq!((again.status, id(&again)), (201, id(&first)));
    assert_eq!(
        json::<Json>(&send("ann", "GET", &path, "g", ""))["status"],
        "cancelled",
        "nothing came of asking again"
    );
    assert_eq!(send("bob", "POST", "/orders", "k", ORDER).status, 201);
    let again = send("ann", "POST", "/orders", "k", ORDER);
    assert_eq!((again.status, id(&again)), (201, id(&first)), "though it is bob's by now");
}

#[test]
fn a_bad_order_reserves_nothing() {
    ticket();
    let price = r#"{"amount":1999,"currency":"EUR"}"#;
    let with = |ticket: &str, price: &str| format!(r#"{{"ticket_id":{ticket},"price":{price}}}"#);
    let long = format!("\"{}\"", "x".repeat(129));
    let mut bad = vec![
        ("ticket_id", format!(r#"{{"price":{price}}}"#)),
        ("price", r#"{"ticket_id":"t1"}"#.to_owned()),
        ("buyer", r#"{"ticket_id":"t1","price":{"amount":1999,"currency":"EUR"},"buyer":"bob"}"#.to_owned()),
        (
            "ticket_id",
            r#"{"ticket_id":"t1","ticket_id":"t2","price":{"amount":1,"currency":"EUR"}}"#.to_owned(),
        ),
        ("price", with(r#""t1""#, "1999")),
        ("price.currency", with(r#""t1""#, r#"{"amount":1999,"currency":["EUR"]}"#)),
    ];
    for ticket in ["\"\"", "\" t1\"", "\"t.1\"", "\"t1\\n\"", &long, "1", "null", "[\"t1\"]"] {
        bad.push(("ticket_id", with(ticket, price)));
    }
    for amount in ["-1", "1.5", "1e3", "18446744073709551616", "\"1999\"", "null"] {
        bad.push(("price.amount", with(r#""t1""#, &format!(r#"{{"amount":{amount},"currency":"EUR"}}"#))));
    }
    for (field, body) in &bad {
        let answer = send("ann", "POST", "/orders", "k", body);
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.problem().unwrap().errors[0].field, *field, "{body}");
    }
    assert_eq!(platform().stored("LOG_orders").len(), 2, "the offer, and who was refused before");
}

/// Ann reserves and gives back, bob reserves and is late, cid has it.
fn three_buyers() -> [String; 3] {
    ticket();
    let place = |by: &str| {
        let answer = send(by, "POST", "/orders", by, ORDER);
        assert_eq!(answer.status, 201, "{by}: {answer:?}");
        answer.header("location").unwrap().split('?').next().unwrap().to_owned()
    };
    let anns = place("ann");
    assert_eq!(send("ann", "DELETE", &anns, "d", "").status, 204);
    let bobs = place("bob");
    platform().advance(Duration::from_secs(900));
    [anns, bobs, place("cid")]
}

fn assert_the_last_has_it(orders: &[String; 3], when: &str) {
    let [anns, bobs, cids] = orders;
    for (by, path, status) in
        [("ann", anns, "cancelled"), ("bob", bobs, "expired"), ("cid", cids, "reserved")]
    {
        let order: Json = json(&send(by, "GET", path, "g", ""));
        assert_eq!(order["status"], status, "{when}: {order}");
    }
}

#[test]
fn events_that_come_twice_and_instances_that_die_change_nothing() {
    every_event_twice::<Orders, _>(three_buyers, assert_the_last_has_it);
    trouble_at_every_call::<Orders, _>(1, three_buyers, assert_the_last_has_it);
}
