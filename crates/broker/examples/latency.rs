//! Measures the broker in this process: appends per second by number of callers, and how long after an append its delivery
//! arrives. The store is a directory given as the first argument, or memory.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trellis_broker::{Broker, Message, SystemClock};
use trellis_store::Store;

const PATIENCE: Duration = Duration::from_secs(30);
const CALLERS: [usize; 3] = [1, 16, 256];
const RUN: Duration = Duration::from_secs(2);
const DELIVERIES: usize = 2_000;
const EVENT_LEN: usize = 512;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let store = match std::env::args_os().nth(1) {
        Some(directory) => Store::open_dir(PathBuf::from(directory))?,
        None => Store::in_memory(),
    };
    let broker = Broker::open(store, Arc::new(SystemClock)).await?;
    for (name, subjects) in [("LOG_rate", "log.rate.*.*.*"), ("LOG_delay", "log.delay.*.*.*")] {
        let config = format!(
            r#"{{"name":"{name}","subjects":["{subjects}"],"discard":"new","discard_new_per_subject":true,"max_msgs_per_subject":1}}"#
        );
        ask(&broker, &format!("$JS.API.STREAM.CREATE.{name}"), config).await?;
    }
    println!("{:>8} {:>12}", "callers", "appends/s");
    for callers in CALLERS {
        println!("{callers:>8} {:>12.0}", appends_per_second(&broker, callers).await?);
    }
    let mut delays = delivery_delays(&broker).await?;
    delays.sort();
    let at = |share: usize| delays.get(delays.len() * share / 100).copied().unwrap_or_default();
    println!("append to delivery: p50 {:?}, p99 {:?}", at(50), at(99));
    Ok(())
}

async fn ask(broker: &Broker, subject: &str, body: String) -> Outcome<()> {
    let answer = broker.request(subject, None, body, PATIENCE).await?;
    let text = String::from_utf8_lossy(&answer.payload).into_owned();
    if text.contains("\"error\"") { Err(text.into()) } else { Ok(()) }
}

async fn appends_per_second(broker: &Broker, callers: usize) -> Outcome<f64> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut count = 0_u32;
                while start.elapsed() < RUN {
                    let subject = format!("log.rate.{}.c{callers}x{caller}.{count}", caller % 8);
                    broker.request(subject.as_str(), None, vec![b'x'; EVENT_LEN], PATIENCE).await?;
                    count += 1;
                }
                Outcome::Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// The time from before an append until its delivery is in the subscriber's hands, one event after the other.
async fn delivery_delays(broker: &Broker) -> Outcome<Vec<Duration>> {
    for partition in 0..8 {
        let body = format!(
            r#"{{"stream_name":"LOG_delay","config":{{"durable_name":"me-{partition}","deliver_subject":"deliver.me",
            "deliver_group":"me","ack_policy":"explicit","max_ack_pending":1,"filter_subject":"log.delay.{partition}.*.*"}}}}"#
        );
        ask(broker, &format!("$JS.API.CONSUMER.CREATE.LOG_delay.me-{partition}"), body).await?;
    }
    let mut deliveries = broker.subscribe("deliver.me", Some("me"))?;
    let mut delays = Vec::with_capacity(DELIVERIES);
    for number in 0..DELIVERIES {
        let start = Instant::now();
        let subject = format!("log.delay.{}.e.{number}", number % 8);
        broker.request(subject.as_str(), None, vec![b'x'; EVENT_LEN], PATIENCE).await?;
        let delivery = deliveries.next().await.ok_or("the broker closed")?;
        delays.push(start.elapsed());
        let reply = delivery.reply.ok_or("a delivery has a reply subject")?;
        broker.publish(Message::new(reply, "+ACK")).await?;
    }
    Ok(delays)
}
