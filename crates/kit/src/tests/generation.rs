//! Building read models anew while the old ones answer.

use super::*;
use crate::models::generation::{self, Generations};
use crate::platform::memory::{Delivery, Harm, Memory};
use crate::platform::{Fault, Level};
use crate::testing::{deliver, message, settle, start};

fn rebuild() -> Result<(), String> {
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#)
}

/// Which generations there are, however it came to that.
fn load() -> Result<Generations, Fault> {
    let now = generation::current(Notes::DESCRIPTOR)?;
    Ok(Generations { change: 0, newest: 0, retired_ms: 0, ..now })
}

fn active(generation: u64) -> Generations {
    Generations {
        change: 0,
        active: generation,
        building: None,
        retired: None,
        schema: 1,
        active_schema: None,
        newest: 0,
        retired_ms: 0,
    }
}

fn listed() -> Vec<String> {
    let reader = anonymous().views().unwrap();
    FEED.list(&reader, &crate::PageRequest { limit: None, after: None }).unwrap().ids
}

/// A note that the read models know.
fn followed_note() -> String {
    start::<Notes>();
    let id = write(&anonymous(), new("a")).unwrap().id;
    settle::<Notes>();
    id
}

/// The next event that the first generation is given.
fn next_to_follow() -> Delivery {
    let is_followed = |delivery: &Delivery| delivery.reply_to.contains("notes-g1");
    std::iter::from_fn(|| platform().deliver("notes")).find(is_followed).unwrap()
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

    rebuild().unwrap();
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
fn events_during_a_rebuild_reach_both_generations() {
    let id = followed_note();
    rebuild().unwrap();
    edit(&anonymous(), &id, "b").unwrap();
    settle::<Notes>();
    let reader = anonymous().views().unwrap();
    assert_eq!((load().unwrap(), EDITS.get(&reader, &id).unwrap()), (active(2), Some(1)));
}

#[test]
fn values_of_an_older_generation_in_the_slot_are_ignored() {
    followed_note();
    rebuild().unwrap();
    settle::<Notes>();
    // Whatever the first generation left would now be in the way of the third.
    let key = names::doc_key(3, "notes", "note", "ghost");
    crate::platform::Platform::set(&platform(), &key, br#"{"g":1,"s":999,"v":{"of":"another shape"}}"#)
        .unwrap();
    rebuild().unwrap();
    settle::<Notes>();
    let reader = anonymous().views().unwrap();
    assert_eq!((load().unwrap(), NOTES.get(&reader, "ghost").unwrap(), listed().len()), (active(3), None, 1));
    let writer = Writer {
        source: "notes",
        partition: 0,
        entity: "ghost",
        seq: 2,
        generation: 3,
        term: Term::ENDLESS,
        ..Writer::default()
    };
    let note = Note { id: "ghost".to_owned(), text: "a".to_owned(), version: 1 };
    NOTES.put(&writer, "ghost", &note).unwrap();
    writer.finish(no_offset()).unwrap();
    assert_eq!(
        NOTES.get(&reader, "ghost").unwrap(),
        Some(note),
        "an older sequence of a newer generation is written"
    );
}

#[test]
fn a_late_event_of_a_retired_generation_writes_nothing() {
    start::<Notes>();
    write(&anonymous(), new("a")).unwrap();
    let late = next_to_follow();
    rebuild().unwrap();
    settle::<Notes>();
    let bucket = platform().bucket();
    deliver::<Notes>(&late).unwrap();
    assert_eq!(platform().bucket(), bucket);
}

#[test]
fn a_second_request_during_a_rebuild_changes_nothing() {
    start::<Notes>();
    for _ in 0..3 {
        write(&anonymous(), new("a")).unwrap();
    }
    for _ in 0..3 {
        rebuild().unwrap();
        assert_eq!(load().unwrap(), Generations { building: Some(2), active_schema: Some(1), ..active(1) });
    }
    settle::<Notes>();
    assert_eq!(load().unwrap(), active(2));
}

#[test]
fn a_rebuild_without_any_event_is_done_at_once() {
    start::<Notes>();
    rebuild().unwrap();
    assert_eq!(load().unwrap(), active(2));
}

/// What the platform tells every half a minute.
fn look_around() {
    platform().advance(Duration::from_secs(30));
    message::<Notes>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
}

fn heartbeat() {
    look_around();
    settle::<Notes>();
}

fn complaints() -> Vec<String> {
    let lines = platform().take_lines().into_iter();
    lines.filter(|(level, _)| *level == Level::Error).map(|(_, line)| line).collect()
}

fn put_back(bucket: &BTreeMap<String, Vec<u8>>) {
    platform().forget_bucket();
    for (key, value) in bucket {
        platform().set(key, value).unwrap();
    }
}

/// A later version of the service, whose read models are others.
struct Later;

impl Service for Later {
    const NAME: &str = Notes::NAME;
    const VERSION: &str = "2.0.0";
    const PARTITIONS: u32 = Notes::PARTITIONS;
    const ROUTES: &[Route] = Notes::ROUTES;
    const PROJECTIONS: Projections = projections! { SOURCE => shout };
    const VIEWS_SCHEMA: u32 = 2;
}

fn shout(event: &Recorded<NoteEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let note: Note = event.state()?;
    NOTES.put(writer, &event.entity, &Note { text: note.text.to_uppercase(), ..note })
}

#[test]
fn another_schema_leads_to_a_rebuild() {
    let id = followed_note();
    let text = || NOTES.get(&anonymous().views().unwrap(), &id).unwrap().unwrap().text;
    for generation in [2, 2] {
        start::<Later>();
        settle::<Later>();
        assert_eq!(
            (load().unwrap(), text()),
            (Generations { schema: 2, ..active(generation) }, "A".to_owned())
        );
    }
    // The version before is put back: it leaves alone what it did not make, until somebody says that it is to stay.
    platform().take_lines();
    start::<Notes>();
    settle::<Notes>();
    assert_eq!((load().unwrap(), text()), (Generations { schema: 2, ..active(2) }, "A".to_owned()));
    let lines = platform().take_lines();
    assert!(lines.iter().any(|(_, line)| line.contains("`trellis replay notes`")), "{lines:?}");
    assert!(crate::ready::<Notes>().unwrap_err().detail.unwrap().contains("of a newer version"));
    rebuild().unwrap();
    settle::<Notes>();
    assert_eq!((load().unwrap(), text()), (active(3), "a".to_owned()));
    crate::ready::<Notes>().unwrap();
}

#[test]
fn another_schema_that_comes_during_a_rebuild_follows_it() {
    let id = followed_note();
    rebuild().unwrap();
    start::<Later>();
    settle::<Later>();
    start::<Later>();
    settle::<Later>();
    let text = NOTES.get(&anonymous().views().unwrap(), &id).unwrap().unwrap().text;
    // The one that the older version was building is left; the one after that would have had the slot that is read.
    assert_eq!((load().unwrap(), text), (Generations { schema: 2, ..active(4) }, "A".to_owned()));
}

#[test]
fn a_service_without_read_models_yet_has_nothing_to_build_anew() {
    start::<Later>();
    assert_eq!(load().unwrap(), Generations { schema: 2, ..active(1) });
    write(&anonymous(), new("a")).unwrap();
    settle::<Later>();
    start::<Later>();
    assert_eq!(load().unwrap(), Generations { schema: 2, ..active(1) });
}

#[test]
fn a_bucket_that_was_lost_is_noticed_and_made_anew() {
    for kept in 0..3 {
        lose_everything();
        start::<Notes>();
        let mut ids = Vec::new();
        let mut buckets = vec![BTreeMap::new()];
        for _ in 0..3 {
            buckets.push(platform().bucket());
            ids.insert(0, write(&anonymous(), new("a")).unwrap().id);
            settle::<Notes>();
        }
        put_back(&buckets[kept]);
        assert_ne!(listed(), ids);
        heartbeat();
        assert_eq!((load().unwrap(), listed()), (active(2), ids));
        let complaints = complaints();
        assert!(
            complaints.len() == 1 && complaints[0].contains("the bucket has lost what was read of notes")
        );
        heartbeat();
        assert_eq!((load().unwrap(), self::complaints().len()), (active(2), 0), "once is enough");
    }
}

#[test]
fn a_bucket_that_is_lost_while_events_keep_coming_is_noticed_with_the_next() {
    start::<Notes>();
    let mut ids = Vec::new();
    for lose in [false, true, false] {
        if lose {
            platform().forget_bucket();
        }
        for _ in 0..10 {
            ids.insert(0, write(&anonymous(), new("a")).unwrap().id);
        }
        settle::<Notes>();
    }
    assert_eq!((load().unwrap(), listed(), complaints().len()), (active(2), ids[..20].to_vec(), 1));
}

#[test]
fn consumers_of_a_bucket_that_was_lost_are_not_taken_for_new_ones() {
    let id = followed_note();
    rebuild().unwrap();
    settle::<Notes>();
    platform().forget_bucket();
    heartbeat();
    assert_eq!((load().unwrap(), listed()), (active(3), vec![id.clone()]), "numbers are not used twice");
    rebuild().unwrap();
    settle::<Notes>();
    // The first generation again, whose consumers of then, and those of the second, have read everything before.
    platform().forget_bucket();
    platform().lose_stream("OWN_notes");
    heartbeat();
    assert_eq!((load().unwrap(), listed()), (active(1), vec![id.clone()]));
    rebuild().unwrap();
    settle::<Notes>();
    assert_eq!((load().unwrap(), listed()), (active(2), vec![id]));
}

#[test]
fn a_log_that_was_lost_is_noticed_and_read_anew() {
    start::<Notes>();
    for _ in 0..5 {
        write(&anonymous(), new("a")).unwrap();
    }
    settle::<Notes>();
    platform().lose_stream("LOG_notes");
    start::<Notes>();
    let id = write(&anonymous(), new("b")).unwrap().id;
    settle::<Notes>();
    heartbeat();
    assert_eq!(listed(), [id], "what the old log told is gone, what the new one tells is there");
    assert!(complaints()[0].contains("the log of notes has lost event"));
    let generations = load().unwrap();
    heartbeat();
    assert_eq!((load().unwrap(), complaints().len()), (generations, 0), "once is enough");
}

#[test]
fn events_that_a_log_no_longer_has_are_not_missed() {
    followed_note();
    crate::jetstream::purge("LOG_notes", ">").unwrap();
    platform().forget_bucket();
    heartbeat();
    assert_eq!((load().unwrap(), complaints().len()), (active(1), 0));
}

#[test]
fn events_that_are_handled_meanwhile_are_not_taken_for_lost() {
    start::<Notes>();
    for nth in 0..40 {
        write(&anonymous(), new("before")).unwrap();
        platform().harm(
            nth,
            Harm::Meanwhile(Box::new(|_| {
                settle::<Notes>();
                write(&anonymous(), new("meanwhile")).unwrap();
                settle::<Notes>();
            })),
        );
        look_around();
        platform().revive();
        settle::<Notes>();
        assert_eq!((load().unwrap(), complaints()), (active(1), Vec::new()), "call {nth}");
    }
}

#[test]
fn a_write_that_came_too_late_is_noticed() {
    let mut too_late = 0;
    for nth in 0..8 {
        lose_everything();
        start::<Notes>();
        let id = write(&anonymous(), new("a")).unwrap().id;
        let delivery = next_to_follow();
        // Held up at a call, while others handle the same event and the next.
        let edited = id.clone();
        let others = move |_: &Memory| {
            edit(&anonymous(), &edited, "b").unwrap();
            settle::<Notes>();
        };
        platform().harm(nth, Harm::Meanwhile(Box::new(others)));
        deliver::<Notes>(&delivery).unwrap();
        platform().revive();
        let text = || NOTES.get(&anonymous().views().unwrap(), &id).unwrap().unwrap().text;
        let newest = anonymous().load::<Note>(&id).unwrap().text;
        too_late += u32::from(text() != newest);
        heartbeat();
        assert_eq!(text(), newest, "call {nth}");
    }
    // The document is set first, or after the list: the order is the provider's.
    assert!((1..=2).contains(&too_late), "at its write it puts an older value over a newer one: {too_late}");
}

#[test]
fn a_rebuild_of_another_service_has_no_effect() {
    start::<Notes>();
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"posts"}"#).unwrap();
    assert_eq!(load().unwrap(), active(1));
}

#[test]
fn dying_anywhere_during_a_rebuild_delays_it_only() {
    for death in [|| Harm::DiesBefore, || Harm::DiesAfter] as [fn() -> Harm; 2] {
        let mut nth = 0;
        loop {
            lose_everything();
            start::<Notes>();
            let id = write(&anonymous(), new("a")).unwrap().id;
            edit(&anonymous(), &id, "b").unwrap();
            settle::<Notes>();
            let first = platform().calls();
            platform().harm(nth, death());
            let _ = rebuild();
            while let Some(delivery) = platform().deliver("notes") {
                platform().revive_if_dead();
                let _ = deliver::<Notes>(&delivery);
            }
            let calls = platform().calls() - first;
            platform().revive();
            // Finishes whatever was begun.
            for _ in 0..2 {
                heartbeat();
            }
            let generations = load().unwrap();
            let never_begun = platform().stored("OWN_notes").is_empty() && generations == active(1);
            assert!(never_begun || generations == active(2), "call {nth}: {generations:?}");
            let reader = anonymous().views().unwrap();
            assert_eq!((listed(), EDITS.get(&reader, &id).unwrap()), (vec![id], Some(1)), "call {nth}");
            assert_eq!(consumers().len(), 2, "call {nth}");
            if nth > calls {
                assert!(nth > 30 && !never_begun, "the test has seen the whole rebuild");
                break;
            }
            nth += 1;
        }
    }
}
