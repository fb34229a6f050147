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
    let withdraw = || trellis.send(&Request::new("DELETE", &path).by(ANN));
    let [withdrawn, again] = [withdraw(), withdraw()];
    assert_eq!((withdrawn.status, again.status), (204, 204));
    assert_eq!(trellis.send(&change(1).by(ANN)).status, 409);
    assert_eq!(seen(&trellis, &path, ANN, &withdrawn)["status"], "withdrawn");
    eventually("it is not listed any more", || (!is_listed()).then_some(()));
    trellis.stop();
}

/// What somebody reads who has just written this.
fn seen(trellis: &Trellis, path: &str, by: &str, written: &Response) -> Value {
    let position = written.header("trellis-position").expect("a write says where it is");
    let read = trellis.send(&Request::get(path).by(by).header("trellis-position", position));
    assert_eq!(read.status, 200, "{read:?}");
    read.json()
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

fn pay(trellis: &Trellis, order: &str, token: &str, by: &str) -> Response {
    let body = json!({ "order_id": order.strip_prefix("/orders/").unwrap(), "token": token });
    trellis.send(&Request::post("/payments", body.to_string()).by(by))
}

/// What has come of a payment, once that is known.
fn outcome(trellis: &Trellis, accepted: &Response, by: &str) -> String {
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let place = accepted.header("location").unwrap();
    eventually("it is known what came of it", || {
        let status = trellis.send(&Request::get(place).by(by)).json()["status"].as_str().unwrap().to_owned();
        (status != "requested").then_some(status)
    })
}

/// The events of a service, by what they are about, oldest first.
fn told(trellis: &Trellis, service: &str) -> Vec<(String, Value)> {
    let output = trellis.run(&["events", "--json"]);
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_service = lines.filter(|line| line["service"] == service);
    of_service
        .map(|line| (line["event"]["type"].as_str().unwrap().to_owned(), line["event"].clone()))
        .collect()
}

#[test]
fn whoever_has_just_reserved_sees_it_and_sellers_see_what_they_sold() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let sales = |of: &str| trellis.send(&Request::get("/sales").by(of)).json();
    for _ in 0..10 {
        let id = ticket(&trellis);
        let placed = order(&trellis, &id, &id, OLAF);
        let shown = seen(&trellis, &format!("/tickets/{id}"), MIA, &placed);
        assert_eq!((&shown["status"], &shown["free_at"]), (&json!("reserved"), &placed.json()["expires_at"]));
        let mine = seen(&trellis, "/orders", OLAF, &placed);
        assert_eq!((&mine[0]["id"], &mine[0]["status"]), (&placed.json()["id"], &json!("reserved")));
        assert_eq!(mine[0]["payment"], Value::Null);
    }
    let newest = |who: &str| trellis.send(&Request::get("/orders").by(who)).json()[0].clone();
    let olafs = format!("/orders/{}", newest(OLAF)["id"].as_str().unwrap());
    assert_eq!(outcome(&trellis, &pay(&trellis, &olafs, "tok_ok", OLAF), OLAF), "succeeded");
    let sold = eventually("it is sold", || {
        let sold = sales(ANN);
        (sold["items"] != json!([])).then_some(sold)
    });
    assert_eq!(sold["totals"], json!([{ "currency": "EUR", "count": 1, "amount": 1999 }]));
    assert_eq!(format!("/orders/{}", sold["items"][0]["order_id"].as_str().unwrap()), olafs);
    eventually("the buyer sees that it is paid", || {
        let order = newest(OLAF);
        (order["status"] == "paid" && order["payment"]["status"] == "succeeded").then_some(())
    });
    assert_eq!((newest(MIA), sales(MIA)["items"].clone()), (Value::Null, json!([])), "it is nobody else's");
    for path in ["/orders", "/sales"] {
        assert_eq!(trellis.get(path).status, 401, "{path}");
    }
    trellis.stop();
}

#[test]
fn a_ticket_is_paid_once_and_is_its_buyers() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let id = ticket(&trellis);
    let ticket = format!("/tickets/{id}");
    let olafs = path(&order(&trellis, &id, "first", OLAF));
    let status = |path: &str, by: &str| trellis.send(&Request::get(path).by(by)).json()["status"].clone();
    let ended = |path: &str, by: &str| trellis.send(&Request::new("DELETE", path).by(by)).status;
    assert_eq!(pay(&trellis, &olafs, "tok_ok", MIA).status, 422, "another's");
    assert_eq!(pay(&trellis, &olafs, "4242424242424242", OLAF).status, 422);
    assert_eq!(outcome(&trellis, &pay(&trellis, &olafs, "tok_declined", OLAF), OLAF), "failed");
    eventually("it can be paid in another way", || (status(&olafs, OLAF) == "reserved").then_some(()));
    // The answer to this one is lost, and asked for again.
    let payment = pay(&trellis, &olafs, "tok_unknown", OLAF);
    assert_eq!(outcome(&trellis, &payment, OLAF), "succeeded");
    assert_eq!(trellis.send(&Request::get(payment.header("location").unwrap()).by(ANN)).status, 404);
    eventually("it is paid", || (status(&olafs, OLAF) == "paid").then_some(()));
    eventually("it is sold", || (status(&ticket, MIA) == "sold").then_some(()));
    assert_eq!(pay(&trellis, &olafs, "tok_ok", OLAF).status, 409, "it is paid");
    assert_eq!((ended(&olafs, OLAF), ended(&ticket, ANN)), (409, 409));
    assert_eq!(order(&trellis, &id, "second", MIA).status, 409);
    let charges = told(&trellis, "payments").into_iter().filter(|(kind, _)| kind == "charge.charged.v1");
    let charged: Vec<Value> = charges.map(|(_, charge)| charge["data"]["amount"].clone()).collect();
    assert_eq!(charged, [json!({ "amount": 1999, "currency": "EUR" })]);
    trellis.stop();
}

/// Of everything that can happen to an order at once, one thing does: the ticket ends sold with one charge, or free without any.
#[test]
fn whoever_pays_and_cancels_at_once_pays_or_has_cancelled() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let tickets = if trellis.runtime() == Runtime::Embedded { 60 } else { 6 };
    let orders: Vec<(String, String)> = at_once(tickets, |nth| {
        let id = ticket(&trellis);
        let order = path(&order(&trellis, &id, &nth.to_string(), OLAF));
        (id, order)
    });
    at_once(tickets * 3, |nth| {
        let order = &orders[nth / 3].1;
        match nth % 3 {
            0 => trellis.send(&Request::new("DELETE", order).by(OLAF)).status,
            _ => pay(&trellis, order, "tok_ok", OLAF).status,
        }
    });
    system::settled(&trellis);
    let payments = told(&trellis, "payments");
    let count = |kind: &str, of: &str| {
        payments.iter().filter(|(of_kind, event)| of_kind == kind && event.to_string().contains(of)).count()
    };
    let (mut sold, mut free) = (0, 0);
    for (id, order) in &orders {
        let ticket = trellis.get(&format!("/tickets/{id}")).json()["status"].clone();
        let order = trellis.send(&Request::get(order).by(OLAF)).json();
        let paid = order["payment"].as_str().unwrap_or("none");
        match (order["status"].as_str().unwrap(), ticket.as_str().unwrap()) {
            ("paid", "sold") => {
                sold += 1;
                assert_eq!((count("payment.succeeded.v1", paid), count("charge.charged.v1", paid)), (1, 1));
            }
            ("cancelled", "for_sale") => free += 1,
            other => panic!("{id}: {other:?}"),
        }
    }
    let all = |kind: &str| payments.iter().filter(|(of_kind, _)| of_kind == kind).count();
    println!("{sold} sold and {free} free, of {tickets}; {} payments refused", all("payment.refused.v1"));
    assert_eq!(
        (all("charge.charged.v1"), all("payment.succeeded.v1")),
        (sold, sold),
        "nobody else is charged"
    );
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

#[test]
fn a_ticket_is_for_sale_again_when_the_time_is_over_though_nobody_asks() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start_configured(data.path(), &[("orders", "hold-seconds", "1")]);
    let id = ticket(&trellis);
    path(&order(&trellis, &id, "first", OLAF));
    eventually("it is for sale again", || {
        let ticket = trellis.get(&format!("/tickets/{id}")).json();
        // It was offered, placed, and then its time was over.
        (ticket["status"] == "for_sale" && ticket["reservation"] == 3).then_some(())
    });
    trellis.stop();
}

/// How often each ticket was reserved, as the log has it: at no time had two orders the same one.
fn turns(trellis: &Trellis) -> BTreeMap<String, usize> {
    let mut reservations: BTreeMap<String, (u64, bool, usize)> = BTreeMap::new();
    for (kind, event) in told(trellis, "orders") {
        let ticket = event["subject"].as_str().unwrap().to_owned();
        let (version, is_reserved, placed) = reservations.entry(ticket.clone()).or_default();
        *version += 1;
        assert_eq!(event["version"], *version, "{ticket}");
        match &*kind {
            "reservation.placed.v1" => {
                assert!(!*is_reserved, "{ticket} has two orders");
                (*is_reserved, *placed) = (true, *placed + 1);
            }
            "reservation.cancelled.v1" | "reservation.expired.v1" => *is_reserved = false,
            _ => {}
        }
    }
    reservations.into_iter().map(|(ticket, (_, _, placed))| (ticket, placed)).collect()
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
