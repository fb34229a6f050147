//! Many keys at once: the place of a read model is set after all that it speaks of, whatever provider there is.

use super::*;
use crate::platform::memory::Harm;
use crate::testing::{deliver, request, settle, start};

/// Shows what it hears of notes, and remembers what it answered.
#[derive(Debug)]
struct Board;

impl Service for Board {
    const NAME: &str = "board";
    const VERSION: &str = "1";
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! { GET "/notes" => page(Notes::list) };
    const FUNCTIONS: &[(&str, &str)] = &[];
    const PROJECTIONS: Projections = projections! { SOURCE => follow };
}

fn listed() -> Vec<String> {
    let response = request::<Board>("GET", "/notes", &[], "");
    let notes: Vec<Note> = crate::testing::json(&response);
    notes.into_iter().map(|note| note.text).collect()
}

/// With the provider that promises an order, and with the one that wasmCloud publishes.
fn with_each_provider(test: impl Fn()) {
    test();
    lose_everything();
    platform().use_published_provider();
    test();
}

/// Another instance is asked while the event is handled, and remembers its answer for as long as the places are the same.
#[test]
fn whoever_sees_the_offset_of_an_event_sees_what_it_changed() {
    with_each_provider(|| {
        start::<Notes>();
        start::<Board>();
        for round in 0..40 {
            let text = format!("note {round}");
            write(&anonymous(), new(&text)).unwrap();
            let delivery = platform().deliver("board").unwrap();
            let calls = platform().calls();
            platform().harm(round % 10, Harm::Meanwhile(Box::new(|_| drop(listed()))));
            deliver::<Board>(&delivery).unwrap();
            platform().revive();
            assert_eq!(
                listed().first(),
                Some(&text),
                "asked at call {} of {}",
                round % 10,
                platform().calls() - calls
            );
        }
    });
}

/// The whole history is followed with one call that goes wrong; for every call.
#[test]
fn what_could_not_be_set_is_set_by_the_next_delivery() {
    let harms: [fn() -> Harm; 4] =
        [|| Harm::NotDone, || Harm::AnswerLost, || Harm::DiesBefore, || Harm::DiesAfter];
    with_each_provider(|| {
        for harm in harms {
            let mut nth = 0;
            loop {
                lose_everything();
                start::<Notes>();
                start::<Board>();
                let id = write(&anonymous(), new("a")).unwrap().id;
                edit(&anonymous(), &id, "b").unwrap();
                write(&anonymous(), new("c")).unwrap();
                let first = platform().calls();
                platform().harm(nth, harm());
                while let Some(delivery) = platform().deliver("board") {
                    let _ = deliver::<Board>(&delivery);
                    platform().revive_if_dead();
                }
                let calls = platform().calls() - first;
                platform().revive();
                settle::<Board>();
                assert_eq!(listed().len(), 2, "{:?} at call {nth}", harm());
                let reader = anonymous().views().unwrap();
                assert_eq!(EDITS.get(&reader, &id).unwrap(), Some(1), "{:?} at call {nth}", harm());
                if nth > calls {
                    assert!(nth > 10, "the test has seen the whole history");
                    break;
                }
                nth += 1;
            }
        }
    });
}

#[test]
fn what_was_found_is_in_the_order_that_was_asked_for() {
    with_each_provider(|| {
        let entries: Vec<Entry> = (0..20_u8).map(|n| (format!("k{n}"), vec![n])).collect();
        platform().set_many(&entries).unwrap();
        let keys = ["k7", "none", "k0", "k19", "k7"].map(str::to_owned);
        let expected = [Some(vec![7]), None, Some(vec![0]), Some(vec![19]), Some(vec![7])];
        assert_eq!(platform().get_many(&keys).unwrap(), expected);
    });
}
