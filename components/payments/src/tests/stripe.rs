//! Payments by Stripe, of which there is a double: it does what its documentation says, and keeps a ledger. Whatever goes wrong on the
//! way there or back, what it has taken and not given back is what is paid, to the cent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;
use trellis_kit::http::decoded;
use trellis_kit::outgoing::{Request, Response};
use trellis_kit::testing::{caller_as, parse};

use super::*;
use crate::stripe::signed;
use crate::trellis::payments::types::{RefundReason, RefundStatus};

const ORIGIN: &str = "https://api.stripe.com";
const KEY: &str = "sk_test_1";
const WEBHOOKS: &str = "/payments/webhooks/stripe";
const WEBHOOK_SECRET: &str = "whsec_1";

thread_local!(static STRIPE: Rc<RefCell<Double>> = Rc::default());

/// What becomes of the nth answer.
type Way = Box<dyn Fn(usize, Response<Vec<u8>>) -> Option<Response<Vec<u8>>>>;

#[derive(Default)]
struct Double {
    intents: BTreeMap<String, Json>,
    /// What was answered to a key.
    answered: BTreeMap<String, (u16, Json)>,
    forgets_keys: bool,
    /// What it was asked, without the names of intents.
    asked: Vec<String>,
    taken: Vec<(String, u64)>,
    given_back: Vec<String>,
    /// What becomes of an answer on its way: it is told which answer it is, counted from 0.
    meddles: Option<Way>,
}

impl Double {
    fn answer(&mut self, request: &Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("authorization").as_deref(), Some("Bearer sk_test_1"));
        assert!(header("stripe-version").is_some());
        let (method, path) = (request.method().as_str(), request.uri().path());
        let words: Vec<&str> = path.strip_prefix("/v1/").unwrap().split('/').collect();
        let shown: Vec<&str> = words.iter().map(|w| if w.starts_with("pi_") { "pi" } else { *w }).collect();
        let nth = self.asked.len();
        self.asked.push(format!("{method} {}", shown.join("/")));
        let key = header("idempotency-key");
        let known =
            key.as_ref().and_then(|key| self.answered.get(key)).filter(|_| !self.forgets_keys).cloned();
        let (status, body) = known.unwrap_or_else(|| {
            let form = form(request.body());
            let answer = match (method, words.as_slice()) {
                ("POST", ["payment_intents"]) => self.create(&form),
                ("GET", ["payment_intents", id]) => self.find(id),
                ("POST", ["payment_intents", id, "confirm"]) => self.confirm(id),
                ("POST", ["payment_intents", id, "cancel"]) => self.cancel(id),
                ("POST", ["refunds"]) => self.refund(&form["payment_intent"]),
                _ => panic!("{method} {path} is nothing that Stripe is asked"),
            };
            assert_eq!(key.is_some(), method == "POST" && words.last() != Some(&"cancel"));
            self.answered.extend(key.map(|key| (key, answer.clone())));
            answer
        });
        let response = Response::builder().status(status).body(body.to_string().into_bytes()).unwrap();
        match &self.meddles {
            Some(meddle) => meddle(nth, response),
            None => Some(response),
        }
    }

    fn create(&mut self, form: &BTreeMap<String, String>) -> (u16, Json) {
        assert_eq!(form["payment_method_types[]"], "card");
        let method = form.get("payment_method").or_else(|| form.get("payment_method_data[card][token]"));
        if method.unwrap() == "pm_nobodys" {
            return refused(400, "resource_missing", "null");
        }
        let id = format!("pi_{}", self.intents.len());
        let intent = json!({
            "id": id, "object": "payment_intent", "amount": form["amount"].parse::<u64>().unwrap(),
            "amount_received": 0, "currency": form["currency"], "status": "requires_confirmation",
            "payment_method": method, "last_payment_error": null, "client_secret": "x",
            "metadata": { "payment": form["metadata[payment]"], "order": form["metadata[order]"] },
        });
        self.intents.insert(id.clone(), intent);
        self.find(&id)
    }

    fn find(&self, id: &str) -> (u16, Json) {
        self.intents
            .get(id)
            .map_or_else(|| refused(404, "resource_missing", "null"), |intent| (200, intent.clone()))
    }

    fn confirm(&mut self, id: &str) -> (u16, Json) {
        let events = platform().stored("LOG_payments");
        let is_noted = |event: &trellis_kit::platform::memory::Stored| {
            let text = String::from_utf8(event.body.clone()).unwrap();
            text.contains("payment.prepared.v1") && text.contains(id)
        };
        assert!(events.iter().any(is_noted), "nothing is confirmed before it is written down");
        if self.intents[id]["status"] != "requires_confirmation" {
            return refused(400, "payment_intent_unexpected_state", "null");
        }
        match self.intents[id]["payment_method"].as_str().unwrap() {
            "pm_declined" => {
                let (status, body) = refused(402, "card_declined", "\"insufficient_funds\"");
                self.become_as(id, "requires_payment_method", &body["error"]);
                return (status, body);
            }
            "pm_asks" => self.become_as(id, "requires_action", &Json::Null),
            "pm_slow" => self.become_as(id, "processing", &Json::Null),
            _ => self.take(id),
        }
        self.find(id)
    }

    fn become_as(&mut self, id: &str, status: &str, error: &Json) {
        let intent = self.intents.get_mut(id).unwrap();
        intent["status"] = status.into();
        intent["last_payment_error"] = error.clone();
    }

    /// It takes the money, whoever has told it to.
    fn take(&mut self, id: &str) {
        self.become_as(id, "succeeded", &Json::Null);
        let intent = self.intents.get_mut(id).unwrap();
        intent["amount_received"] = intent["amount"].clone();
        self.taken.push((id.to_owned(), intent["amount"].as_u64().unwrap()));
    }

    fn cancel(&mut self, id: &str) -> (u16, Json) {
        match self.intents[id]["status"].as_str().unwrap() {
            "succeeded" | "processing" | "canceled" => {
                refused(400, "payment_intent_unexpected_state", "null")
            }
            _ => {
                let error = self.intents[id]["last_payment_error"].clone();
                self.become_as(id, "canceled", &error);
                self.find(id)
            }
        }
    }

    fn refund(&mut self, id: &str) -> (u16, Json) {
        if self.given_back.iter().any(|given| given == id) {
            return refused(400, "charge_already_refunded", "null");
        }
        self.given_back.push(id.to_owned());
        (200, json!({ "id": "re_1", "object": "refund", "payment_intent": id, "status": "succeeded" }))
    }
}

fn refused(status: u16, code: &str, decline_code: &str) -> (u16, Json) {
    let error = format!(
        r#"{{"error": {{"type": "invalid_request_error", "code": "{code}", "decline_code": {decline_code}, "message": "No."}}}}"#
    );
    (status, parse(error.as_bytes()))
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(body).unwrap();
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name).unwrap(), decoded(value).unwrap())).collect()
}

fn stripe<T>(act: impl FnOnce(&mut Double) -> T) -> T {
    STRIPE.with(|stripe| act(&mut stripe.borrow_mut()))
}

/// A Stripe that nobody has asked anything yet, the order `t1-o`, and the service as its operator has set it.
fn order_by_stripe() {
    stripe(|stripe| {
        let forgets_keys = stripe.forgets_keys;
        *stripe = Double { forgets_keys, ..Double::default() };
    });
    let server = STRIPE.with(Rc::clone);
    platform().serve(ORIGIN, move |request| server.borrow_mut().answer(request));
    platform().configure("processor", "stripe");
    platform().configure("outgoing-origins", r#"["https://api.stripe.com"]"#);
    platform().give_secret("stripe-key", KEY);
    platform().give_secret("stripe-webhook-secret", WEBHOOK_SECRET);
    order();
}

/// Somebody pays, and orders has just decided that they may.
fn paying_by(token: &str) -> Payment {
    order_by_stripe();
    let payment = pay(&caller("ann"), token).unwrap();
    given::<Reservation>("t1", [ReservationEvent::Paying(payment.id.clone())]);
    payment
}

/// The same, when all has come of it that does by itself.
fn paid_by(token: &str) -> Payment {
    let payment = paying_by(token);
    settle::<Payments>();
    now(&payment)
}

/// What was taken and not given back, in cents.
fn kept() -> u64 {
    stripe(|stripe| {
        let is_kept = |id: &String| !stripe.given_back.contains(id);
        stripe.taken.iter().filter(|(id, _)| is_kept(id)).map(|(_, amount)| amount).sum()
    })
}

#[track_caller]
fn expect_paid(payment: &Payment, when: &str) {
    let times = stripe(|stripe| stripe.taken.len());
    assert_eq!((now(payment).status, times, kept()), (Status::Succeeded, 1, 1999), "{when}");
    assert!(platform().stored("DEAD_payments").is_empty(), "{when}");
}

#[track_caller]
fn expect_failed(payment: &Payment, reason: &str, when: &str) {
    let now = now(payment);
    assert_eq!((now.status, now.reason.as_deref(), kept()), (Status::Failed, Some(reason), 0), "{when}");
}

/// What happened to payments, in the order in which it did.
fn events() -> Vec<String> {
    let kind = |event: Vec<u8>| parse::<Json>(&event)["type"].as_str().unwrap().to_owned();
    platform().stored("LOG_payments").into_iter().map(|event| kind(event.body)).collect()
}

#[test]
fn a_payment_takes_two_steps() {
    let payment = paid_by("pm_card_visa");
    expect_paid(&payment, "at once");
    assert_eq!((payment.processor, payment.processor_id.as_deref()), (Some(Processor::Stripe), Some("pi_0")));
    assert_eq!(
        events(),
        ["payment.requested.v1", "payment.prepared.v1", "payment.succeeded.v1"],
        "and it is told that it was prepared"
    );
    stripe(|stripe| {
        assert_eq!(stripe.asked, ["POST payment_intents", "POST payment_intents/pi/confirm"]);
        assert_eq!(stripe.intents["pi_0"]["metadata"], json!({ "payment": payment.id, "order": "t1-o" }));
    });
    expect_paid(&paid_by("tok_visa"), "a token, which was made of a card by the browser");
}

#[test]
fn what_stripe_declines_has_failed_once_it_is_cancelled() {
    for (token, reason, intent) in [
        ("pm_declined", "insufficient_funds", Some("canceled")),
        ("pm_asks", "authentication_required", Some("canceled")),
        ("pm_nobodys", "resource_missing", None),
    ] {
        platform().forget_everything();
        expect_failed(&paid_by(token), reason, token);
        stripe(|stripe| {
            let status = stripe.intents.get("pi_0").map(|intent| intent["status"].as_str().unwrap());
            assert_eq!(status, intent, "{token}");
        });
    }
}

#[test]
fn a_payment_that_stripe_has_not_decided_yet_is_asked_about_again() {
    let payment = paying_by("pm_slow");
    run::<Payments>(Duration::from_mins(15));
    assert_eq!((now(&payment).status, kept()), (Status::Requested, 0));
    stripe(|stripe| stripe.take("pi_0"));
    settle::<Payments>();
    expect_paid(&payment, "when it has decided");
}

#[test]
fn whatever_dies_or_is_lost_a_payment_is_taken_once() {
    for forgets_keys in [false, true] {
        stripe(|stripe| stripe.forgets_keys = forgets_keys);
        every_event_twice::<Payments, _>(|| paying_by("pm_card_visa"), expect_paid);
        let calls = trouble_at_every_call::<Payments, _>(1, || paying_by("pm_card_visa"), expect_paid);
        assert!(calls > 8, "{calls}");
        for (token, reason) in [("pm_declined", "insufficient_funds"), ("pm_asks", "authentication_required")]
        {
            let check = |payment: &Payment, when: &str| {
                let now = now(payment);
                // Whose answer to the confirmation was lost, is known by what was cancelled.
                assert!(
                    now.reason.is_some_and(|said| said == reason || said == "canceled"),
                    "{token}: {when}"
                );
                assert_eq!((now.status, kept()), (Status::Failed, 0), "{token}: {when}");
            };
            trouble_at_every_call::<Payments, _>(1, || paying_by(token), check);
        }
    }
}

/// What becomes of the nth answer; none is one that never comes.
type Meddling = fn(Response<Vec<u8>>) -> Option<Response<Vec<u8>>>;

fn changed(response: Response<Vec<u8>>, change: fn(String) -> String) -> Option<Response<Vec<u8>>> {
    Some(response.map(|body| change(String::from_utf8(body).unwrap()).into_bytes()))
}

const MEDDLINGS: [(&str, Meddling); 8] = [
    ("no answer", |_| None),
    ("half of it", |response| changed(response, |text| text[..text.len() / 2].to_owned())),
    ("a page", |response| changed(response, |_| "<html>Not Stripe</html>".to_owned())),
    ("a page, of an error", |_| Some(Response::builder().status(502).body(b"<html>".to_vec()).unwrap())),
    ("a redirect", |_| Some(Response::builder().status(302).body(Vec::new()).unwrap())),
    ("another amount", |response| changed(response, |text| text.replace("1999", "1"))),
    ("another currency", |response| changed(response, |text| text.replace("eur", "usd"))),
    ("too many", |_| {
        let (status, body) = refused(429, "rate_limit", "null");
        let response = Response::builder().status(status).header("retry-after", "7");
        Some(response.body(body.to_string().into_bytes()).unwrap())
    }),
];

/// Somebody pays while some answers are meddled with.
fn paid_while(token: &str, meddle: Meddling, is_meant: impl Fn(usize) -> bool + 'static) -> Payment {
    platform().forget_everything();
    let payment = paying_by(token);
    let meddles = move |nth: usize, response| if is_meant(nth) { meddle(response) } else { Some(response) };
    stripe(|stripe| stripe.meddles = Some(Box::new(meddles)));
    payment
}

#[test]
fn an_answer_that_is_none_decides_nothing() {
    for (what, meddle) in MEDDLINGS {
        for nth in 0..4 {
            let payment = paid_while("pm_card_visa", meddle, move |answer| answer == nth);
            settle::<Payments>();
            expect_paid(&payment, &format!("{what}, as answer {nth}"));
            let payment = paid_while("pm_declined", meddle, move |answer| answer == nth);
            settle::<Payments>();
            expect_failed(&payment, "insufficient_funds", &format!("{what}, as answer {nth}"));
        }
    }
}

#[test]
fn an_answer_about_another_intent_is_none() {
    for nth in 1..4 {
        let other: Meddling = |response| changed(response, |text| text.replace("pi_0", "pi_9"));
        let payment = paid_while("pm_card_visa", other, move |answer| answer == nth);
        settle::<Payments>();
        expect_paid(&payment, &format!("as answer {nth}"));
    }
}

#[test]
fn who_never_hears_from_stripe_has_neither_paid_nor_failed() {
    for (what, meddle) in MEDDLINGS {
        let payment = paid_while("pm_card_visa", meddle, |_| true);
        run::<Payments>(Duration::from_mins(15));
        assert_eq!((now(&payment).status, kept()), (Status::Requested, 0), "{what}");
        stripe(|stripe| stripe.meddles = None);
        settle::<Payments>();
        expect_paid(&payment, &format!("{what}, until it is mended"));
    }
}

#[test]
fn stripe_that_cannot_be_reached_or_asked_is_waited_for() {
    let payment = paying_by("pm_card_visa");
    let mistakes: [[fn(); 2]; 4] = [
        [
            || platform().unserve(ORIGIN),
            || {
                let server = STRIPE.with(Rc::clone);
                platform().serve(ORIGIN, move |request| server.borrow_mut().answer(request));
            },
        ],
        [|| platform().give_secret("stripe-key", ""), || platform().give_secret("stripe-key", KEY)],
        [|| platform().give_secret("stripe-key", "a\nb"), || platform().give_secret("stripe-key", KEY)],
        [|| platform().configure("stripe-url", "ftp://x"), || platform().unset("stripe-url")],
    ];
    for [make, _] in &mistakes {
        make();
        run::<Payments>(Duration::from_mins(10));
        assert_eq!((now(&payment).status, stripe(|stripe| stripe.asked.len())), (Status::Requested, 0));
    }
    mistakes.iter().for_each(|[_, mend]| mend());
    settle::<Payments>();
    expect_paid(&payment, "when all is mended");
    let lines = platform().take_lines();
    assert!(lines.iter().all(|(_, line)| !line.contains(KEY)), "{lines:?}");
}

#[test]
fn what_is_no_token_of_stripe_is_refused() {
    order_by_stripe();
    for bad in ["", "pm_", "tok_", "tok_ok\n", "pm_a/../b", "pm_a b", "4242424242424242", &"pm_".repeat(4000)]
    {
        let problem = pay(&caller("ann"), bad).unwrap_err();
        assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "token"), "{bad:.20}");
    }
    platform().configure("processor", "paypal");
    assert_eq!(pay(&caller("ann"), "pm_card_visa").unwrap_err().status, 503);
}

#[test]
fn a_payment_is_made_by_the_processor_of_when_it_was_requested() {
    let payment = paying_by("pm_card_visa");
    platform().configure("processor", "sandbox");
    settle::<Payments>();
    expect_paid(&payment, "Stripe");
    assert_eq!(charged(), 0, "and not the sandbox");
}

/// As it was written before there was another processor.
#[test]
fn payments_of_before_are_those_of_the_sandbox() {
    let old =
        br#"{"id": "p", "order_id": "t1-o", "buyer": "ann", "amount": {"amount": 1999, "currency": "EUR"},
        "status": "requested", "reason": null, "requested_at": "2026-01-01T00:00:00.000Z", "version": 1}"#;
    let payment: Payment = parse(old);
    assert_eq!((payment.processor, payment.processor_id), (None, None));
}

/// What Stripe tells of an intent, as it is signed just now.
fn telling(name: &str, intent: &str) -> String {
    let intent = stripe(|stripe| stripe.intents[intent].clone());
    json!({ "id": name, "object": "event", "type": "payment_intent.succeeded", "data": { "object": intent } })
        .to_string()
}

fn tell(header: &str, body: &str) -> u16 {
    request::<Payments>("POST", WEBHOOKS, &[("stripe-signature", header)], body).status
}

fn told(name: &str, intent: &str) -> u16 {
    let body = telling(name, intent);
    tell(&signed(body.as_bytes(), WEBHOOK_SECRET, anonymous().seconds()), &body)
}

fn is_nudged() -> usize {
    events().iter().filter(|kind| *kind == "nudge.given.v1").count()
}

#[test]
fn stripe_tells_and_is_asked_sooner() {
    let payment = paying_by("pm_slow");
    run::<Payments>(Duration::from_secs(1));
    stripe(|stripe| stripe.take("pi_0"));
    assert_eq!(told("evt_1", "pi_0"), 200);
    run::<Payments>(Duration::from_secs(1));
    expect_paid(&payment, "before the time to ask again has come");
    settle::<Payments>();
    // Again, and late, it changes nothing.
    let before = platform().stored("LOG_payments").len();
    platform().advance(Duration::from_hours(100));
    for name in ["evt_1", "evt_2"] {
        assert_eq!(told(name, "pi_0"), 200);
    }
    settle::<Payments>();
    assert_eq!(platform().stored("LOG_payments").len(), before);
    expect_paid(&payment, "and still");
}

#[test]
fn what_stripe_tells_is_not_believed() {
    let payment = paying_by("pm_slow");
    run::<Payments>(Duration::from_secs(1));
    let body = telling("evt_1", "pi_0").replace("processing", "succeeded");
    assert_eq!(tell(&signed(body.as_bytes(), WEBHOOK_SECRET, anonymous().seconds()), &body), 200);
    run::<Payments>(Duration::from_mins(1));
    assert_eq!((now(&payment).status, is_nudged()), (Status::Requested, 1));
}

#[test]
fn who_is_not_stripe_is_refused() {
    let payment = paying_by("pm_slow");
    run::<Payments>(Duration::from_secs(1));
    let (body, seconds) = (telling("evt_1", "pi_0"), anonymous().seconds());
    let good = signed(body.as_bytes(), WEBHOOK_SECRET, seconds);
    let late = signed(body.as_bytes(), WEBHOOK_SECRET, seconds - 301);
    let forged = signed(body.as_bytes(), "whsec_2", seconds);
    for (header, body) in
        [("", &body), ("t=1", &body), (&late, &body), (&forged, &body), (&good, &format!("{body} "))]
    {
        assert_eq!(tell(header, body), 400, "{header}");
    }
    let twice = [("stripe-signature", good.as_str()), ("stripe-signature", good.as_str())];
    assert_eq!(request::<Payments>("POST", WEBHOOKS, &twice, &body).status, 400);
    let (_, signature) = good.split_once(',').unwrap();
    let rolled = format!("{},{signature}", forged);
    platform().advance(Duration::from_secs(300));
    assert_eq!((tell(&rolled, &body), is_nudged()), (200, 1), "the second signature, at the last moment");
    platform().advance(Duration::from_secs(1));
    assert_eq!(tell(&good, &body), 400, "the same, replayed");

    let large = format!("{body}{}", " ".repeat(256 * 1024));
    let header = signed(large.as_bytes(), WEBHOOK_SECRET, anonymous().seconds());
    assert_eq!(tell(&header, &large), 413);
    let broken = signed(b"{", WEBHOOK_SECRET, anonymous().seconds());
    assert_eq!(tell(&broken, "{"), 400);
    platform().give_secret("stripe-webhook-secret", "");
    assert_eq!(tell(&signed(body.as_bytes(), "", anonymous().seconds()), &body), 404, "no secret is none");
    assert_eq!((is_nudged(), now(&payment).status), (1, Status::Requested));
}

#[test]
fn what_stripe_tells_of_others_is_heard_and_changes_nothing() {
    let payment = paying_by("pm_slow");
    run::<Payments>(Duration::from_secs(1));
    let known = telling("evt_1", "pi_0");
    for other in [
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        known.replace(&payment.id, "nobodys"),
        known.replace(&payment.id, "../x"),
        known.replace("\"payment\"", "\"other\""),
        known.replace("\"payment_intent\"", "\"charge\""),
        known.replace("pi_0", "pi_0/confirm"),
        known.replace("\"pi_0\"", "null"),
    ] {
        let header = signed(other.as_bytes(), WEBHOOK_SECRET, anonymous().seconds());
        assert_eq!(tell(&header, &other), 200, "{other}");
    }
    assert_eq!(is_nudged(), 0);
    // Of an intent that Stripe does not have.
    let gone = known.replace("pi_0", "pi_7");
    assert_eq!(tell(&signed(gone.as_bytes(), WEBHOOK_SECRET, anonymous().seconds()), &gone), 200);
    run::<Payments>(Duration::from_mins(1));
    assert_eq!((is_nudged(), now(&payment).status), (1, Status::Requested));
}

/// A payment has failed, and Stripe takes the money for it all the same.
fn taken_after_failing() -> Payment {
    let payment = paid_by("pm_declined");
    stripe(|stripe| stripe.take("pi_0"));
    assert_eq!(told("evt_1", "pi_0"), 200);
    payment
}

fn refunds(by: &Cx) -> Result<Vec<Refund>, Problem> {
    Payments::refunds(by, PageRequest { limit: None, after: None }).map(|page| page.items)
}

#[test]
fn what_stripe_has_taken_against_our_word_is_given_back() {
    let check = |payment: &Payment, when: &str| {
        expect_failed(payment, "insufficient_funds", when);
        let given_back = stripe(|stripe| stripe.given_back.clone());
        assert_eq!(given_back, ["pi_0"], "{when}");
        let seen = refunds(&caller_as(OPERATOR, "olaf")).unwrap();
        assert_eq!(seen.len(), 1, "{when}");
        assert_eq!(
            (seen[0].status, seen[0].reason, &seen[0].amount, seen[0].payment_id.as_str()),
            (RefundStatus::Refunded, RefundReason::Failed, &price(), payment.id.as_str()),
            "{when}"
        );
    };
    for forgets_keys in [false, true] {
        stripe(|stripe| stripe.forgets_keys = forgets_keys);
        every_event_twice::<Payments, _>(taken_after_failing, check);
        let calls = trouble_at_every_call::<Payments, _>(1, taken_after_failing, check);
        assert!(calls > 8, "{calls}");
    }
    for by in [anonymous(), caller("ann")] {
        assert_eq!(refunds(&by).unwrap_err().status, 403);
    }
}

#[test]
fn a_second_intent_of_a_payment_is_given_back() {
    let payment = paid_by("pm_card_visa");
    stripe(|stripe| {
        let mut other = stripe.intents["pi_0"].clone();
        other["id"] = "pi_1".into();
        stripe.intents.insert("pi_1".to_owned(), other);
        stripe.take("pi_1");
    });
    assert_eq!(told("evt_2", "pi_1"), 200);
    settle::<Payments>();
    assert_eq!((now(&payment).status, kept()), (Status::Succeeded, 1999));
    let seen = refunds(&caller_as(OPERATOR, "olaf")).unwrap();
    assert_eq!((seen[0].reason, seen[0].processor_id.as_str()), (RefundReason::Unasked, "pi_1"));
}

#[test]
fn another_amount_is_given_back_and_pays_nothing() {
    let tell = || {
        let payment = paying_by("pm_slow");
        run::<Payments>(Duration::from_secs(1));
        stripe(|stripe| {
            stripe.intents.get_mut("pi_0").unwrap()["amount"] = 1.into();
            stripe.take("pi_0");
        });
        payment
    };
    let check = |payment: &Payment, when: &str| {
        expect_failed(payment, "other_amount", when);
        let seen = refunds(&caller_as(OPERATOR, "olaf")).unwrap();
        assert_eq!((seen.len(), seen[0].reason, seen[0].amount.amount), (1, RefundReason::OtherAmount, 1));
        assert_eq!(seen[0].status, RefundStatus::Refunded, "{when}");
    };
    trouble_at_every_call::<Payments, _>(1, tell, check);
}

#[test]
fn currencies_that_stripe_counts_in_another_unit_are_not_taken() {
    order_by_stripe();
    let mut payment = pay(&caller("ann"), "pm_card_visa").unwrap();
    for currency in ["ISK", "UGX", "MGA"] {
        payment.amount.currency = currency.to_owned();
        payment.id = format!("p{currency}");
        given::<Payment>(&payment.id, [PaymentEvent::Requested(payment.clone())]);
        given::<Means>(
            &payment.id,
            [MeansEvent::Shown(Means { id: payment.id.clone(), token: "pm_x".to_owned() })],
        );
        heard(ReservationEvent::Paying(payment.id.clone()));
        expect_failed(&payment, "unsupported_currency", currency);
    }
    assert!(stripe(|stripe| stripe.asked.is_empty()));
}
