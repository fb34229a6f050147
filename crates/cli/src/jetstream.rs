//! The part of JetStream's API that commands ask: the same on the embedded broker and on a NATS server.

use std::collections::BTreeMap;

use async_nats::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use trellis_subjects::jetstream::API;

use crate::failure::Failure;

/// Streams, or consumers of one, that are listed at most.
const LISTED_MAX: usize = 10_000;

mod code {
    pub const NO_MESSAGE: u64 = 10037;
    pub const NO_STREAM: u64 = 10059;
    pub const NOT_ENABLED: u64 = 10076;
}

/// The API, as one application serves it.
#[derive(Debug)]
pub(crate) struct JetStream<'a>(pub(crate) &'a Client);

#[derive(Debug, Deserialize)]
pub(crate) struct Stream {
    pub config: StreamConfig,
    pub state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamConfig {
    pub name: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub last_seq: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Consumer {
    pub name: String,
    pub config: ConsumerConfig,
    pub ack_floor: Sequence,
    pub num_pending: u64,
    pub num_ack_pending: u64,
    pub num_redelivered: u64,
    /// The server's time.
    #[serde(default)]
    pub ts: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerConfig {
    #[serde(default)]
    pub deliver_group: String,
    #[serde(default)]
    pub filter_subject: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Sequence {
    pub stream_seq: u64,
}

/// A stored message.
#[derive(Debug)]
pub(crate) struct Stored {
    pub subject: String,
    pub seq: u64,
    pub time: String,
    pub body: Vec<u8>,
}

impl Stream {
    /// How many partitions it says that it has.
    pub(crate) fn partitions(&self) -> Option<u32> {
        self.config.metadata.get("trellis.partitions")?.parse().ok()
    }
}

impl Consumer {
    /// How many messages it has not finished.
    pub(crate) fn backlog(&self) -> u64 {
        self.num_pending.saturating_add(self.num_ack_pending)
    }
}

impl JetStream<'_> {
    /// Every stream that takes messages on a subject, which may have wildcards.
    pub(crate) async fn streams(&self, subject: &str) -> Result<Vec<Stream>, Failure> {
        self.list("STREAM.LIST", json!({ "subject": subject }), "streams").await
    }

    pub(crate) async fn consumers(&self, stream: &str) -> Result<Vec<Consumer>, Failure> {
        self.list(&format!("CONSUMER.LIST.{stream}"), json!({}), "consumers").await
    }

    /// The first message on a subject, which may have wildcards, at a sequence or after it.
    pub(crate) async fn next(
        &self,
        stream: &str,
        subject: &str,
        from: u64,
    ) -> Result<Option<Stored>, Failure> {
        self.message(stream, &json!({ "seq": from.max(1), "next_by_subj": subject })).await
    }

    /// The newest message on a subject, which may have wildcards.
    pub(crate) async fn newest(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Failure> {
        self.message(stream, &json!({ "last_by_subj": subject })).await
    }

    pub(crate) async fn get(&self, stream: &str, seq: u64) -> Result<Option<Stored>, Failure> {
        self.message(stream, &json!({ "seq": seq })).await
    }

    /// Makes sure that a message is gone.
    pub(crate) async fn delete(&self, stream: &str, seq: u64) -> Result<(), Failure> {
        let operation = format!("STREAM.MSG.DELETE.{stream}");
        match self.call::<Value>(&operation, &json!({ "seq": seq })).await? {
            Err(refusal) if self.get(stream, seq).await?.is_some() => Err(refusal.failure(&operation)),
            _ => Ok(()),
        }
    }

    async fn message(&self, stream: &str, wanted: &Value) -> Result<Option<Stored>, Failure> {
        #[derive(Deserialize)]
        struct Got {
            message: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            subject: String,
            seq: u64,
            time: String,
            #[serde(default)]
            data: String,
        }
        let operation = format!("STREAM.MSG.GET.{stream}");
        let message = match self.call::<Got>(&operation, wanted).await? {
            Ok(got) => got.message,
            Err(refusal) if refusal.code == code::NO_MESSAGE || refusal.code == code::NO_STREAM => {
                return Ok(None);
            }
            Err(refusal) => return Err(refusal.failure(&operation)),
        };
        let Message { subject, seq, time, data } = message;
        let body = BASE64.decode(data).map_err(|error| odd(&operation, &error))?;
        Ok(Some(Stored { subject, seq, time, body }))
    }

    async fn list<T: DeserializeOwned>(
        &self,
        operation: &str,
        mut request: Value,
        key: &str,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        while all.len() < LISTED_MAX {
            if let Some(request) = request.as_object_mut() {
                request.insert("offset".to_owned(), all.len().into());
            }
            let page = self.call::<Value>(operation, &request).await?;
            let mut page = page.map_err(|refusal| refusal.failure(operation))?;
            let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
            let items = page.get_mut(key).map(Value::take).unwrap_or_default();
            let items: Option<Vec<T>> =
                serde_json::from_value(items).map_err(|error| odd(operation, &error))?;
            let items = items.unwrap_or_default();
            let is_last = items.is_empty();
            all.extend(items);
            if is_last || u64::try_from(all.len()).is_ok_and(|listed| listed >= total) {
                break;
            }
        }
        Ok(all)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        request: &Value,
    ) -> Result<Result<T, ApiError>, Failure> {
        let subject = format!("{API}{operation}");
        let reply = self.0.request(subject.clone(), request.to_string().into()).await.map_err(|error| {
            Failure::new(format!("no answer to {subject}: {error}; is JetStream enabled on this server?"))
        })?;
        let mut reply: Value =
            serde_json::from_slice(&reply.payload).map_err(|error| odd(operation, &error))?;
        if let Some(error) = reply.get_mut("error") {
            return match serde_json::from_value(error.take()) {
                Ok(refusal) => Ok(Err(refusal)),
                Err(error) => Err(odd(operation, &error)),
            };
        }
        serde_json::from_value(reply).map(Ok).map_err(|error| odd(operation, &error))
    }
}

/// An error that the API answers with.
#[derive(Debug, Deserialize)]
struct ApiError {
    #[serde(rename = "err_code", default)]
    code: u64,
    #[serde(default)]
    description: String,
}

impl ApiError {
    fn failure(&self, operation: &str) -> Failure {
        let ApiError { code, description } = self;
        let remedy = if *code == code::NOT_ENABLED { "; enable JetStream on this server" } else { "" };
        Failure::new(format!("{operation} was refused: {description} (err_code {code}){remedy}"))
    }
}

fn odd(operation: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the answer to {operation} is not what JetStream answers: {error}"))
}
