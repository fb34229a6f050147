//! The configuration of a consumer: read from JSON, checked, written as JSON, with nats-server's defaults and rules.

use std::collections::BTreeMap;

use serde::Serialize;
use trellis_subjects::has_wildcard;

use super::config::{self, StreamConfig, is_false, is_zero, is_zero_u64};
use super::date;
use super::errors::{self, ApiError};
use super::json::Object;
use crate::Pattern;

const ACK_WAIT_DEFAULT: i64 = 30 * 1_000_000_000;
const ACK_PENDING_DEFAULT: i64 = 1_000;
const WAITING_DEFAULT: i64 = 512;
const MILLISECOND: i64 = 1_000_000;
const FILTERS_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliverPolicy {
    All,
    Last,
    New,
    ByStartSequence,
    ByStartTime,
    LastPerSubject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AckPolicy {
    None,
    All,
    Explicit,
}

/// The fields are in the order in which nats-server writes them. Durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ConsumerConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub durable_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "write_date")]
    pub opt_start_time: Option<i64>,
    pub ack_policy: AckPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub ack_wait: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_deliver: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    pub replay_policy: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_waiting: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_batch: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_expires: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_bytes: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_group: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub idle_heartbeat: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    CreateOrUpdate,
    Create,
    Update,
}

/// A request to create or change a consumer.
#[derive(Debug)]
pub(crate) struct ConsumerRequest {
    pub stream_name: String,
    pub config: ConsumerConfig,
    pub action: Action,
    pub pedantic: bool,
    unsupported: Option<&'static str>,
}

/// What nats-server can do for a consumer and this broker cannot, by field.
const UNSUPPORTED: [&str; 8] = [
    "rate_limit_bps",
    "sample_freq",
    "direct",
    "sourcing",
    "pause_until",
    "priority_groups",
    "priority_policy",
    "priority_timeout",
];

impl ConsumerRequest {
    pub fn parse(payload: &[u8]) -> Result<ConsumerRequest, ApiError> {
        let mut json = Object::parse(payload, "CreateConsumerRequest")?;
        let stream_name = json.string("stream_name");
        let actions = [("", Action::CreateOrUpdate), ("create", Action::Create), ("update", Action::Update)];
        let action = json.one_of_or("action", &actions, Action::CreateOrUpdate, |value| {
            format!("unknown consumer action: {value}")
        });
        let pedantic = json.bool("pedantic");
        let mut fields = json.object("config");
        let (config, unsupported) = read_fields(&mut fields);
        json.absorb(fields);
        json.finish()?;
        Ok(ConsumerRequest { stream_name, config, action, pedantic, unsupported })
    }

    /// Fills in defaults and checks everything that can be checked without looking at other consumers.
    pub fn check(mut self, stream: &StreamConfig) -> Result<ConsumerConfig, ApiError> {
        if self.pedantic {
            self.config.check_pedantic(stream)?;
        }
        self.config.fill_in(stream);
        self.config.check_shape(stream)?;
        self.config.check_delivery(stream)?;
        self.config.check_filters()?;
        self.config.check_start()?;
        self.config.check_names()?;
        if let Some(field) = self.unsupported {
            return Err(errors::unsupported_consumer_field(field));
        }
        self.config.metadata.retain(|name, _| name != "_nats.ver" && name != "_nats.level");
        self.config.metadata.insert(config::REQUIRED_LEVEL.to_owned(), "0".to_owned());
        Ok(self.config)
    }
}

fn read_fields(json: &mut Object) -> (ConsumerConfig, Option<&'static str>) {
    let mut unsupported = None;
    for field in UNSUPPORTED {
        if json.is_set(field) {
            unsupported.get_or_insert(field);
        }
    }
    if !json.one_of("replay_policy", &[("instant", true), ("original", false)], true) {
        unsupported.get_or_insert("replay_policy");
    }
    let policies = [
        ("all", DeliverPolicy::All),
        ("undefined", DeliverPolicy::All),
        ("last", DeliverPolicy::Last),
        ("new", DeliverPolicy::New),
        ("by_start_sequence", DeliverPolicy::ByStartSequence),
        ("by_start_time", DeliverPolicy::ByStartTime),
        ("last_per_subject", DeliverPolicy::LastPerSubject),
    ];
    let acks = [("none", AckPolicy::None), ("all", AckPolicy::All), ("explicit", AckPolicy::Explicit)];
    let config = ConsumerConfig {
        durable_name: json.string("durable_name"),
        name: json.string("name"),
        description: json.string("description"),
        deliver_policy: json.one_of("deliver_policy", &policies, DeliverPolicy::All),
        opt_start_seq: json.u64("opt_start_seq"),
        opt_start_time: json.date("opt_start_time"),
        ack_policy: json.one_of("ack_policy", &acks, AckPolicy::None),
        ack_wait: json.nanos("ack_wait"),
        max_deliver: json.int("max_deliver"),
        backoff: json.all_nanos("backoff"),
        filter_subject: json.string("filter_subject"),
        filter_subjects: json.strings("filter_subjects"),
        replay_policy: "instant",
        max_waiting: json.int("max_waiting"),
        max_ack_pending: json.int("max_ack_pending"),
        flow_control: json.bool("flow_control"),
        headers_only: json.bool("headers_only"),
        max_batch: json.int("max_batch"),
        max_expires: json.nanos("max_expires"),
        max_bytes: json.int("max_bytes"),
        deliver_subject: json.string("deliver_subject"),
        deliver_group: json.string("deliver_group"),
        idle_heartbeat: json.nanos("idle_heartbeat"),
        inactive_threshold: json.nanos("inactive_threshold"),
        num_replicas: json.int("num_replicas"),
        mem_storage: json.bool("mem_storage"),
        metadata: json.string_map("metadata"),
    };
    (config, unsupported)
}

impl ConsumerConfig {
    /// Reads a configuration that was stored.
    pub fn parse_stored(json: &[u8]) -> Result<ConsumerConfig, ApiError> {
        let mut json = Object::parse(json, "ConsumerConfig")?;
        let (config, _) = read_fields(&mut json);
        json.finish()?;
        Ok(config)
    }

    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// What the consumer gets; everything, if nothing is named.
    pub fn filters(&self) -> Vec<Pattern> {
        let one = (!self.filter_subject.is_empty()).then_some(&self.filter_subject);
        let filters: Vec<_> =
            one.into_iter().chain(&self.filter_subjects).filter_map(|text| Pattern::new(text).ok()).collect();
        if filters.is_empty() { Pattern::new(">").into_iter().collect() } else { filters }
    }

    pub fn has_filter(&self) -> bool {
        !self.filter_subject.is_empty() || !self.filter_subjects.is_empty()
    }

    /// How long the attempt with this number (from 1) may take, in nanoseconds.
    pub fn ack_wait_of_attempt(&self, attempt: u32) -> i64 {
        let position = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.backoff.get(position).or(self.backoff.last()).copied().unwrap_or(self.ack_wait)
    }

    pub fn with_server_metadata(&self) -> ConsumerConfig {
        let mut config = self.clone();
        config.metadata.extend(config::server_metadata());
        config
    }

    fn check_pedantic(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let negative = [
            (self.max_deliver < -1, "max_deliver must be set to -1"),
            (self.max_waiting < 0, "max_waiting must not be negative"),
            (self.max_ack_pending < -1, "max_ack_pending must be set to -1"),
            (self.max_batch < 0, "max_batch must not be negative"),
            (self.max_expires < 0, "max_expires must not be negative"),
            (self.max_bytes < 0, "max_bytes must not be negative"),
            (self.idle_heartbeat < 0, "idle_heartbeat must not be negative"),
            (self.inactive_threshold < 0, "inactive_threshold must not be negative"),
            (
                self.backoff.first().is_some_and(|first| *first != self.ack_wait),
                "first backoff value has to equal batch AckWait",
            ),
            (
                self.max_ack_pending == 0 && stream.consumer_limits.max_ack_pending > 0,
                "max_ack_pending must be set if it's configured in stream limits",
            ),
            (
                self.inactive_threshold == 0 && stream.consumer_limits.inactive_threshold > 0,
                "inactive_threshold must be set if it's configured in stream limits",
            ),
        ];
        match negative.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, reason)) => Err(errors::pedantic(reason)),
            None => Ok(()),
        }
    }

    fn fill_in(&mut self, stream: &StreamConfig) {
        if self.max_deliver < 1 {
            self.max_deliver = -1;
        }
        self.max_ack_pending = self.max_ack_pending.max(-1);
        for value in [
            &mut self.max_waiting,
            &mut self.max_batch,
            &mut self.max_expires,
            &mut self.max_bytes,
            &mut self.idle_heartbeat,
            &mut self.inactive_threshold,
        ] {
            *value = (*value).max(0);
        }
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = WAITING_DEFAULT;
        }
        if self.ack_wait == 0 && self.ack_policy != AckPolicy::None {
            self.ack_wait = ACK_WAIT_DEFAULT;
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.max_ack_pending == 0 {
            self.max_ack_pending = stream.consumer_limits.max_ack_pending;
        }
        if self.inactive_threshold == 0 {
            self.inactive_threshold = stream.consumer_limits.inactive_threshold;
        }
        if self.max_ack_pending == 0 && self.ack_policy != AckPolicy::None {
            self.max_ack_pending = ACK_PENDING_DEFAULT;
        }
    }

    fn check_shape(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if !self.name.is_empty() && !config::is_asset_name(&self.name) {
            return Err(errors::invalid_config(r"consumer name can not contain '.', '*', '>', '\', '/'"));
        }
        if self.is_durable() && !config::is_asset_name(&self.durable_name) {
            let reason = r"consumer durable name can not contain '.', '*', '>', '\', '/'";
            return Err(errors::invalid_config(reason));
        }
        if self.num_replicas > stream.num_replicas {
            return Err(errors::CONSUMER_REPLICAS);
        }
        if self.num_replicas < 0 {
            return Err(errors::NEGATIVE_REPLICAS);
        }
        if self.backoff.iter().any(|wait| *wait < 0) {
            return Err(errors::BACKOFF_NEGATIVE);
        }
        if self.ack_wait < 0 {
            return Err(errors::ACK_WAIT_NEGATIVE);
        }
        let backoffs = i64::try_from(self.backoff.len()).unwrap_or(i64::MAX);
        if self.max_deliver != -1 && backoffs > self.max_deliver {
            return Err(errors::MAX_DELIVER_BACKOFF);
        }
        if self.description.len() > config::DESCRIPTION_LEN_MAX {
            return Err(errors::description_too_long(config::DESCRIPTION_LEN_MAX));
        }
        Ok(())
    }

    fn check_delivery(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if self.is_push() {
            self.check_push(stream)?
        } else {
            self.check_pull()?
        }
        let limits = stream.consumer_limits;
        if limits.max_ack_pending > 0 && self.max_ack_pending > limits.max_ack_pending {
            return Err(errors::max_ack_pending_excess(limits.max_ack_pending));
        }
        if limits.inactive_threshold > 0 && self.inactive_threshold > limits.inactive_threshold {
            let seconds = limits.inactive_threshold / 1_000_000_000;
            return Err(errors::inactive_threshold_excess(format_args!("{seconds}s")));
        }
        Ok(())
    }

    fn check_push(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if has_wildcard(&self.deliver_subject) {
            return Err(errors::DELIVER_TO_WILDCARDS);
        }
        let Ok(deliver) = Pattern::new(&self.deliver_subject) else {
            return Err(errors::INVALID_DELIVER_SUBJECT);
        };
        if stream.patterns().iter().any(|pattern| pattern.collides_with(&deliver)) {
            return Err(errors::DELIVER_CYCLE);
        }
        if self.max_waiting != 0 {
            return Err(errors::PUSH_MAX_WAITING);
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(errors::MAX_PENDING_NEEDS_ACKS);
        }
        if self.idle_heartbeat > 0 && self.idle_heartbeat < 100 * MILLISECOND {
            return Err(errors::SMALL_HEARTBEAT);
        }
        Ok(())
    }

    fn check_pull(&self) -> Result<(), ApiError> {
        if self.idle_heartbeat > 0 {
            return Err(errors::HEARTBEAT_NEEDS_PUSH);
        }
        if self.flow_control {
            return Err(errors::FLOW_CONTROL_NEEDS_PUSH);
        }
        if self.max_expires != 0 && self.max_expires < MILLISECOND {
            return Err(errors::MAX_EXPIRES_TOO_SMALL);
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return Err(errors::BOTH_FILTERS);
        }
        let bad = |text: &str| Pattern::new(text).is_err();
        if !self.filter_subject.is_empty() && bad(&self.filter_subject) {
            return Err(errors::invalid_config("invalid subject"));
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return Err(errors::EMPTY_FILTER);
        }
        if self.filter_subjects.len() > FILTERS_MAX {
            return Err(errors::invalid_config(format_args!("more than {FILTERS_MAX} filter subjects")));
        }
        if self.filter_subjects.iter().any(|text| bad(text)) {
            return Err(errors::invalid_config("invalid subject"));
        }
        let filters = self.filters();
        for (position, filter) in filters.iter().enumerate() {
            let mut others = filters.iter().enumerate().filter(|(other, _)| *other != position);
            if others.any(|(_, other)| filter.is_subset_of(other)) {
                return Err(errors::OVERLAPPING_FILTERS);
            }
        }
        Ok(())
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let has_seq = self.opt_start_seq > 0;
        let has_time = self.opt_start_time.is_some();
        let also_set = |policy: &str, start: &str| {
            let reason = format!(
                "consumer delivery policy is deliver {policy}, but optional start {start} is also set"
            );
            Err(errors::invalid_policy(reason))
        };
        let not_set = |policy: &str, what: &str| {
            let reason =
                format!("consumer delivery policy is deliver {policy}, but optional {what} is not set");
            Err(errors::invalid_policy(reason))
        };
        let policy = match self.deliver_policy {
            DeliverPolicy::All => "all",
            DeliverPolicy::Last => "last",
            DeliverPolicy::New => "new",
            DeliverPolicy::LastPerSubject => "last per subject",
            DeliverPolicy::ByStartSequence => "by start sequence",
            DeliverPolicy::ByStartTime => "by start time",
        };
        match self.deliver_policy {
            DeliverPolicy::ByStartSequence if !has_seq => not_set(policy, "start sequence"),
            DeliverPolicy::ByStartSequence if has_time => also_set(policy, "time"),
            DeliverPolicy::ByStartTime if !has_time => not_set(policy, "start time"),
            DeliverPolicy::ByStartTime if has_seq => also_set(policy, "start sequence"),
            DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => Ok(()),
            _ if has_seq => also_set(policy, "sequence"),
            _ if has_time => also_set(policy, "time"),
            DeliverPolicy::LastPerSubject if !self.has_filter() => not_set(policy, "filter subject"),
            _ => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), ApiError> {
        if self.flow_control && self.idle_heartbeat == 0 {
            return Err(errors::FLOW_CONTROL_NEEDS_HEARTBEATS);
        }
        if self.is_durable() && !self.name.is_empty() && self.name != self.durable_name {
            return Err(errors::DURABLE_AND_NAME_MISMATCH);
        }
        let metadata_len: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if metadata_len > config::METADATA_LEN_MAX {
            return Err(errors::metadata_too_long());
        }
        if self.name.len().max(self.durable_name.len()) > config::NAME_LEN_MAX {
            return Err(errors::name_too_long(config::NAME_LEN_MAX));
        }
        if self.is_durable() && self.mem_storage {
            return Err(errors::unsupported_consumer_field("mem_storage of a durable consumer"));
        }
        Ok(())
    }

    /// Checks a change of what is not free to change.
    pub fn check_update(&self, new: &ConsumerConfig, deliver_subject_in_use: bool) -> Result<(), ApiError> {
        let fixed = [
            (self.deliver_policy != new.deliver_policy, "deliver policy can not be updated"),
            (self.mem_storage != new.mem_storage, "storage type can not be updated"),
            (self.opt_start_seq != new.opt_start_seq, "start sequence can not be updated"),
            (self.opt_start_time != new.opt_start_time, "start time can not be updated"),
            (self.ack_policy != new.ack_policy, "ack policy can not be updated"),
            (self.idle_heartbeat != new.idle_heartbeat, "heart beats can not be updated"),
            (self.flow_control != new.flow_control, "flow control can not be updated"),
            (!self.is_push() && new.is_push(), "can not update pull consumer to push based"),
            (self.is_push() && !new.is_push(), "can not update push consumer to pull based"),
        ];
        if let Some((_, reason)) = fixed.into_iter().find(|(changed, _)| *changed) {
            return Err(errors::consumer_create(reason));
        }
        if self.deliver_subject != new.deliver_subject && deliver_subject_in_use {
            return Err(errors::CONSUMER_NAME_EXISTS);
        }
        if self.max_waiting != new.max_waiting {
            return Err(errors::consumer_create("max waiting can not be updated"));
        }
        Ok(())
    }
}

fn write_date<S: serde::Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(nanos) => serializer.serialize_str(&date::format(*nanos)),
        None => serializer.serialize_none(),
    }
}
