//! Read models that are built from a long history: in batches, and as if each event had come alone.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::jetstream;
use crate::models::generation;
use crate::platform::memory::Harm;
use crate::testing::{
    deliver, every_event_twice, message, read_models, send, settle, start, trouble_at_every_call,
};

/// So many notes in each partition and half as many edits, one of which none can handle if that is wanted.
fn history(notes: usize, poison: bool) {
    let ids: Vec<String> =
        (0..notes).map(|n| write(&anonymous(), new(&format!("note {n}"))).unwrap().id).collect();
    for (n, id) in ids.iter().enumerate().step_by(2) {
        edit(&anonymous(), id, &format!("edited {n}")).unwrap();
    }
    if poison {
        edit(&anonymous(), &ids[notes / 2], "poison").unwrap();
        edit(&anonymous(), &ids[notes / 2], "well again").unwrap();
    }
}

fn rebuild() {
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
}

/// What the platform tells every half a minute.
fn heartbeat() {
    platform().advance(Duration::from_secs(30));
    message::<Notes>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
    settle::<Notes>();
}

fn active() -> u64 {
    generation::current(Notes::DESCRIPTOR).unwrap().active
}

/// How many deliveries it takes.
fn deliveries() -> usize {
    let each = std::iter::from_fn(|| platform().deliver("notes"));
    each.map(|delivery| deliver::<Notes>(&delivery).unwrap()).count()
}

#[test]
fn a_long_history_comes_to_the_same_with_few_deliveries() {
    start::<Notes>();
    history(600, false);
    settle::<Notes>();
    let expected = read_models();
    rebuild();
    let deliveries = deliveries();
    assert_eq!(active(), 2);
    assert!(deliveries < 10, "{deliveries} deliveries for 900 events");
    assert!(read_models() == expected);
    assert_eq!(send::<Notes>("GET", "/notes", "").header("x-trellis-lag"), Some("0"), "nothing is left");
    write(&anonymous(), new("later")).unwrap();
    settle::<Notes>();
    assert_eq!(read_models().len(), expected.len() + 1, "what comes later is followed");
}

#[test]
fn an_event_that_cannot_be_handled_ends_the_batch_before_it() {
    start::<Notes>();
    history(100, true);
    settle::<Notes>();
    let expected = read_models();
    rebuild();
    settle::<Notes>();
    assert_eq!(active(), 2);
    assert!(read_models() == expected);
    assert_eq!(dead().len(), 1, "the letter of the generation before is removed");
}

#[test]
fn dying_anywhere_while_it_is_built_comes_to_the_same() {
    let tell = || {
        start::<Notes>();
        history(28, false);
        settle::<Notes>();
        let expected = read_models();
        rebuild();
        expected
    };
    let check = |expected: &_, when: &str| {
        // A consumer that is missing is made again by whoever looks.
        heartbeat();
        heartbeat();
        assert_eq!(active(), 2, "{when}");
        assert!(read_models() == *expected, "{when}");
    };
    every_event_twice::<Notes, _>(tell, check);
    let calls = trouble_at_every_call::<Notes, _>(2, tell, check);
    assert!(calls > 60, "{calls}: the test has seen it all");
}

/// Who was given the first event of a batch, and died when the batch was written, is late with everything.
#[test]
fn a_late_delivery_does_not_move_the_consumer() {
    start::<Notes>();
    history(100, false);
    settle::<Notes>();
    let expected = read_models();
    rebuild();
    let late = platform().deliver("notes").unwrap();
    deliver::<Notes>(&late).unwrap();
    let given = platform().deliver("notes").unwrap();
    platform().take_exchanges();
    deliver::<Notes>(&late).unwrap();
    let asked = platform().take_exchanges();
    assert!(asked.iter().all(|exchange| !exchange.subject.contains("CONSUMER.RESET")), "{asked:?}");
    deliver::<Notes>(&given).unwrap();
    settle::<Notes>();
    assert_eq!(active(), 2);
    assert!(read_models() == expected);
}

#[test]
fn a_bucket_that_is_lost_between_two_batches_leaves_no_hole() {
    start::<Notes>();
    history(600, false);
    settle::<Notes>();
    let expected = read_models();
    rebuild();
    let first = platform().deliver("notes").unwrap();
    deliver::<Notes>(&first).unwrap();
    platform().harm(0, Harm::Meanwhile(Box::new(|_| platform().forget_bucket())));
    settle::<Notes>();
    platform().revive();
    for _ in 0..4 {
        heartbeat();
    }
    assert!(active() >= 2);
    assert!(read_models() == expected);
}

#[test]
fn a_consumer_that_was_lost_goes_on_where_the_offset_is() {
    start::<Notes>();
    history(600, false);
    settle::<Notes>();
    let expected = read_models();
    rebuild();
    let built = (0..Notes::PARTITIONS).map(|partition| names::consumer("notes", 2, partition));
    for consumer in built {
        let first = platform().deliver("notes").unwrap();
        assert!(first.reply_to.contains(&consumer), "{}", first.reply_to);
        deliver::<Notes>(&first).unwrap();
        jetstream::delete_consumer("LOG_notes", &consumer).unwrap();
    }
    message::<Notes>(names::ANNOUNCE, None, b"").unwrap();
    let deliveries = deliveries();
    assert!(deliveries < 10, "{deliveries} deliveries for 900 events");
    assert_eq!(active(), 2);
    assert!(read_models() == expected);
}

/// Servers before 2.14, and permissions that are older than this version, leave a request for a reset without an answer.
#[test]
fn where_a_consumer_cannot_be_reset_what_is_done_is_acknowledged() {
    start::<Notes>();
    history(100, true);
    settle::<Notes>();
    let expected = read_models();
    let asked: Rc<Cell<usize>> = Rc::default();
    for partition in 0..Notes::PARTITIONS {
        let asked = asked.clone();
        let consumer = names::consumer("notes", 2, partition);
        platform().listen(&format!("$JS.API.CONSUMER.RESET.LOG_notes.{consumer}"), move |_| {
            asked.set(asked.get() + 1);
            None
        });
    }
    rebuild();
    settle::<Notes>();
    assert_eq!(active(), 2);
    assert!(read_models() == expected);
    let batches = 2 * usize::try_from(Notes::PARTITIONS).unwrap();
    assert!((1..=batches).contains(&asked.get()), "once for each batch, not for each event: {}", asked.get());
}

/// The write of a batch has no answer, and arrives while others are at work on the same events, or later.
#[test]
fn a_batch_that_is_written_late_is_noticed() {
    for events_before in [0, 1, 5, 200] {
        let mut arrived = 0;
        for nth in 0.. {
            lose_everything();
            start::<Notes>();
            history(40, false);
            settle::<Notes>();
            rebuild();
            platform().harm(nth, Harm::UnderWay);
            let first = platform().deliver("notes").unwrap();
            let calls = platform().calls();
            deliver::<Notes>(&first).unwrap();
            let calls = platform().calls() - calls;
            platform().revive();
            platform().advance(crate::limits::ACK_WAIT);
            for delivery in std::iter::from_fn(|| platform().deliver("notes")).take(events_before) {
                deliver::<Notes>(&delivery).unwrap();
            }
            if events_before == 200 {
                let ids: BTreeSet<String> = stored().into_iter().map(|event| event.subject).collect();
                ids.iter().for_each(|id| drop(edit(&anonymous(), id, "later").unwrap()));
                settle::<Notes>();
            }
            arrived += platform().arrive();
            settle::<Notes>();
            for _ in 0..4 {
                heartbeat();
            }
            let found = read_models();
            rebuild();
            settle::<Notes>();
            assert!(found == read_models(), "call {nth}, {events_before} events later");
            if nth >= calls {
                break;
            }
        }
        assert!(arrived > 0, "{events_before}");
    }
}
