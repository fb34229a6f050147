//! What payments promises, in the words of the domain, and how it looks over HTTP.

mod stripe;

use std::time::Duration;

use trellis_kit::platform::memory::Harm;
use trellis_kit::testing::{
    Json, anonymous, caller, deliver, every_event_twice, given, json, platform, play, request, run, settle,
    start, trouble_at_every_call,
};

use trellis_kit::time::elapsed;

use super::*;
use crate::trellis::orders::types::Offer;
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
                ReservationEvent::Placed(order) => Some(Reservation { order: Some(order.clone()), ..after }),
                ReservationEvent::Paying(_) => now(OrderStatus::Paying),
                ReservationEvent::Resumed => now(OrderStatus::Reserved),
                ReservationEvent::Completed => now(OrderStatus::Paid),
                ReservationEvent::Cancelled => now(OrderStatus::Cancelled),
                ReservationEvent::Expired => now(OrderStatus::Expired),
                _ => Some(after),
            }
        }
    }
}

fn price() -> Money {
    Money { amount: 1999, currency: "EUR".to_owned() }
}

fn placed() -> ReservationEvent {
    ReservationEvent::Placed(Order {
        id: "t1-o".to_owned(),
        buyer: "ann".to_owned(),
        seller: "sue".to_owned(),
        title: "Concert".to_owned(),
        price: price(),
        status: OrderStatus::Reserved,
        payment: None,
        placed_at: "2026-01-01T00:00:00.000Z".to_owned(),
        expires_at: anonymous().later(Duration::from_secs(900)),
    })
}

/// The order `t1-o`, which ann has placed.
fn order() {
    let (ticket_id, seller, title) = ("t1".to_owned(), "sue".to_owned(), "Concert".to_owned());
    let offered =
        ReservationEvent::Offered(Offer { ticket_id, ticket_version: 1, seller, title, price: price() });
    given::<Reservation>("t1", [offered, placed()]);
    start::<Payments>();
    settle::<Payments>();
}

fn pay(by: &Cx, token: &str) -> Result<Payment, Problem> {
    Payments::pay(by, NewPayment { order_id: "t1-o".to_owned(), token: token.to_owned() }, None)
}

fn now(payment: &Payment) -> Payment {
    Payments::get(&caller("ann"), payment.id.clone()).unwrap()
}

/// How many charges are in the ledger, each of the price.
fn charged() -> usize {
    let stored = platform().stored("LOG_payments").into_iter();
    let lines = stored.map(|stored| String::from_utf8(stored.body).unwrap());
    let charges: Vec<String> = lines.filter(|line| line.contains("charge.charged.v1")).collect();
    assert!(charges.iter().all(|charge| charge.contains(r#""amount":{"amount":1999,"currency":"EUR"}"#)));
    charges.len()
}

/// What orders says next.
fn heard(event: ReservationEvent) {
    given::<Reservation>("t1", [event]);
    settle::<Payments>();
}

#[test]
fn a_payment_waits_until_its_order_is_being_paid() {
    order();
    let payment = pay(&caller("ann"), "tok_ok").unwrap();
    assert_eq!(
        (payment.order_id.as_str(), payment.buyer.as_str(), &payment.amount),
        ("t1-o", "ann", &price())
    );
    assert_eq!((payment.status, charged()), (Status::Requested, 0), "nobody is charged yet");
    heard(ReservationEvent::Paying(payment.id.clone()));
    assert_eq!((now(&payment).status, charged()), (Status::Succeeded, 1));
    heard(ReservationEvent::Completed);
    assert_eq!((now(&payment).status, charged()), (Status::Succeeded, 1));
}

#[test]
fn what_the_processor_says_is_told() {
    for (token, reason) in [("tok_declined", "card_declined"), ("tok_insufficient", "insufficient_funds")] {
        platform().forget_everything();
        order();
        let payment = pay(&caller("ann"), token).unwrap();
        heard(ReservationEvent::Paying(payment.id.clone()));
        let failed = now(&payment);
        assert_eq!((failed.status, failed.reason.as_deref(), charged()), (Status::Failed, Some(reason), 0));
    }
}

#[test]
fn a_payment_that_lost_is_refused_and_costs_nothing() {
    order();
    let [first, second] = [pay(&caller("ann"), "tok_ok"), pay(&caller("ann"), "tok_ok")].map(Result::unwrap);
    assert_ne!(first.id, second.id, "without a key, each is one of its own");
    heard(ReservationEvent::Paying(first.id.clone()));
    heard(ReservationEvent::Refused(second.id.clone()));
    assert_eq!((now(&first).status, now(&second).status, charged()), (Status::Succeeded, Status::Refused, 1));
    // What comes late changes nothing any more.
    heard(ReservationEvent::Refused(first.id.clone()));
    heard(ReservationEvent::Paying(second.id.clone()));
    assert_eq!((now(&first).status, now(&second).status, charged()), (Status::Succeeded, Status::Refused, 1));
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again_and_charges_once() {
    order();
    let payment = pay(&caller("ann"), "tok_unknown").unwrap();
    given::<Reservation>("t1", [ReservationEvent::Paying(payment.id.clone())]);
    let delivery = platform().deliver(Payments::NAME).unwrap();
    assert_eq!(deliver::<Payments>(&delivery), Ok(()));
    assert_eq!((now(&payment).status, charged()), (Status::Requested, 1), "a timeout is never a no");
    settle::<Payments>();
    assert_eq!((now(&payment).status, charged()), (Status::Succeeded, 1));
}

#[test]
fn what_cannot_be_paid_is_refused_before_anybody_is_asked() {
    order();
    let before = platform().stored("LOG_payments").len();
    assert_eq!(pay(&anonymous(), "tok_ok").unwrap_err().status, 401);
    for by in ["bob", "sue", ""] {
        assert_eq!(pay(&caller(by), "tok_ok").unwrap_err().status, 422, "{by}");
    }
    for never in ["t1", "t1-x", "t2-o", "", ">", "t1-*"] {
        let new = NewPayment { order_id: never.to_owned(), token: "tok_ok".to_owned() };
        let refused = Payments::pay(&caller("ann"), new, None).unwrap_err();
        assert_eq!((refused.status, refused.errors[0].field.as_str()), (422, "order_id"), "{never}");
    }
    for bad in ["", "tok", "tok_ok\n", "TOK_OK", &"x".repeat(10_000), "4242424242424242"] {
        let problem = pay(&caller("ann"), bad).unwrap_err();
        assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "token"), "{bad:.20}");
        assert!(!format!("{problem:?}").contains("4242"), "what is no token may be a card");
    }
    for (event, detail) in [
        (ReservationEvent::Paying("p".to_owned()), "is being paid"),
        (ReservationEvent::Completed, "is paid"),
    ] {
        given::<Reservation>("t1", [event]);
        let problem = pay(&caller("ann"), "tok_ok").unwrap_err();
        assert!(problem.status == 409 && problem.detail.as_ref().unwrap().contains(detail), "{problem:?}");
    }
    assert_eq!(platform().stored("LOG_payments").len(), before);
}

#[test]
fn an_order_whose_time_is_over_is_not_paid() {
    order();
    platform().advance(Duration::from_millis(899_999));
    pay(&caller("ann"), "tok_ok").unwrap();
    platform().advance(Duration::from_millis(1));
    assert_eq!(pay(&caller("ann"), "tok_ok").unwrap_err().status, 409);
}

#[test]
fn a_payment_is_shown_to_its_buyer_alone() {
    order();
    let payment = pay(&caller("ann"), "tok_ok").unwrap();
    for by in [anonymous(), caller("bob"), caller("sue")] {
        assert_eq!(Payments::get(&by, payment.id.clone()).unwrap_err().status, 404);
    }
    let told = String::from_utf8(platform().stored("LOG_payments").remove(0).body).unwrap();
    assert!(!told.contains("tok_"), "nobody is told by what card: {told}");
}

const PAYMENT: &str = r#"{"order_id":"t1-o","token":"tok_ok"}"#;

/// What a gateway passes on for ann.
fn send(method: &str, target: &str, key: &str, body: &str) -> trellis_kit::Response {
    platform().configure("caller-header", "x-caller");
    let headers = [("content-type", "application/json"), ("x-caller", "ann"), ("idempotency-key", key)];
    request::<Payments>(method, target, &headers, body)
}

#[test]
fn the_same_key_pays_once_whatever_became_of_it() {
    order();
    let first = send("POST", "/payments", "k", PAYMENT);
    assert_eq!(first.status, 202, "{first:?}");
    let place = first.header("location").unwrap().split('?').next().unwrap().to_owned();
    let id = json::<Json>(&first)["id"].as_str().unwrap().to_owned();
    assert_eq!(place, format!("/payments/{id}"));
    heard(ReservationEvent::Paying(id.clone()));
    heard(ReservationEvent::Completed);
    let again = send("POST", "/payments", "k", PAYMENT);
    assert_eq!((again.status, json::<Json>(&again)["status"].as_str()), (202, Some("succeeded")));
    assert_eq!(json::<Json>(&send("GET", &place, "g", ""))["status"], "succeeded");
    let other = PAYMENT.replace("tok_ok", "tok_declined");
    let reused = send("POST", "/payments", "k", &other);
    assert_eq!(reused.problem().unwrap().errors[0].field, "idempotency-key");
    assert_eq!((send("POST", "/payments", "l", PAYMENT).status, charged()), (409, 1));
}

fn paid_with(token: &'static str) -> impl Fn() -> Payment {
    move || {
        order();
        let payment = pay(&caller("ann"), token).unwrap();
        given::<Reservation>("t1", [ReservationEvent::Paying(payment.id.clone())]);
        payment
    }
}

#[test]
fn events_that_come_twice_and_instances_that_die_charge_once() {
    let check = |payment: &Payment, when: &str| {
        assert_eq!((now(payment).status, charged()), (Status::Succeeded, 1), "{when}");
    };
    every_event_twice::<Payments, _>(paid_with("tok_ok"), check);
    for token in ["tok_ok", "tok_unknown"] {
        trouble_at_every_call::<Payments, _>(1, paid_with(token), check);
    }
}

#[test]
fn a_processor_that_has_not_decided_is_asked_again_and_holds_up_nobody() {
    order();
    let [slow, other] = [pay(&caller("ann"), "tok_slow"), pay(&caller("ann"), "tok_ok")].map(Result::unwrap);
    given::<Reservation>("t1", [ReservationEvent::Paying(slow.id.clone())]);
    given::<Reservation>("t1", [ReservationEvent::Refused(other.id.clone())]);
    run::<Payments>(Duration::from_millis(2999));
    assert_eq!((now(&slow).status, now(&other).status, charged()), (Status::Requested, Status::Refused, 0));
    run::<Payments>(Duration::from_millis(1000));
    assert_eq!((now(&slow).status, charged()), (Status::Succeeded, 1));
    assert!(platform().stored("DEAD_payments").is_empty());
}

/// Sends a payment again for ann, who waits now, while orders decides at the nth call of that.
fn awaited(token: &str, nth: u64, decides: fn(String) -> ReservationEvent) -> trellis_kit::Response {
    platform().forget_everything();
    order();
    let body = PAYMENT.replace("tok_ok", token);
    let id = json::<Json>(&send("POST", "/payments", "k", &body))["id"].as_str().unwrap().to_owned();
    platform().harm(nth, Harm::Meanwhile(Box::new(move |_| heard(decides(id)))));
    let answer = send("POST", "/payments?wait=5", "k", &body);
    platform().revive();
    answer
}

#[test]
fn who_waits_is_told_what_came_of_it_whenever_that_is() {
    for (token, decides, status, told) in [
        ("tok_ok", ReservationEvent::Paying as fn(String) -> ReservationEvent, 201, "succeeded"),
        ("tok_unknown", ReservationEvent::Paying, 201, "succeeded"),
        ("tok_declined", ReservationEvent::Paying, 402, "card_declined"),
        ("tok_ok", ReservationEvent::Refused, 409, "cost nothing"),
    ] {
        let answers: Vec<_> =
            (0..).map(|nth| awaited(token, nth, decides)).take_while(|answer| answer.status != 202).collect();
        assert!(answers.len() > 30, "the whole time: {}", answers.len());
        for answer in &answers {
            let text = String::from_utf8(answer.body.clone()).unwrap();
            assert!(answer.status == status && text.contains(told), "{token}: {text}");
            assert_eq!(answer.header("location").is_some(), status == 201);
        }
    }
}

#[test]
fn nobody_waits_for_longer_than_five_seconds() {
    order();
    let begun = elapsed();
    let accepted = send("POST", "/payments?wait=5", "k", PAYMENT);
    assert_eq!((accepted.status, elapsed() - begun), (202, Duration::from_secs(5)));
    assert_eq!(send("POST", "/payments?wait=0", "k", PAYMENT).status, 202);
    let stored = platform().stored("LOG_payments").len();
    for wait in ["6", "-1", "1e3", "0.5", "+1", "4294967296", "", "soon", "1&wait=1"] {
        let refused = send("POST", &format!("/payments?wait={wait}"), "other", PAYMENT);
        assert_eq!(refused.status, 400, "{wait}");
    }
    assert_eq!(platform().stored("LOG_payments").len(), stored);
}
