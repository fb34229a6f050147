//! What survives a restart, and what happens at which time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::*;
use serde_json::{Value, json};
use tokio::time::Instant;
use trellis_broker::TokioClock;
use trellis_store::Store;

fn clock() -> Arc<TokioClock> {
    Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)))
}

#[tokio::test(start_paused = true)]
async fn an_event_is_appended_delivered_and_acknowledged() {
    let broker = open(&Store::in_memory()).await;
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({})).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();

    assert_eq!(append(&broker, "log.posts.3.abc.1", "one").await, Ok(1));
    assert_eq!(append(&broker, "log.posts.3.abc.1", "other").await, Err(10077));
    assert_eq!(append(&broker, "log.posts.3.abc.2", "two").await, Ok(2));

    let newest =
        ask(&broker, "$JS.API.STREAM.MSG.GET.LOG_posts", json!({"last_by_subj": "log.posts.3.abc.*"})).await;
    assert_eq!(newest["message"]["seq"], 2);

    let first = next(&mut deliveries).await;
    assert_eq!((first.subject.as_str(), numbers(&first)), ("log.posts.3.abc.1", (1, 1, 1)));
    nothing(&mut deliveries, SECOND).await;
    say(&broker, &first, "+ACK").await;
    let second = next(&mut deliveries).await;
    assert_eq!((&second.payload[..], numbers(&second)), (&b"two"[..], (1, 2, 2)));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_nak_survives_a_restart_and_comes_at_its_time() {
    let (store, clock) = (Store::in_memory(), clock());
    let broker = open_at(&store, clock.clone()).await;
    create_log(&broker, "orders").await;
    create_consumer(&broker, "orders", "expiration", "*", json!({})).await;
    let mut deliveries = broker.subscribe("deliver.expiration", Some("expiration")).unwrap();
    append(&broker, "log.orders.0.a.1", "placed").await.unwrap();
    let first = next(&mut deliveries).await;
    say(&broker, &first, r#"-NAK {"delay": 60000000000}"#).await;
    let due = Instant::now() + 60 * SECOND;
    tokio::time::sleep(SECOND).await;
    drop((deliveries, broker));

    tokio::time::sleep(10 * SECOND).await;
    let broker = open_at(&store, clock.clone()).await;
    let mut deliveries = broker.subscribe("deliver.expiration", Some("expiration")).unwrap();
    let again = next(&mut deliveries).await;
    assert_eq!(numbers(&again), (2, 1, 2), "the attempt is counted on");
    assert!(Instant::now() >= due, "it came {:?} too early", due - Instant::now());
    assert!(due.elapsed() < SECOND, "it came too late");
    say(&broker, &again, r#"-NAK {"delay": 60000000000}"#).await;
    broker.close().await;
    drop((deliveries, broker));

    // Its time passes while nobody runs: then it comes at once.
    tokio::time::sleep(100 * SECOND).await;
    let broker = open_at(&store, clock).await;
    let opened = Instant::now();
    let mut deliveries = broker.subscribe("deliver.expiration", Some("expiration")).unwrap();
    assert_eq!(numbers(&next(&mut deliveries).await).0, 3);
    assert_eq!(opened.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_being_handled_when_the_process_died_comes_again_at_once() {
    let (store, clock) = (Store::in_memory(), clock());
    let broker = open_at(&store, clock.clone()).await;
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({"ack_wait": 30_000_000_000_i64})).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    append(&broker, "log.posts.0.a.1", "{}").await.unwrap();
    next(&mut deliveries).await;
    drop((deliveries, broker));

    let broker = open_at(&store, clock).await;
    let opened = Instant::now();
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    assert_eq!(numbers(&next(&mut deliveries).await).0, 2);
    assert!(opened.elapsed() < SECOND, "whoever had it is gone: nobody is waited for");
}

#[tokio::test(start_paused = true)]
async fn streams_consumers_counts_and_last_sequence_survive() {
    let (store, clock) = (Store::in_memory(), clock());
    let broker = open_at(&store, clock.clone()).await;
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({"max_ack_pending": 10})).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    for version in 1..=3 {
        append(&broker, &format!("log.posts.0.a.{version}"), "{}").await.unwrap();
    }
    for _ in 0..2 {
        let delivery = next(&mut deliveries).await;
        say(&broker, &delivery, "+ACK").await;
    }
    next(&mut deliveries).await;
    ask(&broker, "$JS.API.STREAM.MSG.DELETE.LOG_posts", json!({"seq": 1})).await;
    broker.close().await;
    let seen = |mut info: Value| {
        info.as_object_mut().unwrap().retain(|name, _| name != "ts" && name != "push_bound");
        info
    };
    drop(deliveries);

    let broker = open_at(&store, clock.clone()).await;
    let info = seen(ask(&broker, "$JS.API.CONSUMER.INFO.LOG_posts.query", Value::Null).await);
    assert_eq!(info["ack_floor"]["stream_seq"], 2);
    assert_eq!((&info["num_ack_pending"], &info["num_pending"]), (&json!(1), &json!(0)));
    let state = ask(&broker, "$JS.API.STREAM.INFO.LOG_posts", Value::Null).await["state"].clone();
    assert_eq!(
        (&state["messages"], &state["first_seq"], &state["last_seq"]),
        (&json!(2), &json!(2), &json!(3))
    );

    let purged = ask(&broker, "$JS.API.STREAM.PURGE.LOG_posts", Value::Null).await;
    assert_eq!(purged["purged"], 2);
    drop(broker);
    let broker = open_at(&store, clock).await;
    assert_eq!(append(&broker, "log.posts.0.a.9", "{}").await, Ok(4), "sequences are never used twice");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_the_process_is_counted_even_if_nothing_else_is_saved() {
    let (store, clock) = (Store::in_memory(), clock());
    let broker = open_at(&store, clock.clone()).await;
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({"ack_wait": 1_000_000_000_i64})).await;
    append(&broker, "log.posts.0.a.1", "poison").await.unwrap();
    drop(broker);
    for life in 1..=5 {
        let broker = open_at(&store, clock.clone()).await;
        let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
        let delivery = next(&mut deliveries).await;
        assert_eq!(numbers(&delivery).0, life);
        // The process dies in the handler: no time passes in which anything could be saved.
        drop((deliveries, broker));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_gone_when_it_has_lived_as_long_as_it_said_over_restarts_too() {
    let (store, clock) = (Store::in_memory(), clock());
    let broker = open_at(&store, clock.clone()).await;
    let config = json!({"name": "KEYS", "subjects": ["keys.*"], "allow_msg_ttl": true});
    ask(&broker, "$JS.API.STREAM.CREATE.KEYS", config).await;
    for (subject, lives) in [("keys.a", "100"), ("keys.b", "10"), ("keys.c", "1h")] {
        let headers = trellis_broker::Headers::new().with("Nats-TTL", lives).unwrap();
        broker.request(subject, Some(headers), "x", SECOND).await.unwrap();
    }
    let left = async |broker: &trellis_broker::Broker| {
        let info = ask(broker, "$JS.API.STREAM.INFO.KEYS", json!({"subjects_filter": ">"})).await;
        let subjects = info["state"]["subjects"].as_object().cloned().unwrap_or_default();
        subjects.keys().cloned().collect::<Vec<_>>()
    };
    tokio::time::sleep(9 * SECOND).await;
    assert_eq!(left(&broker).await, ["keys.a", "keys.b", "keys.c"]);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(left(&broker).await, ["keys.a", "keys.c"], "the one that ends first came second");
    broker.close().await;
    drop(broker);

    tokio::time::sleep(100 * SECOND).await;
    let broker = open_at(&store, clock).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(left(&broker).await, ["keys.c"]);
    let ends = store.scan(.., trellis_store::Order::Ascending, usize::MAX);
    let ends = ends.iter().filter(|(key, _)| key.first() == Some(&b'I') && key[9] == 4).count();
    assert_eq!(ends, 1, "what is gone has no end any more");
}
