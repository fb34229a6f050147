//! A date that jumps: nothing that waits moves with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use common::*;
use serde_json::json;
use tokio::time::Instant;
use trellis_broker::{Broker, Clock, Message, Subscription};
use trellis_store::Store;

const DAY: i64 = 24 * 60 * 60;
const DELAY: u64 = 60;
const ACK_WAIT: u64 = 30;

/// Follows tokio's time, and is set forward or back by hand.
struct SteppedClock {
    start: Instant,
    steps: AtomicI64,
}

impl SteppedClock {
    fn new() -> Arc<SteppedClock> {
        Arc::new(SteppedClock { start: Instant::now(), steps: AtomicI64::new(0) })
    }

    fn step(&self, seconds: i64) {
        self.steps.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> SystemTime {
        let start = u64::try_from(1_800_000_000 + self.steps.load(Ordering::SeqCst)).unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_secs(start) + self.start.elapsed()
    }
}

async fn open_with(store: &Store, clock: &Arc<SteppedClock>) -> Broker {
    Broker::open(store.clone(), clock.clone()).await.unwrap()
}

/// A broker whose consumer has handed out its only event.
async fn delivered(store: &Store, clock: &Arc<SteppedClock>) -> (Broker, Subscription, Message) {
    let broker = open_with(store, clock).await;
    create_log(&broker, "posts").await;
    let wait = json!({"ack_wait": Duration::from_secs(ACK_WAIT).as_nanos() as u64});
    create_consumer(&broker, "posts", "query", "*", wait).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    append(&broker, "log.posts.0.a.1", "{}").await.unwrap();
    let delivery = next(&mut deliveries).await;
    (broker, deliveries, delivery)
}

async fn put_off(broker: &Broker, delivery: &Message) {
    let delay = Duration::from_secs(DELAY).as_nanos();
    say(broker, delivery, &format!("-NAK {{\"delay\": {delay}}}")).await;
    // What was said is saved.
    tokio::time::sleep(SECOND).await;
}

/// When the next delivery comes, in whole seconds from a moment on.
async fn comes_after(deliveries: &mut Subscription, since: Instant) -> u64 {
    next(deliveries).await;
    since.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_as_long_as_it_was_asked_for_whatever_the_date_does() {
    for step in [-DAY, DAY] {
        let clock = SteppedClock::new();
        let (broker, mut deliveries, delivery) = delivered(&Store::in_memory(), &clock).await;
        let since = Instant::now();
        put_off(&broker, &delivery).await;
        clock.step(step);
        // Something else happens, and the consumer looks at its times again.
        append(&broker, "log.posts.0.b.1", "{}").await.unwrap();
        assert_eq!(comes_after(&mut deliveries, since).await, DELAY, "with a step of {step} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_stays_with_its_handler_for_ack_wait_whatever_the_date_does() {
    for step in [-DAY, DAY] {
        let clock = SteppedClock::new();
        let (broker, mut deliveries, delivery) = delivered(&Store::in_memory(), &clock).await;
        let since = Instant::now();
        clock.step(step);
        append(&broker, "log.posts.0.b.1", "{}").await.unwrap();
        assert_eq!(comes_after(&mut deliveries, since).await, ACK_WAIT, "with a step of {step} s");
        clock.step(step);
        say(&broker, &delivery, "+WPI").await;
        let since = Instant::now();
        assert_eq!(comes_after(&mut deliveries, since).await, ACK_WAIT, "with a second step of {step} s");
    }
}

/// After a restart only dates are left. One that is further away than the delay was, or past, is brought back into that.
#[tokio::test(start_paused = true)]
async fn after_a_restart_nothing_waits_longer_than_it_was_told_to() {
    for (step, expected) in [(-DAY, DELAY), (DAY, 0), (0, DELAY - 1)] {
        let (store, clock) = (Store::in_memory(), SteppedClock::new());
        let (broker, deliveries, delivery) = delivered(&store, &clock).await;
        put_off(&broker, &delivery).await;
        broker.close().await;
        drop((broker, deliveries));

        clock.step(step);
        let since = Instant::now();
        let broker = open_with(&store, &clock).await;
        let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
        assert_eq!(comes_after(&mut deliveries, since).await, expected, "with a step of {step} s");
    }
}

/// Restarts do not start the wait anew: it ends, however often the process does.
#[tokio::test(start_paused = true)]
async fn a_wait_that_was_cut_goes_on_where_it_was() {
    let (store, clock) = (Store::in_memory(), SteppedClock::new());
    let (broker, deliveries, delivery) = delivered(&store, &clock).await;
    put_off(&broker, &delivery).await;
    broker.close().await;
    drop((broker, deliveries));
    clock.step(-DAY);
    let since = Instant::now();
    for _ in 0..5 {
        let broker = open_with(&store, &clock).await;
        let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
        nothing(&mut deliveries, 10 * SECOND).await;
        broker.close().await;
    }
    let broker = open_with(&store, &clock).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    assert_eq!(comes_after(&mut deliveries, since).await, DELAY);
}
