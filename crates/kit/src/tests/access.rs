//! That what a service is allowed is what it does: a service with one of everything lives through all that it can, and
//! nothing that it asks or says is outside.

use trellis_names::is_reserved;

use super::*;
use crate::access::Member;
use crate::statement::Statement;
use crate::testing::{message, settle, start};
use trellis_subjects::matches;

/// What it asked and said since this was called last.
fn touched() -> BTreeSet<String> {
    let asked = platform().take_exchanges().into_iter().map(|exchange| exchange.subject);
    let said = platform().take_published().into_iter().map(|(subject, _)| subject);
    // These are what the tests let it say, to see that it did something.
    let of_tests = ["heard", "looked.around"];
    asked.chain(said).filter(|subject| !of_tests.contains(&subject.as_str())).collect()
}

#[test]
fn whatever_a_service_does_is_allowed() {
    let allowed = Member::of::<Notes>().publishes(&[Member::of::<Notes>()]);
    start::<Notes>();
    let note = write(&anonymous(), new("a")).unwrap();
    // As many as are built in batches.
    for n in 0..20 {
        edit(&anonymous(), &note.id, &format!("{n}")).unwrap();
    }
    anonymous()
        .with_key("k")
        .once(&note.id, &"close", |_: Option<&Note>| Ok(Some(NoteEvent::Closed)))
        .unwrap();
    write(&anonymous(), new("refused")).unwrap();
    write(&anonymous(), new("poison")).unwrap();
    settle::<Notes>();
    let letters = platform().stored("DEAD_notes");
    assert!(letters.len() >= 2, "{letters:?}");
    platform().configure("accept", "yes");
    for letter in letters {
        let request = format!(r#"{{"replay-dead":{}}}"#, letter.seq);
        message::<Notes>("deliver.notes", Some("_INBOX.1"), request.as_bytes()).unwrap();
    }
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
    settle::<Notes>();
    message::<Notes>(names::ANNOUNCE, None, b"").unwrap();
    crate::ready::<Notes>().ok();

    let touched = touched();
    for operation in [
        "STREAM.CREATE",
        "own.notes.attempt.note.",
        "MSG.GET",
        "MSG.DELETE",
        "STREAM.PURGE",
        "CONSUMER.DELETE",
        "CONSUMER.RESET",
        "notes-g2-1",
    ] {
        assert!(touched.iter().any(|subject| subject.contains(operation)), "{operation} was not done");
    }
    let outside = |subject: &&String| !allowed.iter().any(|pattern| matches(pattern, subject));
    let refused: Vec<&String> = touched.iter().filter(outside).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn it_may_forget_what_only_another_version_followed() {
    start::<Notes>();
    touched();
    let follows_nothing = r#"{"name":"notes","partitions":2,"asks":[],"watches":false,"provisions":false,"projects":[],"reacts_to":[]}"#;
    let member = Member::read(follows_nothing.as_bytes()).unwrap();
    let allowed = member.publishes(std::slice::from_ref(&member));
    let nothing = crate::Descriptor { projected: &[], reacted_to: &[], ..*Notes::DESCRIPTOR };
    crate::upkeep::wanted::forget(&nothing, "notes").unwrap();
    let touched: BTreeSet<String> =
        touched().into_iter().filter(|subject| subject.contains("CONSUMER")).collect();
    assert!(
        touched.iter().any(|subject| subject.contains("CONSUMER.DELETE.LOG_notes.notes-")),
        "{touched:?}"
    );
    let outside = |subject: &&String| !allowed.iter().any(|pattern| matches(pattern, subject));
    assert_eq!(touched.iter().filter(outside).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_service_states_what_it_is() {
    let statement = Statement::of(Notes::DESCRIPTOR);
    let text =
        String::from_utf8(statement.bytes::<{ Statement::of(Notes::DESCRIPTOR).len() }>().to_vec()).unwrap();
    assert_eq!(Member::read(text.as_bytes()).unwrap(), Member::of::<Notes>());
    let stated = r#"{"name":"notes","partitions":2,"asks":[],"watches":false,"provisions":false,"projects":["notes"],"reacts_to":["notes"]}"#;
    assert_eq!(text, stated);
}

#[test]
fn a_statement_has_names_in_it_and_nothing_else() {
    let with = |asks: &str, name: &str, projects: &str| {
        let text = format!(
            r#"{{"name":"{name}","partitions":1,"asks":["{asks}"],"watches":false,"provisions":false,"projects":["{projects}"],"reacts_to":[],"new":1}}"#
        );
        Member::read(text.as_bytes()).map(|member| member.name)
    };
    assert_eq!(with("*", "a-b_C9", "posts").unwrap(), "a-b_C9");
    for [asks, name, projects] in [
        ["x.>", "a", "b"],
        ["a", "a.b", "b"],
        ["a", "*", "b"],
        ["a", "a", "*"],
        ["a", "a", "#"],
        ["a", "", "b"],
    ] {
        assert!(with(asks, name, projects).is_err(), "{asks} {name} {projects}");
    }
    assert!(Member::read(b"posts").is_err());
    assert_eq!(Member::read(br#"{"name":"posts"}"#).unwrap().name, "posts", "of an older kit");
}

#[test]
fn what_means_something_is_reserved() {
    for reserved in [
        "$JS.API.INFO",
        "$SYS.x",
        "$KV.a.b",
        "log.a.0.b.1",
        "svc.a",
        "deliver.a",
        "dead.a",
        "trellis.host.stop",
        "svc",
    ] {
        assert!(is_reserved(reserved), "{reserved}");
    }
    for free in ["orders.new", "_INBOX.x", "logs.a", "service"] {
        assert!(!is_reserved(free), "{free}");
    }
}

#[test]
fn a_file_that_is_no_component_says_so() {
    assert!(Member::in_component(b"nothing").is_err());
    assert_eq!(Member::in_component(b"\0asm\x0d\0\x01\0").unwrap(), None);
}
