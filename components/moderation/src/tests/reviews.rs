//! Changed rules, applied to every comment that there is, whatever goes wrong meanwhile.

use trellis_kit::platform::Platform as _;

use super::*;

const LEMON: &str = r#"[{"name":"lemon","words":["lemon"]}]"#;

fn olaf() -> Cx {
    caller_as("operator", "olaf")
}

fn review(id: &str) -> Review {
    Moderation::get_review(&olaf(), id.to_owned()).unwrap()
}

/// Comments with every third an orange and every fifth a lemon, judged when only oranges were bad.
fn judged_by_old_rules(count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("p{}-{n}", n % 3)).collect();
    for (n, id) in ids.iter().enumerate() {
        let (status, reason) =
            if n % 3 == 0 { (Outcome::Rejected, Some("orange")) } else { (Outcome::Approved, None) };
        given::<Verdict>(id, [given_verdict(id, content(n), status, reason)]);
    }
    start::<Moderation>();
    ids
}

fn content(n: usize) -> &'static str {
    match (n % 3, n % 5) {
        (0, 0) => "orange and lemon",
        (0, _) => "orange",
        (_, 0) => "lemon",
        _ => "apple",
    }
}

fn should_be(n: usize) -> Outcome {
    if n.is_multiple_of(5) { Outcome::Rejected } else { Outcome::Approved }
}

#[test]
fn changed_rules_reach_every_comment() {
    let ids = judged_by_old_rules(250);
    platform().configure("rules", LEMON);
    let started = Moderation::apply_rules(&olaf()).unwrap();
    assert_eq!((started.finished, started.started_by.as_deref()), (false, Some("olaf")));
    settle::<Moderation>();
    let done = review(&started.id);
    assert!(done.finished);
    assert_eq!(done.version, 7, "it began, took five parts of fifty, and saw that there was no sixth");
    let changed = (0..250).filter(|n| (n % 3 == 0) != (n % 5 == 0)).count() as u64;
    assert_eq!((done.progress.examined, done.progress.overturned), (250, changed));
    for (n, id) in ids.iter().enumerate() {
        let verdict = verdict(id);
        assert_eq!(verdict.status, should_be(n), "{id}");
        assert!(verdict.status == Outcome::Approved || verdict.review.is_none() || verdict.reason.is_some());
    }
    let rejected = whole_queue(Some(Outcome::Rejected), 100);
    assert_eq!(rejected.len(), 50);
}

#[test]
fn the_same_rules_again_change_nothing() {
    judged_by_old_rules(70);
    platform().configure("rules", LEMON);
    Moderation::apply_rules(&olaf()).unwrap();
    settle::<Moderation>();
    let verdicts = || -> Vec<Verdict> { whole_queue(None, 100).iter().map(|id| verdict(id)).collect() };
    let after_first = verdicts();
    let second = Moderation::apply_rules(&olaf()).unwrap();
    settle::<Moderation>();
    assert_eq!(verdicts(), after_first);
    let done = review(&second.id);
    assert_eq!((done.progress.examined, done.progress.overturned, done.finished), (70, 0, true));
}

#[test]
fn a_review_keeps_the_decisions_of_moderators() {
    judged("p1-a", "orange");
    judged("p1-b", "apple");
    say(&mia(), "p1-a", Outcome::Approved).unwrap();
    say(&mia(), "p1-b", Outcome::Rejected).unwrap();
    Moderation::apply_rules(&olaf()).unwrap();
    settle::<Moderation>();
    assert_eq!((verdict("p1-a").status, verdict("p1-b").status), (Outcome::Approved, Outcome::Rejected));
}

#[test]
fn a_review_keeps_to_the_rules_that_it_began_with() {
    let ids = judged_by_old_rules(60);
    platform().configure("rules", LEMON);
    let started = Moderation::apply_rules(&olaf()).unwrap();
    platform().configure("rules", "[]");
    settle::<Moderation>();
    assert!(review(&started.id).finished);
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(verdict(id).status, should_be(n), "{id}");
    }
}

#[test]
fn a_review_ends_even_if_new_comments_never_do() {
    judged_by_old_rules(60);
    let started = Moderation::apply_rules(&olaf()).unwrap();
    let mut more = 0;
    while !review(&started.id).finished {
        assert!(more < 500, "it runs after what is new");
        for _ in 0..20 {
            let id = format!("p9-{more}");
            given::<Verdict>(&id, [given_verdict(&id, "apple", Outcome::Approved, None)]);
            more += 1;
        }
        for _ in 0..100 {
            let Some(delivery) = platform().deliver("moderation") else { break };
            deliver::<Moderation>(&delivery).unwrap();
        }
    }
    assert_eq!(review(&started.id).progress.examined, 60);
}

#[test]
fn only_operators_review() {
    for other in [anonymous(), caller("ann"), mia()] {
        given_nothing::<Review>().when(|| Moderation::apply_rules(&other)).then_problem(403);
        assert_eq!(Moderation::get_review(&other, "x".to_owned()).unwrap_err().status, 403);
    }
    let with_key = || olaf().with_key("k");
    let first = Moderation::apply_rules(&with_key()).unwrap();
    assert_eq!(Moderation::apply_rules(&with_key()).unwrap(), first);
}

#[test]
fn an_empty_review_is_done_at_once() {
    start::<Moderation>();
    let started = Moderation::apply_rules(&olaf()).unwrap();
    settle::<Moderation>();
    let done = review(&started.id);
    assert_eq!((done.progress.examined, done.finished, done.version), (0, true, 2));
}

/// A review of three parts. There are many calls that are all alike: every 29th gets into trouble.
#[test]
fn trouble_at_any_call_only_delays_a_review() {
    let tell = || {
        platform().configure("rules", LEMON);
        let ids = judged_by_old_rules(51);
        settle::<Moderation>();
        (ids, Moderation::apply_rules(&olaf()).unwrap())
    };
    let check = |(ids, started): &(Vec<String>, Review), when: &str| {
        let done = review(&started.id);
        let changed = (0..51).filter(|n| (n % 3 == 0) != (n % 5 == 0)).count() as u64;
        assert_eq!((done.finished, done.progress.examined), (true, 51), "{when}");
        assert_eq!(done.progress.overturned, changed, "{when}");
        assert_eq!(platform().stored("LOG_moderation").len() as u64, 51 + changed + done.version, "{when}");
        assert_eq!(platform().stored("DEAD_moderation"), [], "{when}");
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(verdict(id).status, should_be(n), "{when}");
        }
    };
    let calls = trouble_at_every_call::<Moderation, _>(29, tell, check);
    assert!(calls > 100, "the test has seen the whole review");
}

#[test]
fn a_slow_part_is_begun_again_and_not_finished_late() {
    judged_by_old_rules(10);
    settle::<Moderation>();
    platform().configure("rules", LEMON);
    let started = Moderation::apply_rules(&olaf()).unwrap();
    platform()
        .harm(8, Harm::Meanwhile(Box::new(|platform| platform.pause(std::time::Duration::from_secs(16)))));
    settle::<Moderation>();
    let done = review(&started.id);
    assert_eq!((done.finished, done.progress.examined, done.version), (true, 10, 2));
}
