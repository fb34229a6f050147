//! Changes that happen once for each key, whoever dies, waits or comes between.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::platform::memory::Harm;
use crate::testing::caller;

const KEY: &str = "k";
/// More calls than any of these changes takes.
const CALLS: u64 = 24;

type Trouble = fn() -> Harm;

const TROUBLE: [Trouble; 5] = [
    || Harm::DiesBefore,
    || Harm::DiesAfter,
    || Harm::AnswerLost,
    || Harm::NotDone,
    || Harm::Meanwhile(Box::new(|_| drop(edit(&anonymous(), "n", "by somebody else")))),
];

/// A change that happens every time it is decided on: done twice, it shows.
fn close(cx: &Cx, id: &str) -> Result<Note, Problem> {
    cx.once(id, &"close", |note: Option<&Note>| match note {
        Some(_) => Ok(Some(NoteEvent::Closed)),
        None => Err(Problem::not_found("There is no such note.")),
    })
}

/// A change that need not change anything.
fn retitle(cx: &Cx, id: &str, text: &str) -> Result<Note, Problem> {
    cx.once(id, &text, |note: Option<&Note>| {
        Ok(note.filter(|note| note.text != text).map(|_| NoteEvent::Edited(text.to_owned())))
    })
}

/// On a platform where nothing has happened yet, the note that all of this is about.
fn begin() -> Note {
    platform().forget_everything();
    platform().revive();
    let written = |_: Option<&Note>| {
        Ok(Some(NoteEvent::Written(Note { id: "n".to_owned(), text: "a".to_owned(), version: 1 })))
    };
    anonymous().execute("n", written).unwrap()
}

fn closings() -> usize {
    stored().iter().filter(|event| event.kind == "note.closed.v3").count()
}

/// However it went: it has happened once, and says so from now on.
fn check(answer: &Note, when: &str) {
    edit(&anonymous(), "n", "later").unwrap();
    assert_eq!(&close(&with_key(KEY), "n").unwrap(), answer, "{when}");
    assert_eq!(closings(), 1, "{when}");
    let events = stored();
    let closing = events.iter().find(|event| event.kind == "note.closed.v3").unwrap();
    assert_eq!(closing.version, answer.version, "{when}: the answer is what the event came to");
}

#[test]
fn without_a_key_it_is_one_change_after_the_other() {
    begin();
    assert_eq!(close(&anonymous(), "n").unwrap().version, 2);
    assert_eq!(close(&anonymous(), "n").unwrap().version, 3);
    assert_eq!(platform().stored("OWN_notes").len(), 0);
}

#[test]
fn with_a_key_it_is_one_change_whatever_happens_since() {
    begin();
    let cx = with_key(KEY);
    let first = close(&cx, "n").unwrap();
    assert_eq!((first.version, first.text.as_str()), (2, "a"));
    for text in ["b", "c"] {
        edit(&anonymous(), "n", text).unwrap();
        let again = with_key(KEY);
        assert_eq!(close(&again, "n").unwrap(), first);
        assert_eq!(again.position(), cx.position());
    }
    assert_eq!((closings(), stored().len()), (1, 4));
    assert_eq!(close(&with_key("another"), "n").unwrap().version, 5);
}

#[test]
fn a_key_belongs_to_its_caller_and_its_request() {
    begin();
    let other = write(&anonymous(), new("other")).unwrap();
    let ann = || caller("ann").with_key(KEY);
    close(&ann(), "n").unwrap();
    assert_eq!(close(&ann(), &other.id).unwrap_err().status, 422, "another entity");
    assert_eq!(retitle(&ann(), "n", "b").unwrap_err().status, 422, "another change");
    assert_eq!(close(&caller("bob").with_key(KEY), "n").unwrap().version, 3);
    assert_eq!(close(&with_key(KEY), "n").unwrap().version, 4);
    assert_eq!(close(&with_key("a b"), "n").unwrap_err().status, 400);
    write(&ann(), new("births have keys of their own")).unwrap();
}

#[test]
fn what_was_refused_can_be_tried_again() {
    platform().forget_everything();
    assert_eq!(close(&with_key(KEY), "n").unwrap_err().status, 404);
    assert_eq!(
        retitle(&with_key(KEY), "n", "b").unwrap_err().status,
        404,
        "there is nothing to leave as it is"
    );
    begin();
    assert_eq!(close(&with_key(KEY), "n").unwrap().version, 2);
}

#[test]
fn that_nothing_was_to_be_done_stays_so() {
    let note = begin();
    assert_eq!(retitle(&with_key(KEY), "n", "a").unwrap(), note);
    edit(&anonymous(), "n", "b").unwrap();
    assert_eq!(retitle(&with_key(KEY), "n", "a").unwrap(), note);
    assert_eq!(retitle(&with_key(KEY), "n", "b").unwrap_err().status, 422);
    assert_eq!(stored().len(), 2);
}

#[test]
fn an_entity_can_begin_that_way() {
    let birth = || {
        with_key(KEY).once("n", &"birth", |note: Option<&Note>| match note {
            None => {
                Ok(Some(NoteEvent::Written(Note { id: "n".to_owned(), text: "a".to_owned(), version: 1 })))
            }
            Some(_) => Err(Problem::conflict("There is one.")),
        })
    };
    let note = birth().unwrap();
    edit(&anonymous(), "n", "b").unwrap();
    assert_eq!(birth().unwrap(), note);
    assert_eq!(stored().len(), 2);
}

#[test]
fn trouble_at_every_call_is_made_up_for() {
    for (kind, trouble) in TROUBLE.into_iter().enumerate() {
        for nth in 0..CALLS {
            begin();
            platform().harm(nth, trouble());
            let answered = close(&with_key(KEY), "n");
            platform().revive();
            let when = format!("trouble {kind} at call {nth}");
            // What others do in between moves the version that the attempt aims at.
            edit(&anonymous(), "n", "in between").unwrap();
            let answer = close(&with_key(KEY), "n").unwrap();
            assert!(answered.is_err() || answered.as_ref() == Ok(&answer), "{when}: {answered:?} {answer:?}");
            check(&answer, &when);
        }
    }
}

/// One is held up at every call, while another with the same key comes, in trouble at every call of its own.
#[test]
fn two_at_once_are_one() {
    for (kind, trouble) in TROUBLE.into_iter().enumerate() {
        for nth in 0..CALLS {
            for of_other in 0..CALLS {
                begin();
                let other = Rc::new(RefCell::new(None));
                let of_closure = Rc::clone(&other);
                platform().harm(
                    nth,
                    Harm::Meanwhile(Box::new(move |platform| {
                        platform.harm(of_other, trouble());
                        of_closure.replace(Some(close(&with_key(KEY), "n")));
                        platform.revive();
                    })),
                );
                let when =
                    format!("held up at call {nth}, and the other has trouble {kind} at call {of_other}");
                let answer = close(&with_key(KEY), "n").expect(&when);
                let other = other.take();
                assert!(!matches!(other, Some(Ok(other)) if other != answer), "{when}");
                check(&answer, &when);
            }
        }
    }
}

/// One died, and two come again.
#[test]
fn two_at_once_end_what_one_began_who_died() {
    for nth in 0..CALLS {
        for held_up in 0..CALLS {
            begin();
            platform().harm(nth, Harm::DiesAfter);
            let _ = close(&with_key(KEY), "n");
            platform().revive();
            platform().harm(
                held_up,
                Harm::Meanwhile(Box::new(|_| {
                    edit(&anonymous(), "n", "in between").unwrap();
                    close(&with_key(KEY), "n").unwrap();
                })),
            );
            let answer = close(&with_key(KEY), "n").unwrap();
            check(&answer, &format!("dead at call {nth}, held up at call {held_up}"));
        }
    }
}

/// Somebody found something to do, and is not heard of for long: whoever comes next may not say that nothing will be done.
#[test]
fn what_somebody_is_about_to_do_is_not_forgotten() {
    begin();
    retitle(&with_key("first"), "n", "a").unwrap();
    let patient = || with_key(KEY);
    let decide = |closes: bool| move |_: Option<&Note>| Ok(closes.then_some(NoteEvent::Closed));
    // Its attempt is there, and its event is not.
    platform().harm(
        3,
        Harm::Meanwhile(Box::new(move |_| {
            let other = patient().once("n", &"close", decide(false)).unwrap();
            assert_eq!(other.version, 1);
        })),
    );
    assert_eq!(patient().once("n", &"close", decide(true)).unwrap().version, 2);
    assert_eq!(patient().once("n", &"close", decide(false)).unwrap().version, 2);
    assert_eq!(closings(), 1);
}

#[test]
fn it_takes_four_requests_and_to_find_it_again_three() {
    begin();
    close(&with_key("first"), "n").unwrap();
    let calls = |work: &dyn Fn()| {
        let before = platform().calls();
        work();
        platform().calls() - before
    };
    assert_eq!(calls(&|| drop(close(&with_key(KEY), "n").unwrap())), 4);
    assert_eq!(calls(&|| drop(close(&with_key(KEY), "n").unwrap())), 3);
}
