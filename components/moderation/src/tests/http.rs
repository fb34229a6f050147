//! Moderation over HTTP, good requests and bad ones.

use trellis_kit::Response;
use trellis_kit::testing::{json, request};

use super::*;

fn send(method: &str, path: &str, body: &str) -> Response {
    platform().configure("caller-header", "x-caller");
    platform().configure("roles-header", "x-roles");
    let headers =
        [("content-type", "application/json"), ("x-caller", "mia"), ("x-roles", "moderator,operator")];
    request::<Moderation>(method, path, &headers, body)
}

#[test]
fn over_http() {
    judged("p1-a", "apple");
    judged("p1-b", "orange");
    let listed = send("GET", "/moderation/queue?status=rejected", "");
    let items: Vec<Verdict> = json(&listed);
    assert_eq!((listed.status, items.len(), items[0].id.as_str()), (200, 1, "p1-b"));
    let overturned = send("POST", "/moderation/p1-b", r#"{"status":"approved"}"#);
    assert_eq!((overturned.status, json::<Verdict>(&overturned).status), (200, Outcome::Approved));
    assert_eq!(send("GET", "/moderation/p1-b", "").body, overturned.body);
    settle::<Moderation>();

    let first = send("GET", "/moderation/queue?limit=1&status=approved", "");
    let link = first.header("link").unwrap();
    let next = link.strip_prefix('<').unwrap().strip_suffix(r#">; rel="next""#).unwrap();
    assert!(next.contains("status=approved"), "the next page is of the same queue: {next}");
    let items = [json::<Vec<Verdict>>(&first), json(&send("GET", next, ""))].concat();
    let ids: Vec<&str> = items.iter().map(|verdict| verdict.id.as_str()).collect();
    assert_eq!(ids, ["p1-b", "p1-a"]);
}

#[test]
fn a_review_is_created_and_looked_at() {
    judged("p1-a", "apple");
    let started = send("POST", "/moderation/rules/apply", "");
    assert_eq!(started.status, 201);
    let location = started.header("location").unwrap().to_owned();
    assert_eq!(send("GET", &location, "").body, started.body);
    settle::<Moderation>();
    assert!(json::<Review>(&send("GET", &location, "")).finished);
    assert_eq!(send("GET", "/moderation/rules/apply/p1-a", "").status, 404, "that is no review");
    let id = json::<Review>(&started).id;
    assert_eq!(send("POST", &format!("/moderation/{id}"), r#"{"status":"approved"}"#).status, 404);
}

#[test]
fn bad_requests_are_refused() {
    judged("p1-a", "apple");
    let long = format!(r#"{{"status":"{}"}}"#, "x".repeat(100_000));
    let rows = [
        ("POST", "/moderation/p1-a", "", 400),
        ("POST", "/moderation/p1-a", "{", 400),
        ("POST", "/moderation/p1-a", "{}", 422),
        ("POST", "/moderation/p1-a", "[]", 422),
        ("POST", "/moderation/p1-a", r#"["rejected"]"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":null}"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":"pending"}"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":"Rejected"}"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":{"rejected":null}}"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":["rejected"]}"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":"rejected","status":"approved"}"#, 422),
        ("POST", "/moderation/p1-a", r#"{"status":"rejected","moderator":"max"}"#, 422),
        ("POST", "/moderation/p1-a", &long, 422),
        ("POST", "/moderation/p1-a", r#"{"status":"approved"}"#, 409),
        ("POST", "/moderation/nothing", r#"{"status":"approved"}"#, 404),
        ("POST", "/moderation/queue", r#"{"status":"approved"}"#, 405),
        ("GET", "/moderation/queue?status=pending", "", 400),
        ("GET", "/moderation/queue?status=", "", 400),
        ("GET", "/moderation/queue?limit=0", "", 400),
        ("GET", "/moderation/queue?after=x", "", 400),
        ("GET", "/moderation/queue?status=approved&after=x", "", 400),
        ("DELETE", "/moderation/p1-a", "", 405),
        ("GET", "/moderation", "", 404),
        ("GET", "/moderation/rules/apply", "", 405),
        ("GET", "/moderation/rules/apply/nothing", "", 404),
    ];
    for (method, path, body, expected) in rows {
        let response = send(method, path, body);
        let said = String::from_utf8(response.body).unwrap();
        assert_eq!(response.status, expected, "{method} {path} {body:.60}: {said}");
    }
    assert_eq!(platform().stored("LOG_moderation").len(), 1, "nothing was written");
}
