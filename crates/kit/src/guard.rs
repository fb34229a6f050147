//! What a service may ask of JetStream where permissions are not enough.
//!
//! NATS sees subjects. In the body of a request for a stream or a consumer stands what would be done on behalf of whoever
//! asks: where events come from, and to which subject they go. So where services are kept apart none of them may make
//! that request. It reaches the [service that provisions](crate::Service::PROVISIONS) instead, on a subject that says who
//! asks, and is passed on if it says what it must.

use serde::{Deserialize, Serialize};
use serde_json::json;
use trellis_names::{self as names, Purpose};

use crate::jetstream::{self, ConsumerRequest, ConsumerReset, StreamConfig, operation};
use crate::limits::PARTITIONS_MAX;
use crate::log;

/// The most servers that keep a copy of a stream.
const REPLICAS_MAX: u32 = 5;

/// A request to JetStream that its service may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    pub subject: String,
    pub body: Vec<u8>,
}

/// What is to be asked of JetStream for a service, which asked `request`: `<operation>.<stream>`, with `.<consumer>`. The
/// body is made anew: nothing is passed on that is not understood. An error says why it is refused.
pub fn allow(service: &str, request: &str, body: &[u8]) -> Result<Allowed, String> {
    let words: Vec<&str> = request.split('.').collect();
    let body = match words[..] {
        ["STREAM", "CREATE", stream] => stream_create(service, stream, body)?,
        ["CONSUMER", "CREATE", stream, consumer] => consumer_create(service, stream, consumer, body)?,
        ["CONSUMER", "DELETE", _, consumer] => {
            own_consumer(service, consumer)?;
            b"{}".to_vec()
        }
        ["CONSUMER", "RESET", _, consumer] => {
            own_consumer(service, consumer)?;
            write(&read::<ConsumerReset>(body)?)?
        }
        _ => return Err(format!("nobody may ask for {request} on behalf of {service}")),
    };
    Ok(Allowed { subject: format!("{}.{request}", names::JETSTREAM), body })
}

/// Whether [`allow`] is to be asked about a request to JetStream.
pub fn concerns(request: &str) -> bool {
    let operations = [
        operation::STREAM_CREATE,
        operation::CONSUMER_CREATE,
        operation::CONSUMER_DELETE,
        operation::CONSUMER_RESET,
    ];
    operations
        .iter()
        .any(|operation| request.strip_prefix(operation).is_some_and(|rest| rest.starts_with('.')))
}

/// A log, dead letters or what is a service's own concern, just as the kit makes them. How many partitions and copies there are is the service's to say.
fn stream_create(service: &str, stream: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let subjects = if stream == names::log_stream(service) {
        names::log_subjects(service)
    } else if stream == names::dead_stream(service) {
        names::dead_subjects(service)
    } else if stream == names::own_stream(service) {
        names::own_subjects(service)
    } else {
        return Err(format!("stream {stream} is not one of {service}"));
    };
    let asked: StreamConfig<'_> = read(body)?;
    let partitions = asked.metadata.partitions.parse().unwrap_or_default();
    if !(1..=REPLICAS_MAX).contains(&asked.num_replicas) || !(1..=PARTITIONS_MAX).contains(&partitions) {
        return Err(format!("stream {stream} cannot have that many replicas or partitions"));
    }
    if asked != StreamConfig::new(stream, &subjects, asked.num_replicas, partitions) {
        return Err(format!("stream {stream} is to have another shape than services' streams have"));
    }
    write(&asked)
}

/// A consumer of one partition, or of all for timers, that delivers to its service. When and how often is the service's to say.
fn consumer_create(service: &str, stream: &str, consumer: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let purpose = own_consumer(service, consumer)?;
    // What is private, nobody else may follow.
    let source = if stream == names::own_stream(service) {
        names::private_log(service)
    } else if let Some(source) = names::parse_log_stream(stream) {
        source.to_owned()
    } else {
        return Err(format!("stream {stream} is no log that {service} may follow"));
    };
    let asked: ConsumerRequest<'_> = read(body)?;
    let (deliver, filter) = (names::deliver_subject(service), purpose.subjects(&source));
    let config = &asked.config;
    let rows = [
        ("stream_name", asked.stream_name, stream),
        ("name", config.name, consumer),
        ("durable_name", config.durable_name, consumer),
        ("deliver_subject", config.deliver_subject, deliver.as_str()),
        ("deliver_group", config.deliver_group, service),
        ("filter_subject", config.filter_subject, filter.as_str()),
    ];
    for (name, value, must_be) in rows {
        if value != must_be {
            return Err(format!(
                "consumer {consumer} of {stream}: {name} is {value:?}, and must be {must_be}"
            ));
        }
    }
    write(&asked)
}

/// What a consumer of this service is for.
fn own_consumer(service: &str, consumer: &str) -> Result<Purpose, String> {
    Purpose::parse(service, consumer).ok_or_else(|| format!("consumer {consumer} is not one of {service}"))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        format!("the request is not as services make it: {error}; update who provisions first")
    })
}

fn write(request: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(request).map_err(|error| error.to_string())
}

/// Answers a request on [`names::PROVISION`], without that, as JetStream would.
pub(crate) fn answer(asked: &str, body: &[u8]) -> Vec<u8> {
    let (service, request) = asked.split_once('.').unwrap_or_default();
    let refused = |code: u32, why: String| {
        json!({ "error": { "code": code, "description": why } }).to_string().into_bytes()
    };
    match allow(service, request, body) {
        Ok(Allowed { subject, body }) => {
            jetstream::forward(&subject, &body).unwrap_or_else(|fault| refused(503, fault.to_string()))
        }
        Err(why) => {
            log::error(&format!("{service} may not have what it asks for: {why}"));
            refused(403, why)
        }
    }
}
