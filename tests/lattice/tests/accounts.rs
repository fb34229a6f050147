//! Services that are kept apart: each is a user of NATS, and may touch what is its own.

#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use lattice_tests::{Running, on_every_host};
use serde_json::{Value, json};
use system::{ANN, Application, OLAF, Request, configured, done, within};

const PATIENCE: Duration = Duration::from_secs(90);

/// As a server writes down that somebody did what was not allowed.
const VIOLATION: &str = "Violation";

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(PATIENCE, what, || condition().then_some(()));
}

#[test]
fn a_service_has_all_that_it_needs_and_is_refused_the_bucket_of_another() {
    let mut lattice = Running::start_kept_apart("accounts");
    let application = lattice.application_kept_apart();
    every_service_works(&application);
    // Consumers of another generation, made, followed and removed.
    application.run(&["replay", "query"]);
    every_service_works(&application);
    until("all is well", || application.command(&["status"]).status.success());
    let log = lattice.log("nats-1");
    let refused: Vec<&str> = log.lines().filter(|line| line.contains(VIOLATION)).collect();
    assert!(refused.is_empty(), "{refused:#?}");

    // A slip of whoever writes manifests: posts, with its own credentials, is linked to what comments keeps.
    let mut slip = on_every_host(&configured(&[]));
    let settings = slip.config_mut("posts-bucket").and_then(|config| config.properties.as_mut()).unwrap();
    assert_eq!(settings.insert("bucket".to_owned(), "comments".to_owned()), Some("posts".to_owned()));
    done(lattice.deploy(&slip));
    // The provider reads the config of its links when it starts.
    done(lattice.processes().stop("host-1"));
    done(lattice.processes().start_again("host-1"));
    until("posts is told that it may not", || {
        let log = lattice.log("host-1");
        let mut lines = log.lines();
        lines.any(|line| line.contains("may touch its own bucket only") && line.contains("KV_comments"))
    });
}

/// Every service has its part in what is done here: a post, a comment on it and the verdict on that, somebody who signs up, and a
/// ticket that is sold.
#[track_caller]
fn every_service_works(application: &Application) {
    let written = application.send(&Request::post("/posts", r#"{"title": "Apart"}"#));
    assert_eq!(written.status, 201, "{written:?}");
    let id = written.json()["id"].as_str().unwrap_or_default().to_owned();
    let comment = Request::post(&format!("/posts/{id}/comments"), r#"{"content": "and together"}"#);
    until("the comment is taken", || application.send(&comment).status == 201);
    until("a comment is approved and shows", || {
        let shown = application.get(&format!("/posts/{id}"));
        shown.status == 200 && shown.json()["comments"][0]["status"] == "approved"
    });

    let person = json!({ "email": format!("{id}@example.com"), "password": "what a long one that is" });
    let signed_up = application.send(&Request::post("/users/signup", person.to_string()));
    assert_eq!(signed_up.status, 201, "{signed_up:?}");

    let price = json!({ "amount": 1999, "currency": "EUR" });
    let ticket = made(application, ANN, "/tickets", &id, &json!({ "title": "Apart", "price": price }));
    let order = made(application, OLAF, "/orders", &ticket, &json!({ "ticket_id": ticket, "price": price }));
    made(application, OLAF, "/payments", &order, &json!({ "order_id": order, "token": "tok_ok" }));
    until("the ticket is sold", || {
        let shown = application.get(&format!("/tickets/{ticket}"));
        shown.status == 200 && shown.json()["status"] == "sold"
    });
}

/// The id of what somebody makes, whose service may not have heard yet of what it is made of.
#[track_caller]
fn made(application: &Application, who: &str, path: &str, of: &str, new: &Value) -> String {
    let request = Request::post(path, new.to_string()).by(who).header("idempotency-key", of);
    within(PATIENCE, path, || {
        let answer = application.send(&request);
        match answer.status {
            201 | 202 => Ok(answer.json()["id"].as_str().unwrap_or_default().to_owned()),
            _ => Err(format!("{answer:?}")),
        }
    })
}
