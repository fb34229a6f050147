//! Callers that give up: what they asked for is done whole, or not at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::*;
use futures_util::poll;
use serde_json::{Value, json};
use trellis_broker::{Broker, TokioClock};
use trellis_store::{Driver, Options, SimDisk, Store};

/// More than one step of a count reads.
const EVENTS: u64 = 1_200;
const CREATE: &str = "$JS.API.CONSUMER.CREATE.LOG_posts.query";
/// More polls than any of the requests here takes.
const POLLS_MAX: usize = 10_000;

/// A store whose writer is a task, so that whoever writes to it waits.
fn store(disk: &SimDisk) -> Store {
    Store::open(disk.clone(), Options::default(), Driver::tokio_task()).unwrap()
}

fn clock() -> Arc<TokioClock> {
    Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)))
}

fn consumer(more: Value) -> Value {
    let mut config = json!({
        "durable_name": "query", "deliver_subject": "deliver.query", "deliver_group": "query",
        "ack_policy": "explicit", "max_ack_pending": 1, "filter_subject": "log.posts.3.*.*",
    });
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({"stream_name": "LOG_posts", "config": config})
}

/// Polls a request so often and then drops it. Answers whether it got its answer before.
async fn give_up_after(polls: usize, request: impl Future) -> bool {
    let mut request = pin!(request);
    for _ in 0..polls {
        if poll!(&mut request).is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

async fn filled(disk: &SimDisk) -> Broker {
    let broker = open_at(&store(disk), clock()).await;
    create_log(&broker, "posts").await;
    for entity in 0..EVENTS {
        append(&broker, &format!("log.posts.3.e{entity}.1"), "{}").await.unwrap();
    }
    broker
}

/// Takes one delivery and says how many came before the rest: attempt, sequence, and what lies ahead.
async fn first_delivery(broker: &Broker) -> (u64, u64, u64) {
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    let delivery = next(&mut deliveries).await;
    let reply = delivery.reply.as_ref().unwrap().as_str();
    let ahead = reply.rsplit('.').next().unwrap().parse().unwrap();
    let (attempt, seq, _) = numbers(&delivery);
    (attempt, seq, ahead)
}

#[tokio::test(start_paused = true)]
async fn a_consumer_whose_creation_was_given_up_on_runs_or_is_not_there() {
    let mut answered = false;
    for polls in 1..POLLS_MAX {
        let disk = SimDisk::new(1);
        let broker = filled(&disk).await;
        answered = give_up_after(polls, ask(&broker, CREATE, consumer(json!({})))).await;
        let created = ask(&broker, CREATE, consumer(json!({}))).await;
        assert_eq!(created["num_pending"], EVENTS, "given up after {polls} polls: {created}");
        assert_eq!(first_delivery(&broker).await, (1, 1, EVENTS - 1), "given up after {polls} polls");
        if answered {
            break;
        }
    }
    assert!(answered, "every place at which it waits was tried");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_whose_change_was_given_up_on_runs_with_the_old_or_the_new() {
    let mut answered = false;
    for polls in 1..POLLS_MAX {
        let disk = SimDisk::new(1);
        let broker = filled(&disk).await;
        ask(&broker, CREATE, consumer(json!({}))).await;
        let changed = consumer(json!({"description": "changed"}));
        answered = give_up_after(polls, ask(&broker, CREATE, changed.clone())).await;
        let again = ask(&broker, CREATE, changed).await;
        assert_eq!(again["num_pending"], EVENTS, "given up after {polls} polls: {again}");
        assert_eq!(first_delivery(&broker).await, (1, 1, EVENTS - 1), "given up after {polls} polls");
        let event = append(&broker, "log.posts.3.new.1", "{}").await.unwrap();
        let info = ask(&broker, "$JS.API.CONSUMER.INFO.LOG_posts.query", Value::Null).await;
        assert_eq!((event, &info["num_pending"]), (EVENTS + 1, &json!(EVENTS)), "it hears of what is new");
        if answered {
            break;
        }
    }
    assert!(answered, "every place at which it waits was tried");
}

/// A request that is given up on goes on by itself, so that who looks later finds it done, after a restart too.
#[tokio::test(start_paused = true)]
async fn a_request_whose_caller_gave_up_is_carried_out() {
    let disk = SimDisk::new(1);
    let broker = filled(&disk).await;
    let stream = json!({"name": "OTHER", "subjects": ["other"]});
    assert!(!give_up_after(1, ask(&broker, "$JS.API.STREAM.CREATE.OTHER", stream)).await);
    assert!(!give_up_after(1, ask(&broker, CREATE, consumer(json!({})))).await);
    let purge = json!({"filter": "log.posts.3.e7.*"});
    assert!(!give_up_after(1, ask(&broker, "$JS.API.STREAM.PURGE.LOG_posts", purge)).await);
    tokio::time::sleep(SECOND).await;
    let seen = async |broker: &Broker| {
        let names = ask(broker, "$JS.API.STREAM.NAMES", Value::Null).await["streams"].clone();
        let info = ask(broker, "$JS.API.CONSUMER.INFO.LOG_posts.query", Value::Null).await;
        (names, info["num_pending"].clone())
    };
    let done = (json!(["LOG_posts", "OTHER"]), json!(EVENTS - 1));
    assert_eq!(seen(&broker).await, done);
    broker.close().await;
    drop(broker);

    let broker = open_at(&store(&disk.after_kill()), clock()).await;
    assert_eq!(seen(&broker).await, done);
    assert_eq!(first_delivery(&broker).await, (1, 1, EVENTS - 2));

    assert!(!give_up_after(1, ask(&broker, "$JS.API.CONSUMER.DELETE.LOG_posts.query", Value::Null)).await);
    assert!(!give_up_after(1, ask(&broker, "$JS.API.STREAM.DELETE.OTHER", Value::Null)).await);
    tokio::time::sleep(SECOND).await;
    let (names, pending) = seen(&broker).await;
    assert_eq!((names, pending), (json!(["LOG_posts"]), Value::Null));
}
