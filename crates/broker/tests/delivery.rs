//! Who gets what, in which order, and what happens when somebody is slow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;
use trellis_broker::{Broker, Message, PublishError, RequestError, Settings, SystemClock};
use trellis_store::Store;

const PARTITIONS: usize = 4;

/// Two members share a queue group. Each partition's events come in order and one at a time, while different partitions'
/// are worked on at the same time.
#[tokio::test(start_paused = true)]
async fn partitions_keep_their_order_and_run_in_parallel() {
    let broker = open(&Store::in_memory()).await;
    create_log(&broker, "posts").await;
    for partition in 0..PARTITIONS {
        create_consumer(&broker, "posts", "query", &partition.to_string(), json!({})).await;
    }
    let seen: Arc<Mutex<BTreeMap<String, Vec<u64>>>> = Arc::default();
    let busy = Arc::new(Mutex::new((0, 0)));
    let done = Arc::new(Semaphore::new(0));
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
        let (broker, seen, busy, done) = (broker.clone(), seen.clone(), busy.clone(), done.clone());
        members.push(tokio::spawn(async move {
            let mut handled = 0;
            while let Some(delivery) = deliveries.next().await {
                handled += 1;
                let (broker, seen, busy, done) = (broker.clone(), seen.clone(), busy.clone(), done.clone());
                tokio::spawn(async move {
                    {
                        let mut busy = busy.lock();
                        busy.0 += 1;
                        busy.1 = busy.1.max(busy.0);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let tokens: Vec<&str> = delivery.subject.as_str().split('.').collect();
                    seen.lock().entry(tokens[2].to_owned()).or_default().push(tokens[4].parse().unwrap());
                    busy.lock().0 -= 1;
                    say(&broker, &delivery, "+ACK").await;
                    done.add_permits(1);
                });
            }
            handled
        }));
    }
    let events = 400_usize;
    for event in 0..events {
        append(&broker, &format!("log.posts.{}.e{}.{event}", event % PARTITIONS, event % 20), "{}")
            .await
            .unwrap();
    }
    let all = u32::try_from(events).unwrap();
    tokio::time::timeout(100 * SECOND, done.acquire_many(all))
        .await
        .expect("all events are handled")
        .unwrap()
        .forget();

    for (partition, versions) in seen.lock().iter() {
        assert_eq!(versions.len(), events / PARTITIONS, "partition {partition}");
        assert!(versions.is_sorted(), "partition {partition}: {versions:?}");
    }
    assert!(busy.lock().1 > 1 && busy.lock().1 <= PARTITIONS, "{} at once", busy.lock().1);
    broker.close().await;
    for member in members {
        assert!(member.await.unwrap() > events / 4, "both members work");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_delivery_comes_again_and_a_late_ack_ends_it() {
    let broker = open(&Store::in_memory()).await;
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({"ack_wait": 5_000_000_000_i64, "max_deliver": 3}))
        .await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    append(&broker, "log.posts.0.a.1", "one").await.unwrap();
    append(&broker, "log.posts.0.a.2", "two").await.unwrap();
    for attempt in 1..=3 {
        assert_eq!(numbers(&next(&mut deliveries).await), (attempt, 1, attempt));
    }
    // Given up on: the partition moves on.
    let two = next(&mut deliveries).await;
    assert_eq!(numbers(&two), (1, 2, 4));
    say(&broker, &two, "+WPI").await;
    nothing(&mut deliveries, 4 * SECOND).await;
    say(&broker, &two, "+WPI").await;
    nothing(&mut deliveries, 4 * SECOND).await;
    say(&broker, &two, "+ACK").await;
    nothing(&mut deliveries, 60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_subscriber_nothing_is_delivered_and_no_attempt_counted() {
    let broker = open(&Store::in_memory()).await;
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({"ack_wait": 1_000_000_000_i64})).await;
    append(&broker, "log.posts.0.a.1", "one").await.unwrap();
    let mut wildcard = broker.subscribe("deliver.*", Some("query")).unwrap();
    nothing(&mut wildcard, 10 * SECOND).await;
    drop(wildcard);
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    assert_eq!(numbers(&next(&mut deliveries).await), (1, 1, 1));
}

/// A consumer waits for room in a full queue: nothing is dropped and nothing is delivered twice.
#[tokio::test(start_paused = true)]
async fn a_consumer_waits_for_a_slow_subscriber() {
    let broker = open(&Store::in_memory()).await;
    create_log(&broker, "posts").await;
    let more = json!({"max_ack_pending": 1000, "ack_wait": 3_600_000_000_000_i64});
    create_consumer(&broker, "posts", "query", "*", more).await;
    let mut deliveries = broker.subscribe_with("deliver.query", Some("query"), 2).unwrap();
    for version in 1..=50 {
        append(&broker, &format!("log.posts.0.a.{version}"), "{}").await.unwrap();
    }
    for expected in 1..=50 {
        tokio::time::sleep(SECOND).await;
        assert_eq!(numbers(&next(&mut deliveries).await), (1, expected, expected));
    }
    assert_eq!(broker.dropped_messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_room_and_is_told_what_was_dropped() {
    let settings = Settings { publish_wait: 2 * SECOND, ..Settings::default() };
    let broker = Broker::open_with(Store::in_memory(), Arc::new(SystemClock), settings).await.unwrap();
    let mut slow = broker.subscribe_with("news", None, 1).unwrap();
    let news = |text: &'static str| Message::new("news".try_into().unwrap(), text);
    broker.publish(news("one")).await.unwrap();
    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish(Message::new("news".try_into().unwrap(), "two")).await }
    });
    tokio::time::sleep(SECOND).await;
    assert!(!waiting.is_finished());
    assert_eq!(next(&mut slow).await.payload, "one");
    assert_eq!(waiting.await.unwrap(), Ok(()));
    let refused = broker.publish(news("three")).await;
    assert!(matches!(refused, Err(PublishError::NoRoom { missed: 1, .. })), "{refused:?}");
    assert_eq!(broker.dropped_messages(), 1);
    assert_eq!(next(&mut slow).await.payload, "two");
}

#[tokio::test(start_paused = true)]
async fn a_full_member_is_passed_over() {
    let broker = open(&Store::in_memory()).await;
    let mut first = broker.subscribe_with("work", Some("q"), 1).unwrap();
    let mut second = broker.subscribe_with("work", Some("q"), 10).unwrap();
    for number in 0..6 {
        broker.publish(Message::new("work".try_into().unwrap(), vec![number])).await.unwrap();
    }
    let count = |subscription: &mut trellis_broker::Subscription| {
        std::iter::from_fn(|| subscription.try_next()).count()
    };
    assert_eq!((count(&mut first), count(&mut second)), (1, 5));
}

/// What is taken where it is published does not wait; what has to wait stays in order.
#[tokio::test(start_paused = true)]
async fn a_subscriber_takes_at_once_what_need_not_wait() {
    let broker = open(&Store::in_memory()).await;
    let (takes, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let at_once = move |message: Message| {
        if message.payload.starts_with(b"later") {
            Err(message)
        } else {
            takes.send(message).map_err(|back| back.0)
        }
    };
    let mut rest = broker.subscribe_at_once("work", Some("q"), at_once).unwrap();
    let publish =
        async |text: &'static str| broker.publish(Message::new("work".try_into().unwrap(), text)).await;
    publish("first").await.unwrap();
    assert_eq!(taken.try_recv().unwrap().payload, "first");
    publish("later").await.unwrap();
    publish("behind it").await.unwrap();
    assert!(taken.try_recv().is_err());
    assert_eq!(next(&mut rest).await.payload, "later");
    assert_eq!(next(&mut rest).await.payload, "behind it");
    publish("last").await.unwrap();
    assert_eq!(taken.try_recv().unwrap().payload, "last");
    drop(rest);
    let asked = broker.request("work", None, "", SECOND).await;
    assert!(matches!(asked, Err(RequestError::NoResponders { .. })), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn requests() {
    let broker = open(&Store::in_memory()).await;
    let nobody = broker.request("svc.none", None, "", SECOND).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })), "{nobody:?}");
    let mut service = broker.subscribe("svc.echo", Some("echo")).unwrap();
    let silent = broker.request("svc.echo", None, "lost", SECOND).await;
    assert!(matches!(silent, Err(RequestError::Timeout { .. })), "{silent:?}");
    let answering = {
        let broker = broker.clone();
        tokio::spawn(async move {
            while let Some(request) = service.next().await {
                let reply = request.reply.unwrap();
                let _ = broker.publish(Message::new(reply.clone(), request.payload.clone())).await;
                let _ = broker.publish(Message::new(reply, "too much")).await;
            }
        })
    };
    // The answer to the request that was given up on reaches nobody, and the next one is not confused.
    for text in ["one", "two"] {
        let answer = broker.request("svc.echo", None, text, SECOND).await.unwrap();
        assert_eq!(answer.payload, text);
    }
    answering.abort();
    assert!(answering.await.is_err());
    let gone = broker.request("svc.echo", None, "", SECOND).await;
    assert!(matches!(gone, Err(RequestError::NoResponders { .. })), "{gone:?}");
    let bad = broker.request("bad subject", None, "", SECOND).await;
    assert!(matches!(bad, Err(RequestError::Subject(_))), "{bad:?}");
    let large = broker.request("svc.echo", None, vec![0; 2 << 20], SECOND).await;
    assert!(matches!(large, Err(RequestError::Publish(PublishError::TooLarge { .. }))), "{large:?}");
}

/// A caller that gives up after its append was handed to the store leaves a message behind that consumers hear of. A store on
/// disk takes time, so the caller really is gone before the append is done.
#[tokio::test]
async fn an_abandoned_append_is_still_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_dir(directory.path()).unwrap();
    let broker = Broker::open(store, Arc::new(SystemClock)).await.unwrap();
    create_log(&broker, "posts").await;
    create_consumer(&broker, "posts", "query", "*", json!({})).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    for version in 1..=20 {
        let subject = format!("log.posts.0.a.{version}");
        let mut request = Box::pin(broker.request(subject.as_str(), None, "abandoned", SECOND));
        // Polled once, it is on its way; then it is dropped.
        let _ = futures_util::poll!(request.as_mut());
        drop(request);
        let delivery = next(&mut deliveries).await;
        assert_eq!(delivery.subject.as_str(), subject);
        say(&broker, &delivery, "+ACK").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_costs_the_same_whatever_it_removes_and_is_swept_up_behind() {
    let store = Store::in_memory();
    let broker = open(&store).await;
    create_log(&broker, "posts").await;
    for version in 1..=1200 {
        append(&broker, &format!("log.posts.0.a.{version}"), "{}").await.unwrap();
    }
    let messages = || {
        store.scan(
            bytes::Bytes::from_static(b"M")..bytes::Bytes::from_static(b"N"),
            trellis_store::Order::Ascending,
            10_000,
        )
    };
    assert_eq!(messages().len(), 1200);
    ask(&broker, "$JS.API.STREAM.PURGE.LOG_posts", json!({})).await;
    assert_eq!(append(&broker, "log.posts.0.a.1", "{}").await, Ok(1201), "the subject is free again");
    tokio::time::sleep(SECOND).await;
    assert_eq!(messages().len(), 1);
    ask(&broker, "$JS.API.STREAM.DELETE.LOG_posts", json!({})).await;
    tokio::time::sleep(SECOND).await;
    let left: Vec<_> = store
        .scan(
            bytes::Bytes::from_static(b"A")..bytes::Bytes::from_static(b"Z"),
            trellis_store::Order::Ascending,
            100,
        )
        .into_iter()
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect();
    assert_eq!(left, ["S\\x00"], "only the counter of ids stays");
}
