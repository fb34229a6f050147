//! Creating and changing entities, with everything going wrong that can.

use super::*;
use crate::Context;
use crate::platform::Level;
use crate::platform::memory::Harm;
use crate::testing::{caller, request};

const LOSSES: [fn() -> Harm; 3] = [|| Harm::AnswerLost, || Harm::AnswerGarbled, || Harm::NotDone];
const DEATHS: [fn() -> Harm; 2] = [|| Harm::DiesBefore, || Harm::DiesAfter];

/// The number of platform calls of some work, on a platform where it goes well.
fn calls(work: impl FnOnce()) -> u64 {
    let before = platform().calls();
    work();
    platform().calls() - before
}

/// A change that happens every time it is asked for: done twice, it shows.
fn close(id: &str) -> Result<Note, Problem> {
    anonymous().update(id, |_: &Note| Ok(Some(NoteEvent::Closed)))
}

/// Appends an event as somebody else would.
fn append(entity: &str, version: u64) {
    let event = NoteEvent::Edited(format!("by somebody else, {version}"));
    let state = Note { id: entity.to_owned(), text: "by somebody else".to_owned(), version };
    let cx = anonymous();
    let draft = crate::eventlog::Draft {
        service: "notes",
        entity,
        version,
        event: &event,
        state: &state,
        request: None,
        cx: &cx,
    };
    let body = serde_json::to_vec(&Envelope::new(draft).unwrap()).unwrap();
    let partition = crate::id::partition(entity, Notes::PARTITIONS);
    platform().store("LOG_notes", &names::event_subject("notes", partition, entity, version), &body);
}

#[test]
fn creating_is_one_request_and_changing_is_two() {
    write(&anonymous(), new("the first makes the stream")).unwrap();
    let mut id = String::new();
    assert_eq!(calls(|| id = write(&anonymous(), new("a")).unwrap().id), 1);
    assert_eq!(calls(|| drop(edit(&anonymous(), &id, "b").unwrap())), 2);
    assert_eq!(calls(|| drop(anonymous().load::<Note>(&id).unwrap())), 1);
}

#[test]
fn one_lost_answer_anywhere_is_made_up_for_and_the_event_is_stored_once() {
    let mut nth = 0;
    loop {
        let mut harmed = false;
        for loss in LOSSES {
            platform().lose_stream("LOG_notes");
            platform().harm(nth, loss());
            let used = calls(|| match write(&with_key("k"), new("a")) {
                Ok(note) => assert_eq!(stored().iter().filter(|event| event.subject == note.id).count(), 1),
                // Setting up the stream is not tried twice; the caller is told to come again.
                Err(problem) => assert_eq!(problem.status, 503, "call {nth}: {problem:?}"),
            });
            harmed |= used > nth;
            platform().revive();
            let note = write(&with_key("k"), new("a")).unwrap();
            assert_eq!(stored().len(), 1, "call {nth}, {:?}", loss());
            assert_eq!(anonymous().load::<Note>(&note.id).unwrap(), note);
        }
        if !harmed {
            return assert!(nth > 4, "the test has seen the stream being made");
        }
        nth += 1;
    }
}

#[test]
fn once_the_stream_is_there_the_caller_does_not_notice_a_lost_answer() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    for append in LOSSES {
        for read_back in LOSSES.into_iter().map(Some).chain([None]) {
            let before = stored().len();
            platform().harm(1, append());
            if let Some(read_back) = read_back {
                platform().harm(2, read_back());
            }
            let note = close(&id).unwrap();
            assert_eq!(stored().len(), before + 1);
            assert_eq!(anonymous().load::<Note>(&id).unwrap(), note);
        }
    }
}

#[test]
fn two_lost_answers_in_a_row_do_not_store_twice() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    // load; append: stored, no answer; read back: no answer; append: refused, as it is there; read back: it is
    // ours.
    platform().harm(1, Harm::AnswerLost);
    platform().harm(2, Harm::NotDone);
    assert_eq!(close(&id).unwrap().version, 2);
    assert_eq!(stored().len(), 2);
}

#[test]
fn a_platform_that_never_answers_is_asked_a_bounded_number_of_times() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    for nth in 1..100 {
        platform().harm(nth, Harm::NotDone);
    }
    let used = calls(|| assert_eq!(edit(&anonymous(), &id, "b").unwrap_err().status, 503));
    assert!(used < 20, "{used} calls");
    assert_eq!(stored().len(), 1);
}

#[test]
fn an_instance_that_dies_at_any_call_leaves_a_request_that_can_be_repeated() {
    for death in DEATHS {
        for nth in 0..12 {
            platform().lose_stream("LOG_notes");
            platform().harm(nth, death());
            let _ = write(&with_key("k"), new("a"));
            platform().revive();
            let note = write(&with_key("k"), new("a")).unwrap();
            assert_eq!(
                stored().iter().map(|event| &event.subject).collect::<Vec<_>>(),
                [&note.id],
                "call {nth}"
            );
        }
    }
}

#[test]
fn after_a_conflict_the_slower_caller_decides_on_the_new_state() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    let faster = id.clone();
    platform().harm(1, Harm::Meanwhile(Box::new(move |_| append(&faster, 2))));
    let mut seen = Vec::new();
    let note = anonymous()
        .update(&id, |note: &Note| {
            seen.push(note.text.clone());
            Ok(Some(NoteEvent::Edited("mine".to_owned())))
        })
        .unwrap();
    assert_eq!(seen, ["a", "by somebody else"]);
    assert_eq!((note.version, note.text.as_str(), stored().len()), (3, "mine", 3));
}

#[test]
fn a_lost_append_that_somebody_else_overtakes_is_a_conflict_and_not_ours() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    let faster = id.clone();
    platform().harm(1, Harm::NotDone);
    platform().harm(2, Harm::Meanwhile(Box::new(move |_| append(&faster, 2))));
    let note = edit(&anonymous(), &id, "mine").unwrap();
    assert_eq!((note.version, stored().len()), (3, 3));
}

#[test]
fn a_caller_that_always_loses_the_conflict_gives_up() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    for round in 0..20 {
        let faster = id.clone();
        // Each round loads, appends and reads back.
        platform().harm(3 * round + 1, Harm::Meanwhile(Box::new(move |_| append(&faster, round + 2))));
    }
    let used = calls(|| assert_eq!(edit(&anonymous(), &id, "mine").unwrap_err().status, 503));
    assert_eq!(used, 24, "eight rounds");
}

#[test]
fn two_callers_with_one_key_make_one_entity() {
    write(&anonymous(), new("the first makes the stream")).unwrap();
    platform().harm(0, Harm::Meanwhile(Box::new(|_| drop(write(&with_key("k"), new("a")).unwrap()))));
    let note = write(&with_key("k"), new("a")).unwrap();
    assert_eq!(stored().iter().filter(|event| event.subject == note.id).count(), 1);
}

#[test]
fn a_key_belongs_to_its_caller_and_its_request() {
    let named = |name: &str| caller(name).with_key("k");
    let first = write(&named("ann"), new("a")).unwrap();
    assert_eq!(write(&named("ann"), new("a")).unwrap(), first);
    edit(&anonymous(), &first.id, "changed since").unwrap();
    assert_eq!(write(&named("ann"), new("a")).unwrap(), first, "the same answer, whatever happened since");
    assert_eq!(write(&named("ann"), new("b")).unwrap_err().status, 422);
    let others = [named("bob"), named(""), named("anonymous"), with_key("k"), with_key("l"), anonymous()];
    let mut ids: Vec<String> = others.iter().map(|cx| write(cx, new("a")).unwrap().id).collect();
    ids.push(first.id);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
}

#[test]
fn keys_are_bounded() {
    for bad in ["", "a b", "ä", "a\n", &"x".repeat(256)] {
        assert_eq!(write(&with_key(bad), new("a")).unwrap_err().status, 400, "{bad:?}");
    }
    write(&with_key(&"x".repeat(255)), new("a")).unwrap();
}

#[test]
fn what_would_be_too_large_to_store_is_refused() {
    let problem = write(&anonymous(), new(&"x".repeat(600_000))).unwrap_err();
    assert_eq!(problem.status, 413);
    assert_eq!(stored().len(), 0);
}

#[test]
fn a_lost_stream_is_made_again_and_announced() {
    write(&anonymous(), new("a")).unwrap();
    let announced =
        || platform().take_published().iter().filter(|(subject, _)| subject == names::ANNOUNCE).count();
    assert_eq!(announced(), 1);
    platform().lose_stream("LOG_notes");
    write(&anonymous(), new("b")).unwrap();
    assert_eq!((announced(), stored().len()), (1, 1));
    platform().lose_stream("LOG_notes");
    assert_eq!(anonymous().load::<Note>("x").unwrap_err().status, 404, "reading makes it, too");
}

#[test]
fn a_stream_of_another_shape_is_named_and_nothing_is_stored() {
    let other = br#"{"name":"LOG_notes","subjects":["log.notes.>"],"metadata":{"trellis.partitions":"2"}}"#;
    platform().request("$JS.API.STREAM.CREATE.LOG_notes", other, Duration::ZERO).unwrap();
    crate::testing::message::<Notes>(names::ANNOUNCE, None, b"").unwrap_err();
    let lines = platform().take_lines();
    assert!(
        lines.iter().any(|(level, line)| *level == Level::Error && line.contains("LOG_notes")),
        "{lines:?}"
    );
}

#[test]
fn an_unreadable_stored_event_is_a_server_error_without_details() {
    write(&anonymous(), new("a")).unwrap();
    for (id, body) in [("broken", &b"not an event"[..]), ("future", br#"{"specversion":"2.0"}"#)] {
        store_raw(id, body);
        let response = request::<Notes>("GET", &format!("/notes/{id}"), &[], "");
        let text = String::from_utf8(response.body).unwrap();
        assert!(response.status >= 500 && !text.contains("event") && !text.contains("log."), "{text}");
    }
}

#[test]
fn an_impossible_event_is_never_stored() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    let again = NoteEvent::Written(Note { id: id.clone(), text: "b".to_owned(), version: 1 });
    let problem = anonymous().execute::<Note>(&id, |_| Ok(Some(again.clone()))).unwrap_err();
    assert_eq!((problem.status, stored().len()), (500, 1));
}

#[test]
fn an_event_says_where_it_comes_from() {
    let cx: Cx = Context {
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        causation: Some("because".to_owned()),
        ..caller("ann").clone()
    }
    .into();
    let id = write(&cx, new("a")).unwrap().id;
    let message = platform().stored("LOG_notes").remove(0);
    let partition = crate::id::partition(&id, 2);
    assert_eq!(message.subject, format!("log.notes.{partition}.{id}.1"));
    let mut event: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
    let varying = event.as_object_mut().unwrap();
    assert_eq!(varying.remove("id").unwrap().as_str().unwrap().len(), 26);
    assert_eq!(varying.remove("request").unwrap().as_str().unwrap().len(), 64);
    let note = serde_json::json!({ "id": id, "text": "a", "version": 1 });
    let expected = serde_json::json!({
        "specversion": "1.0", "source": "/notes", "type": "note.written.v3", "subject": id,
        "time": "2026-01-01T00:00:00.000Z", "datacontenttype": "application/json", "data": note, "state": note,
        "version": 1, "traceparent": cx.traceparent, "causation": "because", "actor": "ann",
    });
    assert_eq!(event, expected);
}

#[test]
fn a_family_shares_its_roots_partition_and_keys_count_for_it_alone() {
    let below = |cx: &Cx, root: &str| -> Note {
        cx.create_below(root, &"request", |id| {
            NoteEvent::Written(Note { id, text: "below".to_owned(), version: 1 })
        })
        .unwrap()
    };
    let child = below(&anonymous(), "root");
    assert!(child.id.starts_with("root-"), "{}", child.id);
    assert_ne!(below(&anonymous(), "root").id, child.id);
    let partition = |id: &str| crate::id::partition(id, Notes::PARTITIONS);
    assert_eq!(partition(&child.id), partition("root"));
    let first = below(&with_key("k"), "root");
    assert_eq!(below(&with_key("k"), "root"), first);
    assert_ne!(below(&with_key("k"), "other").id, first.id);
}
