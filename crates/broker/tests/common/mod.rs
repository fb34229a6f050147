//! What the broker's tests share: a broker on paused time, and requests in short.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use trellis_broker::{Broker, Message, Subject, Subscription, TokioClock};
use trellis_store::Store;

pub const SECOND: Duration = Duration::from_secs(1);

/// Opens a broker whose clock follows tokio's.
pub async fn open(store: &Store) -> Broker {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    open_at(store, Arc::new(TokioClock::starting_at(date))).await
}

/// Opens a broker with a clock that is kept over a restart.
pub async fn open_at(store: &Store, clock: Arc<TokioClock>) -> Broker {
    Broker::open(store.clone(), clock).await.unwrap()
}

/// Asks the API, and reads the answer.
#[track_caller]
pub fn ask(broker: &Broker, subject: &str, body: Value) -> impl Future<Output = Value> {
    let (broker, subject) = (broker.clone(), subject.to_owned());
    async move {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = broker.request(subject.as_str(), None, body, 5 * SECOND).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }
}

/// Appends. Answers with the sequence, or the error's code.
pub async fn append(broker: &Broker, subject: &str, payload: &str) -> Result<u64, u64> {
    let answer = broker.request(subject, None, payload.to_owned(), 5 * SECOND).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    match answer["error"]["err_code"].as_u64() {
        Some(code) => Err(code),
        None => Ok(answer["seq"].as_u64().unwrap()),
    }
}

/// Creates a service's log as the kit does.
pub async fn create_log(broker: &Broker, service: &str) {
    let config = json!({
        "name": format!("LOG_{service}"), "subjects": [format!("log.{service}.*.*.*")], "storage": "file",
        "discard": "new", "discard_new_per_subject": true, "max_msgs_per_subject": 1,
        "metadata": {"trellis.partitions": "8"},
    });
    let answer = ask(broker, &format!("$JS.API.STREAM.CREATE.LOG_{service}"), config).await;
    assert!(answer["error"].is_null(), "{answer}");
}

/// Creates a push consumer of one partition, or of everything, as the kit does.
pub async fn create_consumer(broker: &Broker, service: &str, me: &str, partition: &str, more: Value) {
    let name = if partition == "*" { me.to_owned() } else { format!("{me}-{partition}") };
    let mut config = json!({
        "durable_name": name, "deliver_subject": format!("deliver.{me}"), "deliver_group": me,
        "ack_policy": "explicit", "max_ack_pending": 1, "filter_subject": format!("log.{service}.{partition}.*.*"),
    });
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let request = json!({"stream_name": format!("LOG_{service}"), "config": config});
    let answer = ask(broker, &format!("$JS.API.CONSUMER.CREATE.LOG_{service}.{name}"), request).await;
    assert!(answer["error"].is_null(), "{answer}");
}

/// The next message, which must come within a time that no test exceeds on purpose.
pub async fn next(subscription: &mut Subscription) -> Message {
    tokio::time::timeout(100 * SECOND, subscription.next()).await.expect("a message should come").unwrap()
}

/// That nothing comes for a while.
pub async fn nothing(subscription: &mut Subscription, during: Duration) {
    let came = tokio::time::timeout(during, subscription.next()).await;
    assert!(came.is_err(), "nothing should come: {came:?}");
}

/// Says something about a delivery.
pub async fn say(broker: &Broker, delivery: &Message, what: &str) {
    broker.publish(Message::new(delivery.reply.clone().unwrap(), what.to_owned())).await.unwrap();
}

/// The numbers of a delivery's reply subject: attempt, stream sequence, consumer sequence.
pub fn numbers(delivery: &Message) -> (u64, u64, u64) {
    let reply = delivery.reply.as_ref().map(Subject::as_str).unwrap();
    let number = |at: usize| reply.split('.').nth(at).unwrap().parse().unwrap();
    (number(4), number(5), number(6))
}
