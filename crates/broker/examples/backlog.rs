//! How long it takes to create a service's consumers over a log of so many entities, and to start with consumers that are
//! behind: `cargo run --release --example backlog -- 1000000`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use trellis_broker::{Broker, SystemClock};
use trellis_store::Store;

const PARTITIONS: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let entities: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_dir(folder.path()).unwrap();
    let broker = Broker::open(store.clone(), Arc::new(SystemClock)).await.unwrap();
    let log = r#"{"name":"LOG","subjects":["log.posts.*.*.*"],"discard":"new","discard_new_per_subject":true,
        "max_msgs_per_subject":1}"#;
    broker.request("$JS.API.STREAM.CREATE.LOG", None, log, PATIENCE).await.unwrap();
    let began = Instant::now();
    let append = |entity: u64| {
        let (broker, subject) = (broker.clone(), format!("log.posts.{}.e{entity}.1", entity % PARTITIONS));
        async move { broker.request(subject.as_str(), None, "{}", PATIENCE).await.unwrap() }
    };
    stream::iter((0..entities).map(append)).buffer_unordered(512).for_each(|_| async {}).await;
    println!("{entities} entities appended in {:?}", began.elapsed());
    store.checkpoint().await;

    for partition in 0..PARTITIONS {
        let name = format!("query-{partition}");
        let request = format!(
            r#"{{"stream_name":"LOG","config":{{"durable_name":"{name}","deliver_subject":"deliver.query","deliver_group":"query",
            "ack_policy":"explicit","max_ack_pending":1,"filter_subject":"log.posts.{partition}.*.*"}}}}"#
        );
        let began = Instant::now();
        let subject = format!("$JS.API.CONSUMER.CREATE.LOG.{name}");
        broker.request(subject.as_str(), None, request, PATIENCE).await.unwrap();
        println!("consumer {name} created in {:?}", began.elapsed());
    }
    broker.close().await;
    drop(broker);
    let began = Instant::now();
    let _broker = Broker::open(store, Arc::new(SystemClock)).await.unwrap();
    println!("opened again in {:?}", began.elapsed());
}
