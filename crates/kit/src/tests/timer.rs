//! Events that wait for their time: never early, soon enough, and once, whatever goes wrong and whatever the clock does.

use super::*;
use crate::access::Member;
use crate::limits::ATTEMPTS;
use crate::platform::memory::Harm;
use crate::testing::{deliver, every_event_twice, message, send, settle, start, trouble_at_every_call};
use crate::upkeep::consumers::{LONGEST_PAUSE, WINDOW};
use crate::upkeep::readiness::STUCK_AFTER;
use crate::{Timers, instant, timers};

/// Who puts pots on the stove.
#[derive(Debug)]
struct Stove;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Pot {
    id: String,
    /// When it is done; none burns.
    done: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum PotEvent {
    Put(Pot),
    Taken,
}

/// Something else that the stove tells of.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Gas {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum GasEvent {
    Lit(Gas),
}

/// Who rings when a pot is done.
#[derive(Debug)]
struct Bells;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Bell {
    id: String,
    at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum BellEvent {
    Rung(Bell),
}

const STOVE: Source = Source::new("stove", 2);
const COOKING_MS: u64 = 15 * 60 * 1000;

impl Service for Stove {
    const NAME: &str = STOVE.name;
    const VERSION: &str = "1.0.0";
    const PARTITIONS: u32 = STOVE.partitions;
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Pot>(), Entity::of::<Gas>()];
}

impl Service for Bells {
    const NAME: &str = "bells";
    const VERSION: &str = "1.0.0";
    const PARTITIONS: u32 = 2;
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Bell>()];
    const TIMERS: Timers = timers! { STOVE => at(done, ring) };
}

/// The same service in another version, which times what the other one does not.
#[derive(Debug)]
struct OtherBells;

impl Service for OtherBells {
    const NAME: &str = "bells";
    const VERSION: &str = "2.0.0";
    const PARTITIONS: u32 = 2;
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Bell>()];
    const TIMERS: Timers = timers! { STOVE => at(never, ignore) };
}

/// The same service in a version without timers.
#[derive(Debug)]
struct SilentBells;

impl Service for SilentBells {
    const NAME: &str = "bells";
    const VERSION: &str = "0.9.0";
    const PARTITIONS: u32 = 2;
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Bell>()];
}

impl Event for PotEvent {
    const OF: &str = "pot";
}

impl Event for GasEvent {
    const OF: &str = "gas";
}

impl Event for BellEvent {
    const OF: &str = "bell";
}

impl Aggregate for Pot {
    type Service = Stove;
    type Event = PotEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &PotEvent) -> Option<Self> {
        match event {
            PotEvent::Put(pot) => Some(pot.clone()),
            PotEvent::Taken => before,
        }
    }
}

impl Aggregate for Gas {
    type Service = Stove;
    type Event = GasEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(_: Option<Self>, GasEvent::Lit(gas): &GasEvent) -> Option<Self> {
        Some(gas.clone())
    }
}

impl Aggregate for Bell {
    type Service = Bells;
    type Event = BellEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(_: Option<Self>, BellEvent::Rung(bell): &BellEvent) -> Option<Self> {
        Some(bell.clone())
    }
}

fn done(event: &Recorded<PotEvent>) -> Result<Option<String>, Failure> {
    Ok(match &event.data {
        PotEvent::Put(pot) => pot.done.clone(),
        PotEvent::Taken => None,
    })
}

fn ring(event: &Recorded<PotEvent>, reaction: &Reaction) -> Result<(), Failure> {
    if crate::config::text("muffled")?.is_some() {
        return Err(Failure::passing("the bell is muffled"));
    }
    let at = reaction.now();
    reaction.execute::<Bell>(&event.entity, |bell| {
        Ok(bell.is_none().then(|| BellEvent::Rung(Bell { id: event.entity.clone(), at: at.clone() })))
    })?;
    Ok(())
}

fn never(_: &Recorded<GasEvent>) -> Result<Option<String>, Failure> {
    Ok(None)
}

fn ignore(_: &Recorded<GasEvent>, _: &Reaction) -> Result<(), Failure> {
    Ok(())
}

fn now_ms() -> u64 {
    platform().now_ms()
}

/// Puts a pot on the stove that is done at this time.
fn put_until(done_ms: u64) -> String {
    let done = Some(instant::rfc3339(done_ms));
    anonymous().create::<Pot>(&done, |id| PotEvent::Put(Pot { id, done: done.clone() })).unwrap().id
}

fn put() -> String {
    put_until(now_ms() + COOKING_MS)
}

/// When it rang for each pot, in the order of the log.
fn rung() -> Vec<(String, u64)> {
    let events = platform().stored("LOG_bells").into_iter();
    let events =
        events.map(|message| Envelope::parse(&message.body).unwrap().decode::<BellEvent>(0).unwrap());
    events
        .map(|event| {
            let BellEvent::Rung(bell) = event.data;
            (bell.id, instant::parse(&bell.at).unwrap())
        })
        .collect()
}

fn begin() {
    start::<Stove>();
    start::<Bells>();
}

/// Lets time pass, with whatever comes meanwhile handled by `S`. Says how much came.
fn run<S: Service>(time: Duration) -> u64 {
    let end = platform().elapsed() + time;
    let mut deliveries = 0;
    loop {
        while let Some(delivery) = platform().deliver("bells") {
            let _ = deliver::<S>(&delivery);
            platform().revive_if_dead();
            deliveries += 1;
        }
        let left = end.saturating_sub(platform().elapsed());
        let wait = platform().next_due("bells").unwrap_or(left).min(left);
        if left.is_zero() {
            return deliveries;
        }
        platform().advance(wait);
    }
}

fn dead_of_bells() -> Vec<serde_json::Value> {
    let letters = platform().stored("DEAD_bells").into_iter();
    letters.map(|letter| serde_json::from_slice(&letter.body).unwrap()).collect()
}

fn consumer() -> crate::jetstream::ConsumerProgress {
    crate::jetstream::progress("LOG_stove", "bells-t").unwrap().unwrap()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn it_rings_when_the_time_has_come() {
    begin();
    let first = put();
    let due = now_ms() + COOKING_MS;
    platform().advance(Duration::from_millis(1));
    let second = put();
    run::<Bells>(minutes(20));
    assert_eq!(rung(), [(first, due), (second, due + 1)]);
    assert_eq!((consumer().backlog, dead_of_bells().len()), (0, 0));
}

#[test]
fn never_a_millisecond_early() {
    begin();
    let pot = put();
    let delivery = platform().deliver("bells").unwrap();
    platform().advance(Duration::from_millis(COOKING_MS - 1));
    deliver::<Bells>(&delivery).unwrap();
    assert_eq!(rung(), []);
    platform().advance(Duration::from_millis(1));
    deliver::<Bells>(&delivery).unwrap();
    assert_eq!(rung(), [(pot, now_ms())]);
}

#[test]
fn waiting_writes_nothing() {
    begin();
    for _ in 0..100 {
        put();
    }
    let before = (platform().all_stored(), platform().bucket());
    assert!(run::<Bells>(minutes(14)) > 1000);
    assert_eq!((platform().all_stored(), platform().bucket()), before);
}

#[test]
fn what_is_no_concern_of_the_timer_is_done_at_once() {
    begin();
    let pot: Pot = anonymous().create(&"burns", |id| PotEvent::Put(Pot { id, done: None })).unwrap();
    anonymous().update(&pot.id, |_: &Pot| Ok(Some(PotEvent::Taken))).unwrap();
    anonymous().create::<Gas>(&"gas", |id| GasEvent::Lit(Gas { id })).unwrap();
    assert_eq!(run::<Bells>(Duration::ZERO), 3);
    assert_eq!((rung(), consumer().backlog), (vec![], 0));
}

#[test]
fn the_log_is_the_queue() {
    begin();
    let mut due = Vec::new();
    for _ in 0..300 {
        due.push((put(), now_ms() + COOKING_MS));
        platform().advance(Duration::from_millis(100));
        while let Some(delivery) = platform().deliver("bells") {
            deliver::<Bells>(&delivery).unwrap();
        }
        assert!(consumer().under_way <= u64::from(WINDOW));
    }
    let deliveries = run::<Bells>(minutes(20));
    assert_eq!(rung(), due, "each at its millisecond");
    // Each is asked while it is in the window, which is as long as the others that are.
    let pauses_before_the_first = COOKING_MS / 1000 / LONGEST_PAUSE.as_secs();
    assert!(deliveries < 3 * 300 + u64::from(WINDOW) * pauses_before_the_first, "{deliveries}");
    assert!(!platform().bucket().keys().any(|key| key.starts_with("tries.")), "nothing was late");
}

fn put_some_that_are_due() -> Vec<String> {
    begin();
    let ids = (0..5).map(|_| put()).collect();
    platform().advance(Duration::from_millis(COOKING_MS));
    ids
}

fn assert_each_rung_once(ids: &[String]) {
    let mut found: Vec<String> = rung().into_iter().map(|(id, _)| id).collect();
    let mut ids = ids.to_vec();
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    assert_eq!((dead_of_bells().len(), consumer().backlog), (0, 0));
}

#[test]
fn every_event_twice_rings_once() {
    every_event_twice::<Bells, _>(put_some_that_are_due, |ids, _| assert_each_rung_once(ids));
}

#[test]
fn dying_anywhere_it_rings_once() {
    let calls =
        trouble_at_every_call::<Bells, _>(1, put_some_that_are_due, |ids, _| assert_each_rung_once(ids));
    assert!(calls >= 15, "the test has seen the whole history: {calls}");
}

#[test]
fn dying_at_every_call_while_events_wait_it_rings_once_and_not_early() {
    for harm in [|| Harm::DiesBefore, || Harm::DiesAfter, || Harm::AnswerLost] as [fn() -> Harm; 3] {
        for nth in (0..).step_by(7) {
            platform().forget_everything();
            begin();
            let ids: Vec<String> = (0..3).map(|_| put()).collect();
            let due = now_ms() + COOKING_MS;
            let calls = platform().calls();
            platform().harm(nth, harm());
            run::<Bells>(minutes(16));
            let calls = platform().calls() - calls;
            platform().revive();
            assert_each_rung_once(&ids);
            // Who was killed is missed for as long as an event may take.
            let late = due..=due + 30_000;
            assert!(rung().iter().all(|(_, at)| late.contains(at)), "{:?}", rung());
            if nth > calls {
                break;
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_forth_is_seen_soon() {
    begin();
    let ids: Vec<String> = (0..500).map(|_| put()).collect();
    run::<Bells>(minutes(1));
    assert_eq!(rung(), []);
    platform().step_clock(3_600_000);
    run::<Bells>(LONGEST_PAUSE);
    assert_each_rung_once(&ids);
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_early() {
    begin();
    let ids: Vec<String> = (0..500).map(|_| put()).collect();
    let due = now_ms() + COOKING_MS;
    run::<Bells>(minutes(1));
    platform().step_clock(-3_600_000);
    run::<Bells>(minutes(60 + 14) - Duration::from_millis(1));
    assert_eq!(rung(), []);
    run::<Bells>(Duration::from_millis(1));
    assert_each_rung_once(&ids);
    assert!(rung().iter().all(|(_, at)| *at == due));
}

#[test]
fn a_server_whose_clock_is_set_back_is_made_to_ask_again() {
    begin();
    let ids: Vec<String> = (0..200).map(|_| put()).collect();
    let due = now_ms() + COOKING_MS;
    run::<Bells>(minutes(10));
    platform().hold_up(minutes(60));
    platform().take_exchanges();
    // As its host tells every service that time passes.
    for _ in 0..10 * 60 / 30 {
        run::<Bells>(Duration::from_secs(30));
        message::<Bells>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
    }
    assert_each_rung_once(&ids);
    assert!(rung().iter().all(|(_, at)| *at == due), "there was time enough to see it");
    let exchanges = platform().take_exchanges();
    let resets = exchanges.iter().filter(|exchange| exchange.subject.contains("CONSUMER.RESET"));
    assert_eq!(resets.count(), 1);
    let all = [Member::of::<Stove>(), Member::of::<Bells>()];
    let allowed = all[1].publishes(&all);
    for exchange in &exchanges {
        let is_allowed = |pattern: &String| trellis_subjects::matches(pattern, &exchange.subject);
        assert!(
            exchange.subject.starts_with("log.") || allowed.iter().any(is_allowed),
            "{}",
            exchange.subject
        );
    }
}

#[test]
fn a_timer_that_is_asked_is_never_reset() {
    begin();
    put();
    platform().take_exchanges();
    for _ in 0..14 * 60 / 30 {
        run::<Bells>(Duration::from_secs(30));
        message::<Bells>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
    }
    let exchanges = platform().take_exchanges();
    assert!(!exchanges.iter().any(|exchange| exchange.subject.contains("CONSUMER.RESET")));
}

#[test]
fn what_came_while_nobody_was_there_rings_at_once_and_leaves_nothing() {
    begin();
    let ids: Vec<String> = (0..500).map(|_| put()).collect();
    platform().advance(minutes(60));
    assert_eq!(run::<Bells>(Duration::ZERO), 500);
    assert_each_rung_once(&ids);
    assert!(!platform().bucket().keys().any(|key| key.starts_with("tries.")));
}

#[test]
fn an_old_event_that_comes_again_changes_nothing() {
    begin();
    put();
    platform().advance(Duration::from_millis(COOKING_MS));
    let delivery = platform().deliver("bells").unwrap();
    deliver::<Bells>(&delivery).unwrap();
    let before = (platform().all_stored(), platform().bucket());
    platform().advance(minutes(60 * 24));
    deliver::<Bells>(&delivery).unwrap();
    assert_eq!((platform().all_stored(), platform().bucket()), before);
    assert_eq!(consumer().backlog, 0);
}

#[test]
fn what_fails_is_tried_ever_later_and_then_put_aside_while_others_ring() {
    begin();
    platform().configure("muffled", "yes");
    let pot = put();
    run::<Bells>(minutes(20));
    assert_eq!((rung(), consumer().backlog), (vec![], 0));
    let letters = dead_of_bells();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["error"], "the bell is muffled");
    assert_eq!(platform().stored("DEAD_bells")[0].subject, "dead.bells.stove.1.t");
    assert!(platform().bucket().contains_key("tries.stove.1"));

    let retry = || {
        message::<Bells>("deliver.bells", Some("_INBOX.1"), br#"{"replay-dead":1}"#).unwrap();
        let (_, answer) = platform().take_published().pop().unwrap();
        serde_json::from_slice::<serde_json::Value>(&answer).unwrap()
    };
    assert_eq!(retry(), serde_json::json!({ "outcome": "failed", "why": "the bell is muffled" }));
    platform().unset("muffled");
    platform().step_clock(-3_600_000);
    let early = retry();
    assert!(early["why"].as_str().unwrap().starts_with("it is not due for "), "{early}");
    platform().step_clock(3_600_000);
    assert_eq!(retry(), serde_json::json!({ "outcome": "handled" }));
    assert_each_rung_once(&[pot]);
}

#[test]
fn a_failure_that_passes_is_no_dead_letter_however_late_it_is() {
    begin();
    let pot = put();
    platform().advance(minutes(600));
    platform().configure("muffled", "yes");
    run::<Bells>(Duration::from_secs(10));
    assert_eq!(rung(), []);
    platform().unset("muffled");
    run::<Bells>(minutes(1));
    assert_each_rung_once(&[pot]);
}

#[test]
fn an_event_that_ends_the_instance_each_time_is_put_aside() {
    begin();
    put();
    platform().advance(Duration::from_millis(COOKING_MS));
    let mut deliveries = 0;
    while consumer().backlog > 0 {
        let Some(delivery) = platform().deliver("bells") else {
            platform().advance(platform().next_due("bells").unwrap());
            continue;
        };
        deliveries += 1;
        // Behind the call that counts, as an event does that kills whoever reads it.
        platform().harm(if deliveries == 1 { 0 } else { 2 }, Harm::DiesBefore);
        if deliveries > ATTEMPTS + 1 {
            platform().revive();
        }
        let _ = deliver::<Bells>(&delivery);
        platform().revive();
        assert!(deliveries < 20, "it is never put aside");
    }
    assert_eq!(dead_of_bells()[0]["error"], "ended the instance, or took too long, 8 times");
}

#[test]
fn an_instant_that_nobody_can_read_is_put_aside_at_once() {
    begin();
    let done = Some("soon".to_owned());
    anonymous().create::<Pot>(&done, |id| PotEvent::Put(Pot { id, done: done.clone() })).unwrap();
    platform().store("LOG_stove", "log.stove.0.x.1", b"rubbish");
    assert_eq!(run::<Bells>(Duration::ZERO), 2);
    assert_eq!((dead_of_bells().len(), consumer().backlog), (2, 0));
}

#[test]
fn what_only_another_version_times_waits_for_it() {
    fn waits<S: Service>() {
        platform().forget_everything();
        begin();
        start::<S>();
        let pot = put();
        run::<S>(minutes(60));
        assert_eq!((rung(), dead_of_bells().len(), consumer().backlog), (vec![], 0, 1));
        // Not with those behind it.
        anonymous().create::<Gas>(&"gas", |id| GasEvent::Lit(Gas { id })).unwrap();
        run::<OtherBells>(Duration::ZERO);
        assert_eq!(consumer().backlog, 1);
        run::<Bells>(LONGEST_PAUSE);
        assert_each_rung_once(&[pot]);
    }
    waits::<OtherBells>();
    waits::<SilentBells>();
}

#[test]
fn what_is_forgotten_waits_no_more() {
    begin();
    put();
    run::<SilentBells>(minutes(1));
    message::<SilentBells>("deliver.bells", Some("_INBOX.1"), br#"{"forget":"stove"}"#).unwrap();
    assert_eq!(crate::jetstream::consumers("LOG_stove").unwrap(), []);
    begin();
    anonymous().create::<Gas>(&"gas", |id| GasEvent::Lit(Gas { id })).unwrap();
    run::<OtherBells>(minutes(1));
    message::<OtherBells>("deliver.bells", Some("_INBOX.1"), br#"{"forget":"stove"}"#).unwrap();
    settle::<OtherBells>();
    assert_eq!((rung(), consumer().backlog), (vec![], 0));
}

#[test]
fn what_waits_is_told_as_not_due() {
    begin();
    for _ in 0..WINDOW + 6 {
        put();
    }
    run::<Bells>(minutes(1));
    let state = crate::jetstream::state("LOG_stove").unwrap();
    let [consumer] = &state.consumers[..] else { panic!("{state:?}") };
    assert_eq!((consumer.service.as_str(), consumer.not_due), ("bells", Some(u64::from(WINDOW) + 6)));
    assert_eq!((consumer.waiting, consumer.under_way, consumer.redelivered), (0, 0, 0));
}

#[test]
fn a_service_is_ready_while_events_wait_and_are_asked() {
    let readiness = || {
        let answer = send::<Bells>("GET", "/readyz", "");
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    begin();
    put();
    run::<Bells>(minutes(10));
    assert_eq!(readiness().0, 200, "{}", readiness().1);
    platform().advance(LONGEST_PAUSE + STUCK_AFTER);
    assert_eq!(readiness().0, 200);
    platform().advance(Duration::from_secs(1));
    let (status, text) = readiness();
    let stuck = "bells-t of stove is stuck: none of 1 events is asked whether it is due";
    assert!(status == 503 && text.contains(stuck), "{text}");
    run::<Bells>(minutes(10));
    assert_eq!((readiness().0, rung().len()), (200, 1));
    crate::jetstream::delete_consumer("LOG_stove", "bells-t").unwrap();
    let (status, text) = readiness();
    assert!(status == 503 && text.contains("bells-t of stove is missing"), "{text}");
    message::<Bells>(names::ANNOUNCE, None, b"").unwrap();
    run::<Bells>(Duration::ZERO);
    assert_eq!((readiness().0, rung().len()), (200, 1));
}

#[test]
fn what_a_timer_does_is_allowed_and_passed_on() {
    let all = [Member::of::<Stove>(), Member::of::<Bells>()];
    let allowed = all[1].publishes(&all);
    start::<Stove>();
    platform().take_exchanges();
    platform().take_published();
    start::<Bells>();
    crate::ready::<Bells>().unwrap();
    for exchange in platform().take_exchanges() {
        let request = exchange.subject.strip_prefix("$JS.API.").unwrap();
        assert!(
            allowed.iter().any(|pattern| trellis_subjects::matches(pattern, &exchange.subject)),
            "{request}"
        );
        if crate::guard::concerns(request) {
            let passed_on = crate::guard::allow("bells", request, &exchange.request).unwrap();
            let json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
            assert_eq!(json(&passed_on.body), json(&exchange.request));
            crate::guard::allow("stove", request, &exchange.request).unwrap_err();
        }
    }
    let told = crate::describe::describe(Bells::routes());
    assert_eq!(told["reacts_to"], serde_json::json!(["stove"]));
    let stated = r#"{"name":"bells","partitions":2,"asks":[],"watches":false,"provisions":false,"projects":[],"reacts_to":[],"times":["stove"]}"#;
    assert_eq!(crate::statement::Statement::of(Bells::DESCRIPTOR).text(), stated.as_bytes());
}
