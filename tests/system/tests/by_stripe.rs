//! Payments by Stripe, as others have it: localstripe takes and gives back the money, and Stripe's own library says which signatures
//! count. Both are from PyPI.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use system::{ANN, Client, OLAF, Request, Response, Trellis, configured, eventually, python};
use tempfile::tempdir;
use trellis_manifest::Manifest;

const SCRIPTS: [(&str, &str); 2] =
    [("double.py", include_str!("by_stripe/double.py")), ("judge.py", include_str!("by_stripe/judge.py"))];
const KEY: &str = "sk_test_of_nobody";
const WEBHOOK_SECRET: &str = "whsec_of_nobody";
const WEBHOOKS: &str = "/payments/webhooks/stripe";

/// localstripe, until it goes out of scope.
struct Double {
    child: Child,
    address: SocketAddr,
}

impl Double {
    fn start(folder: &Path) -> Self {
        for (name, text) in SCRIPTS {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut python = python("double");
        let mut child = python.current_dir(folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        let double = Self { child, address };
        eventually("it answers", || {
            Client::new(address).send(&Request::get("/v1/payment_intents").by(KEY)).ok()
        });
        double
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers to its own caller.
    #[track_caller]
    fn ask(&self, request: &Request) -> Value {
        let answer = Client::new(self.address).send(&request.clone().by(KEY)).unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// All of a kind that there are.
    fn all(&self, of: &str) -> Vec<Value> {
        self.ask(&Request::get(&format!("/v1/{of}?limit=100")))["data"].as_array().unwrap().clone()
    }

    /// The intents of a payment.
    fn of(&self, payment: &str) -> Vec<Value> {
        let mut all = self.all("payment_intents");
        all.retain(|intent| intent["metadata"]["payment"] == payment);
        all
    }

    fn make(&self, path: &str, what: Value) -> Value {
        self.ask(&Request::post(path, what.to_string()))
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The application with Stripe as its processor, as docs/market.md has it.
fn by_stripe(url: &str) -> Manifest {
    let origins = json!([url]).to_string();
    let manifest = configured(&[
        ("payments", "processor", "stripe"),
        ("payments", "stripe-url", url),
        ("payments", "outgoing-origins", &origins),
    ]);
    let mut manifest = serde_json::to_value(manifest.as_wadm()).unwrap();
    let spec = &mut manifest["spec"];
    spec["policies"] = json!([{
        "name": "vault", "type": "policy.secret.wasmcloud.dev/v1alpha1", "properties": { "backend": "nats-kv" },
    }]);
    let components = spec["components"].as_array_mut().unwrap();
    components.push(json!({
        "name": "http-client", "type": "capability",
        "properties": { "image": "ghcr.io/wasmcloud/http-client:0.12.1" },
    }));
    let payments = components.iter_mut().find(|component| component["name"] == "payments").unwrap();
    let secret = |name: &str| json!({ "name": name, "properties": { "policy": "vault", "key": name } });
    payments["properties"]["secrets"] = json!([secret("stripe-key"), secret("stripe-webhook-secret")]);
    payments["traits"].as_array_mut().unwrap().push(json!({
        "type": "link",
        "properties": {
            "namespace": "wasi", "package": "http", "interfaces": ["outgoing-handler"],
            "target": { "name": "http-client" },
        },
    }));
    Manifest::read(&manifest.to_string()).unwrap()
}

fn start(folder: &Path, double: &Double) -> Trellis {
    let secrets = json!({ "stripe-key": KEY, "stripe-webhook-secret": WEBHOOK_SECRET });
    Trellis::start_with_secrets(&folder.join("data"), &by_stripe(&double.url()), &secrets)
}

/// Olaf pays for a new ticket of Ann's. The payment, once it is known what came of it.
#[track_caller]
fn paid(trellis: &Trellis, token: &str) -> Value {
    let price = json!({ "amount": 1999, "currency": "EUR" });
    let send =
        |path: &str, body: Value, by: &str| trellis.send(&Request::post(path, body.to_string()).by(by));
    let ticket = send("/tickets", json!({ "title": "Concert", "price": price }), ANN).json();
    let order = send("/orders", json!({ "ticket_id": ticket["id"], "price": price }), OLAF).json();
    let accepted = send("/payments", json!({ "order_id": order["id"], "token": token }), OLAF);
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let place = accepted.header("location").unwrap();
    eventually("it is known what came of it", || {
        let payment = trellis.send(&Request::get(place).by(OLAF)).json();
        (payment["status"] != "requested").then_some(payment)
    })
}

#[test]
fn what_localstripe_takes_is_what_was_paid() {
    let folder = tempdir().unwrap();
    let double = Double::start(folder.path());
    let trellis = start(folder.path(), &double);
    let webhooks = format!("http://{}{WEBHOOKS}", trellis.client().address());
    double.make("/_config/webhooks/trellis", json!({ "url": webhooks, "secret": WEBHOOK_SECRET }));

    let card = |number: &str| {
        let card = json!({ "number": number, "exp_month": 12, "exp_year": 2030, "cvc": "123" });
        let method = double.make("/v1/payment_methods", json!({ "type": "card", "card": card }));
        method["id"].as_str().unwrap().to_owned()
    };
    let debit = json!({ "type": "sepa_debit", "sepa_debit": { "iban": "DE62370400440532013001" } });
    let debit = double.make("/v1/payment_methods", debit)["id"].as_str().unwrap().to_owned();
    let mut paid_for = 0;
    for (token, status, reason, intents) in [
        ("pm_card_visa", "succeeded", Value::Null, vec!["succeeded"]),
        ("pm_card_chargeCustomerFail", "failed", json!("card_declined"), vec!["canceled"]),
        (&card("4000002500003155"), "failed", json!("authentication_required"), vec!["canceled"]),
        // It is decided later that this one is not paid.
        (&debit, "failed", json!("card_declined"), vec!["canceled"]),
        ("pm_of_nobody", "failed", json!("invalid_request_error"), vec![]),
        ("pm_card_visa", "succeeded", Value::Null, vec!["succeeded"]),
    ] {
        let payment = paid(&trellis, token);
        assert_eq!((&payment["status"], &payment["reason"]), (&json!(status), &reason), "{token}");
        let there = double.of(payment["id"].as_str().unwrap());
        assert_eq!(
            there.iter().map(|intent| intent["status"].clone()).collect::<Vec<_>>(),
            intents,
            "{token}"
        );
        assert!(there.iter().all(|intent| intent["amount"] == 1999 && intent["currency"] == "eur"));
        paid_for += u64::from(status == "succeeded") * 1999;
    }

    // Stripe takes the money once more, for a payment that is made, and tells it.
    let payment = paid(&trellis, "pm_card_visa");
    paid_for += 1999;
    let other = double.make(
        "/v1/payment_intents",
        json!({
            "amount": 1999, "currency": "eur", "payment_method": "pm_card_visa", "confirm": true,
            "metadata": { "payment": payment["id"] },
        }),
    );
    let refund = eventually("it is given back, and an operator sees it", || {
        let refunds = trellis.send(&Request::get("/payments/refunds").by(OLAF)).json();
        refunds.as_array()?.iter().find(|refund| refund["status"] == "refunded").cloned()
    });
    assert_eq!((&refund["processor_id"], &refund["reason"]), (&other["id"], &json!("unasked")));
    assert_eq!(trellis.send(&Request::get("/payments/refunds").by(ANN)).status, 403);

    let sum = |all: Vec<Value>| all.iter().map(|one| one["amount"].as_u64().unwrap()).sum::<u64>();
    let mut taken = double.all("payment_intents");
    taken.retain(|intent| intent["status"] == "succeeded");
    assert_eq!(sum(taken) - sum(double.all("refunds")), paid_for, "their ledger is ours, to the cent");
    assert!(!trellis.output().contains(KEY) && !trellis.output().contains(WEBHOOK_SECRET));
    trellis.stop();
}

#[test]
fn the_signatures_that_count_are_those_that_count_for_stripes_own_library() {
    let folder = tempdir().unwrap();
    let double = Double::start(folder.path());
    let trellis = start(folder.path(), &double);
    let body = json!({ "id": "evt_1", "object": "event", "data": { "object": {} } }).to_string();
    let mut judge = python("judge");
    judge.arg(WEBHOOK_SECRET).current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut judge = judge.spawn().unwrap();
    judge.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let said = judge.wait_with_output().unwrap();
    assert!(said.status.success());
    let cases: Vec<Value> = said
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let told = |headers: &[(&str, &str)], body: &str| -> Response {
        let request = Request::post(WEBHOOKS, body);
        trellis.send(&headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
    };
    let mut count = 0;
    for case in &cases {
        let (header, counts) = (case["header"].as_str().unwrap(), case["counts"] == true);
        let answer = told(&[("stripe-signature", header)], &body);
        assert_eq!(answer.status, if counts { 200 } else { 400 }, "{case}: {answer:?}");
        count += usize::from(counts);
    }
    println!("{} headers, of which {count} count", cases.len());
    assert_eq!((cases.len(), count), (15, 5));

    // Nobody else gets in: no page of another site, and nobody who sends very much.
    let good = cases[0]["header"].as_str().unwrap();
    let from =
        [("stripe-signature", good), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(told(&from, &body).status, 403);
    for len in [300 << 10, 1 << 20, (1 << 20) + 1] {
        assert_eq!(told(&[("stripe-signature", good)], &" ".repeat(len)).status, 413, "{len} bytes");
    }
    trellis.stop();
}
