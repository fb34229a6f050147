//! What moderation promises, in the words of the domain.

mod http;
mod reviews;

use trellis_kit::platform::memory::Harm;
use trellis_kit::testing::{
    Json, anonymous, caller, caller_as, deliver, every_event_twice, given, given_nothing, parse, platform,
    play, settle, start, trouble_at_every_call,
};

use super::*;
use crate::trellis::comments::types::{Comment, Status};

play! {
    /// The service that comments come from.
    Comments: sources::COMMENTS {
        Comment.id by CommentEvent: |before, event| match event {
            CommentEvent::Created(comment) => Some(comment.clone()),
            CommentEvent::Approved(_) | CommentEvent::Rejected(_) => {
                before.map(|comment| Comment { version: comment.version + 1, ..comment })
            }
        }
    }
}

const NOW: &str = "2026-01-01T00:00:00.000Z";

fn commented(id: &str, content: &str) -> CommentEvent {
    CommentEvent::Created(Comment {
        id: id.to_owned(),
        post_id: trellis_kit::id::root(id).to_owned(),
        author: Some("ann".to_owned()),
        content: content.to_owned(),
        status: Status::Pending,
        verdict: None,
        created_at: NOW.to_owned(),
        version: 1,
    })
}

/// A comment that has its verdict by the rules in force.
fn judged(id: &str, content: &str) {
    given::<Comment>(id, [commented(id, content)]);
    start::<Moderation>();
    settle::<Moderation>();
}

fn given_verdict(id: &str, content: &str, status: Outcome, reason: Option<&str>) -> VerdictEvent {
    VerdictEvent::Given(Verdict {
        id: id.to_owned(),
        status,
        reason: reason.map(str::to_owned),
        content: content.to_owned(),
        author: Some("ann".to_owned()),
        moderator: None,
        review: None,
        decided_at: NOW.to_owned(),
        version: 1,
    })
}

fn overturned(status: Outcome, moderator: &str) -> VerdictEvent {
    VerdictEvent::Overturned(Overturning {
        status,
        reason: None,
        moderator: Some(moderator.to_owned()),
        review: None,
        decided_at: NOW.to_owned(),
    })
}

fn mia() -> Cx {
    caller_as("moderator", "mia")
}

fn say(by: &Cx, id: &str, status: Outcome) -> Result<Verdict, Problem> {
    Moderation::overturn(by, id.to_owned(), NewOutcome { status })
}

fn verdict(id: &str) -> Verdict {
    Moderation::get(&mia(), id.to_owned()).unwrap()
}

fn queue(status: Option<Outcome>, limit: u32, after: Option<String>) -> VerdictPage {
    Moderation::queue(&mia(), status, PageRequest { limit: Some(limit), after }).unwrap()
}

/// All of a queue, read some at a time.
fn whole_queue(status: Option<Outcome>, limit: u32) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = None;
    for _page in 0..1000 {
        let page = queue(status, limit, after);
        ids.extend(page.items.into_iter().map(|verdict| verdict.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
    panic!("the queue has no end");
}

#[test]
fn every_comment_gets_the_verdict_of_the_rules() {
    for (nth, (content, status, reason)) in [
        ("I like it", Outcome::Approved, None),
        ("An ORANGE!", Outcome::Rejected, Some("orange")),
        ("Oranges and blood oranges", Outcome::Approved, None),
        ("blood-orange", Outcome::Rejected, Some("orange")),
        ("or\u{ad}ange", Outcome::Rejected, Some("orange")),
        ("first\norange", Outcome::Rejected, Some("orange")),
        ("orange2", Outcome::Approved, None),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("p1-{nth}");
        judged(&id, content);
        let VerdictEvent::Given(expected) = given_verdict(&id, content, status, reason) else { panic!() };
        assert_eq!(verdict(&id), expected, "{content:?}");
    }
}

#[test]
fn the_operator_sets_the_rules() {
    let rules = r#"[{"name":"fruit","words":["Lemon","pear"]},{"name":"Unhöflich","words":["ÄTZEND"]}]"#;
    platform().configure("rules", rules);
    for (id, content, reason) in [
        ("p1-a", "orange", None),
        ("p1-b", "lemon and pear", Some("fruit")),
        ("p1-c", "Das ist ätzend.", Some("Unhöflich")),
    ] {
        judged(id, content);
        assert_eq!(verdict(id).reason.as_deref(), reason, "{content}");
    }
    platform().configure("rules", "[]");
    judged("p1-d", "orange");
    assert_eq!(verdict("p1-d").status, Outcome::Approved);
}

/// With rules that nobody can read nothing is judged: comments wait, and are not lost.
#[test]
fn with_invalid_rules_no_comment_is_judged() {
    let words = |count: usize| format!(r#"[{{"name":"a","words":[{}"x"]}}]"#, r#""x","#.repeat(count));
    let many = format!("[{}]", vec![r#"{"name":"a","words":["x"]}"#; 101].join(","));
    let rows = [
        "",
        "orange",
        "{}",
        r#"["orange"]"#,
        r#"[{"name":"a"}]"#,
        r#"[{"name":"a","words":"orange"}]"#,
        r#"[{"name":"a","words":[]}]"#,
        r#"[{"name":"a","words":[""]}]"#,
        r#"[{"name":"a","words":["two words"]}]"#,
        r#"[{"name":"a","words":["-"]}]"#,
        r#"[{"name":"","words":["x"]}]"#,
        r#"[{"name":"a","words":["x"],"then":"approve"}]"#,
        r#"[{"name":"a","words":["x"]},{"name":"a","words":["y"]}]"#,
        &words(1001),
        &many,
    ];
    for (nth, bad) in rows.into_iter().enumerate() {
        platform().configure("rules", bad);
        let id = format!("p1-{nth}");
        judged(&id, "Hello");
        assert_eq!(Moderation::get(&mia(), id.clone()).unwrap_err().status, 404, "{bad:.60}");
        let dead = platform().stored("DEAD_moderation");
        let letter: Json = parse(&dead.last().unwrap().body);
        assert_eq!((dead.len(), &letter["event"]["subject"]), (nth + 1, &id.into()), "{bad:.60}");
        assert!(letter["error"].as_str().unwrap().contains("config rules"), "{letter}");
        let refusal = Moderation::apply_rules(&caller_as("operator", "olaf")).unwrap_err();
        assert_eq!(refusal.status, 503, "{bad:.60}");
    }
}

#[test]
fn a_comment_waits_for_a_config_that_was_taken_away() {
    given::<Comment>("p1-a", [commented("p1-a", "An orange")]);
    start::<Moderation>();
    platform().lose_config();
    let delivery = platform().deliver("moderation").unwrap();
    deliver::<Moderation>(&delivery).unwrap();
    assert_eq!(platform().stored("LOG_moderation"), [], "nothing is judged");
    // Where JetStream is to be asked is a setting, too.
    assert_eq!(Moderation::get(&mia(), "p1-a".to_owned()).unwrap_err().status, 503);
    platform().configure("rules", r#"[{"name":"fruit","words":["orange"]}]"#);
    settle::<Moderation>();
    assert_eq!(verdict("p1-a").reason.as_deref(), Some("fruit"));
    assert_eq!(platform().stored("DEAD_moderation"), []);
}

#[test]
fn a_moderator_overturns_a_verdict_and_another_one_that() {
    given::<Verdict>("p1-a", [given_verdict("p1-a", "An orange", Outcome::Rejected, Some("orange"))])
        .when(|| say(&mia(), "p1-a", Outcome::Approved))
        .then([overturned(Outcome::Approved, "mia")]);
    let now = say(&caller_as("moderator", "max"), "p1-a", Outcome::Rejected).unwrap();
    assert_eq!((now.status, now.version), (Outcome::Rejected, 3));
    assert_eq!((now.moderator.as_deref(), now.reason), (Some("max"), None));
}

#[test]
fn an_unchanged_verdict_is_a_conflict_but_a_repeated_request_is_not() {
    let given_by_rules = || given_verdict("p1-a", "An orange", Outcome::Rejected, Some("orange"));
    given::<Verdict>("p1-a", [given_by_rules()])
        .when(|| say(&mia(), "p1-a", Outcome::Rejected))
        .then_problem(409);
    let first = say(&mia(), "p1-a", Outcome::Approved).unwrap();
    assert_eq!(say(&mia(), "p1-a", Outcome::Approved).unwrap(), first, "her answer may have been lost");
    let max = caller_as("moderator", "max");
    assert_eq!(say(&max, "p1-a", Outcome::Approved).unwrap_err().status, 409);
    assert_eq!(platform().stored("LOG_moderation").len(), 2);
}

#[test]
fn nobody_else_sees_or_overturns_verdicts() {
    given::<Verdict>("p1-a", [given_verdict("p1-a", "An orange", Outcome::Rejected, None)]);
    for other in [anonymous(), caller("ann"), caller("moderator"), caller_as("operator", "olaf")] {
        for id in ["p1-a", "nothing"] {
            given_nothing::<Comment>();
            let page = PageRequest { limit: None, after: None };
            assert_eq!(say(&other, id, Outcome::Approved).unwrap_err().status, 403);
            assert_eq!(Moderation::get(&other, id.to_owned()).unwrap_err().status, 403);
            assert_eq!(Moderation::queue(&other, None, page).unwrap_err().status, 403);
        }
    }
    let nameless = Cx::from(trellis_kit::Context { caller: None, ..mia().clone() });
    assert_eq!(say(&nameless, "p1-a", Outcome::Approved).unwrap_err().status, 403);
    for nothing in ["nothing", "", "p1-b", "*", ">", "p1.a"] {
        assert_eq!(say(&mia(), nothing, Outcome::Approved).unwrap_err().status, 404, "{nothing}");
        assert_eq!(Moderation::get(&mia(), nothing.to_owned()).unwrap_err().status, 404, "{nothing}");
    }
    assert_eq!(platform().stored("LOG_moderation").len(), 1);
}

#[test]
fn the_queue_is_newest_first_and_can_be_filtered() {
    let ids: Vec<String> = (0..100).map(|n| format!("p{}-{n}", n % 7)).collect();
    for (n, id) in ids.iter().enumerate() {
        given::<Comment>(id, [commented(id, if n % 3 == 0 { "orange" } else { "apple" })]);
    }
    start::<Moderation>();
    settle::<Moderation>();
    // Partitions are judged side by side, so the order is that of the verdicts, not that of the comments.
    let all = whole_queue(None, 7);
    assert_eq!(all.len(), 100);
    let with =
        |status| -> Vec<String> { all.iter().filter(|id| verdict(id).status == status).cloned().collect() };
    let (no, yes) = (with(Outcome::Rejected), with(Outcome::Approved));
    assert_eq!((no.len(), yes.len()), (34, 66));
    for limit in [1, 10, 100] {
        assert_eq!(whole_queue(Some(Outcome::Rejected), limit), no);
        assert_eq!(whole_queue(Some(Outcome::Approved), limit), yes);
    }
}

#[test]
fn an_overturned_verdict_changes_queues_and_is_in_each_once() {
    for id in ["p1-a", "p1-b", "p1-c"] {
        judged(id, "apple");
    }
    for status in [Outcome::Rejected, Outcome::Approved, Outcome::Rejected, Outcome::Approved] {
        say(&mia(), "p1-a", status).unwrap();
        settle::<Moderation>();
        let (yes, no) = (whole_queue(Some(Outcome::Approved), 2), whole_queue(Some(Outcome::Rejected), 2));
        match status {
            Outcome::Rejected => assert_eq!((yes, no), (ids(["p1-c", "p1-b"]), ids(["p1-a"]))),
            Outcome::Approved => assert_eq!((yes, no), (ids(["p1-a", "p1-c", "p1-b"]), ids([]))),
        }
        assert_eq!(whole_queue(None, 2), ids(["p1-c", "p1-b", "p1-a"]));
    }
}

fn ids<const N: usize>(ids: [&str; N]) -> Vec<String> {
    ids.map(str::to_owned).to_vec()
}

/// However many decisions were overturned since, one page costs what it costs.
#[test]
fn a_page_costs_no_more_when_all_decisions_on_it_were_overturned() {
    let ids: Vec<String> = (0..150).map(|n| format!("p1-{n}")).collect();
    for id in &ids {
        given::<Verdict>(
            id,
            [given_verdict(id, "apple", Outcome::Approved, None), overturned(Outcome::Rejected, "mia")],
        );
    }
    start::<Moderation>();
    settle::<Moderation>();
    let calls = platform().calls();
    let page = queue(Some(Outcome::Approved), 10, None);
    assert!(platform().calls() - calls <= 20, "{}", platform().calls() - calls);
    assert!(page.items.is_empty() && page.next.is_some(), "there may be more further on");
    assert_eq!(whole_queue(Some(Outcome::Approved), 10), [""; 0]);
    assert_eq!(whole_queue(Some(Outcome::Rejected), 10).len(), 150);
}

#[test]
fn later_events_of_a_comment_give_no_second_verdict() {
    use crate::trellis::comments::types::VerdictRef;
    given::<Comment>(
        "p1-a",
        [
            commented("p1-a", "Hello"),
            CommentEvent::Approved(VerdictRef { version: 1, reason: None }),
            CommentEvent::Rejected(VerdictRef { version: 2, reason: None }),
        ],
    );
    start::<Moderation>();
    settle::<Moderation>();
    assert_eq!(platform().stored("LOG_moderation").len(), 1);
}

/// Comments come, and one verdict is overturned.
fn some_history() {
    for (id, content) in [("p1-a", "apple"), ("p1-b", "orange")] {
        given::<Comment>(id, [commented(id, content)]);
    }
    given::<Verdict>("p1-c", [given_verdict("p1-c", "apple", Outcome::Approved, None)]);
    say(&mia(), "p1-c", Outcome::Rejected).unwrap();
    start::<Moderation>();
}

fn assert_all_done(when: &str) {
    assert_eq!(platform().stored("LOG_moderation").len(), 4, "{when}");
    assert_eq!(platform().stored("DEAD_moderation"), [], "{when}");
    assert_eq!(whole_queue(Some(Outcome::Approved), 10), ids(["p1-a"]), "{when}");
    let mut rejected = whole_queue(Some(Outcome::Rejected), 10);
    rejected.sort();
    assert_eq!(rejected, ids(["p1-b", "p1-c"]), "{when}");
}

#[test]
fn every_event_twice_changes_nothing() {
    every_event_twice::<Moderation, _>(some_history, |(), when| assert_all_done(when));
}

#[test]
fn trouble_at_any_call_leaves_nothing_undone_and_nothing_done_twice() {
    let calls = trouble_at_every_call::<Moderation, _>(1, some_history, |(), when| assert_all_done(when));
    assert!(calls > 30, "the test has seen the whole history");
}

/// Others read these for ever: a change here is a new version of the events, and an `upcast`.
#[test]
fn events_are_stored_in_the_documented_form() {
    given::<Verdict>(
        "p1-a",
        [
            given_verdict("p1-a", "An orange", Outcome::Rejected, Some("orange")),
            overturned(Outcome::Approved, "mia"),
        ],
    );
    let heard: Vec<String> = platform()
        .stored("LOG_moderation")
        .iter()
        .map(|message| {
            let event: Json = parse(&message.body);
            format!("{} {} {}", event["type"], event["data"], event["state"])
        })
        .collect();
    let given = concat!(
        r#"{"author":"ann","content":"An orange","decided_at":"2026-01-01T00:00:00.000Z","id":"p1-a","#,
        r#""moderator":null,"reason":"orange","review":null,"status":"rejected","version":1}"#
    );
    let overturned = concat!(
        r#"{"decided_at":"2026-01-01T00:00:00.000Z","moderator":"mia","reason":null,"review":null,"#,
        r#""status":"approved"}"#
    );
    let state = concat!(
        r#"{"author":"ann","content":"An orange","decided_at":"2026-01-01T00:00:00.000Z","id":"p1-a","#,
        r#""moderator":"mia","reason":null,"review":null,"status":"approved","version":2}"#
    );
    assert_eq!(
        heard,
        [
            format!(r#""verdict.given.v1" {given} {given}"#),
            format!(r#""verdict.overturned.v1" {overturned} {state}"#),
        ]
    );
}
