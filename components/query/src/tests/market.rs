//! What readers see of the market, from what tickets, orders and payments tell.

use std::time::Duration;

use trellis_kit::platform::Platform;
use trellis_kit::testing::{deliver, every_event_twice, read_models, trouble_at_every_call};

use super::*;
use crate::trellis::orders::events::ReservationEvent;
use crate::trellis::orders::types::{Offer, Order, Reservation, Status as OrderStatus};
use crate::trellis::payments::events::PaymentEvent;
use crate::trellis::payments::types::{Payment, Status as PaymentStatus};
use crate::trellis::query::types::{OwnOrder, ReadPayment, Sale, Total};
use crate::trellis::tickets::events::TicketEvent;
use crate::trellis::tickets::types::{Money, Offer as Change, Status as TicketStatus, Ticket};

const HOLD: Duration = Duration::from_secs(900);
/// That time after the tests begin.
const OVER_AT: &str = "2026-01-01T00:15:00.000Z";

play! {
    /// The service where tickets are offered.
    Tickets: sources::TICKETS {
        Ticket.id by TicketEvent: |before, event| match event {
            TicketEvent::Created(ticket) => Some(ticket.clone()),
            TicketEvent::Changed(Change { title, price }) => before.map(|ticket| {
                let (title, price) = (title.clone(), price.clone());
                Ticket { title, price, version: ticket.version + 1, ..ticket }
            }),
            _ => before.map(|ticket| Ticket { version: ticket.version + 1, ..ticket }),
        }
    }
}

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
            let now = |status, payment: Option<&String>| {
                let payment = payment.cloned();
                let order = after.order.clone().map(|order| Order { status, payment, ..order });
                Some(Reservation { order, ..after.clone() })
            };
            let paying = after.order.as_ref().and_then(|order| order.payment.as_ref());
            match event {
                ReservationEvent::Offered(_) | ReservationEvent::Refused(_) => Some(after),
                ReservationEvent::Placed(order) => Some(Reservation { order: Some(order.clone()), ..after }),
                ReservationEvent::Paying(payment) => now(OrderStatus::Paying, Some(payment)),
                ReservationEvent::Resumed => now(OrderStatus::Reserved, None),
                ReservationEvent::Completed => now(OrderStatus::Paid, paying),
                ReservationEvent::Cancelled => now(OrderStatus::Cancelled, None),
                ReservationEvent::Expired => now(OrderStatus::Expired, None),
                ReservationEvent::Withdrawn => Some(Reservation { is_withdrawn: true, ..after }),
            }
        }
    }
}

play! {
    /// The service that takes the money.
    Payments: sources::PAYMENTS {
        Payment.id by PaymentEvent: |before, event| {
            let now = |status, reason: Option<&String>| {
                before.clone().map(|payment| Payment {
                    status,
                    reason: reason.cloned(),
                    version: payment.version + 1,
                    ..payment
                })
            };
            match event {
                PaymentEvent::Requested(payment) => Some(payment.clone()),
                PaymentEvent::Prepared(_) => now(PaymentStatus::Requested, None),
                PaymentEvent::Refused => now(PaymentStatus::Refused, None),
                PaymentEvent::Succeeded => now(PaymentStatus::Succeeded, None),
                PaymentEvent::Failed(why) => now(PaymentStatus::Failed, Some(why)),
            }
        }
    }
}

fn euros(amount: u64) -> Money {
    money(amount, "EUR")
}

fn money(amount: u64, currency: &str) -> Money {
    Money { amount, currency: currency.to_owned() }
}

/// Sue offers tickets, of which orders has heard.
fn offer(ids: &[&str]) {
    for id in ids {
        let (seller, title, price) = ("sue".to_owned(), format!("Concert {id}"), euros(1999));
        given::<Ticket>(
            id,
            [TicketEvent::Created(Ticket {
                id: (*id).to_owned(),
                seller: seller.clone(),
                title: title.clone(),
                price: price.clone(),
                status: TicketStatus::ForSale,
                reservation: 0,
                listed_at: TIME.to_owned(),
                version: 1,
            })],
        );
        let ticket_id = (*id).to_owned();
        given::<Reservation>(
            id,
            [ReservationEvent::Offered(Offer { ticket_id, ticket_version: 1, seller, title, price })],
        );
    }
}

/// An order, as `<ticket>-<order>`.
fn placed(id: &str, buyer: &str, price: Money) -> ReservationEvent {
    ReservationEvent::Placed(Order {
        id: id.to_owned(),
        buyer: buyer.to_owned(),
        seller: "sue".to_owned(),
        title: "Concert".to_owned(),
        price,
        status: OrderStatus::Reserved,
        payment: None,
        placed_at: TIME.to_owned(),
        expires_at: OVER_AT.to_owned(),
    })
}

/// What happens to the order that a ticket has.
fn happens(ticket: &str, events: impl IntoIterator<Item = ReservationEvent>) {
    given::<Reservation>(ticket, events);
}

fn sold(ticket: &str, price: Money) {
    let pays = ReservationEvent::Paying(format!("{ticket}pay"));
    happens(ticket, [placed(&format!("{ticket}-o"), "bob", price), pays, ReservationEvent::Completed]);
}

fn paid_by(order: &str, events: impl IntoIterator<Item = PaymentEvent>) {
    let id = format!("{}pay", id::root(order));
    let requested = PaymentEvent::Requested(Payment {
        id: id.clone(),
        order_id: order.to_owned(),
        buyer: "bob".to_owned(),
        amount: euros(1999),
        status: PaymentStatus::Requested,
        reason: None,
        processor: None,
        processor_id: None,
        requested_at: TIME.to_owned(),
        version: 1,
    });
    given::<Payment>(&id, [requested].into_iter().chain(events));
}

fn ticket(id: &str) -> ReadTicket {
    Query::ticket(&anonymous(), id.to_owned()).unwrap()
}

fn market() -> Vec<ReadTicket> {
    Query::tickets(&anonymous(), page(100)).unwrap().items
}

fn orders_of(buyer: &str) -> Vec<OwnOrder> {
    Query::orders(&caller(buyer), page(100)).unwrap().items
}

fn sales_of(seller: &str) -> (Vec<Total>, Vec<Sale>) {
    let sales = Query::sales(&caller(seller), page(100)).unwrap().sales;
    (sales.totals, sales.items)
}

#[test]
fn what_is_offered_is_listed_newest_first_as_it_is_now() {
    offer(&["t1", "t2", "t3"]);
    given::<Ticket>("t1", [TicketEvent::Changed(Change { title: "Row 1".to_owned(), price: euros(2500) })]);
    happens("t2", [ReservationEvent::Withdrawn]);
    read();
    let shown: Vec<_> = market().into_iter().map(|ticket| (ticket.title, ticket.price.amount)).collect();
    assert_eq!(shown, [("Concert t3".to_owned(), 1999), ("Row 1".to_owned(), 2500)]);
    assert_eq!(ticket("t2").status, TicketStatus::Withdrawn);
    for nothing in ["nothing", "", "a.b", "*"] {
        let problem = Query::ticket(&anonymous(), nothing.to_owned()).unwrap_err();
        assert_eq!(problem.status, 404, "{nothing}");
    }
}

#[test]
fn what_cannot_be_had_is_shown_as_that() {
    offer(&["t1"]);
    let until = Some(OVER_AT.to_owned());
    let cases = [
        (placed("t1-o", "bob", euros(1999)), TicketStatus::Reserved, until.clone()),
        (ReservationEvent::Paying("p1".to_owned()), TicketStatus::Reserved, None),
        (ReservationEvent::Refused("p2".to_owned()), TicketStatus::Reserved, None),
        (ReservationEvent::Resumed, TicketStatus::Reserved, until.clone()),
        (ReservationEvent::Cancelled, TicketStatus::ForSale, None),
        (placed("t1-p", "bob", euros(1999)), TicketStatus::Reserved, until),
        (ReservationEvent::Expired, TicketStatus::ForSale, None),
        (placed("t1-q", "bob", euros(1999)), TicketStatus::Reserved, Some(OVER_AT.to_owned())),
        (ReservationEvent::Paying("p3".to_owned()), TicketStatus::Reserved, None),
        (ReservationEvent::Completed, TicketStatus::Sold, None),
    ];
    read();
    assert_eq!((ticket("t1").status, ticket("t1").free_at), (TicketStatus::ForSale, None));
    for (version, (event, status, free_at)) in (2..).zip(cases) {
        let what = format!("{event:?}");
        happens("t1", [event]);
        read();
        let shown = ticket("t1");
        assert_eq!(
            (shown.status, shown.free_at.clone(), shown.reservation),
            (status, free_at, version),
            "{what}"
        );
        assert_eq!(market(), [shown], "{what}");
    }
}

#[test]
fn when_its_time_is_over_a_ticket_is_for_sale_though_nobody_has_said_so() {
    offer(&["t1"]);
    happens("t1", [placed("t1-o", "bob", euros(1999))]);
    read();
    platform().advance(HOLD - Duration::from_millis(1));
    assert_eq!(ticket("t1").status, TicketStatus::Reserved);
    assert_eq!(orders_of("bob")[0].status, OrderStatus::Reserved);
    platform().advance(Duration::from_millis(1));
    assert_eq!((ticket("t1").status, ticket("t1").free_at), (TicketStatus::ForSale, None));
    assert_eq!(market()[0].status, TicketStatus::ForSale);
    assert_eq!(orders_of("bob")[0].status, OrderStatus::Expired);
}

#[test]
fn a_payment_has_no_deadline() {
    offer(&["t1"]);
    happens("t1", [placed("t1-o", "bob", euros(1999)), ReservationEvent::Paying("t1pay".to_owned())]);
    read();
    platform().advance(HOLD * 2);
    assert_eq!(ticket("t1").status, TicketStatus::Reserved);
    assert_eq!(orders_of("bob")[0].status, OrderStatus::Paying);
}

#[test]
fn a_buyer_sees_what_came_of_each_order_and_of_its_payment() {
    offer(&["t1", "t2"]);
    happens("t1", [placed("t1-o", "bob", euros(1999))]);
    happens("t2", [placed("t2-o", "bob", euros(500)), ReservationEvent::Cancelled]);
    happens("t2", [placed("t2-p", "eve", euros(500))]);
    read();
    let seen: Vec<_> = orders_of("bob").into_iter().map(|order| (order.id, order.status)).collect();
    let expected = [("t2-o".to_owned(), OrderStatus::Cancelled), ("t1-o".to_owned(), OrderStatus::Reserved)];
    assert_eq!(seen, expected);
    assert_eq!(orders_of("bob")[1].payment, None);

    let payment = || orders_of("bob").pop().unwrap().payment.unwrap();
    let paying = |status, reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        ReadPayment { id: "t1pay".to_owned(), status, reason }
    };
    paid_by("t1-o", []);
    happens("t1", [ReservationEvent::Paying("t1pay".to_owned())]);
    read();
    assert_eq!(payment(), paying(PaymentStatus::Requested, None));
    given::<Payment>("t1pay", [PaymentEvent::Failed("declined".to_owned())]);
    happens("t1", [ReservationEvent::Resumed]);
    read();
    let order = orders_of("bob").pop().unwrap();
    assert_eq!((order.status, order.ticket_id.as_str()), (OrderStatus::Reserved, "t1"));
    assert_eq!(order.payment, Some(paying(PaymentStatus::Failed, Some("declined"))));
    assert_eq!(payment(), paying(PaymentStatus::Failed, Some("declined")), "also when there is time left");
}

#[test]
fn orders_and_sales_are_their_owners_alone() {
    offer(&["t1"]);
    sold("t1", euros(1999));
    read();
    for (who, orders, sales) in [("bob", 1, 0), ("sue", 0, 1), ("eve", 0, 0), ("", 0, 0)] {
        assert_eq!((orders_of(who).len(), sales_of(who).1.len()), (orders, sales), "{who:?}");
    }
    assert_eq!(Query::orders(&anonymous(), page(1)).unwrap_err().status, 401);
    assert_eq!(Query::sales(&anonymous(), page(1)).unwrap_err().status, 401);
}

#[test]
fn sales_are_added_up_by_currency_over_all_partitions() {
    let ids: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    offer(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, id) in (0..).zip(&ids) {
        sold(id, money(100 + n, ["EUR", "JPY"][n as usize % 2]));
    }
    read();
    let (totals, items) = sales_of("sue");
    let total =
        |currency: &str, amount| Total { currency: currency.to_owned(), count: 20, amount: Some(amount) };
    assert_eq!(totals, [total("EUR", 2000 + 380), total("JPY", 2000 + 400)]);
    let sold: Vec<&str> = items.iter().map(|sale| sale.ticket_id.as_str()).collect();
    assert_eq!(sold, ids.iter().rev().map(String::as_str).collect::<Vec<_>>(), "newest first");
    let first = Query::sales(&caller("sue"), page(1)).unwrap();
    assert_eq!((first.sales.totals, first.sales.items.len()), (totals, 1), "of all sales, not of the page");
    assert!(first.next.is_some());
}

/// One more than can be counted: within a partition, and where partitions are put together.
#[test]
fn a_sum_that_is_too_large_is_said_and_not_wrapped() {
    let of = |partition| {
        let mut ids = (0..).map(|n| format!("t{n}"));
        ids.find(|id| id::partition(id, sources::ORDERS.partitions) == partition).unwrap()
    };
    let (first, elsewhere) = (of(0), of(1));
    let mut also = (0..).map(|n| format!("u{n}"));
    let beside = also.find(|id| id::partition(id, sources::ORDERS.partitions) == 0).unwrap();
    for other in [elsewhere, beside] {
        for (more, sum) in [(1, None), (0, Some(u64::MAX))] {
            platform().forget_everything();
            offer(&[&first, &other]);
            sold(&first, euros(u64::MAX));
            sold(&other, euros(more));
            read();
            let total = Total { currency: "EUR".to_owned(), count: 2, amount: sum };
            assert_eq!(sales_of("sue").0, [total], "{other} for {more}");
        }
    }
}

/// Everything that can happen.
fn tell() {
    platform().forget_everything();
    offer(&["t1", "t2", "t3"]);
    sold("t1", euros(1999));
    paid_by("t1-o", [PaymentEvent::Succeeded]);
    happens("t2", [placed("t2-o", "bob", euros(5)), ReservationEvent::Paying("t2pay".to_owned())]);
    paid_by("t2-o", [PaymentEvent::Failed("declined".to_owned())]);
    happens("t2", [ReservationEvent::Resumed, ReservationEvent::Expired]);
    happens("t2", [placed("t2-p", "eve", euros(5))]);
    happens("t3", [ReservationEvent::Withdrawn]);
    given::<Ticket>("t2", [TicketEvent::Changed(Change { title: "Row 1".to_owned(), price: euros(5) })]);
    start::<Query>();
}

type Models = std::collections::BTreeMap<String, Json>;

/// What the read models hold. When something was sold is told with the event; here it counts that it was.
fn models() -> Models {
    let mut models = read_models();
    for kept in models.values_mut() {
        if let Some(sold_at) = kept.get_mut("sold_at") {
            *sold_at = sold_at.is_string().into();
        }
    }
    models
}

fn expected() -> Models {
    tell();
    settle::<Query>();
    models()
}

#[test]
fn twice_late_in_any_order_between_sources_and_dying_anywhere() {
    let expected = expected();
    assert!(expected.len() > 15, "{expected:?}");
    let check = |(): &(), when: &str| assert_eq!(models(), expected, "{when}");
    every_event_twice::<Query, _>(tell, check);
    let calls = trouble_at_every_call::<Query, _>(1, tell, check);
    assert!(calls > 40, "the test has seen it all");
    for round in 0..50 {
        tell();
        let (mut on_their_way, mut seen) = (Vec::new(), Vec::new());
        loop {
            on_their_way.extend(std::iter::from_fn(|| platform().deliver("query")));
            if on_their_way.is_empty() {
                break;
            }
            let any = |of: usize| (platform().random() % of as u64) as usize;
            let delivery = on_their_way.swap_remove(any(on_their_way.len()));
            deliver::<Query>(&delivery).unwrap();
            seen.push(delivery);
            deliver::<Query>(&seen[any(seen.len())]).unwrap();
        }
        assert_eq!(models(), expected, "round {round}");
    }
}

#[test]
fn a_rebuild_comes_to_the_same() {
    let expected = expected();
    let answers = || (market(), orders_of("bob"), orders_of("eve"), sales_of("sue"));
    let before = answers();
    message::<Query>("trellis.announce", None, br#"{"replay":"query"}"#).unwrap();
    while let Some(delivery) = platform().deliver("query") {
        deliver::<Query>(&delivery).unwrap();
        assert_eq!(answers(), before, "it answers all the while");
    }
    assert_eq!(models(), expected);
}

#[test]
fn over_http() {
    platform().configure("caller-header", "x-caller");
    tell();
    settle::<Query>();
    let ask = |path: &str, who: &str| request::<Query>("GET", path, &[("x-caller", who)], "");
    let tickets: Json = json(&ask("/tickets", "eve"));
    assert_eq!((&tickets[0]["id"], &tickets[0]["status"]), (&"t2".into(), &"reserved".into()));
    assert_eq!((&tickets[1]["id"], &tickets[1]["status"]), (&"t1".into(), &"sold".into()));
    assert_eq!((tickets[1]["free_at"].clone(), tickets.as_array().unwrap().len()), (Json::Null, 2));
    let orders: Json = json(&ask("/orders", "bob"));
    assert_eq!((&orders[0]["id"], &orders[0]["status"]), (&"t2-o".into(), &"expired".into()));
    assert_eq!(orders[1]["payment"]["status"], "succeeded");
    let sales: Json = json(&ask("/sales", "sue"));
    assert_eq!(
        sales["totals"],
        trellis_kit::testing::parse::<Json>(br#"[{"currency":"EUR","count":1,"amount":1999}]"#)
    );
    assert_eq!(sales["items"][0]["order_id"], "t1-o");
    let first = ask("/orders?limit=1", "bob");
    let next = first.header("link").and_then(|link| link.split(['<', '>']).nth(1)).unwrap().to_owned();
    let second: Json = json(&ask(&next, "bob"));
    assert_eq!(second[0]["id"], "t1-o");
    for bad in ["/orders?limit=0", "/sales?after=x", "/tickets?limit=101"] {
        assert_eq!(ask(bad, "bob").status, 400, "{bad}");
    }
    for path in ["/orders", "/sales"] {
        assert_eq!(send::<Query>("GET", path, "").status, 401, "{path}");
    }
}

/// However much is ordered and sold, reading costs as much.
#[test]
fn many_cost_what_few_cost() {
    let calls = |act: &dyn Fn()| {
        let before = platform().calls();
        act();
        platform().calls() - before
    };
    let mut prices = Vec::new();
    for count in [3, 200] {
        platform().forget_everything();
        let ids: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
        for id in &ids {
            offer(&[id]);
            sold(id, euros(1));
            paid_by(&format!("{id}-o"), [PaymentEvent::Succeeded]);
        }
        read();
        let few = || page(2);
        prices.push([
            calls(&|| drop(Query::tickets(&anonymous(), few()).unwrap())),
            calls(&|| drop(Query::orders(&caller("bob"), few()).unwrap())),
            calls(&|| drop(Query::sales(&caller("sue"), few()).unwrap())),
        ]);
    }
    assert_eq!(prices[0], prices[1]);
    assert!(prices[0].iter().all(|price| *price <= 6), "{prices:?}");
}
