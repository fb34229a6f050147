//! `$JS.API.>`: which request goes where, and the frame of an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Serialize;
use trellis_subjects::jetstream::API;

use super::errors::{self, ApiError};
use super::{JetStream, config, count};
use crate::core::Core;
use crate::{Headers, Message, Subject};

/// What a request to the API gets.
#[derive(Debug)]
pub(crate) enum Answer {
    Message {
        headers: Option<Headers>,
        payload: Bytes,
    },
    /// The answer comes later, on the reply subject.
    Later,
    /// There is nobody at this subject.
    Nobody,
}

/// The outcome of an API request: what its answer holds, or an error.
pub(crate) type Outcome<T> = Result<T, ApiError>;

#[derive(Serialize)]
struct Success<'a, T: Serialize> {
    r#type: &'a str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Failure<'a, T: Serialize> {
    r#type: &'a str,
    error: &'a ApiError,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Empty {}

/// The numbers of a paged answer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Page {
    pub total: usize,
    pub offset: usize,
    pub limit: usize,
}

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

impl Answer {
    /// An answer of the named kind. `rest` is what stands beside an error.
    pub fn with_rest<T: Serialize, R: Serialize>(kind: &str, outcome: Outcome<T>, rest: R) -> Answer {
        let r#type = format!("io.nats.jetstream.api.v1.{kind}");
        let json = match outcome {
            Ok(body) => serde_json::to_vec(&Success { r#type: &r#type, body }),
            Err(error) => serde_json::to_vec(&Failure { r#type: &r#type, error: &error, rest }),
        };
        // Answers are made of strings, numbers and string-keyed maps, which always serialize.
        Answer::Message { headers: None, payload: json.unwrap_or_default().into() }
    }

    pub fn new<T: Serialize>(kind: &str, outcome: Outcome<T>) -> Answer {
        Answer::with_rest(kind, outcome, Empty {})
    }

    fn is_refusal(&self) -> bool {
        let marker = b",\"error\":{";
        matches!(self, Answer::Message { payload, .. } if payload.windows(marker.len()).take(128).any(|w| w == marker))
    }
}

/// What the subjects of requests that change something start with.
const CHANGES: [&str; 8] = [
    "$JS.API.STREAM.CREATE.",
    "$JS.API.STREAM.UPDATE.",
    "$JS.API.STREAM.DELETE.",
    "$JS.API.STREAM.PURGE.",
    "$JS.API.STREAM.MSG.DELETE.",
    "$JS.API.CONSUMER.CREATE.",
    "$JS.API.CONSUMER.DURABLE.CREATE.",
    "$JS.API.CONSUMER.DELETE.",
];

impl JetStream {
    /// Handles a request under `$JS.API.`. `reply` is where a later answer goes. A change is made in a task of its own:
    /// whoever asked may give up at any moment, and what was begun is still done whole.
    pub async fn api(&self, core: &Arc<Core>, message: &Message, reply: Option<&Subject>) -> Answer {
        let answer = if CHANGES.iter().any(|start| message.subject.as_str().starts_with(start)) {
            let (ours, message) = (core.clone(), message.clone());
            let change = async move { ours.jetstream.dispatch(&ours, &message, None).await };
            core.finish(change).await.unwrap_or(Answer::Nobody)
        } else {
            self.dispatch(core, message, reply).await
        };
        let counted = !message.subject.as_str().starts_with("$JS.API.DIRECT.");
        if counted && !matches!(answer, Answer::Nobody) {
            count(&self.requests);
        }
        if answer.is_refusal() {
            count(&self.refusals);
        }
        answer
    }

    async fn dispatch(&self, core: &Arc<Core>, message: &Message, reply: Option<&Subject>) -> Answer {
        let payload = message.payload.as_ref();
        let path = message.subject.as_str().strip_prefix(API).unwrap_or_default();
        let tokens: Vec<&str> = path.split('.').collect();
        let too_new = requires_newer(message.headers.as_ref());
        match tokens.as_slice() {
            ["INFO"] => self.account_info(),
            ["STREAM", "CREATE", name] => self.create_stream(core, name, payload, too_new).await,
            ["STREAM", "UPDATE", name] => self.update_stream(core, name, payload, too_new).await,
            ["STREAM", "INFO", name] => self.stream_info(core, name, payload).await,
            ["STREAM", "DELETE", name] => self.delete_stream(core, name, payload).await,
            ["STREAM", "PURGE", name] => self.purge_stream(name, payload).await,
            ["STREAM", "NAMES"] => self.stream_names(payload),
            ["STREAM", "LIST"] => self.stream_list(core, payload),
            ["STREAM", "MSG", "GET", name] => self.get_message(name, payload).await,
            ["STREAM", "MSG", "DELETE", name] => self.delete_message(name, payload).await,
            ["DIRECT", "GET", name] => self.direct_get(name, payload).await,
            ["DIRECT", "GET", name, subject @ ..] => self.direct_get_last(name, &subject.join(".")).await,
            ["CONSUMER", "CREATE", stream] => {
                self.create_consumer(core, stream, None, None, payload, too_new).await
            }
            ["CONSUMER", "CREATE", stream, name] => {
                self.create_consumer(core, stream, Some(name), None, payload, too_new).await
            }
            ["CONSUMER", "CREATE", stream, name, filter @ ..] => {
                let filter = filter.join(".");
                self.create_consumer(core, stream, Some(name), Some(&filter), payload, too_new).await
            }
            ["CONSUMER", "DURABLE", "CREATE", stream, name] => {
                self.create_durable(core, stream, name, payload, too_new).await
            }
            ["CONSUMER", "INFO", stream, name] => self.consumer_info(core, stream, name, payload).await,
            ["CONSUMER", "DELETE", stream, name] => self.delete_consumer(core, stream, name, payload).await,
            ["CONSUMER", "NAMES", stream] => self.consumer_names(stream, payload),
            ["CONSUMER", "LIST", stream] => self.consumer_list(core, stream, payload).await,
            ["CONSUMER", "MSG", "NEXT", stream, name] => self.pull(core, stream, name, payload, reply),
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
            consumers: streams.iter().map(|stream| stream.consumers.read().len()).sum(),
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

/// Whether a request that takes no fields has none.
pub(crate) fn check_empty(payload: &[u8]) -> Outcome<()> {
    let payload = payload.trim_ascii();
    let empty = payload.is_empty() || payload.iter().all(|byte| b"{} \t\r\n".contains(byte));
    if empty { Ok(()) } else { Err(errors::NOT_EMPTY_REQUEST) }
}

/// Requests whose fields are optional ignore a payload that is not JSON.
pub(crate) fn is_json(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii().first(), Some(b'{' | b'['))
}

/// Cuts a page out of a list.
pub(crate) fn page<T>(all: Vec<T>, offset: i64, limit: usize) -> (Page, Vec<T>) {
    let total = all.len();
    let offset = usize::try_from(offset).unwrap_or(0).min(total);
    (Page { total, offset, limit }, all.into_iter().skip(offset).take(limit).collect())
}
