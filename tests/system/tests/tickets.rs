//! The market over HTTP: somebody offers a ticket, everybody sees it, nobody else changes it, and one buyer has it at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use system::{ANN, MIA, OLAF, Request, Response, Runtime, Trellis, eventually};
use tempfile::tempdir;

fn offer(title: &str, amount: u64) -> String {
    json!({ "title": title, "price": { "amount": amount, "currency": "EUR" } }).to_string()
}

#[test]
fn a_ticket_is_offered_changed_and_withdrawn_by_its_seller_alone() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let create = || Request::post("/tickets", offer("Concert", 1999)).header("idempotency-key", "t");
    assert_eq!(trellis.send(&create()).status, 401, "anybody");
    let created = trellis.send(&create().by(ANN));
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(trellis.send(&create().by(ANN)).json(), created.json(), "once");
    let path = format!("/tickets/{}", created.json()["id"].as_str().unwrap());
    let change = |amount| Request::put(&path, offer("Concert", amount));
    let is_listed = || {
        let listed = trellis.get("/tickets").json();
        listed.as_array().unwrap().iter().any(|ticket| ticket["id"] == created.json()["id"])
    };
    eventually("it is listed", || is_listed().then_some(()));
    for by in [None, Some(OLAF)] {
        for request in [change(1), Request::new("DELETE", &path)] {
            let refused = trellis.send(&by.into_iter().fold(request, Request::by));
            assert_eq!(refused.status, 403, "{by:?}: {refused:?}");
        }
    }
    assert_eq!(trellis.send(&change(2500).by(ANN)).json()["price"]["amount"], 2500);
    for _ in 0..2 {
        assert_eq!(trellis.send(&Request::new("DELETE", &path).by(ANN)).status, 204);
    }
    assert_eq!(trellis.send(&change(1).by(ANN)).status, 409);
    assert_eq!(trellis.get(&path).json()["status"], "withdrawn");
    eventually("it is not listed any more", || (!is_listed()).then_some(()));
    trellis.stop();
}

/// A ticket of Ann's, by its id.
fn ticket(trellis: &Trellis) -> String {
    let created = trellis.send(&Request::post("/tickets", offer("Concert", 1999)).by(ANN));
    assert_eq!(created.status, 201, "{created:?}");
    created.json()["id"].as_str().unwrap().to_owned()
}

fn order(trellis: &Trellis, ticket: &str, key: &str, by: &str) -> Response {
    let price = json!({ "amount": 1999, "currency": "EUR" });
    let body = json!({ "ticket_id": ticket, "price": price }).to_string();
    trellis.send(&Request::post("/orders", body).header("idempotency-key", key).by(by))
}

fn path(placed: &Response) -> String {
    assert_eq!(placed.status, 201, "{placed:?}");
    format!("/orders/{}", placed.json()["id"].as_str().unwrap())
}

#[test]
fn a_ticket_is_one_buyers_until_it_is_given_back() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let id = ticket(&trellis);
    let ticket = format!("/tickets/{id}");
    let ask = |method: &str, path: &str, by: &str| trellis.send(&Request::new(method, path).by(by));
    let status = || trellis.get(&ticket).json()["status"].clone();
    assert_eq!(order(&trellis, &id, "own", ANN).status, 409, "one's own");
    let placed = order(&trellis, &id, "first", OLAF);
    let olafs = path(&placed);
    assert_eq!(order(&trellis, &id, "first", OLAF).json(), placed.json(), "once");
    for (key, by) in [("second", OLAF), ("first", MIA)] {
        assert_eq!(order(&trellis, &id, key, by).status, 409, "{key}");
    }
    assert_eq!(ask("DELETE", &ticket, ANN).status, 409, "the seller cannot have it back");
    eventually("it is shown as reserved", || (status() == "reserved").then_some(()));
    assert_eq!(trellis.send(&Request::put(&ticket, offer("Dearer", 2500)).by(ANN)).status, 409);
    for (by, expected) in [(OLAF, 200), (ANN, 200), (MIA, 404)] {
        assert_eq!(ask("GET", &olafs, by).status, expected);
    }
    assert_eq!(ask("GET", &olafs, ANN).json()["buyer"], Value::Null, "the seller does not learn who buys");
    assert_eq!(ask("DELETE", &olafs, MIA).status, 404);
    for _ in 0..2 {
        assert_eq!(ask("DELETE", &olafs, OLAF).status, 204);
    }
    eventually("it is for sale again", || (status() == "for_sale").then_some(()));
    let mias = path(&order(&trellis, &id, "third", MIA));
    assert_eq!(ask("DELETE", &olafs, OLAF).status, 204, "again");
    assert_eq!(ask("GET", &mias, MIA).json()["status"], "reserved", "and nobody else's order ended");
    assert_eq!(ask("GET", &olafs, OLAF).json()["status"], "cancelled");
    trellis.stop();
}

#[test]
fn an_order_ends_with_its_time() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start_configured(data.path(), &[("orders", "hold-seconds", "1")]);
    let id = ticket(&trellis);
    let first = order(&trellis, &id, "first", OLAF);
    let olafs = path(&first);
    let mias = eventually("somebody else has it", || {
        let placed = order(&trellis, &id, "second", MIA);
        (placed.status == 201).then_some(placed)
    });
    let instant = |placed: &Response, of: &str| placed.json()[of].as_str().unwrap().to_owned();
    assert!(instant(&mias, "placed_at") >= instant(&first, "expires_at"), "not before");
    let ended = trellis.send(&Request::get(&olafs).by(OLAF));
    assert_eq!(ended.json()["status"], "expired", "{ended:?}");
    trellis.stop();
}

/// How often a ticket was reserved and freed, of each ticket, as the log has it: at no time had two orders the same one.
fn turns(trellis: &Trellis) -> BTreeMap<String, usize> {
    let mut orders: BTreeMap<String, (Vec<u64>, bool, usize)> = BTreeMap::new();
    for line in trellis.run(&["events", "--json"]).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let subject = event["subject"].as_str().unwrap();
        let ["log", "orders", _, ticket, version] = subject.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        let (versions, is_reserved, placed) = orders.entry(ticket.to_owned()).or_default();
        versions.push(version.parse().unwrap());
        let kind = event["event"]["type"].as_str().unwrap();
        match kind {
            "reservation.placed.v1" => {
                assert!(!*is_reserved, "{ticket} has two orders");
                (*is_reserved, *placed) = (true, *placed + 1);
            }
            "reservation.cancelled.v1" | "reservation.expired.v1" => *is_reserved = false,
            _ => {}
        }
    }
    let turns = orders.into_iter().map(|(ticket, (versions, _, placed))| {
        assert!(versions.iter().copied().eq(1..=versions.len() as u64), "{ticket}: {versions:?}");
        (ticket, placed)
    });
    turns.collect()
}

/// Asks for all of these at once, in so many threads.
fn at_once<T: Send>(count: usize, ask: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..count)
            .map(|nth| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(nth)
                })
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn of_all_who_want_one_ticket_at_once_one_has_it() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let buyers = if trellis.runtime() == Runtime::Embedded { 1000 } else { 100 };
    let id = ticket(&trellis);
    let answers = at_once(buyers, |nth| {
        let by = [MIA, OLAF][nth % 2];
        // Who is asked to come again, does.
        eventually("there is an answer", || {
            let answer = order(&trellis, &id, &nth.to_string(), by);
            (answer.status != 503).then_some(answer)
        })
    });
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    println!("{} of {buyers} have the ticket, {} were told that it is reserved", count(201), count(409));
    assert_eq!((count(201), count(409)), (1, buyers - 1), "{answers:?}");
    assert_eq!(turns(&trellis), BTreeMap::from([(id, 1)]));
    trellis.stop();
}

#[test]
fn no_ticket_has_two_orders_however_many_try() {
    const THREADS: usize = 20;
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let (tickets, attempts) = if trellis.runtime() == Runtime::Embedded { (100, 10_000) } else { (10, 500) };
    let tickets: Vec<String> = (0..tickets).map(|_| ticket(&trellis)).collect();
    let counts = at_once(THREADS, |thread| {
        let (by, mut placed, mut refused) = ([MIA, OLAF][thread % 2], 0, 0);
        for nth in 0..attempts / THREADS {
            let id = &tickets[(nth * 7 + thread) % tickets.len()];
            let answer = order(&trellis, id, &format!("{thread}-{nth}"), by);
            match answer.status {
                201 => {
                    placed += 1;
                    let cancelled = trellis.send(&Request::new("DELETE", &path(&answer)).by(by));
                    assert_eq!(cancelled.status, 204, "{cancelled:?}");
                }
                409 => refused += 1,
                _ => assert_eq!(answer.status, 503, "{answer:?}"),
            }
        }
        (placed, refused)
    });
    let (placed, refused) =
        counts.iter().fold((0, 0), |(all, none), (placed, refused)| (all + placed, none + refused));
    println!("{attempts} attempts at {} tickets: {placed} orders, {refused} refused", tickets.len());
    let turns = turns(&trellis);
    assert_eq!(turns.values().sum::<usize>(), placed, "each order that was answered, and no other one");
    trellis.stop();
}
