//! What tickets promise, in the words of the domain, and how they look over HTTP.

use trellis_kit::Response;
use trellis_kit::testing::{
    Json, anonymous, caller, every_event_twice, given, given_nothing, json, platform, request, settle, start,
    trouble_at_every_call,
};

use super::*;
use crate::trellis::tickets::types::Money;

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
        listed_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

fn change(by: &Cx, to: Offer) -> Result<Ticket, Problem> {
    Tickets::change(by, "t1".to_owned(), to)
}

fn withdraw(by: &Cx) -> Result<(), Problem> {
    Tickets::withdraw(by, "t1".to_owned())
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
        given::<Ticket>("t1", []).when(|| withdraw(&by)).then_problem(403);
    }
}

#[test]
fn what_is_withdrawn_stays_so() {
    given::<Ticket>("t1", [listed("t1")]).when(|| withdraw(&caller("ann"))).then([TicketEvent::Withdrawn]);
    given::<Ticket>("t1", []).when(|| withdraw(&caller("ann"))).then([]);
    given::<Ticket>("t1", []).when(|| change(&caller("ann"), offer("Again", 1))).then_problem(409);
    assert_eq!(Tickets::get(&anonymous(), "t1".to_owned()).unwrap().status, Status::Withdrawn);
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
    start::<Tickets>();
    for title in ["a", "b", "c"] {
        let body = format!(r#"{{"title":"{title}","price":{{"amount":1,"currency":"EUR"}}}}"#);
        let answer = as_ann("POST", "/tickets", title, &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        if title == "b" {
            let path = answer.header("location").unwrap().split('?').next().unwrap().to_owned();
            assert_eq!(as_ann("DELETE", &path, "k", "").status, 204);
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
