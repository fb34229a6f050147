//! `$JS.API.>`: which request goes where.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use trellis_subjects::jetstream::API;

use super::answer::Answer;
use super::streams::JetStream;
use super::{config, errors};
use crate::{Headers, Message, Subject};

#[derive(Serialize)]
struct AccountInfo {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    streams: usize,
    consumers: usize,
    limits: AccountLimits,
    api: ApiStatistics,
}

#[derive(Serialize)]
struct AccountLimits {
    max_memory: i64,
    max_storage: i64,
    max_streams: i64,
    max_consumers: i64,
    max_ack_pending: i64,
    memory_max_stream_bytes: i64,
    storage_max_stream_bytes: i64,
    max_bytes_required: bool,
}

#[derive(Serialize)]
struct ApiStatistics {
    level: u32,
    total: u64,
    errors: u64,
}

/// What the subjects of requests that change something start with.
const CHANGES: [&str; 9] = [
    "$JS.API.STREAM.CREATE.",
    "$JS.API.STREAM.UPDATE.",
    "$JS.API.STREAM.DELETE.",
    "$JS.API.STREAM.PURGE.",
    "$JS.API.STREAM.MSG.DELETE.",
    "$JS.API.CONSUMER.CREATE.",
    "$JS.API.CONSUMER.DURABLE.CREATE.",
    "$JS.API.CONSUMER.DELETE.",
    "$JS.API.CONSUMER.RESET.",
];

impl JetStream {
    /// Handles a request under `$JS.API.`. `reply` is where a later answer goes. A change is made in a task of its own:
    /// whoever asked may give up at any moment, and what was begun is still done whole.
    pub async fn api(self: &Arc<Self>, message: &Message, reply: Option<&Subject>) -> Answer {
        let answer = if CHANGES.iter().any(|start| message.subject.as_str().starts_with(start)) {
            let (ours, message) = (self.clone(), message.clone());
            let change = async move { ours.dispatch(&message, None).await };
            self.bus.finish(change).await.unwrap_or(Answer::Nobody)
        } else {
            self.dispatch(message, reply).await
        };
        let counted = !message.subject.as_str().starts_with("$JS.API.DIRECT.");
        if counted && !matches!(answer, Answer::Nobody) {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        if answer.is_refusal() {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn dispatch(self: &Arc<Self>, message: &Message, reply: Option<&Subject>) -> Answer {
        let payload = message.payload.as_ref();
        let path = message.subject.as_str().strip_prefix(API).unwrap_or_default();
        let tokens: Vec<&str> = path.split('.').collect();
        let too_new = requires_newer(message.headers.as_ref());
        match tokens.as_slice() {
            ["INFO"] => self.account_info(),
            ["STREAM", "CREATE", name] => self.create_stream(name, payload, too_new).await,
            ["STREAM", "UPDATE", name] => self.update_stream(name, payload, too_new).await,
            ["STREAM", "INFO", name] => self.stream_info(name, payload).await,
            ["STREAM", "DELETE", name] => self.delete_stream(name, payload).await,
            ["STREAM", "PURGE", name] => self.purge_stream(name, payload).await,
            ["STREAM", "NAMES"] => self.stream_names(payload),
            ["STREAM", "LIST"] => self.stream_list(payload),
            ["STREAM", "MSG", "GET", name] => self.get_message(name, payload).await,
            ["STREAM", "MSG", "DELETE", name] => self.delete_message(name, payload).await,
            ["DIRECT", "GET", name] => self.direct_get(name, payload).await,
            ["DIRECT", "GET", name, subject @ ..] => self.direct_get_last(name, &subject.join(".")).await,
            ["CONSUMER", "CREATE", stream] => {
                self.create_consumer(stream, None, None, payload, too_new).await
            }
            ["CONSUMER", "CREATE", stream, name] => {
                self.create_consumer(stream, Some(name), None, payload, too_new).await
            }
            ["CONSUMER", "CREATE", stream, name, filter @ ..] => {
                let filter = filter.join(".");
                self.create_consumer(stream, Some(name), Some(&filter), payload, too_new).await
            }
            ["CONSUMER", "DURABLE", "CREATE", stream, name] => {
                self.create_durable(stream, name, payload, too_new).await
            }
            ["CONSUMER", "INFO", stream, name] => self.consumer_info(stream, name, payload).await,
            ["CONSUMER", "DELETE", stream, name] => self.delete_consumer(stream, name, payload).await,
            ["CONSUMER", "RESET", stream, name] => self.reset_consumer(stream, name, payload, too_new).await,
            ["CONSUMER", "NAMES", stream] => self.consumer_names(stream, payload),
            ["CONSUMER", "LIST", stream] => self.consumer_list(stream, payload).await,
            ["CONSUMER", "MSG", "NEXT", stream, name] => self.pull(stream, name, payload, reply),
            _ => Answer::new::<()>("system_response", Err(errors::NOT_SUPPORTED_REQUEST)),
        }
    }

    fn account_info(&self) -> Answer {
        let streams = self.streams();
        let reserved = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        let info = AccountInfo {
            memory: 0,
            storage: streams.iter().map(|stream| stream.visible_tail().bytes).sum(),
            reserved_memory: 0,
            reserved_storage: streams.iter().map(|stream| reserved(stream.config().max_bytes)).sum(),
            streams: streams.len(),
            consumers: streams.iter().map(|stream| stream.consumer_count()).sum(),
            limits: AccountLimits {
                max_memory: -1,
                max_storage: -1,
                max_streams: -1,
                max_consumers: -1,
                max_ack_pending: -1,
                memory_max_stream_bytes: -1,
                storage_max_stream_bytes: -1,
                max_bytes_required: false,
            },
            api: ApiStatistics {
                level: config::API_LEVEL,
                total: self.requests.load(Ordering::Relaxed),
                errors: self.refusals.load(Ordering::Relaxed),
            },
        };
        Answer::new("account_info_response", Ok(info))
    }
}

/// Whether a request asks for more than this level of the API.
fn requires_newer(headers: Option<&Headers>) -> bool {
    let wanted = headers.and_then(|headers| headers.get("Nats-Required-Api-Level"));
    wanted.is_some_and(|level| level.parse::<u32>().map_or(true, |level| level > config::API_LEVEL))
}
