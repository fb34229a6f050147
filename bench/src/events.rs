//! Events that are written into a log over NATS, as its service writes them: many, made after one that the service has written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use async_nats::{Client, Message, Subscriber};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use time::OffsetDateTime;
use trellis_kit::id;
use trellis_names as names;

/// As the contracts of all services have it whose logs are filled here.
const PARTITIONS: u32 = 8;
/// How many are on their way at once, where their order does not matter.
pub const AT_ONCE: usize = 256;
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An event that others are made after.
#[derive(Debug)]
pub struct Sample {
    service: String,
    /// What it is about, and its version.
    entity: String,
    version: String,
    text: String,
}

impl Sample {
    /// The next event of a kind that is heard.
    pub async fn heard(heard: &mut Subscriber, kind: &str) -> Result<Self> {
        let kind = format!(r#""type":"{kind}""#);
        let of_kind = async {
            while let Some(Message { subject, payload, .. }) = heard.next().await {
                let text = String::from_utf8(payload.to_vec()).context("an event that is no text")?;
                if text.contains(&kind) {
                    return Self::read(&subject, text);
                }
            }
            anyhow::bail!("NATS has ended the connection")
        };
        let waited = tokio::time::timeout(WRITTEN_WITHIN, of_kind).await;
        waited.with_context(|| format!("no event with {kind} is written"))?
    }

    fn read(subject: &str, text: String) -> Result<Self> {
        let words: Vec<&str> = subject.split('.').collect();
        let [_, service, _, entity, version] = words.as_slice() else {
            anyhow::bail!("{subject} is no subject of an event")
        };
        let [service, entity, version] = [service, entity, version].map(|word| (*word).to_owned());
        Ok(Self { service, entity, version, text })
    }

    /// The value of a field, the first in the text.
    pub fn field(&self, name: &str) -> Result<&str> {
        let (_, after) = self
            .text
            .split_once(&format!(r#""{name}":""#))
            .with_context(|| format!("an event of {} without {name}", self.service))?;
        Ok(after.split('"').next().unwrap_or_default())
    }

    /// Writes an event like this about each of many other entities, which are numbered, with other words in the place of some. With one
    /// `at_once` they are in the log in this order.
    pub async fn write(
        &self,
        client: &Client,
        words: &str,
        at_once: usize,
        events: impl Iterator<Item = (u64, String)>,
    ) -> Result<()> {
        let id = self.field("id")?;
        futures_util::stream::iter(events)
            .map(|(n, others)| async move {
                let entity = numbered(&self.entity, n);
                let text = self.text.replace(&self.entity, &entity).replace(id, &numbered(id, n));
                self.append(client, &entity, text.replace(words, &others)).await
            })
            .buffer_unordered(at_once)
            .try_collect::<()>()
            .await
    }

    async fn append(&self, client: &Client, entity: &str, text: String) -> Result<()> {
        let partition = id::partition(entity, PARTITIONS);
        let subject = names::event_subject(&self.service, partition, entity, &self.version);
        let answer = client.request(subject, text.into()).await?;
        let answer = String::from_utf8_lossy(&answer.payload);
        ensure!(
            answer.contains(r#""seq""#) && !answer.contains(r#""error""#),
            "{entity} is not written: {answer}"
        );
        Ok(())
    }
}

/// As many digits as a number has at the end of an id.
const DIGITS: usize = 10;

/// An id like this, with a number at its end.
fn numbered(id: &str, n: u64) -> String {
    let (kept, _) = id.split_at_checked(id.len().saturating_sub(DIGITS)).unwrap_or_default();
    format!("{kept}{n:0DIGITS$}")
}

/// The number at the end of an id.
pub fn number(id: &str) -> Option<u64> {
    id.get(id.len().checked_sub(DIGITS)?..)?.parse().ok()
}

/// What is written into the log of a service from now on.
pub async fn listen(client: &Client, service: &str) -> Result<Subscriber> {
    let heard = client.subscribe(names::log_subjects(service)).await?;
    client.flush().await?;
    Ok(heard)
}

/// How many events there are in the log of a service.
pub async fn count(client: &Client, service: &str) -> Result<u64> {
    let answer = jetstream(client, "STREAM.INFO", service, "{}").await?;
    let count = answer.pointer("/state/messages").and_then(Value::as_u64);
    count.with_context(|| format!("the log of {service} does not say how much is in it: {answer}"))
}

/// Until everybody who follows the log of a service has handled all that is in it.
pub async fn handled(client: &Client, service: &str, within: Duration) -> Result<()> {
    let all = async {
        loop {
            let answer = jetstream(client, "CONSUMER.LIST", service, "{}").await?;
            let consumers = answer.pointer("/consumers").and_then(Value::as_array);
            let consumers = consumers.with_context(|| format!("nobody follows {service}: {answer}"))?;
            let is_done = |consumer: &Value| {
                ["num_pending", "num_ack_pending"].iter().all(|left| consumer.get(left) == Some(&0.into()))
            };
            if consumers.iter().all(is_done) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(within, all).await;
    waited.with_context(|| format!("what is in the log of {service} is not handled within {within:?}"))?
}

/// Until somebody follows the log of a service by this consumer.
pub async fn followed(client: &Client, service: &str, consumer: &str) -> Result<()> {
    let there = async {
        loop {
            let answer = jetstream(client, "CONSUMER.LIST", service, "{}").await?;
            let mut all = answer.pointer("/consumers").and_then(Value::as_array).into_iter().flatten();
            if all.any(|known| known.get("name").and_then(Value::as_str) == Some(consumer)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(WRITTEN_WITHIN, there).await;
    waited.with_context(|| format!("{consumer} does not follow {service}"))?
}

async fn jetstream(client: &Client, operation: &str, service: &str, body: &'static str) -> Result<Value> {
    let subject = names::api_subject(operation, &names::log_stream(service));
    let answer = client.request(subject, body.into()).await?;
    Ok(serde_json::from_slice(&answer.payload)?)
}

/// Milliseconds since 1970.
pub fn now_ms() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().try_into()?)
}

/// As events have an instant: `2026-11-20T04:01:12.345Z`.
pub fn instant(ms_since_1970: u64) -> Result<String> {
    let at = OffsetDateTime::from_unix_timestamp((ms_since_1970 / 1000).try_into()?)?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let (month, milli) = (u8::from(month), ms_since_1970 % 1000);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_events_have_them() {
        assert_eq!(instant(1_763_611_272_345).unwrap(), "2025-11-20T04:01:12.345Z");
        assert_eq!(instant(0).unwrap(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn an_event_is_about_what_its_subject_says() {
        let text = r#"{"id":"E","type":"post.created.v1","data":{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}}"#;
        let subject = "log.posts.3.01ARZ3NDEKTSV4RRFFQ69G5FAV.1";
        let sample = Sample::read(subject, text.to_owned()).unwrap();
        assert_eq!((sample.service.as_str(), sample.version.as_str()), ("posts", "1"));
        assert_eq!(sample.field("type").unwrap(), "post.created.v1");
        assert_eq!(numbered(&sample.entity, 7), "01ARZ3NDEKTSV4RR0000000007");
        assert_eq!((number("01ARZ3NDEKTSV4RR0000000007"), number("7"), number("x")), (Some(7), None, None));
        assert!(Sample::read("log.posts", String::new()).is_err());
    }
}
