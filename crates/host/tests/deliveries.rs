//! Deliveries from a log to a component that dies while it handles them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use common::{POSTS, application, post, send};
use http::StatusCode;
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
