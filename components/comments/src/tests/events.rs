//! What comments make of what others tell, in whatever order, however often, and whenever they are interrupted.

use trellis_kit::testing::{Json, deliver, every_event_twice, parse, trouble_at_every_call};

use super::*;

fn status(id: &str) -> (Status, Option<VerdictRef>) {
    let comment: Comment = anonymous().load(id).unwrap();
    (comment.status, comment.verdict)
}

#[test]
fn a_verdict_is_followed_and_the_next_one_too() {
    given::<Comment>("p1-a", [created("p1-a", "An orange", None)]);
    given::<Verdict>("p1-a", [verdict_given("p1-a", Outcome::Rejected, Some("orange"))]);
    start::<Comments>();
    settle::<Comments>();
    assert_eq!(status("p1-a"), (Status::Rejected, Some(verdict_ref(1, Some("orange")))));
    given::<Verdict>("p1-a", [overturned(Outcome::Approved)]);
    settle::<Comments>();
    assert_eq!(status("p1-a"), (Status::Approved, Some(verdict_ref(2, None))));
    assert_eq!(platform().stored("LOG_comments").len(), 3);
}

/// Verdicts 1 to 4 of one comment, in every order.
#[test]
fn the_order_in_which_verdicts_come_does_not_matter() {
    given::<Comment>("p1-a", [created("p1-a", "Hello", None)]);
    let (no, yes) = (Outcome::Rejected, Outcome::Approved);
    given::<Verdict>(
        "p1-a",
        [verdict_given("p1-a", no, None), overturned(yes), overturned(no), overturned(yes)],
    );
    start::<Comments>();
    let verdicts = deliveries();
    assert_eq!(verdicts.len(), 4);
    for order in orders(4) {
        platform().lose_stream("LOG_comments");
        given::<Comment>("p1-a", [created("p1-a", "Hello", None)]);
        for place in &order {
            deliver::<Comments>(&verdicts[*place]).unwrap();
            deliver::<Comments>(&verdicts[*place]).unwrap();
        }
        assert_eq!(status("p1-a"), (Status::Approved, Some(verdict_ref(4, None))), "{order:?}");
    }
}

/// All verdicts as they are first delivered, each acknowledged so that the next one comes.
fn deliveries() -> Vec<trellis_kit::platform::memory::Delivery> {
    let mut verdicts = Vec::new();
    while let Some(delivery) = platform().deliver("comments") {
        deliver::<Comments>(&delivery).unwrap();
        if delivery.subject.starts_with("log.moderation.") {
            verdicts.push(delivery);
        }
    }
    verdicts
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    (0..of).fold(vec![Vec::new()], |orders, next| {
        let insert = |order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut longer = order.clone();
                longer.insert(place, next);
                longer
            })
        };
        orders.into_iter().flat_map(insert).collect()
    })
}

/// A post with three comments, of which one waits, one is approved and one is rejected and then approved.
fn some_history() {
    post("p1");
    for id in ["p1-a", "p1-b", "p1-c"] {
        given::<Comment>(id, [created(id, "Hello", None)]);
    }
    given::<Verdict>("p1-b", [verdict_given("p1-b", Outcome::Approved, None)]);
    given::<Verdict>(
        "p1-c",
        [verdict_given("p1-c", Outcome::Rejected, Some("orange")), overturned(Outcome::Approved)],
    );
    start::<Comments>();
}

fn assert_all_done(when: &str) {
    let listed: Vec<_> = list(&caller_as("moderator", "mia"), "p1", 10, None)
        .items
        .into_iter()
        .map(|comment| (comment.id, comment.status, comment.version))
        .collect();
    let expected =
        [("p1-c", Status::Approved, 3), ("p1-b", Status::Approved, 2), ("p1-a", Status::Pending, 1)];
    assert_eq!(listed, expected.map(|(id, status, version)| (id.to_owned(), status, version)), "{when}");
    assert_eq!(platform().stored("LOG_comments").len(), 6, "{when}");
    assert_eq!(platform().stored("DEAD_comments"), [], "{when}");
}

#[test]
fn every_event_twice_changes_nothing() {
    every_event_twice::<Comments, _>(some_history, |(), when| assert_all_done(when));
}

#[test]
fn dying_at_any_call_leaves_nothing_undone_and_nothing_done_twice() {
    let calls = trouble_at_every_call::<Comments, _>(1, some_history, |(), when| assert_all_done(when));
    assert!(calls > 30, "the test has seen the whole history: {calls}");
}

#[test]
fn poison_is_put_aside_and_what_comes_after_it_is_handled() {
    post("p1");
    given::<Comment>("p1-a", [created("p1-a", "Hello", None)]);
    // A verdict on a comment that never was, one that is no event at all, and then a good one.
    given::<Verdict>("p1-x", [verdict_given("p1-x", Outcome::Approved, None)]);
    let partition = trellis_kit::id::partition("p1", Moderation::PARTITIONS);
    platform().store("LOG_moderation", &format!("log.moderation.{partition}.p1-y.1"), b"{}");
    given::<Verdict>("p1-a", [verdict_given("p1-a", Outcome::Approved, None)]);
    start::<Comments>();
    settle::<Comments>();
    assert_eq!(status("p1-a"), (Status::Approved, Some(verdict_ref(1, None))));
    let dead = platform().stored("DEAD_comments");
    let errors: Vec<String> =
        dead.iter().map(|letter| parse::<Json>(&letter.body)["error"].to_string()).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

/// Others read these for ever: a change here is a new version of the events, and an `upcast`.
#[test]
fn events_are_stored_in_the_documented_form() {
    given::<Comment>(
        "p1-a",
        [
            created("p1-a", "Hello", Some("ann")),
            CommentEvent::Rejected(verdict_ref(1, Some("orange"))),
            CommentEvent::Approved(verdict_ref(2, None)),
        ],
    );
    let heard: Vec<String> = platform()
        .stored("LOG_comments")
        .iter()
        .map(|message| {
            let event: Json = parse(&message.body);
            format!("{} {} {}", event["type"], event["data"], event["state"])
        })
        .collect();
    let state = |status: &str, verdict: &str, version: u32| {
        format!(
            concat!(
                r#"{{"author":"ann","content":"Hello","created_at":"2026-01-01T00:00:00.000Z","id":"p1-a","#,
                r#""post_id":"p1","status":"{}","verdict":{},"version":{}}}"#
            ),
            status, verdict, version
        )
    };
    let first = state("pending", "null", 1);
    let no = r#"{"reason":"orange","version":1}"#;
    let yes = r#"{"reason":null,"version":2}"#;
    assert_eq!(
        heard,
        [
            format!(r#""comment.created.v1" {first} {first}"#),
            format!(r#""comment.rejected.v1" {no} {}"#, state("rejected", no, 2)),
            format!(r#""comment.approved.v1" {yes} {}"#, state("approved", yes, 3)),
        ]
    );
}
