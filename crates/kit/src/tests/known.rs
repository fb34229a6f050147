//! Which entities another service has, before its events have come.

use super::*;
use crate::Known;
use crate::platform::memory::Harm;
use crate::testing::start;

/// What another kind of entity in the same log might tell.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum LabelEvent {
    Put(Tag),
}

impl Event for LabelEvent {
    const OF: &str = "label";
}

const NOTES_KNOWN: Known<NoteEvent> = Known::new(SOURCE);
const LABELS_KNOWN: Known<LabelEvent> = Known::new(SOURCE);

fn status(known: Result<(), Problem>) -> u16 {
    known.map_or_else(|problem| problem.status, |()| 200)
}

#[test]
fn what_is_in_the_log_exists_whether_or_not_its_event_has_come() {
    assert_eq!(status(NOTES_KNOWN.expect(&anonymous(), "n1")), 404, "there is no log");
    start::<Notes>();
    let note = write(&anonymous(), new("hello")).unwrap();
    assert_eq!(status(NOTES_KNOWN.expect(&anonymous(), &note.id)), 200);
    assert_eq!(
        status(NOTES_KNOWN.find(&anonymous().views().unwrap(), &note.id)),
        404,
        "a read looks no further"
    );
    assert_eq!(status(LABELS_KNOWN.expect(&anonymous(), &note.id)), 404, "it is of another kind");
    for never in ["n1", "", "a.b", "*", ">", &format!("{}-x", note.id)] {
        assert_eq!(status(NOTES_KNOWN.expect(&anonymous(), never)), 404, "{never:?}");
    }
}

#[test]
fn who_cannot_look_does_not_say_that_there_is_nothing() {
    start::<Notes>();
    let note = write(&anonymous(), new("hello")).unwrap();
    let cx = anonymous();
    cx.views().unwrap();
    // The read model, then the log.
    platform().harm(1, Harm::NotDone);
    assert_eq!(status(NOTES_KNOWN.expect(&cx, &note.id)), 503);
}
