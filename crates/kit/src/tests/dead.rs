//! Dead letters that are tried again.

use super::*;
use crate::platform::memory::Harm;
use crate::testing::{json, message, parse, send, settle, start};

/// A note whose reaction fails until the operator accepts such notes, and its letter.
fn refused_note() -> (Note, u64) {
    start::<Notes>();
    let note = write(&anonymous(), new("refused")).unwrap();
    settle::<Notes>();
    let letters = platform().stored("DEAD_notes");
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].subject.ends_with(".r"), "{letters:?}");
    (note, letters[0].seq)
}

/// What the service answers that is asked to try a letter. None if it dies over it.
fn try_again(seq: impl std::fmt::Display) -> Option<(String, String)> {
    let request = format!(r#"{{"replay-dead":{seq}}}"#);
    message::<Notes>("deliver.notes", Some("_INBOX.1"), request.as_bytes()).ok()?;
    let (_, answer) = platform().take_published().into_iter().find(|(to, _)| to == "_INBOX.1")?;
    let answer: serde_json::Value = parse(&answer);
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    Some((text("outcome"), text("why")))
}

fn outcome(seq: u64) -> String {
    try_again(seq).unwrap().0
}

fn echoes() -> usize {
    stored().iter().filter(|event| event.causation.is_some()).count()
}

#[test]
fn a_letter_is_kept_until_it_can_be_handled_and_then_handled_once() {
    let (_, letter) = refused_note();
    assert_eq!(try_again(letter), Some(("failed".to_owned(), "such notes are refused".to_owned())));
    assert_eq!((dead().len(), echoes()), (1, 0));
    platform().configure("accept", "yes");
    assert_eq!(outcome(letter), "handled");
    assert_eq!((dead().len(), echoes()), (0, 1));
    assert_eq!(outcome(letter), "missing");
    assert_eq!(echoes(), 1);
}

#[test]
fn whoever_dies_over_a_letter_leaves_it_to_the_next() {
    for death in
        [|| Harm::DiesBefore, || Harm::DiesAfter, || Harm::NotDone, || Harm::AnswerLost] as [fn() -> Harm; 4]
    {
        for nth in 0.. {
            lose_everything();
            platform().configure("accept", "no");
            let (_, letter) = refused_note();
            platform().configure("accept", "yes");
            let before = platform().calls();
            platform().harm(nth, death());
            try_again(letter);
            let calls = platform().calls() - before;
            platform().revive();
            assert!(["handled", "missing"].contains(&outcome(letter).as_str()));
            assert_eq!((dead().len(), echoes()), (0, 1), "call {nth}");
            if nth > calls {
                assert!(nth > 4, "the test has seen all calls");
                break;
            }
        }
    }
}

#[test]
fn a_letter_is_read_like_a_live_event_of_its_version() {
    start::<Notes>();
    let note = r#"{"id":"old","body":"refused","version":0}"#;
    let event = format!(
        r#"{{"specversion":"1.0","id":"e","source":"/notes","type":"note.written.v1","subject":"old","time":"","datacontenttype":"application/json","data":{note},"version":1,"state":{note}}}"#
    );
    store_raw("old", event.as_bytes());
    settle::<Notes>();
    platform().configure("accept", "yes");
    assert_eq!((outcome(1).as_str(), echoes()), ("handled", 1));
}

#[test]
fn what_read_models_lack_comes_with_a_rebuild_or_is_a_letter_of_that() {
    start::<Notes>();
    store_raw("x", b"rubbish");
    settle::<Notes>();
    let letter_of = |role: &str| {
        let letters = platform().stored("DEAD_notes");
        letters.iter().find(|letter| letter.subject.ends_with(role)).map(|letter| letter.seq)
    };
    let first = letter_of(".g1").unwrap();
    assert_eq!(outcome(first), "rebuild");
    assert_eq!(letter_of(".g1"), Some(first), "it is kept");
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
    settle::<Notes>();
    assert_eq!((letter_of(".g1"), outcome(first).as_str()), (None, "missing"));
    assert_eq!(outcome(letter_of(".g2").unwrap()), "rebuild", "it could not be handled this time either");
    let (outcome, why) = try_again(letter_of(".r").unwrap()).unwrap();
    assert_eq!(outcome, "failed");
    assert!(why.contains("not an event"), "{why}");
    assert!(letter_of(".r").is_some());
}

#[test]
fn a_letter_of_read_models_that_are_gone_is_removed() {
    start::<Notes>();
    let letter = |consumer: &str| {
        format!(
            r#"{{"error":"","source":"notes","seq":1,"consumer":"{consumer}","attempts":1,"time":"","event":{{}}}}"#
        )
    };
    platform().store("DEAD_notes", "dead.notes.notes.1.g9", letter("notes-g9-0").as_bytes());
    assert_eq!((outcome(1).as_str(), dead().len()), ("obsolete", 0));
}

#[test]
fn a_request_for_no_dead_letter_is_refused() {
    start::<Notes>();
    for bad in [r#""x""#, "-1", "null", r#"1,"more":2"#] {
        let (outcome, why) = try_again(bad).unwrap();
        assert!(outcome == "failed" && why.contains("the request is not"), "{bad}: {why}");
    }
    for rubbish in [
        "rubbish",
        "{}",
        r#"{"error":"","source":"notes","seq":1,"consumer":"other-r-0","attempts":1,"time":""}"#,
    ] {
        platform().store("DEAD_notes", "dead.notes.x", rubbish.as_bytes());
        let seq = platform().stored("DEAD_notes").last().unwrap().seq;
        let (outcome, why) = try_again(seq).unwrap();
        assert!(outcome == "failed" && why.contains("the letter cannot be read"), "{rubbish}: {why}");
    }
    assert_eq!(outcome(999), "missing");
    // It is not reachable over HTTP.
    assert_eq!(json::<serde_json::Value>(&send::<Notes>("POST", "/replay-dead", "{}"))["status"], 404);
}
