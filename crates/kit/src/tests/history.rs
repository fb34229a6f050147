//! A service's own log, read from its beginning.

use super::*;
use crate::Incoming;
use crate::Reaction;
use crate::platform::memory::Harm;

fn reaction() -> Reaction {
    let envelope = stored().remove(0);
    Reaction::new(&Incoming { envelope, seq: 1 }, "notes", Term::ENDLESS)
}

/// Everything by parts of so many events.
fn births(end: u64, max: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut position = 0;
    loop {
        let part = reaction().births::<Note>(position, end, max).unwrap();
        ids.extend(part.events.into_iter().map(|event| event.entity));
        let Some(next) = part.position else { return ids };
        assert!(next > position, "it gets on");
        position = next;
    }
}

#[test]
fn every_entity_is_met_once_in_the_order_in_which_they_began() {
    let ids: Vec<String> = (0..20)
        .map(|n| {
            let id = write(&anonymous(), new("a")).unwrap().id;
            (0..n % 3).for_each(|edit_nth| drop(edit(&anonymous(), &id, &format!("{edit_nth}")).unwrap()));
            id
        })
        .collect();
    // Another kind of entity in the same log is passed by.
    let other = String::from_utf8(serde_json::to_vec(&stored()[0]).unwrap()).unwrap();
    store_raw("other", other.replace("note.written", "memo.written").as_bytes());
    for max in [1, 7, 20, 100] {
        assert_eq!(births(u64::MAX, max), ids, "{max} at a time");
    }
    let until_fifth = stored().iter().position(|event| event.subject == ids[4]).unwrap() as u64 + 1;
    assert_eq!(births(until_fifth, 3), ids[..5], "what came later is left out");
    assert_eq!(births(0, 3), [""; 0]);
}

#[test]
fn an_unreadable_event_does_not_end_the_history() {
    write(&anonymous(), new("a")).unwrap();
    let reaction = reaction();
    for harm in [Harm::NotDone, Harm::AnswerLost, Harm::AnswerGarbled] {
        platform().harm(0, harm);
        assert!(!reaction.births::<Note>(0, 9, 9).unwrap_err().is_lasting());
    }
    store_raw("broken", b"{}");
    assert!(reaction.births::<Note>(0, 9, 9).unwrap_err().is_lasting());
    platform().lose_stream("LOG_notes");
    assert!(!reaction.births::<Note>(0, 9, 9).unwrap_err().is_lasting());
}

#[test]
fn config_is_read_strictly() {
    let read = || crate::config::json::<NewNote>("note");
    assert_eq!(read(), Ok(None));
    platform().configure("note", r#" {"text":"a"} "#);
    assert_eq!(read(), Ok(Some(new("a"))));
    for (bad, why) in [
        ("", "The body is not JSON"),
        ("{", "The body is not JSON"),
        (r#"{"text":"a"} x"#, "The body is not JSON"),
        ("{}", "text: This field is required."),
        (r#"{"text":"a","more":1}"#, "more: There is no such field."),
    ] {
        platform().configure("note", bad);
        let fault = read().unwrap_err().to_string();
        assert!(fault.starts_with("config note: ") && fault.contains(why), "{bad}: {fault}");
    }
}
