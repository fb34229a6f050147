//! Trades: somebody offers a ticket, and somebody else reserves it, and pays, cancels, or does both at once. What was answered says how
//! each must have ended.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::visitor::{Visitor, body};
use crate::application::Application;
use crate::client::{Request, Response, text};
use crate::manifest::{ANN, OLAF};
use crate::nats::Nats;
use crate::random::Random;

const PRICE: u64 = 1999;

/// A ticket, the order that it was reserved by, and what was paid with.
#[derive(Debug)]
pub struct Trade {
    ticket: String,
    order: String,
    buyer: String,
    payment: Option<String>,
    end: End,
}

/// How a trade must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is still time to pay, even if a card was declined.
    Reserved,
    Cancelled,
    Paid,
}

/// Who asks.
#[derive(Clone, Copy)]
enum Party {
    Seller,
    Buyer,
}

impl Visitor {
    fn name_of(&self, party: Party) -> String {
        match party {
            Party::Seller => format!("{}-seller", self.name),
            Party::Buyer => self.name.clone(),
        }
    }

    /// Sends a request for one of the two until it is answered.
    fn trade(&mut self, party: Party, service: &str, request: Request) -> Response {
        let request = match (self.by_gateway, party) {
            (true, Party::Seller) => request.by(ANN),
            (true, Party::Buyer) => request.by(OLAF),
            (false, party) => request.header("trellis-caller", &self.name_of(party)),
        };
        // What a gateway has not heard of yet is asked again.
        self.send(service, &request, |answer| answer.status < 500 && !matches!(answer.status, 404 | 405))
    }

    /// The id of what is made by a request with this key.
    fn made(&mut self, party: Party, service: &str, key: &str, new: &Value) -> String {
        let request = Request::post(&format!("/{service}"), body(new)).header("idempotency-key", key);
        let answer = self.trade(party, service, request.clone());
        assert!(matches!(answer.status, 201 | 202), "{}: {request:?}: {answer:?}", self.name);
        text(&answer.json()["id"])
    }

    fn pay(&mut self, key: &str, order: &str, token: &str) -> String {
        self.made(Party::Buyer, "payments", key, &json!({ "order_id": order, "token": token }))
    }

    /// Whether it has come before any payment.
    fn cancel(&mut self, order: &str) -> bool {
        let request = Request::new("DELETE", &format!("/orders/{order}"));
        let answer = self.trade(Party::Buyer, "orders", request);
        assert!(matches!(answer.status, 204 | 409), "{}: {answer:?}", self.name);
        answer.status == 204
    }
}

/// Trades one ticket.
pub fn trade(visitor: &mut Visitor, random: &mut Random, key: &str) -> Trade {
    let price = json!({ "amount": PRICE, "currency": "EUR" });
    let ticket = visitor.made(Party::Seller, "tickets", key, &json!({ "title": key, "price": price }));
    let order = visitor.made(Party::Buyer, "orders", key, &json!({ "ticket_id": ticket, "price": price }));
    let (payment, end) = match random.below(6) {
        0 => (None, End::Reserved),
        1 => {
            assert!(visitor.cancel(&order), "{key}: nobody has paid");
            (None, End::Cancelled)
        }
        2 => (Some(visitor.pay(key, &order, "tok_declined")), End::Reserved),
        3 => (Some(visitor.pay(key, &order, "tok_ok")), End::Paid),
        4 => (Some(visitor.pay(key, &order, "tok_unknown")), End::Paid),
        _ => {
            let payment = visitor.pay(key, &order, "tok_ok");
            let end = if visitor.cancel(&order) { End::Cancelled } else { End::Paid };
            (Some(payment), end)
        }
    };
    let buyer = if visitor.by_gateway { "olaf".to_owned() } else { visitor.name_of(Party::Buyer) };
    Trade { ticket, order, buyer, payment, end }
}

/// Whether something has come of every payment. Payments are in no order, so none of them is in a backlog.
pub fn are_decided(trellis: &Application, trades: &[Trade]) -> Option<()> {
    let nats = trellis.nats();
    let is_decided = |trade: &Trade| {
        trade.payment.iter().all(|id| trade.read(&nats, "payments", id)["status"] != "requested")
    };
    trades.iter().all(is_decided).then_some(())
}

impl Trade {
    /// What its buyer reads.
    fn read(&self, nats: &Nats, service: &str, id: &str) -> Value {
        let path = match service {
            "query" => format!("/tickets/{id}"),
            _ => format!("/{service}/{id}"),
        };
        let request = Request::get(&path).header("trellis-caller", &self.buyer);
        let answer = nats.send(service, &request).unwrap();
        assert_eq!(answer.status, 200, "{self:?}: {answer:?}");
        answer.json()
    }
}

/// Each trade has ended as was answered. Who has paid was charged once, and nobody else was.
#[track_caller]
pub fn assert_all_ended(trellis: &Application, trades: &[Trade]) {
    let nats = trellis.nats();
    let mut paid = BTreeSet::new();
    for trade in trades {
        let ticket = trade.read(&nats, "query", &trade.ticket);
        let order = trade.read(&nats, "orders", &trade.order);
        let (ticket_is, order_is, payment_is) = match trade.end {
            End::Reserved => ("reserved", "reserved", "failed"),
            End::Cancelled => ("for_sale", "cancelled", "refused"),
            End::Paid => ("sold", "paid", "succeeded"),
        };
        assert_eq!((&ticket["status"], &order["status"]), (&json!(ticket_is), &json!(order_is)), "{trade:?}");
        if let Some(id) = &trade.payment {
            assert_eq!(trade.read(&nats, "payments", id)["status"], payment_is, "{trade:?}");
        }
        if trade.end == End::Paid {
            paid.extend(trade.payment.as_ref().map(|id| format!("{id}-charge")));
        }
    }
    let told = nats.jetstream("STREAM.INFO.LOG_payments", json!({ "subjects_filter": "log.payments.>" }));
    let mut charged = Vec::new();
    // In an empty log there are none.
    for (subject, count) in told["state"]["subjects"].as_object().into_iter().flatten() {
        let entity = subject.split('.').nth(3).unwrap();
        if entity.ends_with("-charge") {
            assert_eq!(count, 1, "{subject}");
            charged.push(entity.to_owned());
        }
    }
    charged.sort();
    assert_eq!(charged, paid.into_iter().collect::<Vec<_>>(), "each who has paid, once, and nobody else");
    eprintln!("{} trades, {} of them paid, each with one charge", trades.len(), charged.len());
}
