//! One trace leads from a comment, by way of its verdict, to the feed that shows it.

use serde_json::{Value, json};
use system::{Embedded, Request, eventually};
use tempfile::tempdir;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// The events of a service, oldest first.
#[track_caller]
fn events(trellis: &Embedded, service: &str) -> Vec<Value> {
    let printed = trellis.run(&["events", "--json", "--service", service]);
    printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take()).collect()
}

#[track_caller]
fn trace_of(event: &Value) -> &str {
    event["traceparent"].as_str().unwrap_or_else(|| panic!("no trace in {event}")).split('-').nth(1).unwrap()
}

#[test]
fn a_comment_its_verdict_and_the_feed_are_one_trace() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start_logging(data.path(), "info,guest=debug");
    let post = trellis.send(&Request::post("/posts", r#"{"title": "Hello"}"#)).json();
    let path = format!("/posts/{}", post["id"].as_str().unwrap());
    let comment = Request::post(&format!("{path}/comments"), json!({ "content": "A lemon" }).to_string())
        .header("traceparent", &format!("00-{TRACE}-{SPAN}-01"));
    let comment = trellis.send(&comment);
    assert_eq!(comment.status, 201, "{comment:?}");
    eventually("the feed shows the comment as approved", || {
        let shown = trellis.get(&path).json();
        (shown["comments"][0]["status"] == "approved").then_some(())
    });

    let comments = events(&trellis, "comments");
    let verdicts = events(&trellis, "moderation");
    let ([created, approved], [given]) = (comments.as_slice(), verdicts.as_slice()) else {
        panic!("a comment is created, judged and approved: {comments:?}, {verdicts:?}");
    };
    let kinds = [created, given, approved].map(|event| event["type"].as_str().unwrap());
    assert_eq!(kinds, ["comment.created.v1", "verdict.given.v1", "comment.approved.v1"]);
    assert_eq!([created, given, approved].map(trace_of), [TRACE; 3]);
    assert_eq!(given["causation"], created["id"], "the comment led to the verdict");
    assert_eq!(approved["causation"], given["id"], "the verdict led to the approval");
    let request = created["causation"].as_str().unwrap();
    assert!(request.len() == 16 && request != "0000000000000000", "a request led to the comment: {request}");

    // What the read models took in is in the log of who keeps them, and so is what passed the gateway.
    for (event, done) in [(created, "followed"), (approved, "followed")] {
        let said = format!(
            "{done} {} {} of comments",
            event["type"].as_str().unwrap(),
            event["id"].as_str().unwrap()
        );
        eventually(&format!("query says that it {said}"), || {
            let output = trellis.output();
            let mut lines = output.lines().filter(|line| line.contains("query") && line.contains(TRACE));
            lines.any(|line| line.contains(&said)).then_some(())
        });
    }
    eventually("the gateway says that it passed the comment on", || {
        let output = trellis.output();
        let mut lines = output.lines().filter(|line| line.contains("access") && line.contains(TRACE));
        lines.any(|line| line.contains("/comments")).then_some(())
    });
    trellis.stop();
}
