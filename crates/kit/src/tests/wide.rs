//! Reactions that need no order, and what is put off: it holds up nothing that it need not, counts as no attempt, and ends.

use super::*;
use crate::limits::{ATTEMPTS, PUT_OFF_MAX};
use crate::platform::memory::Harm;
use crate::testing::{deliver, every_event_twice, message, settle, start};
use crate::time::millis;
use crate::upkeep::consumers::{LONGEST_PAUSE, WINDOW};
use crate::{Timers, timers};

/// Where letters are posted.
#[derive(Debug)]
struct Office;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Letter {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum LetterEvent {
    Posted(Letter),
    Stamped,
}

/// Who carries them, in any order.
#[derive(Debug)]
struct Couriers;

/// The same, one after the other.
#[derive(Debug)]
struct Queue;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Receipt {
    id: String,
    at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum ReceiptEvent {
    Signed(Receipt),
}

const OFFICE: Source = Source::new("office", 1);
const AGAIN: Duration = Duration::from_secs(30);

impl Service for Office {
    const NAME: &str = OFFICE.name;
    const VERSION: &str = "1.0.0";
    const PARTITIONS: u32 = OFFICE.partitions;
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Letter>()];
}

impl Service for Couriers {
    const NAME: &str = "couriers";
    const VERSION: &str = "1.0.0";
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Receipt>()];
    const TIMERS: Timers = timers! { OFFICE => at_once(carry) };
}

impl Service for Queue {
    const NAME: &str = Couriers::NAME;
    const VERSION: &str = "1.0.0";
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Receipt>()];
    const REACTIONS: Reactions = reactions! { OFFICE => carry };
}

impl Event for LetterEvent {
    const OF: &str = "letter";
}

impl Event for ReceiptEvent {
    const OF: &str = "receipt";
}

impl Aggregate for Letter {
    type Service = Office;
    type Event = LetterEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &LetterEvent) -> Option<Self> {
        match event {
            LetterEvent::Posted(letter) => Some(letter.clone()),
            LetterEvent::Stamped => before,
        }
    }
}

impl Aggregate for Receipt {
    type Service = Couriers;
    type Event = ReceiptEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(_: Option<Self>, ReceiptEvent::Signed(receipt): &ReceiptEvent) -> Option<Self> {
        Some(receipt.clone())
    }
}

/// Has each event signed for once. Config `away` has the ids of those who are not at home, `ill` is for all.
fn carry(event: &Recorded<LetterEvent>, reaction: &Reaction) -> Result<(), Failure> {
    if crate::config::text("ill")?.is_some() {
        return Err(Failure::passing("the courier is ill"));
    }
    if crate::config::text("away")?.is_some_and(|away| away == "all" || away.contains(&event.entity)) {
        return Err(Failure::later(AGAIN, "nobody is at home"));
    }
    let (id, at) = (format!("{}-{}", event.entity, event.version), reaction.now());
    reaction.execute::<Receipt>(&id, |receipt| {
        let receipt_now = || Receipt { id: id.clone(), at: at.clone() };
        Ok(receipt.is_none().then(|| ReceiptEvent::Signed(receipt_now())))
    })?;
    Ok(())
}

fn begin<S: Service>() {
    platform().forget_everything();
    start::<Office>();
    start::<S>();
}

fn post() -> String {
    anonymous().create::<Letter>(&"letter", |id| LetterEvent::Posted(Letter { id })).unwrap().id
}

/// What is signed for, in that order, and when.
fn signed() -> Vec<(String, String)> {
    let events = platform().stored("LOG_couriers").into_iter();
    let events =
        events.map(|message| Envelope::parse(&message.body).unwrap().decode::<ReceiptEvent>(0).unwrap());
    events
        .map(|event| {
            let ReceiptEvent::Signed(receipt) = event.data;
            (receipt.id, receipt.at)
        })
        .collect()
}

fn signed_ids() -> Vec<String> {
    signed().into_iter().map(|(id, _)| id).collect()
}

fn letters() -> Vec<serde_json::Value> {
    let letters = platform().stored("DEAD_couriers").into_iter();
    letters.map(|letter| serde_json::from_slice(&letter.body).unwrap()).collect()
}

/// Lets time pass. Says how often an event was put off meanwhile.
fn run<S: Service>(time: Duration) -> usize {
    platform().take_lines();
    crate::testing::run::<S>(time);
    let lines = platform().take_lines();
    lines.iter().filter(|(_, line)| line.contains("is put off for 30s")).count()
}

#[test]
fn what_is_put_off_holds_up_only_those_that_need_an_order() {
    fn first<S: Service>() -> (String, String) {
        begin::<S>();
        let [first, second] = [post(), post()].map(|id| format!("{id}-1"));
        platform().configure("away", first.strip_suffix("-1").unwrap());
        assert_eq!(run::<S>(AGAIN), 2, "at once, and when it says");
        platform().unset("away");
        let before = signed_ids();
        run::<S>(AGAIN);
        assert_eq!((signed_ids().len(), letters().len()), (2, 0));
        assert!(before.iter().all(|id| *id == second));
        (before.concat(), second)
    }
    let (signed, second) = first::<Couriers>();
    assert_eq!(signed, second);
    let (signed, _) = first::<Queue>();
    assert_eq!(signed, "");
}

#[test]
fn what_comes_later_may_be_first_even_for_one_entity() {
    begin::<Couriers>();
    let id = post();
    let held = platform().deliver("couriers").unwrap();
    anonymous().update(&id, |_: &Letter| Ok(Some(LetterEvent::Stamped))).unwrap();
    run::<Couriers>(Duration::ZERO);
    deliver::<Couriers>(&held).unwrap();
    assert_eq!(signed_ids(), [format!("{id}-2"), format!("{id}-1")]);
}

#[test]
fn a_full_window_holds_up_the_others_until_one_is_done() {
    begin::<Couriers>();
    let ids: Vec<String> = (0..WINDOW).map(|_| post()).collect();
    platform().configure("away", &ids.concat());
    let last = format!("{}-1", post());
    run::<Couriers>(Duration::from_secs(20));
    assert_eq!(signed_ids(), Vec::<String>::new());
    platform().configure("away", &ids[1..].concat());
    run::<Couriers>(AGAIN);
    assert_eq!(signed_ids(), [format!("{}-1", ids[0]), last]);
}

#[test]
fn it_is_tried_again_when_it_says_and_not_before() {
    begin::<Couriers>();
    platform().configure("away", "all");
    post();
    let begun = platform().elapsed();
    assert_eq!(run::<Couriers>(AGAIN - Duration::from_millis(1)), 1);
    assert_eq!(run::<Couriers>(Duration::from_millis(1)), 1);
    assert_eq!(run::<Couriers>(10 * AGAIN), 10);
    assert_eq!(platform().elapsed() - begun, 11 * AGAIN);
    // A clock that is set back, or forth, is seen no later than all others.
    platform().step_clock(-3_600_000);
    assert_eq!(run::<Couriers>(LONGEST_PAUSE), 1);
    platform().step_clock(7_200_000);
    assert_eq!(run::<Couriers>(LONGEST_PAUSE), 1);
    // Nor is one that is set back by less than the event is old.
    platform().step_clock(-600_000);
    assert_eq!(run::<Couriers>(LONGEST_PAUSE), 1);
}

#[test]
fn a_publisher_whose_clock_is_ahead_is_waited_for_by_nobody() {
    begin::<Couriers>();
    platform().step_clock(3_600_000);
    let id = post();
    platform().step_clock(-3_600_000);
    run::<Couriers>(Duration::ZERO);
    assert_eq!(signed_ids(), [format!("{id}-1")]);
}

#[test]
fn being_put_off_counts_as_no_attempt_and_ends_after_a_day() {
    fn ends<S: Service>(role: &str) {
        begin::<S>();
        platform().configure("away", "all");
        post();
        let begun = platform().now_ms();
        while platform().now_ms() - begun < millis(PUT_OFF_MAX) {
            assert_eq!(letters(), [] as [serde_json::Value; 0]);
            run::<S>(AGAIN);
        }
        let [letter] = &letters()[..] else { panic!("{:?}", letters()) };
        assert_eq!(letter["error"], "it was put off for 24 hours: nobody is at home");
        assert_eq!(platform().stored("DEAD_couriers")[0].subject, format!("dead.couriers.office.1.{role}"));
        let retry = || {
            message::<S>("deliver.couriers", Some("_INBOX.1"), br#"{"replay-dead":1}"#).unwrap();
            let (_, answer) = platform().take_published().pop().unwrap();
            serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["outcome"].clone()
        };
        assert_eq!(retry(), "failed");
        platform().unset("away");
        assert_eq!(retry(), "handled");
        assert_eq!((signed_ids().len(), letters().len()), (1, 0));
    }
    ends::<Couriers>("t");
    ends::<Queue>("r");
}

#[test]
fn what_fails_once_it_was_put_off_is_tried_as_often_as_all() {
    begin::<Couriers>();
    platform().configure("ill", "yes");
    post();
    run::<Couriers>(Duration::from_mins(1));
    let tries =
        || platform().bucket().get("tries.office.1").map(|count| String::from_utf8(count.clone()).unwrap());
    let before: u64 = tries().unwrap().parse().unwrap();
    assert!((1..ATTEMPTS).contains(&before), "{before}");
    platform().unset("ill");
    platform().configure("away", "all");
    run::<Couriers>(Duration::from_mins(30));
    assert_eq!(letters().len(), 0);
    platform().configure("ill", "yes");
    let counted: u64 = tries().unwrap().parse().unwrap();
    run::<Couriers>(Duration::from_hours(1));
    assert_eq!(letters()[0]["error"], "the courier is ill");
    assert_eq!(tries().unwrap().parse::<u64>().unwrap() - counted, ATTEMPTS, "all of them, and no more");
}

/// Three letters, the second one for somebody who is not at home yet.
fn three_letters() -> Vec<String> {
    begin::<Couriers>();
    let ids: Vec<String> = (0..3).map(|_| format!("{}-1", post())).collect();
    platform().configure("away", ids[1].strip_suffix("-1").unwrap());
    ids
}

fn come_home() {
    platform().unset("away");
    run::<Couriers>(Duration::from_mins(2));
}

fn assert_each_signed_once(ids: &[String], when: &str) {
    let mut found = signed_ids();
    let mut ids = ids.to_vec();
    found.sort();
    ids.sort();
    assert_eq!(found, ids, "{when}");
    assert_eq!(letters(), [] as [serde_json::Value; 0], "{when}");
    let left = crate::jetstream::progress("LOG_office", "couriers-t").unwrap().unwrap();
    assert_eq!(left.backlog, 0, "{when}");
}

#[test]
fn every_event_twice_is_done_once() {
    every_event_twice::<Couriers, _>(three_letters, |ids, when| {
        assert_eq!(signed_ids(), [ids[0].clone(), ids[2].clone()]);
        come_home();
        assert_each_signed_once(ids, when);
    });
}

#[test]
fn dying_at_every_call_while_events_are_put_off_each_is_done_once() {
    for harm in [|| Harm::DiesBefore, || Harm::DiesAfter, || Harm::AnswerLost] as [fn() -> Harm; 3] {
        for nth in 0.. {
            let ids = three_letters();
            let before = platform().calls();
            platform().harm(nth, harm());
            run::<Couriers>(Duration::from_mins(1));
            come_home();
            let calls = platform().calls() - before;
            platform().revive();
            settle::<Couriers>();
            assert_each_signed_once(&ids, &format!("{:?} at {nth}", harm()));
            if nth > calls {
                assert!(calls > 30, "the test has seen the whole history: {calls}");
                break;
            }
        }
    }
}
