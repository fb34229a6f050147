//! The part of JetStream's API that a log needs, spoken over the plain request of the messaging interface.
//!
//! Nothing outside the kit sees any of this.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use trellis_names::{self as names, Purpose};

use crate::limits::PARTITIONS_MAX;
use crate::platform::{self, Fault, Platform};
use crate::time::millis;
use crate::{config, instant};

/// Reading is quick or it fails; a write may have to wait for a disk.
const READ_PATIENCE: Duration = Duration::from_secs(2);
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// The consumers of a stream: a cluster asks the leader of each, and waits four seconds for those that have none. One such consumer,
/// whoever's it is, must not keep everybody who follows the stream from being set up.
const LIST_PATIENCE: Duration = Duration::from_secs(5);

/// Requests about a stream: `$JS.API.<operation>.<stream>`, and for a consumer of it `.<consumer>`.
pub mod operation {
    pub const STREAM_INFO: &str = "STREAM.INFO";
    pub const STREAM_CREATE: &str = "STREAM.CREATE";
    pub const STREAM_PURGE: &str = "STREAM.PURGE";
    pub const MESSAGE_GET: &str = "STREAM.MSG.GET";
    pub const MESSAGE_DELETE: &str = "STREAM.MSG.DELETE";
    pub const CONSUMER_LIST: &str = "CONSUMER.LIST";
    pub const CONSUMER_INFO: &str = "CONSUMER.INFO";
    pub const CONSUMER_CREATE: &str = "CONSUMER.CREATE";
    pub const CONSUMER_DELETE: &str = "CONSUMER.DELETE";
    pub const CONSUMER_RESET: &str = "CONSUMER.RESET";
}

mod code {
    pub const MESSAGE_NOT_FOUND: u64 = 10037;
    pub const CONSUMER_NOT_FOUND: u64 = 10014;
    /// Of a cluster that is too small, and of a server that is in none.
    pub const NO_PEERS: u64 = 10005;
    pub const REPLICAS_NOT_SUPPORTED: u64 = 10074;
    pub const STREAM_EXISTS_OTHERWISE: u64 = 10058;
    pub const STREAM_NOT_FOUND: u64 = 10059;
    pub const SUBJECT_TAKEN: u64 = 10077;
}

/// What became of an append.
#[derive(Debug, PartialEq, Eq)]
pub enum Appended {
    At(u64),
    /// Something is stored under this very subject already.
    Taken,
    /// It may have been stored or not.
    Unknown(Fault),
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub subject: String,
    pub seq: u64,
    pub body: Vec<u8>,
    /// When it was stored.
    pub time: String,
}

/// How far a durable consumer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerProgress {
    /// How many messages are not finished.
    pub backlog: u64,
    /// How many of them are with somebody now.
    pub under_way: u64,
    /// How often it has delivered a message, and the newest of these.
    pub deliveries: u64,
    pub delivered: u64,
    /// When one last was; not known of one that never delivered any, nor after a restart of some servers.
    pub handed_out: Option<String>,
    /// Everything up to this sequence is.
    pub floor: u64,
    /// When one last was finished; not known of one that never finished any, nor after a restart of some servers.
    pub moved: Option<String>,
}

/// Why something cannot be read or set up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamError {
    /// There is no such stream (yet).
    #[error("there is no such stream")]
    NoStream,
    /// There is one of this name, but of another shape.
    #[error("it exists in another shape: {0}")]
    ExistsOtherwise(String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl StreamError {
    /// The same for whoever can do nothing else about it. `of` says whose stream it is.
    pub fn into_fault(self, of: &str) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::NoStream => Fault::new(format!("the stream of {of} has gone")),
            Self::ExistsOtherwise(why) => {
                Fault::new(format!("what {of} needs exists in another shape: {why}"))
            }
        }
    }
}

/// A stream in which every subject holds one message for ever: appending to a taken subject is refused, which
/// is what makes an append a compare-and-swap.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig<'a> {
    pub name: &'a str,
    #[serde(borrow)]
    pub subjects: [&'a str; 1],
    pub storage: &'a str,
    pub discard: &'a str,
    pub discard_new_per_subject: bool,
    pub max_msgs_per_subject: i64,
    pub num_replicas: u32,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    #[serde(rename = "trellis.partitions")]
    pub partitions: String,
}

impl<'a> StreamConfig<'a> {
    pub fn new(name: &'a str, subject: &'a str, num_replicas: u32, partitions: u32) -> Self {
        Self {
            name,
            subjects: [subject],
            storage: "file",
            discard: "new",
            discard_new_per_subject: true,
            max_msgs_per_subject: 1,
            num_replicas,
            metadata: Metadata { partitions: partitions.to_string() },
        }
    }
}

/// A durable push consumer of one partition, shared by all instances of a service.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig<'a> {
    pub durable_name: &'a str,
    pub name: &'a str,
    pub deliver_subject: &'a str,
    pub deliver_group: &'a str,
    pub deliver_policy: &'a str,
    pub ack_policy: &'a str,
    pub ack_wait: u64,
    pub max_ack_pending: u32,
    pub filter_subject: &'a str,
}

/// What JetStream is asked for a consumer with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerRequest<'a> {
    pub stream_name: &'a str,
    #[serde(borrow)]
    pub config: ConsumerConfig<'a>,
    pub action: &'a str,
}

/// What JetStream is asked to reset a consumer with.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerReset {
    /// Where it goes on.
    pub seq: u64,
}

/// An error that JetStream answers with.
#[derive(Debug, Error)]
#[error("code {code}: {description}")]
struct ApiError {
    code: u64,
    description: String,
}

/// Appends unless the subject is taken.
pub fn append(subject: &str, body: &[u8]) -> Appended {
    let answer = match call(subject, body, WRITE_PATIENCE) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.code == code::SUBJECT_TAKEN => return Appended::Taken,
        Ok(Err(error)) => return Appended::Unknown(Fault::because("JetStream refuses", error)),
        Err(fault) => return Appended::Unknown(fault),
    };
    match answer.get("seq").and_then(Value::as_u64) {
        Some(seq) => Appended::At(seq),
        None => Appended::Unknown(garbled(subject)),
    }
}

/// The newest message on a subject, which may have wildcards.
pub fn newest(stream: &str, subject: &str) -> Result<Option<Message>, StreamError> {
    message(stream, &json!({ "last_by_subj": subject }))
}

/// The first message on a subject, which may have wildcards, at a sequence or after it.
pub fn next(stream: &str, subject: &str, from: u64) -> Result<Option<Message>, StreamError> {
    message(stream, &json!({ "seq": from, "next_by_subj": subject }))
}

/// The message with a sequence.
pub fn get(stream: &str, seq: u64) -> Result<Option<Message>, StreamError> {
    message(stream, &json!({ "seq": seq }))
}

fn message(stream: &str, wanted: &Value) -> Result<Option<Message>, StreamError> {
    let asked = names::api_subject(operation::MESSAGE_GET, stream);
    let answer = match api(&asked, wanted)? {
        Err(error) if error.code == code::MESSAGE_NOT_FOUND => return Ok(None),
        answer => answer?,
    };
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let seq = answer.pointer("/message/seq").and_then(Value::as_u64);
    let (Some(subject), Some(seq)) = (text("/message/subject"), seq) else {
        return Err(garbled(&asked).into());
    };
    // An empty message has no data at all.
    let body = BASE64.decode(text("/message/data").unwrap_or_default()).map_err(|_| garbled(&asked))?;
    let time = text("/message/time").unwrap_or_default().to_owned();
    Ok(Some(Message { subject: subject.to_owned(), seq, body, time }))
}

/// Makes sure that there is no message with this sequence.
pub fn delete(stream: &str, seq: u64) -> Result<(), StreamError> {
    match api(&names::api_subject(operation::MESSAGE_DELETE, stream), &json!({ "seq": seq }))? {
        // The answers for one that is gone already are many.
        Err(error) if get(stream, seq)?.is_some() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes sure that there is no message on a subject, which may have wildcards.
pub fn purge(stream: &str, subject: &str) -> Result<(), StreamError> {
    api(&names::api_subject(operation::STREAM_PURGE, stream), &json!({ "filter": subject }))??;
    Ok(())
}

/// What a stream says of itself: how many partitions it has.
pub fn partitions(stream: &str) -> Result<u32, StreamError> {
    let info = info(stream)?;
    let stated =
        info.pointer("/config/metadata/trellis.partitions").and_then(Value::as_str).unwrap_or_default();
    match stated.parse() {
        Ok(partitions @ 1..=PARTITIONS_MAX) => Ok(partitions),
        _ => Err(Fault::new(format!("stream {stream} states {stated:?} partitions in its metadata")).into()),
    }
}

/// Makes sure that there is this stream.
pub fn create_stream(config: &StreamConfig<'_>) -> Result<(), StreamError> {
    api(&names::api_subject(operation::STREAM_CREATE, config.name), config)??;
    Ok(())
}

/// Makes sure that there is this consumer. Returns how far it has come.
pub fn create_consumer(stream: &str, config: &ConsumerConfig<'_>) -> Result<ConsumerProgress, StreamError> {
    let request = ConsumerRequest { stream_name: stream, config: *config, action: "" };
    let subject = names::consumer_api_subject(operation::CONSUMER_CREATE, stream, config.name);
    let answer = api(&subject, &request)??;
    ConsumerProgress::read(&answer).ok_or_else(|| garbled(&subject).into())
}

/// How far a consumer has come; none when there is no such consumer.
pub fn progress(stream: &str, consumer: &str) -> Result<Option<ConsumerProgress>, StreamError> {
    let subject = names::consumer_api_subject(operation::CONSUMER_INFO, stream, consumer);
    let answer = match api(&subject, &json!({}))? {
        Err(error) if error.code == code::CONSUMER_NOT_FOUND => return Ok(None),
        answer => answer?,
    };
    ConsumerProgress::read(&answer).map(Some).ok_or_else(|| garbled(&subject).into())
}

impl ConsumerProgress {
    fn read(info: &Value) -> Option<Self> {
        let number = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64);
        let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (waiting, under_way) = (number("/num_pending")?, number("/num_ack_pending")?);
        Some(Self {
            backlog: waiting.saturating_add(under_way),
            under_way,
            deliveries: number("/delivered/consumer_seq")?,
            delivered: number("/delivered/stream_seq")?,
            handed_out: text("/delivered/last_active"),
            floor: number("/ack_floor/stream_seq")?,
            moved: text("/ack_floor/last_active"),
        })
    }
}

/// A durable consumer, as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    pub name: String,
    pub progress: ConsumerProgress,
    config: Value,
}

impl Consumer {
    /// Whether it is as this one should be. A server says more of it than it was told.
    pub fn is_as(&self, config: &ConsumerConfig<'_>) -> bool {
        let Ok(Value::Object(wanted)) = serde_json::to_value(config) else { return false };
        wanted.iter().all(|(key, value)| self.config.get(key) == Some(value))
    }
}

/// The consumers of a stream.
pub fn consumers(stream: &str) -> Result<Vec<Consumer>, StreamError> {
    let subject = names::api_subject(operation::CONSUMER_LIST, stream);
    let read = |info: &Value| {
        let name = info.get("name").and_then(Value::as_str)?.to_owned();
        Some(Consumer { name, progress: ConsumerProgress::read(info)?, config: info.get("config")?.clone() })
    };
    let infos = consumer_list(stream)?;
    infos.iter().map(read).collect::<Option<_>>().ok_or_else(|| garbled(&subject).into())
}

/// What JetStream says of the consumers of a stream, which it does for some at a time.
fn consumer_list(stream: &str) -> Result<Vec<Value>, StreamError> {
    let mut all = Vec::new();
    while all.len() < CONSUMERS_MAX {
        let offset = json!({ "offset": all.len() });
        let mut page =
            api_within(LIST_PATIENCE, &names::api_subject(operation::CONSUMER_LIST, stream), &offset)??;
        let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
        let Some(Value::Array(consumers)) = page.get_mut("consumers").map(Value::take) else { break };
        let is_end = consumers.is_empty();
        all.extend(consumers);
        if is_end || all.len() as u64 >= total {
            break;
        }
    }
    Ok(all)
}

/// What a stream holds, and who has yet to hear of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamState {
    pub events: u64,
    /// How many of them were stored within the last ten seconds.
    pub lately: u64,
    pub bytes: u64,
    pub consumers: Vec<ConsumerState>,
}

/// A durable consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerState {
    pub name: String,
    /// The service that it delivers to.
    pub service: String,
    /// How many messages are yet to be delivered, how many are being handled, and how many of these again.
    pub waiting: u64,
    pub under_way: u64,
    pub redelivered: u64,
    /// How many wait there until they are due: they are in none of the other numbers. None is no timer's.
    pub not_due: Option<u64>,
}

/// What is counted as having come lately.
pub const LATELY: Duration = Duration::from_secs(10);

/// The most consumers of a stream that are looked at.
const CONSUMERS_MAX: usize = 1024;

/// What a stream holds, and its consumers, of which JetStream tells some at a time.
pub fn state(stream: &str) -> Result<StreamState, StreamError> {
    let info = info(stream)?;
    let number = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let mut state = StreamState {
        events: number("/state/messages"),
        lately: lately(stream, number("/state/first_seq"), number("/state/last_seq"))?,
        bytes: number("/state/bytes"),
        consumers: Vec::new(),
    };
    state.consumers.extend(consumer_list(stream)?.iter().map(consumer_state));
    Ok(state)
}

/// How many messages were stored lately.
fn lately(stream: &str, first: u64, last: u64) -> Result<u64, StreamError> {
    let since = platform::current().now_ms().saturating_sub(millis(LATELY));
    Ok(last + 1 - first_since(stream, first, last, since)?)
}

/// The sequence of the first message that was stored at a time or after it, to the second; the one after the last if there is none.
/// Messages stand in the order of their times, so it is looked for from the end in longer and longer steps, and then between
/// two steps: few are read, however many there are.
pub fn first_since(stream: &str, first: u64, last: u64, since_ms: u64) -> Result<u64, StreamError> {
    let is_since = |seq: u64| -> Result<bool, StreamError> {
        Ok(next(stream, ">", seq)?.is_some_and(|message| !instant::is_before(&message.time, since_ms)))
    };
    if last == 0 || !is_since(last)? {
        return Ok(last + 1);
    }
    // All from `known` on are of that time, and nothing before `old`.
    let (mut known, mut old, mut step) = (last, first, 1);
    while known > old {
        let probe = last.saturating_sub(step).max(first);
        if !is_since(probe)? {
            old = probe + 1;
            break;
        }
        known = probe;
        step *= 2;
    }
    while known > old {
        let middle = old + (known - old) / 2;
        if is_since(middle)? { known = middle } else { old = middle + 1 }
    }
    Ok(known)
}

fn consumer_state(info: &Value) -> ConsumerState {
    let number = |key: &str| info.get(key).and_then(Value::as_u64).unwrap_or_default();
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, service) = (text("/name"), text("/config/deliver_group"));
    let [waiting, under_way, redelivered] = ["num_pending", "num_ack_pending", "num_redelivered"].map(number);
    if Purpose::parse(&service, &name) == Some(Purpose::Timers) {
        let not_due = Some(waiting.saturating_add(under_way));
        return ConsumerState { name, service, waiting: 0, under_way: 0, redelivered: 0, not_due };
    }
    ConsumerState { name, service, waiting, under_way, redelivered, not_due: None }
}

/// The sequence of the newest message that a stream has ever had.
pub fn last(stream: &str) -> Result<u64, StreamError> {
    let last = info(stream)?.pointer("/state/last_seq").and_then(Value::as_u64);
    last.ok_or_else(|| garbled(&names::api_subject(operation::STREAM_INFO, stream)).into())
}

/// The first and the last sequence of the messages that a stream holds; none if it holds none.
pub fn range(stream: &str) -> Result<Option<(u64, u64)>, StreamError> {
    let info = info(stream)?;
    let number = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let (first, last) = (number("/state/first_seq"), number("/state/last_seq"));
    Ok((number("/state/messages") > 0).then_some((first, last)))
}

/// How many messages a stream holds.
pub fn messages(stream: &str) -> Result<u64, StreamError> {
    Ok(info(stream)?.pointer("/state/messages").and_then(Value::as_u64).unwrap_or_default())
}

fn info(stream: &str) -> Result<Value, StreamError> {
    Ok(api(&names::api_subject(operation::STREAM_INFO, stream), &json!({}))??)
}

/// Makes sure that there is no such consumer.
pub fn delete_consumer(stream: &str, consumer: &str) -> Result<(), StreamError> {
    match api(&names::consumer_api_subject(operation::CONSUMER_DELETE, stream, consumer), &json!({}))? {
        Err(error) if error.code != code::CONSUMER_NOT_FOUND => Err(error.into()),
        _ => Ok(()),
    }
}

/// Lets a consumer go on at an event, as if it had delivered nothing yet. Returns how far it has come. Servers before 2.14 do not
/// know this and do not answer. Where services are kept apart, permissions or a registry that are older than this refuse it.
pub fn reset_consumer(stream: &str, consumer: &str, seq: u64) -> Result<ConsumerProgress, StreamError> {
    let subject = names::consumer_api_subject(operation::CONSUMER_RESET, stream, consumer);
    let answer = api(&subject, &ConsumerReset { seq })??;
    ConsumerProgress::read(&answer).ok_or_else(|| garbled(&subject).into())
}

fn api(subject: &str, request: &impl Serialize) -> Result<Result<Value, ApiError>, Fault> {
    api_within(READ_PATIENCE, subject, request)
}

fn api_within(
    patience: Duration,
    subject: &str,
    request: &impl Serialize,
) -> Result<Result<Value, ApiError>, Fault> {
    let body = serde_json::to_vec(request)
        .map_err(|error| Fault::because(format!("a request on {subject} cannot be written"), error))?;
    let destination = destination(subject)?;
    call(&destination, &body, patience).map_err(|fault| match fault {
        Fault::Nobody { .. } if destination != subject => fault
            .with("services are kept apart here, and the registry, which sets them up, is not there (yet)"),
        Fault::Nobody { .. } => fault.with("NATS has no JetStream: its configuration needs `jetstream { }`"),
        Fault::Late { .. } => {
            fault.with("it is busy, or does not let this service ask, which its log would say")
        }
        fault => fault,
    })
}

/// Where a request to JetStream goes: where services are kept apart, `jetstream-api` says that it goes elsewhere.
fn destination(subject: &str) -> Result<Cow<'_, str>, Fault> {
    let elsewhere = config::text("jetstream-api")?;
    Ok(match (elsewhere, subject.strip_prefix(names::JETSTREAM)) {
        (Some(prefix), Some(request)) => Cow::Owned(prefix + request),
        _ => Cow::Borrowed(subject),
    })
}

/// Asks JetStream what somebody else wants to know, and gives its answer as it is.
pub fn forward(subject: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
    platform::current().request(&destination(subject)?, body, READ_PATIENCE)
}

fn call(subject: &str, body: &[u8], patience: Duration) -> Result<Result<Value, ApiError>, Fault> {
    let answer = platform::current().request(subject, body, patience)?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| garbled(subject))?;
    let Some(error) = answer.get("error") else { return Ok(Ok(answer)) };
    let code = error.get("err_code").and_then(Value::as_u64).unwrap_or_default();
    let description = error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Err(ApiError { code, description }))
}

fn garbled(subject: &str) -> Fault {
    Fault::new(format!("the answer on {subject} is not what JetStream answers"))
}

impl From<ApiError> for StreamError {
    fn from(error: ApiError) -> Self {
        match error.code {
            code::STREAM_NOT_FOUND => Self::NoStream,
            code::STREAM_EXISTS_OTHERWISE => Self::ExistsOtherwise(error.description),
            code::NO_PEERS | code::REPLICAS_NOT_SUPPORTED => Self::Fault(Fault::because("JetStream refuses", error).with(
                "start as many NATS servers as `replicas` in the service's config says, or set that lower",
            )),
            _ => Self::Fault(Fault::because("JetStream refuses", error)),
        }
    }
}
