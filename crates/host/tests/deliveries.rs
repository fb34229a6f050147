//! Deliveries from a log to a component that dies while it handles them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use common::{POSTS, application, get, post, send};
use http::StatusCode;
use trellis_broker::{Message, Subject};
use trellis_host::App;
use trellis_host::env::{Clock, Env, TokioClock};
use trellis_host::observe::{HostCall, Moment, Observer, Verdict};
use trellis_store::{Order, Store};

/// Ends the instance at the beginning of the next so many messages.
#[derive(Default)]
struct Killer {
    left: AtomicU32,
}

impl Observer for Killer {
    fn observe(&self, call: &HostCall<'_>) -> Verdict {
        if (call.name, call.moment) != ("call.message", Moment::Enter) {
            return Verdict::Proceed;
        }
        let killed = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if killed.is_ok() { Verdict::Crash } else { Verdict::Proceed }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_call_died_comes_again_after_a_short_delay() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH));
    let (store, killer) = (Store::in_memory(), Arc::new(Killer::default()));
    let env = Env::simulated(store.clone(), clock, 1, killer.clone());
    let app = App::start(&application("posts", "posts", 3, POSTS), env).await.unwrap();
    // The announcement that follows the start is a message too; it is over by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    killer.left.store(3, Ordering::Relaxed);
    assert_eq!(send(&app, "posts", post("first")).await.0, StatusCode::CREATED);
    let posted = tokio::time::Instant::now();
    // The read model is written by the delivery.
    let bucket = bytes::Bytes::from("Kposts\0")..bytes::Bytes::from("Kposts\u{1}");
    let is_read_model = |value: &[u8]| value.windows(7).any(|part| part == br#""first""#);
    while !store.scan(bucket.clone(), Order::Ascending, 1_000).iter().any(|(_, value)| is_read_model(value)) {
        assert!(posted.elapsed() < Duration::from_secs(60), "the delivery never came again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Three delays of 1, 2 and 4 seconds; waiting for the end of ack_wait would have taken far longer.
    let took = posted.elapsed();
    assert_eq!(killer.left.load(Ordering::Relaxed), 0, "no delivery was killed");
    assert!((Duration::from_secs(7)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

/// Readers that wait for an event would otherwise hold every instance, and the event wait for one of theirs.
#[tokio::test(start_paused = true)]
async fn requests_leave_instances_to_events() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH));
    let env = Env::simulated(Store::in_memory(), clock, 1, Arc::new(Killer::default()));
    let app = App::start(&application("posts", "posts", 4, POSTS), env).await.unwrap();
    let mut log = app.broker().subscribe("log.posts.>", None).unwrap();
    let created = app.http("posts", post("first")).await.unwrap();
    let event = log.next().await.unwrap().payload;
    let position = created.headers()["trellis-position"].to_str().unwrap().to_owned();
    let (partition, first) = position.strip_prefix("posts:").unwrap().split_once(':').unwrap();
    let next = first.parse::<u64>().unwrap() + 1;

    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let app = app.clone();
        let page = get(&format!("/posts?position=posts:{partition}:{next}"));
        readers.spawn(async move { send(&app, "posts", page).await.0 });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let happened = tokio::time::Instant::now();
    let subject = Subject::new(format!("log.posts.{partition}.another.1")).unwrap();
    app.broker().publish(Message::new(subject, event)).await.unwrap();
    while let Some(status) = readers.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert!(happened.elapsed() < Duration::from_millis(500), "the event waited for {:?}", happened.elapsed());
}
