//! Events twice, late, half-handled, unreadable and poisonous.

use super::*;
use crate::delivery::Delivery;
use crate::platform::memory::Harm;
use crate::testing::{deliver, every_event_twice, settle, start, trouble_at_every_call};

/// An event that neither the read models nor the reactions can handle is a letter of each.
const BOTH: [&str; 2] = ["notes.1.g1", "notes.1.r"];

/// Of which events and for whom there are dead letters.
fn dead_of(service: &str) -> Vec<String> {
    let stored = platform().stored(&names::dead_stream(service));
    let prefix = format!("dead.{service}.");
    let mut of: Vec<String> =
        stored.iter().map(|letter| letter.subject.strip_prefix(&prefix).unwrap().to_owned()).collect();
    of.sort();
    of
}

/// Writes and edits some notes, one of which asks for an echo.
fn some_history() -> Vec<String> {
    let ids: Vec<String> = ["a", "echo?", "c"].map(|text| write(&anonymous(), new(text)).unwrap().id).into();
    for id in &ids {
        edit(&anonymous(), id, "edited").unwrap();
    }
    anonymous().update(&ids[0], |_: &Note| Ok(Some(NoteEvent::Closed))).unwrap();
    ids
}

/// What a run without any trouble leaves, apart from ids.
fn assert_all_done(ids: &[String]) {
    let reader = anonymous().views().unwrap();
    let listed = FEED.list(&reader, &crate::PageRequest { limit: None, after: None }).unwrap();
    assert_eq!(listed.ids.len(), 4, "three notes and one echo");
    for id in ids {
        let note: Note = anonymous().load(id).unwrap();
        assert_eq!(NOTES.get(&reader, id).unwrap(), Some(note.clone()));
        assert_eq!(EDITS.get(&reader, id).unwrap(), Some(note.version - 1));
    }
    let echoes = stored()
        .iter()
        .filter(|event| event.kind.starts_with("note.written") && event.causation.is_some())
        .count();
    assert_eq!((echoes, stored().len(), dead().len()), (1, 8, 0));
}

#[test]
fn read_models_follow_and_reactions_happen_once() {
    start::<Notes>();
    let ids = some_history();
    settle::<Notes>();
    assert_all_done(&ids);
}

fn started_with_some_history() -> Vec<String> {
    start::<Notes>();
    some_history()
}

#[test]
fn every_event_twice_changes_nothing() {
    every_event_twice::<Notes, _>(started_with_some_history, |ids, _| assert_all_done(ids));
}

#[test]
fn dying_anywhere_leaves_nothing_undone_and_nothing_done_twice() {
    let calls =
        trouble_at_every_call::<Notes, _>(1, started_with_some_history, |ids, _| assert_all_done(ids));
    assert!(calls > 30, "the test has seen the whole history");
}

#[test]
fn poison_is_tried_eight_times_ever_later_and_then_put_aside_while_others_move_on() {
    start::<Notes>();
    let poison = write(&anonymous(), new("poison")).unwrap().id;
    let others: Vec<String> = (0..10).map(|_| write(&anonymous(), new("fine")).unwrap().id).collect();
    let mut waits = Vec::new();
    loop {
        while let Some(delivery) = platform().deliver("notes") {
            deliver::<Notes>(&delivery).unwrap();
        }
        let Some(wait) = platform().next_due("notes") else { break };
        waits.push(wait);
        platform().advance(wait);
    }
    assert_eq!(waits.len(), 7, "eight attempts: {waits:?}");
    for (nth, wait) in waits.iter().enumerate() {
        let delay = Duration::from_secs(1) * (1 << nth);
        assert!((delay / 2..delay * 3 / 2).contains(wait), "wait {nth} is {wait:?}");
    }
    let letters = dead();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["error"], &letters[0]["event"]["subject"]),
        (&"this note is poison".into(), &poison.into())
    );
    let reader = anonymous().views().unwrap();
    assert!(others.iter().all(|id| NOTES.get(&reader, id).unwrap().is_some()));
}

#[test]
fn an_event_that_ends_the_instance_each_time_is_put_aside() {
    start::<Notes>();
    write(&anonymous(), new("deadly")).unwrap();
    let mut attempts = 0;
    loop {
        while let Some(delivery) = platform().deliver("notes") {
            let attempt: u64 = delivery.reply_to.split('.').nth(4).unwrap().parse().unwrap();
            attempts = attempts.max(attempt);
            if attempt <= crate::limits::ATTEMPTS {
                platform().harm(0, Harm::DiesBefore);
            }
            let _ = deliver::<Notes>(&delivery);
            platform().revive();
        }
        let Some(wait) = platform().next_due("notes") else { break };
        platform().advance(wait);
    }
    assert_eq!(attempts, crate::limits::ATTEMPTS + 1);
    let letters = dead();
    assert_eq!(dead_of("notes"), BOTH);
    for letter in letters {
        assert_eq!(letter["error"], "ended the instance, or took too long, 8 times");
    }
}

#[test]
fn a_dead_letter_is_kept_once_or_the_event_comes_again() {
    for harm in
        [|| Harm::NotDone, || Harm::AnswerLost, || Harm::DiesBefore, || Harm::DiesAfter] as [fn() -> Harm; 4]
    {
        for nth in 0..6 {
            lose_everything();
            start::<Notes>();
            store_raw("x", b"rubbish");
            platform().harm(nth, harm());
            while let Some(delivery) = platform().deliver("notes") {
                let _ = deliver::<Notes>(&delivery);
                platform().revive_if_dead();
            }
            platform().revive();
            settle::<Notes>();
            assert_eq!(dead_of("notes"), BOTH, "call {nth}");
        }
    }
}

#[test]
fn an_event_that_cannot_even_be_put_aside_comes_again() {
    // Putting aside is an append, and if that fails, making the stream and another append.
    for failing in [[0, 1], [0, 2]] {
        lose_everything();
        start::<Notes>();
        store_raw("x", b"rubbish");
        while let Some(delivery) = platform().deliver("notes") {
            // Whose letter it is, is asked before.
            let first = if delivery.reply_to.contains("notes-g") { 3 } else { 0 };
            failing.iter().for_each(|nth| platform().harm(first + nth, Harm::NotDone));
            deliver::<Notes>(&delivery).unwrap();
            platform().revive();
        }
        assert_eq!(dead().len(), 0, "calls {failing:?}");
        assert!(platform().next_due("notes").is_some(), "calls {failing:?}");
        settle::<Notes>();
        assert_eq!(dead_of("notes"), BOTH, "calls {failing:?}");
    }
}

#[test]
fn a_lost_stream_of_dead_letters_is_made_again() {
    start::<Notes>();
    platform().lose_stream("DEAD_notes");
    store_raw("x", b"rubbish");
    settle::<Notes>();
    assert_eq!(dead_of("notes"), BOTH);
}

#[test]
fn what_cannot_be_read_is_put_aside_at_once_as_it_is() {
    let event = |kind: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/notes","type":"{kind}","subject":"x","time":"","datacontenttype":"application/json","data":{data},"version":1,"state":{{"id":"x","text":"a","version":1}}}}"#
        )
    };
    for body in [
        String::new(),
        "{".to_owned(),
        "{}".to_owned(),
        event("note", "null"),
        event("note.written", "null"),
        event("note.written.v0", "null"),
        event("note.written.vx", "null"),
        event("note.written.v3.x", "null"),
        event("note.written.v3", "null"),
        event("note.unheard_of.v3", "null"),
        event("note.edited.v3", "7"),
        event("note.written.v1", "{}"),
    ] {
        lose_everything();
        start::<Notes>();
        store_raw("x", body.as_bytes());
        let mut deliveries = 0;
        while let Some(delivery) = platform().deliver("notes") {
            deliver::<Notes>(&delivery).unwrap();
            deliveries += 1;
        }
        assert_eq!((deliveries, dead_of("notes")), (2, BOTH.map(str::to_owned).into()), "{body}");
        let letter = &dead()[0];
        let kept = letter.get("event").map(ToString::to_string);
        let is_json = serde_json::from_str::<serde_json::Value>(&body).is_ok();
        assert_eq!((kept.is_some(), letter.get("base64").is_some()), (is_json, !is_json), "{letter}");
    }
}

#[test]
fn events_of_other_entities_are_acknowledged_without_effect() {
    start::<Notes>();
    store_raw(
        "x",
        br#"{"specversion":"1.0","id":"1","source":"/notes","type":"tag.added.v9","subject":"x","time":"","datacontenttype":"application/json","version":1,"state":{}}"#,
    );
    settle::<Notes>();
    assert_eq!((dead().len(), values().len()), (0, 0));
}

#[test]
fn events_of_older_versions_are_read_as_if_they_were_new() {
    start::<Notes>();
    let old = |id: &str, kind: &str, note: &str| {
        let note = note.replace("ID", id);
        let body = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/notes","type":"{kind}","subject":"{id}","time":"","datacontenttype":"application/json","data":{note},"version":1,"state":{note}}}"#
        );
        store_raw(id, body.as_bytes());
    };
    old("one", "note.written.v1", r#"{"id":"ID","body":"a","version":0}"#);
    old("two", "note.written.v2", r#"{"id":"ID","text":"a","version":0}"#);
    old("three", "note.written.v3", r#"{"id":"ID","text":"a","version":1}"#);
    settle::<Notes>();
    assert_eq!(dead().len(), 0);
    let reader = anonymous().views().unwrap();
    for id in ["one", "two", "three"] {
        let note = Note { id: id.to_owned(), text: "a".to_owned(), version: 1 };
        assert_eq!(NOTES.get(&reader, id).unwrap().as_ref(), Some(&note), "live");
        assert_eq!(anonymous().load::<Note>(id).unwrap(), note, "loaded");
        assert_eq!(edit(&anonymous(), id, "b").unwrap().version, 2, "changed");
    }
}

#[test]
fn a_handler_that_takes_too_long_writes_nothing() {
    start::<Notes>();
    write(&anonymous(), new("slow")).unwrap();
    while let Some(delivery) = platform().deliver("notes") {
        deliver::<Notes>(&delivery).unwrap();
    }
    assert_eq!(values().len(), 0);
    assert!(platform().next_due("notes").is_some(), "it is asked for again");
    let lines = platform().take_lines();
    assert!(lines.iter().any(|(_, line)| line.contains("more than half of the time")), "{lines:?}");
}

#[test]
fn an_event_costs_one_read_one_write_and_its_answer() {
    start::<Notes>();
    settle::<Notes>();
    write(&anonymous(), new("a document, and a line of a list")).unwrap();
    let delivery = std::iter::from_fn(|| platform().deliver("notes"))
        .find(|delivery| delivery.reply_to.contains("notes-g"))
        .unwrap();
    let before = platform().calls();
    deliver::<Notes>(&delivery).unwrap();
    // The platform counts a call for each of the three keys that are set together.
    assert_eq!(platform().calls() - before, 1 + 3 + 1);
}

#[test]
fn a_document_is_written_by_its_own_family_only() {
    let writer = Writer {
        source: "notes",
        partition: 0,
        entity: "root-child",
        seq: 1,
        generation: 1,
        term: Term::ENDLESS,
        ..Writer::default()
    };
    let note = Note { id: "x".to_owned(), text: "a".to_owned(), version: 1 };
    NOTES.put(&writer, "root", &note).unwrap();
    NOTES.put(&writer, "root-other", &note).unwrap();
    assert!(NOTES.put(&writer, "stranger", &note).unwrap_err().is_lasting());
    assert!(NOTES.put(&Writer { source: "posts", ..writer }, "root", &note).unwrap_err().is_lasting());
    let stranger = Writer {
        source: "notes",
        partition: 2,
        entity: "x",
        seq: 1,
        generation: 1,
        term: Term::ENDLESS,
        ..Writer::default()
    };
    assert!(FEED.add(&stranger, "x").unwrap_err().is_lasting());
}

#[test]
fn a_delivery_is_known_by_where_its_acknowledgement_goes() {
    let parse = |reply_to: &'static str| {
        Delivery::parse(Notes::DESCRIPTOR, reply_to, b"").map(|delivery| format!("{delivery:?}"))
    };
    let plain = parse("$JS.ACK.LOG_posts.notes-g2-3.4.17.9.1700000000000000000.5");
    let with_domain = parse("$JS.ACK.core.ACCOUNT.LOG_posts.notes-g2-3.4.17.9.1700000000000000000.5");
    let with_token = parse("$JS.ACK.core.ACCOUNT.LOG_posts.notes-g2-3.4.17.9.1700000000000000000.5.token");
    for parsed in [plain, with_domain, with_token] {
        let text = parsed.unwrap();
        for part in [
            r#"source: "posts""#,
            "partition: 3",
            "ReadModels { generation: 2",
            "attempt: 4",
            "seq: 17",
            "behind: 5",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    for foreign in [
        "",
        "_INBOX.1",
        "$JS.ACK",
        "$JS.ACK.LOG_posts.notes-g2-3.4.17.9.1700000000000000000",
        "$JS.ACK.LOG_posts.posts-g2-3.4.17.9.1700000000000000000.5",
        "$JS.ACK.posts.notes-g2-3.4.17.9.1700000000000000000.5",
        "$JS.ACK.LOG_posts.notes-g2-3.x.17.9.1700000000000000000.5",
        "$JS.ACK.LOG_posts.notes-g2-3.4.99999999999999999999.9.1700000000000000000.5",
    ] {
        assert_eq!(parse(foreign), None, "{foreign}");
    }
}
