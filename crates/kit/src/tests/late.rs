//! Writes that arrive late, handlers that are late, and who changes the same generations at once.

use super::*;
use crate::limits::ACK_WAIT;
use crate::models::generation;
use crate::platform::memory::{Delivery, Harm, Memory};
use crate::testing::{deliver, message, settle, start};

fn rebuild() {
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
}

fn look_around() {
    platform().advance(Duration::from_secs(30));
    message::<Notes>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
}

fn listed() -> BTreeSet<String> {
    let page = crate::PageRequest { limit: Some(100), after: None };
    FEED.list(&anonymous().views().unwrap(), &page).unwrap().ids.into_iter().collect()
}

fn text_read(id: &str) -> String {
    NOTES.get(&anonymous().views().unwrap(), id).unwrap().unwrap().text
}

/// Ids of one partition.
fn some_of_one_partition(count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let id = write(&anonymous(), new("a")).unwrap().id;
        if crate::id::partition(&id, Notes::PARTITIONS) == 0 {
            ids.push(id);
        }
    }
    ids
}

/// The next event for the read models.
fn next_to_follow() -> Delivery {
    let is_followed = |delivery: &Delivery| delivery.reply_to.contains("notes-g1-0");
    std::iter::from_fn(|| platform().deliver("notes")).find(is_followed).unwrap()
}

/// One call of a handler stalls while the next event comes, each call in turn. `then` is told of which entity that is.
fn with_a_stalled_call(then: impl Fn(&str)) {
    for nth in 0..12 {
        lose_everything();
        start::<Notes>();
        let ids = some_of_one_partition(2);
        let first = next_to_follow();
        platform().harm(nth, Harm::UnderWay);
        // Where it is the acknowledgement that stalls, the host is told.
        let _ = deliver::<Notes>(&first);
        platform().revive();
        edit(&anonymous(), &ids[0], "b").unwrap();
        then(&ids[0]);
        let all: BTreeSet<String> = stored().into_iter().map(|event| event.subject).collect();
        assert_eq!((text_read(&ids[0]).as_str(), listed()), ("b", all), "call {nth}");
    }
}

#[test]
fn an_event_is_not_handled_while_a_write_for_it_may_still_arrive() {
    let arrived = std::cell::Cell::new(0);
    with_a_stalled_call(|_| {
        let end = platform().elapsed() + ACK_WAIT - Duration::from_secs(1);
        loop {
            while let Some(delivery) = platform().deliver("notes") {
                deliver::<Notes>(&delivery).unwrap();
            }
            match platform().next_due("notes") {
                Some(wait) if platform().elapsed() + wait < end => platform().advance(wait),
                _ => break,
            }
        }
        arrived.set(arrived.get() + platform().arrive());
        settle::<Notes>();
        assert_eq!(generation::current(Notes::DESCRIPTOR).unwrap().active, 1, "nothing had to be built anew");
    });
    assert_eq!(arrived.get(), 3, "a document, a list and the place");
}

#[test]
fn a_write_that_arrives_later_than_that_is_noticed_by_whoever_looks() {
    let noticed = std::cell::Cell::new(0);
    with_a_stalled_call(|_| {
        settle::<Notes>();
        let arrived = platform().arrive();
        look_around();
        settle::<Notes>();
        let active = generation::current(Notes::DESCRIPTOR).unwrap().active;
        assert_eq!(active, 1 + arrived as u64, "what is right is left alone");
        noticed.set(noticed.get() + arrived);
        look_around();
        assert_eq!(generation::current(Notes::DESCRIPTOR).unwrap().active, active, "once is enough");
    });
    assert_eq!(noticed.get(), 3);
}

#[test]
fn an_offset_that_went_back_is_noticed_with_the_next_event() {
    with_a_stalled_call(|id| {
        settle::<Notes>();
        let before = platform().bucket();
        platform().arrive();
        let key = names::offset_key(1, "notes", 0);
        let went_back = before.get(&key) != platform().bucket().get(&key);
        edit(&anonymous(), id, "c").unwrap();
        edit(&anonymous(), id, "b").unwrap();
        settle::<Notes>();
        let active = generation::current(Notes::DESCRIPTOR).unwrap().active;
        assert_eq!(active, 1 + u64::from(went_back));
        look_around();
        settle::<Notes>();
    });
}

#[test]
fn a_late_handler_gives_no_answer() {
    for (body, harms) in [("slow", vec![]), ("poison", vec![Duration::from_secs(16)])] {
        lose_everything();
        start::<Notes>();
        write(&anonymous(), new(body)).unwrap();
        let mut waits = Vec::new();
        while let Some(delivery) = platform().deliver("notes") {
            if let (Some(late), true) = (harms.first(), delivery.reply_to.contains("notes-g")) {
                let late = *late;
                platform().harm(0, Harm::Meanwhile(Box::new(move |memory: &Memory| memory.advance(late))));
            }
            deliver::<Notes>(&delivery).unwrap();
            platform().revive();
            waits.extend(platform().next_due("notes"));
        }
        assert!(waits.iter().any(|wait| *wait >= ACK_WAIT / 2 - Duration::from_secs(1)), "{body}: {waits:?}");
        assert_eq!((values().len(), dead().len()), (0, 0), "{body}");
    }
}

#[test]
fn a_slow_handler_finds_that_the_event_is_with_another() {
    start::<Notes>();
    let id = some_of_one_partition(1).remove(0);
    settle::<Notes>();
    let mut stopped = 0;
    for nth in 0..6 {
        edit(&anonymous(), &id, &format!("{nth}")).unwrap();
        let delivery = next_of(&id);
        // It was on its way for nearly as long as there is, and is then held up for a moment.
        platform().advance(ACK_WAIT - Duration::from_secs(1));
        let others = |memory: &Memory| {
            memory.advance(Duration::from_secs(2));
            settle::<Notes>();
        };
        platform().harm(nth, Harm::Meanwhile(Box::new(others)));
        platform().take_lines();
        deliver::<Notes>(&delivery).unwrap();
        platform().revive();
        let lines = platform().take_lines();
        stopped += usize::from(lines.iter().any(|(_, line)| line.contains("somebody else")));
        settle::<Notes>();
        look_around();
        settle::<Notes>();
        assert_eq!(text_read(&id), format!("{nth}"));
    }
    assert_eq!(stopped, 5, "wherever it was held up but at its very answer");
}

fn next_of(id: &str) -> Delivery {
    let is_of = |delivery: &Delivery| delivery.reply_to.contains("notes-g") && delivery.subject.contains(id);
    loop {
        let delivery = platform().deliver("notes").unwrap();
        if is_of(&delivery) {
            return delivery;
        }
        deliver::<Notes>(&delivery).unwrap();
    }
}

/// Whatever there was to lose, and only the consumers of what is read.
#[track_caller]
fn assert_whole(ids: &BTreeSet<String>, when: &str) {
    for _ in 0..3 {
        look_around();
        settle::<Notes>();
    }
    let now = generation::current(Notes::DESCRIPTOR).unwrap();
    assert_eq!((now.building, now.retired), (None, None), "{when}");
    assert_eq!(&listed(), ids, "{when}");
    let consumers = crate::jetstream::consumers("LOG_notes").unwrap();
    let names: BTreeSet<String> = consumers.into_iter().map(|consumer| consumer.name).collect();
    let of_active = (0..2).map(|partition| names::consumer("notes", now.active, partition));
    let reactions = (0..2).map(|partition| names::reaction_consumer("notes", partition));
    assert_eq!(names, of_active.chain(reactions).collect(), "{when}");
}

#[test]
fn two_rebuilds_at_once_end_in_one_generation() {
    for other_settles in [false, true] {
        for nth in 0..60 {
            lose_everything();
            start::<Notes>();
            let mut ids: BTreeSet<String> =
                (0..4).map(|_| write(&anonymous(), new("a")).unwrap().id).collect();
            settle::<Notes>();
            let others = move |_: &Memory| {
                rebuild();
                if other_settles {
                    settle::<Notes>();
                }
            };
            platform().harm(nth, Harm::Meanwhile(Box::new(others)));
            platform().take_lines();
            rebuild();
            platform().revive();
            let lines = platform().take_lines();
            let begun = lines.iter().filter(|(_, line)| line.contains("builds generation")).count() as u64;
            let newest = generation::current(Notes::DESCRIPTOR).unwrap().newest;
            assert_eq!(begun, newest - 1, "call {nth}, {other_settles}: one of them has begun each");
            ids.insert(write(&anonymous(), new("late")).unwrap().id);
            settle::<Notes>();
            assert_whole(&ids, &format!("call {nth}, {other_settles}"));
        }
    }
}

#[test]
fn a_handler_of_a_generation_that_is_gone_has_nowhere_to_write() {
    for nth in 0..12 {
        lose_everything();
        start::<Notes>();
        let mut ids: BTreeSet<String> = some_of_one_partition(3).into_iter().collect();
        ids.extend(stored().into_iter().map(|event| event.subject));
        let delivery = next_to_follow();
        // While it is held up, the read models are built anew twice, or as often as that can be.
        let others = |_: &Memory| {
            for _ in 0..2 {
                rebuild();
                while let Some(delivery) = platform().deliver("notes") {
                    deliver::<Notes>(&delivery).unwrap();
                }
            }
        };
        platform().harm(nth, Harm::Meanwhile(Box::new(others)));
        platform().take_lines();
        deliver::<Notes>(&delivery).unwrap();
        platform().revive();
        settle::<Notes>();
        assert_whole(&ids, &format!("call {nth}"));
        let lines = platform().take_lines();
        let errors: Vec<_> =
            lines.iter().filter(|(level, _)| *level == crate::platform::Level::Error).collect();
        assert!(errors.is_empty(), "call {nth}: nothing had to be mended: {errors:?}");
    }
}

#[test]
fn an_outdated_bucket_is_noticed() {
    start::<Notes>();
    let mut ids: BTreeSet<String> = (0..6).map(|_| write(&anonymous(), new("a")).unwrap().id).collect();
    settle::<Notes>();
    let before = platform().bucket().get(generation::KEY).cloned();
    rebuild();
    // A copy of before the rebuild arrives late.
    match before {
        Some(copy) => platform().set(generation::KEY, &copy).unwrap(),
        None => platform().forget(generation::KEY),
    }
    ids.insert(write(&anonymous(), new("b")).unwrap().id);
    settle::<Notes>();
    assert_whole(&ids, "while it is built");
    assert_eq!(generation::current(Notes::DESCRIPTOR).unwrap().active, 2);
    platform().forget(generation::KEY);
    ids.insert(write(&anonymous(), new("c")).unwrap().id);
    settle::<Notes>();
    assert_whole(&ids, "when it is read");
    assert_eq!(generation::current(Notes::DESCRIPTOR).unwrap().active, 2);
}

#[test]
fn numbers_of_generations_do_not_run_out() {
    start::<Notes>();
    let id = write(&anonymous(), new("a")).unwrap().id;
    settle::<Notes>();
    let mut names_used = BTreeSet::new();
    for generation in 2..40 {
        rebuild();
        settle::<Notes>();
        assert_eq!((generation::current(Notes::DESCRIPTOR).unwrap().active, listed().len()), (generation, 1));
        names_used.extend(crate::jetstream::consumers("LOG_notes").unwrap().into_iter().map(|of| of.name));
        edit(&anonymous(), &id, &generation.to_string()).unwrap();
        settle::<Notes>();
        assert_eq!(text_read(&id), generation.to_string());
    }
    assert_eq!(names_used.len(), 2 * names::GENERATION_NAMES as usize + 2);
}
