//! The errors that the JetStream API answers with: codes and texts are those of nats-server.

use std::borrow::Cow;
use std::fmt::Display;

use serde::Serialize;

/// An error as it stands in a JSON answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ApiError {
    pub code: u16,
    pub err_code: u16,
    pub description: Cow<'static, str>,
}

const fn fixed(code: u16, err_code: u16, description: &'static str) -> ApiError {
    ApiError { code, err_code, description: Cow::Borrowed(description) }
}

fn worded(code: u16, err_code: u16, description: impl Display) -> ApiError {
    ApiError { code, err_code, description: Cow::Owned(description.to_string()) }
}

pub(crate) const BAD_REQUEST: ApiError = fixed(400, 10003, "bad request");
pub(crate) const CONSUMER_NAME_EXISTS: ApiError = fixed(400, 10013, "consumer name already in use");
pub(crate) const CONSUMER_NOT_FOUND: ApiError = fixed(404, 10014, "consumer not found");
pub(crate) const DURABLE_NAME_MISMATCH: ApiError =
    fixed(400, 10017, "consumer name in subject does not match durable name in request");
pub(crate) const DURABLE_NAME_NOT_SET: ApiError =
    fixed(400, 10018, "consumer expected to be durable but a durable name was not set");
pub(crate) const EPHEMERAL_WITH_DURABLE_NAME: ApiError =
    fixed(400, 10020, "consumer expected to be ephemeral but a durable name was set in request");
pub(crate) const MAXIMUM_CONSUMERS: ApiError = fixed(400, 10026, "maximum consumers limit reached");
pub(crate) const NO_MESSAGE_FOUND: ApiError = fixed(404, 10037, "no message found");
pub(crate) const NOT_EMPTY_REQUEST: ApiError = fixed(400, 10038, "expected an empty request payload");
pub(crate) const MESSAGE_TOO_LARGE: ApiError = fixed(400, 10054, "message size exceeds maximum allowed");
pub(crate) const STREAM_MISMATCH: ApiError =
    fixed(400, 10056, "stream name in subject does not match request");
pub(crate) const STREAM_NAME_EXISTS: ApiError =
    fixed(400, 10058, "stream name already in use with a different configuration");
pub(crate) const STREAM_NOT_FOUND: ApiError = fixed(404, 10059, "stream not found");
pub(crate) const EXPECTED_STREAM: ApiError = fixed(400, 10060, "expected stream does not match");
pub(crate) const SUBJECTS_OVERLAP: ApiError = fixed(400, 10065, "subjects overlap with an existing stream");
pub(crate) const REPLICAS_NOT_SUPPORTED: ApiError =
    fixed(500, 10074, "replicas > 1 not supported in non-clustered mode");
pub(crate) const DELIVER_TO_WILDCARDS: ApiError = fixed(400, 10079, "consumer deliver subject has wildcards");
pub(crate) const PUSH_MAX_WAITING: ApiError =
    fixed(400, 10080, "consumer in push mode can not set max waiting");
pub(crate) const DELIVER_CYCLE: ApiError = fixed(400, 10081, "consumer deliver subject forms a cycle");
pub(crate) const MAX_PENDING_NEEDS_ACKS: ApiError =
    fixed(400, 10082, "consumer requires ack policy for max ack pending");
pub(crate) const SMALL_HEARTBEAT: ApiError =
    fixed(400, 10083, "consumer idle heartbeat needs to be >= 100ms");
pub(crate) const HEARTBEAT_NEEDS_PUSH: ApiError =
    fixed(400, 10088, "consumer idle heartbeat requires a push based consumer");
pub(crate) const FLOW_CONTROL_NEEDS_PUSH: ApiError =
    fixed(400, 10089, "consumer flow control requires a push based consumer");
pub(crate) const HEADERS_TOO_LARGE: ApiError =
    fixed(400, 10097, "header size exceeds maximum allowed of 64k");
pub(crate) const FLOW_CONTROL_NEEDS_HEARTBEATS: ApiError =
    fixed(400, 10108, "consumer with flow control also needs heartbeats");
pub(crate) const STREAM_SEALED: ApiError = fixed(400, 10109, "invalid operation on sealed stream");
pub(crate) const INVALID_DELIVER_SUBJECT: ApiError =
    fixed(400, 10112, "invalid push consumer deliver subject");
pub(crate) const MAX_EXPIRES_TOO_SMALL: ApiError =
    fixed(400, 10115, "consumer max request expires needs to be >= 1ms");
pub(crate) const MAX_DELIVER_BACKOFF: ApiError =
    fixed(400, 10116, "max deliver is required to be > length of backoff values");
pub(crate) const CONSUMER_REPLICAS: ApiError =
    fixed(400, 10126, "consumer config replica count exceeds parent stream");
pub(crate) const CONSUMER_NAME_WITH_PATH: ApiError =
    fixed(400, 10127, "Consumer name can not contain path separators");
pub(crate) const STREAM_NAME_WITH_PATH: ApiError =
    fixed(400, 10128, "Stream name can not contain path separators");
pub(crate) const FILTER_MISMATCH: ApiError =
    fixed(400, 10131, "Consumer create request did not match filtered subject from create subject");
pub(crate) const DURABLE_AND_NAME_MISMATCH: ApiError =
    fixed(400, 10132, "Consumer Durable and Name have to be equal if both are provided");
pub(crate) const NEGATIVE_REPLICAS: ApiError = fixed(400, 10133, "replicas count cannot be negative");
pub(crate) const BOTH_FILTERS: ApiError =
    fixed(400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified");
pub(crate) const MULTIPLE_FILTERS_IN_SUBJECT: ApiError =
    fixed(400, 10137, "consumer with multiple subject filters cannot use subject based API");
pub(crate) const OVERLAPPING_FILTERS: ApiError = fixed(400, 10138, "consumer subject filters cannot overlap");
pub(crate) const EMPTY_FILTER: ApiError =
    fixed(400, 10139, "consumer filter in FilterSubjects cannot be empty");
pub(crate) const CONSUMER_EXISTS: ApiError = fixed(400, 10148, "consumer already exists");
pub(crate) const CONSUMER_DOES_NOT_EXIST: ApiError = fixed(400, 10149, "consumer does not exist");
pub(crate) const TTL_INVALID: ApiError = fixed(400, 10165, "invalid per-message TTL");
pub(crate) const TTL_DISABLED: ApiError = fixed(400, 10166, "per-message TTL is disabled");
pub(crate) const ACK_WAIT_NEGATIVE: ApiError = fixed(400, 10183, "consumer ack wait needs to be positive");
pub(crate) const BACKOFF_NEGATIVE: ApiError = fixed(400, 10184, "consumer backoff needs to be positive");
pub(crate) const API_LEVEL: ApiError = fixed(412, 10185, "JetStream minimum api level required");
pub(crate) const EXPECTED_SUBJECT_WITHOUT_SEQUENCE: ApiError =
    fixed(400, 10193, "missing sequence for expected last sequence per subject");
pub(crate) const MAXIMUM_STREAMS: ApiError = fixed(400, 10027, "maximum number of streams reached");
pub(crate) const NOT_SUPPORTED_REQUEST: ApiError =
    fixed(501, 10036, "this broker does not serve this API subject");

pub(crate) fn consumer_create(reason: impl Display) -> ApiError {
    worded(500, 10012, reason)
}

pub(crate) fn invalid_json(reason: impl Display) -> ApiError {
    worded(400, 10025, format_args!("invalid JSON: {reason}"))
}

pub(crate) fn sequence_not_found(seq: u64) -> ApiError {
    worded(400, 10043, format_args!("sequence {seq} not found"))
}

pub(crate) fn invalid_config(reason: impl Display) -> ApiError {
    worded(500, 10052, reason)
}

pub(crate) fn delete_failed(reason: impl Display) -> ApiError {
    worded(500, 10057, reason)
}

pub(crate) fn wrong_last_message_id(id: &str) -> ApiError {
    worded(400, 10070, format_args!("wrong last msg ID: {id}"))
}

pub(crate) fn wrong_last_sequence(seq: u64) -> ApiError {
    worded(400, 10071, format_args!("wrong last sequence: {seq}"))
}

pub(crate) fn store_failed(reason: impl Display) -> ApiError {
    worded(503, 10077, reason)
}

pub(crate) fn invalid_policy(reason: impl Display) -> ApiError {
    worded(400, 10094, reason)
}

pub(crate) fn name_too_long(max: usize) -> ApiError {
    worded(400, 10102, format_args!("consumer name is too long, maximum allowed is {max}"))
}

pub(crate) fn description_too_long(max: usize) -> ApiError {
    worded(400, 10107, format_args!("consumer description is too long, maximum allowed is {max}"))
}

pub(crate) fn purge_failed(reason: impl Display) -> ApiError {
    worded(500, 10110, reason)
}

pub(crate) fn rollup_failed(reason: impl Display) -> ApiError {
    worded(500, 10111, reason)
}

pub(crate) fn max_ack_pending_excess(limit: i64) -> ApiError {
    worded(400, 10121, format_args!("consumer max ack pending exceeds system limit of {limit}"))
}

pub(crate) fn invalid_reset(reason: impl Display) -> ApiError {
    worded(400, 10204, format_args!("invalid reset: {reason}"))
}

pub(crate) fn metadata_too_long() -> ApiError {
    worded(400, 10135, "consumer metadata exceeds maximum size of 128KB")
}

pub(crate) fn inactive_threshold_excess(limit: impl Display) -> ApiError {
    worded(400, 10153, format_args!("consumer inactive threshold exceeds system limit of {limit}"))
}

pub(crate) fn pedantic(reason: impl Display) -> ApiError {
    worded(400, 10157, format_args!("pedantic mode: {reason}"))
}

/// A setting that nats-server has and this broker has not: refused by name, never dropped.
pub(crate) fn unsupported_stream_field(field: &str) -> ApiError {
    worded(500, 10052, format_args!("stream configuration: {field} is not supported by this broker"))
}

pub(crate) fn unsupported_consumer_field(field: &str) -> ApiError {
    worded(500, 10012, format_args!("consumer configuration: {field} is not supported by this broker"))
}
