//! What commands ask JetStream: the same on the embedded broker and on a NATS server.

use std::fmt::Display;

use async_nats::Client;
use async_nats::jetstream::consumer::Info as Consumer;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Info as Stream, RawMessageError, RawMessageErrorKind};
use async_nats::jetstream::{self, Context, ErrorCode};
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connection::ANSWER_TIME_MAX;
use crate::failure::Failure;

/// JetStream, as one application serves it.
#[derive(Debug)]
pub(crate) struct JetStream(Context);

/// A stored message.
#[derive(Debug)]
pub(crate) struct Stored {
    pub subject: String,
    pub seq: u64,
    pub time: OffsetDateTime,
    pub body: Vec<u8>,
}

impl JetStream {
    pub(crate) fn new(client: &Client) -> JetStream {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_TIME_MAX);
        JetStream(context)
    }

    /// Every stream, by name.
    pub(crate) async fn streams(&self) -> Result<Vec<Stream>, Failure> {
        let mut streams: Vec<Stream> =
            self.0.streams().try_collect().await.map_err(|error| failed("list streams", &error))?;
        streams.sort_by(|one, other| one.config.name.cmp(&other.config.name));
        Ok(streams)
    }

    /// The consumers of a stream, by name.
    pub(crate) async fn consumers(&self, stream: &str) -> Result<Vec<Consumer>, Failure> {
        let doing = format!("list the consumers of {stream}");
        let consumers = self.stream(stream).await?.consumers().try_collect().await;
        let mut consumers: Vec<Consumer> = consumers.map_err(|error| failed(&doing, &error))?;
        consumers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(consumers)
    }

    /// The date by the server's clock, which comes with what it says of a consumer. async-nats leaves it out.
    pub(crate) async fn now(&self, of: &Consumer) -> Result<OffsetDateTime, Failure> {
        #[derive(Deserialize)]
        struct Dated {
            #[serde(with = "time::serde::rfc3339")]
            ts: OffsetDateTime,
        }
        let question = format!("CONSUMER.INFO.{}.{}", of.stream_name, of.name);
        match self.0.request(question, &json!({})).await {
            Ok(Response::Ok(Dated { ts })) => Ok(ts),
            Ok(Response::Err { error }) => Err(failed("tell the date", &error)),
            Err(error) => Err(failed("tell the date", &error)),
        }
    }

    /// The first message on a subject, which may have wildcards, at a sequence or after it.
    pub(crate) async fn next(
        &self,
        stream: &str,
        subject: &str,
        from: u64,
    ) -> Result<Option<Stored>, Failure> {
        found(self.stream(stream).await?.get_first_raw_message_by_subject(subject, from.max(1)).await)
    }

    /// The newest message on a subject, which may have wildcards.
    pub(crate) async fn newest(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Failure> {
        found(self.stream(stream).await?.get_last_raw_message_by_subject(subject).await)
    }

    /// Makes sure that a message is gone.
    pub(crate) async fn delete(&self, stream: &str, seq: u64) -> Result<(), Failure> {
        let stream = self.stream(stream).await?;
        match stream.delete_message(seq).await {
            Err(error) if found(stream.get_raw_message(seq).await)?.is_some() => {
                Err(failed("delete a message", &error))
            }
            _ => Ok(()),
        }
    }

    /// A stream by its name. Nothing is asked for that.
    async fn stream(&self, name: &str) -> Result<jetstream::stream::Stream<()>, Failure> {
        self.0.get_stream_no_info(name).await.map_err(|error| failed("have such a stream", &error))
    }
}

/// A date as JSON has it.
pub(crate) fn rfc3339(date: OffsetDateTime) -> String {
    // A server dates by years that can all be written.
    date.format(&Rfc3339).unwrap_or_default()
}

/// How many partitions the log in a stream says that it has.
pub(crate) fn partitions(stream: &Stream) -> Option<u32> {
    stream.config.metadata.get("trellis.partitions")?.parse().ok()
}

/// How many messages a consumer has not finished.
pub(crate) fn backlog(consumer: &Consumer) -> u64 {
    consumer.num_pending.saturating_add(consumer.num_ack_pending as u64)
}

/// What came of looking for a message. In a stream that is not there, there is none.
fn found(found: Result<StreamMessage, RawMessageError>) -> Result<Option<Stored>, Failure> {
    let message = match found {
        Ok(message) => message,
        Err(error) => {
            return match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                RawMessageErrorKind::JetStream(refusal)
                    if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(failed("find a message", &error)),
            };
        }
    };
    let StreamMessage { subject, sequence, payload, time, .. } = message;
    Ok(Some(Stored { subject: subject.to_string(), seq: sequence, time, body: payload.to_vec() }))
}

fn failed(doing: &str, error: &dyn Display) -> Failure {
    Failure::new(format!("JetStream does not {doing}: {error}; is it enabled on this server?"))
}
