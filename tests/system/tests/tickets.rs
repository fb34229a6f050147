//! Tickets over HTTP: somebody offers one, everybody sees it, nobody else changes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::json;
use system::{ANN, OLAF, Request, Trellis, eventually};
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
