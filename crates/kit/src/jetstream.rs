//! The part of JetStream's API that a log needs, spoken over the plain request of the messaging interface.
//!
//! Nothing outside the kit sees any of this.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::platform::{self, Fault, Platform};

/// Reading is quick or it fails; a write may have to wait for a disk.
const READ_PATIENCE: Duration = Duration::from_secs(2);
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

mod code {
    pub const MESSAGE_NOT_FOUND: u32 = 10037;
    pub const CONSUMER_NOT_FOUND: u32 = 10014;
    pub const STREAM_EXISTS_OTHERWISE: u32 = 10058;
    pub const STREAM_NOT_FOUND: u32 = 10059;
    pub const SUBJECT_TAKEN: u32 = 10077;
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
}

/// Why something cannot be read or set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such stream (yet).
    NoStream,
    /// There is one of this name, but of another shape.
    ExistsOtherwise(String),
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A stream in which every subject holds one message for ever: appending to a taken subject is refused, which is what makes an append
/// a compare-and-swap.
#[derive(Debug, Serialize)]
pub struct StreamConfig<'a> {
    pub name: &'a str,
    pub subjects: [&'a str; 1],
    pub storage: &'a str,
    pub discard: &'a str,
    pub discard_new_per_subject: bool,
    pub max_msgs_per_subject: i64,
    pub num_replicas: u32,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Metadata {
    #[serde(rename = "trellis.partitions", default)]
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
#[derive(Debug, Serialize)]
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

#[derive(Deserialize)]
struct ApiError {
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Reply {
    error: Option<ApiError>,
}

/// Appends unless the subject is taken.
pub fn append(subject: &str, body: &[u8]) -> Appended {
    #[derive(Deserialize)]
    struct Ack {
        seq: u64,
    }
    match call::<Ack>(subject, body, WRITE_PATIENCE) {
        Ok(Ok(Ack { seq })) => Appended::At(seq),
        Ok(Err(error)) if error.err_code == code::SUBJECT_TAKEN => Appended::Taken,
        Ok(Err(error)) => Appended::Unknown(Fault::new(error.to_string())),
        Err(fault) => Appended::Unknown(fault),
    }
}

/// The newest message on a subject, which may have wildcards.
pub fn newest(stream: &str, subject: &str) -> Result<Option<Message>, Refusal> {
    #[derive(Deserialize)]
    struct Found {
        message: Stored,
    }
    #[derive(Deserialize)]
    struct Stored {
        subject: String,
        seq: u64,
        #[serde(default)]
        data: String,
    }
    let query = serde_json::json!({ "last_by_subj": subject });
    match api::<Found>(&format!("STREAM.MSG.GET.{stream}"), &query)? {
        Ok(Found { message: Stored { subject, seq, data } }) => {
            let body = BASE64
                .decode(data)
                .map_err(|error| Fault::new(format!("message {seq} of {stream} is not base64: {error}")))?;
            Ok(Some(Message { subject, seq, body }))
        }
        Err(error) if error.err_code == code::MESSAGE_NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a stream says of itself: how many partitions it has.
pub fn partitions(stream: &str) -> Result<u32, Refusal> {
    #[derive(Deserialize)]
    struct Info {
        config: Config,
    }
    #[derive(Deserialize)]
    struct Config {
        metadata: Option<Metadata>,
    }
    let info = api::<Info>(&format!("STREAM.INFO.{stream}"), &serde_json::json!({}))??;
    let stated = info.config.metadata.map(|metadata| metadata.partitions).unwrap_or_default();
    match stated.parse() {
        Ok(partitions @ 1..=1024) => Ok(partitions),
        _ => Err(Fault::new(format!("stream {stream} states {stated:?} partitions in its metadata")).into()),
    }
}

/// Makes sure that there is this stream.
pub fn create_stream(config: &StreamConfig<'_>) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Created {}
    api::<Created>(&format!("STREAM.CREATE.{}", config.name), config)??;
    Ok(())
}

/// Makes sure that there is this consumer.
pub fn create_consumer(stream: &str, config: &ConsumerConfig<'_>) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Created {}
    let request = serde_json::json!({ "stream_name": stream, "config": config, "action": "" });
    api::<Created>(&format!("CONSUMER.CREATE.{stream}.{}", config.name), &request)??;
    Ok(())
}

/// How many messages a consumer has not yet finished; none when there is no such consumer.
pub fn backlog(stream: &str, consumer: &str) -> Result<Option<u64>, Refusal> {
    #[derive(Deserialize)]
    struct Info {
        num_pending: u64,
        num_ack_pending: u64,
    }
    match api::<Info>(&format!("CONSUMER.INFO.{stream}.{consumer}"), &serde_json::json!({}))? {
        Ok(Info { num_pending, num_ack_pending }) => Ok(Some(num_pending.saturating_add(num_ack_pending))),
        Err(error) if error.err_code == code::CONSUMER_NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that there is no such consumer.
pub fn delete_consumer(stream: &str, consumer: &str) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Deleted {}
    match api::<Deleted>(&format!("CONSUMER.DELETE.{stream}.{consumer}"), &serde_json::json!({}))? {
        Ok(Deleted {}) => Ok(()),
        Err(error) if error.err_code == code::CONSUMER_NOT_FOUND => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn api<T: for<'de> Deserialize<'de>>(
    operation: &str,
    request: &impl Serialize,
) -> Result<Result<T, ApiError>, Fault> {
    let body = serde_json::to_vec(request).map_err(|error| Fault::new(error.to_string()))?;
    call(&format!("$JS.API.{operation}"), &body, READ_PATIENCE)
}

fn call<T: for<'de> Deserialize<'de>>(
    subject: &str,
    body: &[u8],
    patience: Duration,
) -> Result<Result<T, ApiError>, Fault> {
    let reply = platform::current().request(subject, body, patience)?;
    let garbled = |_| Fault::new(format!("the answer on {subject} is not what JetStream answers"));
    match serde_json::from_slice::<Reply>(&reply).map_err(garbled)?.error {
        Some(error) => Ok(Err(error)),
        None => serde_json::from_slice(&reply).map(Ok).map_err(garbled),
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JetStream refuses with code {}: {}", self.err_code, self.description)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        match error.err_code {
            code::STREAM_NOT_FOUND => Self::NoStream,
            code::STREAM_EXISTS_OTHERWISE => Self::ExistsOtherwise(error.description),
            _ => Self::Fault(Fault::new(error.to_string())),
        }
    }
}
