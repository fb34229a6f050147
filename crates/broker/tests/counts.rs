//! What things cost is counted in entries that are read, and does not grow with what a log holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::*;
use serde_json::{Value, json};
use trellis_broker::Broker;
use trellis_store::{Durability, Order, Store};

const PARTITIONS: u64 = 4;
/// Two blocks of 256 messages at the ends of a count, and the tallies between them.
const FEW: u64 = 1_500;

async fn filled(store: &Store, events: u64) -> Broker {
    let broker = open(store).await;
    create_log(&broker, "posts").await;
    for event in 0..events {
        append(&broker, &format!("log.posts.{}.e{event}.1", event % PARTITIONS), "{}").await.unwrap();
    }
    broker
}

/// What a piece of work reads.
async fn reads<T>(store: &Store, work: impl Future<Output = T>) -> (T, u64) {
    let before = store.stats().entries_read;
    let result = work.await;
    (result, store.stats().entries_read - before)
}

async fn pending(broker: &Broker, consumer: &str) -> Value {
    ask(broker, &format!("$JS.API.CONSUMER.INFO.LOG_posts.{consumer}"), Value::Null).await["num_pending"]
        .clone()
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_created_without_reading_what_lies_ahead_of_it() {
    const EVENTS: u64 = 20_000;
    let store = Store::in_memory();
    let broker = filled(&store, EVENTS).await;
    for (partition, ahead) in [("2", EVENTS / PARTITIONS), ("*", EVENTS)] {
        let creation = create_consumer(&broker, "posts", "query", partition, json!({}));
        let ((), read) = reads(&store, creation).await;
        assert!(read < FEW, "{read} entries read for {partition}");
        let name = if partition == "*" { "query".to_owned() } else { format!("query-{partition}") };
        assert_eq!(pending(&broker, &name).await, ahead);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_starts_without_reading_what_its_consumers_are_behind() {
    const EVENTS: u64 = 20_000;
    let store = Store::in_memory();
    let broker = filled(&store, EVENTS).await;
    create_consumer(&broker, "posts", "query", "1", json!({})).await;
    let mut deliveries = broker.subscribe("deliver.query", Some("query")).unwrap();
    const HANDLED: u64 = 100;
    for _ in 0..HANDLED {
        let delivery = next(&mut deliveries).await;
        say(&broker, &delivery, "+ACK").await;
    }
    drop(deliveries);
    broker.close().await;
    drop(broker);
    let (broker, read) = reads(&store, open(&store)).await;
    assert!(read < FEW, "{read} entries read");
    assert_eq!(pending(&broker, "query-1").await, EVENTS / PARTITIONS - HANDLED);
}

/// A data directory as the version before tallies left it.
async fn without_tallies(store: &Store) {
    let write = store.write(Durability::Synced, |tx| {
        let index = Bytes::from_static(b"I")..Bytes::from_static(b"J");
        for (key, _) in tx.scan(index, Order::Ascending, usize::MAX) {
            if key[9] == 3 {
                tx.delete(&key);
            }
        }
        let mut meta = tx.get(&[b'S', 0]).unwrap().to_vec();
        meta[..4].copy_from_slice(&1_u32.to_be_bytes());
        tx.put(&[b'S', 0][..], meta);
    });
    write.await;
}

#[tokio::test(start_paused = true)]
async fn what_an_older_version_wrote_is_tallied_when_it_is_opened() {
    const EVENTS: u64 = 1_000;
    let store = Store::in_memory();
    let broker = filled(&store, EVENTS).await;
    let often = json!({"name": "OFTEN", "subjects": ["often.*"], "max_msgs_per_subject": 3});
    ask(&broker, "$JS.API.STREAM.CREATE.OFTEN", often).await;
    for number in 0..20 {
        append(&broker, &format!("often.{}", number % 2), "x").await.unwrap();
    }
    create_consumer(&broker, "posts", "query", "1", json!({})).await;
    broker.close().await;
    drop(broker);
    let written = store.scan(.., Order::Ascending, usize::MAX);
    without_tallies(&store).await;
    assert_ne!(store.scan(.., Order::Ascending, usize::MAX), written);

    let broker = open(&store).await;
    assert_eq!(store.scan(.., Order::Ascending, usize::MAX), written);
    assert_eq!(pending(&broker, "query-1").await, EVENTS / PARTITIONS);
}

/// Whatever is appended and removed in whichever way, over several blocks, a count is what a reader counts.
#[tokio::test(start_paused = true)]
async fn tallies_keep_up_with_every_change() {
    let store = Store::in_memory();
    let broker = open(&store).await;
    let config = json!({"name": "KEYS", "subjects": ["keys.>"], "max_msgs_per_subject": 30, "max_msgs": 1_200,
        "allow_rollup_hdrs": true});
    ask(&broker, "$JS.API.STREAM.CREATE.KEYS", config).await;
    let count = async |filter: &str| {
        let config = json!({"ack_policy": "explicit", "filter_subject": filter, "name": "c"});
        let request = json!({"stream_name": "KEYS", "config": config});
        let created = ask(&broker, &format!("$JS.API.CONSUMER.CREATE.KEYS.c.{filter}"), request).await;
        ask(&broker, "$JS.API.CONSUMER.DELETE.KEYS.c", Value::Null).await;
        created["num_pending"].as_u64().unwrap()
    };
    let held = async |filter: &str| {
        let info = ask(&broker, "$JS.API.STREAM.INFO.KEYS", json!({"subjects_filter": filter})).await;
        let subjects = info["state"]["subjects"].as_object().cloned().unwrap_or_default();
        subjects.values().map(|count| count.as_u64().unwrap()).sum::<u64>()
    };
    for step in 0..2_400_u64 {
        append(&broker, &format!("keys.{}.{}", step % 3, step % 23), "x").await.unwrap();
        match step % 400 {
            170 => {
                let filter = json!({"filter": format!("keys.{}.*", step % 3)});
                ask(&broker, "$JS.API.STREAM.PURGE.KEYS", filter).await;
            }
            290 => {
                let rollup = trellis_broker::Headers::new().with("Nats-Rollup", "sub").unwrap();
                broker.request("keys.0.1", Some(rollup), "x", SECOND).await.unwrap();
            }
            399 => {
                ask(&broker, "$JS.API.STREAM.PURGE.KEYS", json!({"keep": 700})).await;
            }
            _ => {}
        }
        if step % 60 == 0 {
            for filter in ["keys.>", "keys.1.*", "keys.*.7"] {
                assert_eq!(count(filter).await, held(filter).await, "{filter} after step {step}");
            }
        }
    }
}

/// A bucket's keys are siblings. Who removes the newest of them needs the next newest.
#[tokio::test(start_paused = true)]
async fn the_newest_message_is_removed_without_a_look_at_its_siblings() {
    const KEYS: u64 = 20_000;
    let store = Store::in_memory();
    let broker = open(&store).await;
    let config = json!({"name": "KEYS", "subjects": ["keys.>"], "max_msgs_per_subject": 1});
    ask(&broker, "$JS.API.STREAM.CREATE.KEYS", config).await;
    for key in 0..KEYS {
        append(&broker, &format!("keys.k{key}"), "x").await.unwrap();
    }
    for removed in 0..3 {
        let delete = ask(&broker, "$JS.API.STREAM.MSG.DELETE.KEYS", json!({"seq": KEYS - removed}));
        let (answer, read) = reads(&store, delete).await;
        assert_eq!(answer["success"], true, "{answer}");
        assert!(read < FEW, "{read} entries read");
        let last = json!({"last_by_subj": "keys.*"});
        let newest = ask(&broker, "$JS.API.STREAM.MSG.GET.KEYS", last).await;
        assert_eq!(newest["message"]["seq"], KEYS - removed - 1);
    }
}

/// What is told of subjects is a page of them and how many there are, without reading or holding the others.
#[tokio::test(start_paused = true)]
async fn a_page_of_subjects_is_read_and_the_rest_only_counted() {
    const EVENTS: u64 = 110_000;
    const PAGE: u64 = 100_000;
    let store = Store::in_memory();
    let broker = filled(&store, EVENTS).await;
    let info = ask(&broker, "$JS.API.STREAM.INFO.LOG_posts", json!({"subjects_filter": ">"}));
    let (info, read) = reads(&store, info).await;
    assert_eq!((&info["total"], &info["limit"]), (&json!(EVENTS), &json!(PAGE)));
    assert_eq!(u64::try_from(info["state"]["subjects"].as_object().unwrap().len()).unwrap(), PAGE);
    assert!(read < PAGE + FEW, "{read} entries read");
    let few = ask(&broker, "$JS.API.STREAM.INFO.LOG_posts", json!({"subjects_filter": "log.posts.2.e2.*"}));
    let (few, read) = reads(&store, few).await;
    assert_eq!((&few["total"], &few["state"]["subjects"]), (&json!(1), &json!({"log.posts.2.e2.1": 1})));
    assert!(read < FEW, "{read} entries read");
}
