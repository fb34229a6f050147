//! Building read models anew while the old ones answer.

use super::*;
use crate::generation::{Generations, load};
use crate::platform::memory::Harm;
use crate::testing::{deliver, message, settle, start};

fn replay() -> Result<(), String> {
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#)
}

fn active(generation: u64) -> Generations {
    Generations { active: generation, building: None, retired: None }
}

fn listed() -> Vec<String> {
    let reader = anonymous().views().unwrap();
    FEED.list(&reader, &crate::PageRequest { limit: None, after: None }).unwrap().ids
}

/// Names of consumers on the log that a request for their state finds.
fn consumers() -> Vec<String> {
    let names = (1..6)
        .flat_map(|generation| (0..2).map(move |partition| names::consumer("notes", generation, partition)));
    names.filter(|name| crate::jetstream::progress("LOG_notes", name).unwrap().is_some()).collect()
}

#[test]
fn the_old_answers_until_the_new_has_caught_up() {
    start::<Notes>();
    let ids: Vec<String> = (0..10).map(|_| write(&anonymous(), new("a")).unwrap().id).collect();
    settle::<Notes>();
    assert_eq!((load().unwrap(), listed().len()), (active(1), 10));

    replay().unwrap();
    assert_eq!(consumers(), ["notes-g1-0", "notes-g1-1", "notes-g2-0", "notes-g2-1"]);
    let mut seen = Vec::new();
    while let Some(delivery) = platform().deliver("notes") {
        deliver::<Notes>(&delivery).unwrap();
        seen.push((load().unwrap().active, listed().len()));
    }
    assert_eq!(seen.len(), 10);
    assert!(seen.iter().all(|(_, listed)| *listed == 10), "every answer is whole: {seen:?}");
    assert!(seen.contains(&(1, 10)) && seen.last() == Some(&(2, 10)), "{seen:?}");
    assert_eq!(
        (load().unwrap(), consumers()),
        (active(2), vec!["notes-g2-0".to_owned(), "notes-g2-1".to_owned()])
    );

    let late = write(&anonymous(), new("late")).unwrap().id;
    settle::<Notes>();
    assert_eq!(listed().first(), Some(&late));
    assert!(ids.iter().all(|id| listed().contains(id)));
}

#[test]
fn what_happens_meanwhile_reaches_both() {
    start::<Notes>();
    let id = write(&anonymous(), new("a")).unwrap().id;
    settle::<Notes>();
    replay().unwrap();
    edit(&anonymous(), &id, "b").unwrap();
    settle::<Notes>();
    let reader = anonymous().views().unwrap();
    assert_eq!((load().unwrap(), EDITS.get(&reader, &id).unwrap()), (active(2), Some(1)));
}

#[test]
fn what_an_older_generation_left_in_the_slot_is_not_there() {
    start::<Notes>();
    write(&anonymous(), new("a")).unwrap();
    settle::<Notes>();
    replay().unwrap();
    settle::<Notes>();
    // Whatever the first generation left would now be in the way of the third.
    let key = names::doc_key(3, "notes", "note", "ghost");
    crate::platform::Platform::set(&platform(), &key, br#"{"g":1,"s":999,"v":{"of":"another shape"}}"#)
        .unwrap();
    replay().unwrap();
    settle::<Notes>();
    let reader = anonymous().views().unwrap();
    assert_eq!((load().unwrap(), NOTES.get(&reader, "ghost").unwrap(), listed().len()), (active(3), None, 1));
    let writer = Writer {
        source: "notes",
        partition: 0,
        entity: "ghost",
        seq: 2,
        generation: 3,
        deadline: Duration::MAX,
        ..Writer::default()
    };
    let note = Note { id: "ghost".to_owned(), text: "a".to_owned(), version: 1 };
    NOTES.put(&writer, "ghost", &note).unwrap();
    writer.finish(no_place()).unwrap();
    assert_eq!(
        NOTES.get(&reader, "ghost").unwrap(),
        Some(note),
        "an older sequence of a newer generation is written"
    );
}

#[test]
fn a_straggler_of_a_retired_generation_writes_nothing() {
    start::<Notes>();
    write(&anonymous(), new("a")).unwrap();
    let is_projected = |delivery: &crate::platform::memory::Delivery| delivery.reply_to.contains("notes-g1");
    let straggler = std::iter::from_fn(|| platform().deliver("notes")).find(is_projected).unwrap();
    replay().unwrap();
    settle::<Notes>();
    let bucket = platform().bucket();
    deliver::<Notes>(&straggler).unwrap();
    assert_eq!(platform().bucket(), bucket);
}

#[test]
fn asking_again_while_it_is_built_changes_nothing() {
    start::<Notes>();
    for _ in 0..3 {
        write(&anonymous(), new("a")).unwrap();
    }
    for _ in 0..3 {
        replay().unwrap();
        assert_eq!(load().unwrap(), Generations { active: 1, building: Some(2), retired: None });
    }
    settle::<Notes>();
    assert_eq!(load().unwrap(), active(2));
}

#[test]
fn a_rebuild_without_any_event_is_done_at_once() {
    start::<Notes>();
    replay().unwrap();
    assert_eq!(load().unwrap(), active(2));
}

#[test]
fn a_rebuild_of_somebody_else_is_no_concern() {
    start::<Notes>();
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"posts"}"#).unwrap();
    assert_eq!(load().unwrap(), active(1));
}

#[test]
fn dying_anywhere_during_a_rebuild_delays_it_only() {
    for death in [|| Harm::DiesBefore, || Harm::DiesAfter] as [fn() -> Harm; 2] {
        let mut nth = 0;
        loop {
            platform().lose_stream("LOG_notes");
            platform().forget_bucket();
            start::<Notes>();
            let id = write(&anonymous(), new("a")).unwrap().id;
            edit(&anonymous(), &id, "b").unwrap();
            settle::<Notes>();
            let first = platform().calls();
            platform().harm(nth, death());
            let _ = replay();
            while let Some(delivery) = platform().deliver("notes") {
                platform().revive_if_dead();
                let _ = deliver::<Notes>(&delivery);
            }
            let calls = platform().calls() - first;
            platform().revive();
            // What the platform tells every half a minute finishes whatever was begun.
            for _ in 0..2 {
                message::<Notes>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
                settle::<Notes>();
            }
            let generations = load().unwrap();
            let never_begun = nth < 2 && generations == active(1);
            assert!(never_begun || generations == active(2), "call {nth}: {generations:?}");
            let reader = anonymous().views().unwrap();
            assert_eq!((listed(), EDITS.get(&reader, &id).unwrap()), (vec![id], Some(1)), "call {nth}");
            assert_eq!(consumers().len(), 2, "call {nth}");
            if nth > calls {
                assert!(nth > 30, "the test has seen the whole rebuild");
                break;
            }
            nth += 1;
        }
    }
}
