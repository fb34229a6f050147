//! The configuration of a stream: read from JSON, checked, written as JSON, with nats-server's defaults and rules.

use std::collections::BTreeMap;

use serde::Serialize;

use super::errors::{self, ApiError};
use super::json::Object;
use crate::Pattern;

/// The release of nats-server whose answers these are.
pub(crate) const COMPATIBLE_VERSION: &str = "2.15.1";
pub(crate) const SERVER_ID: &str = "TRELLIS";
/// Its level of the JetStream API.
pub(crate) const API_LEVEL: u32 = 5;

pub(crate) const NAME_LEN_MAX: usize = 255;
pub(crate) const DESCRIPTION_LEN_MAX: usize = 4 * 1024;
pub(crate) const METADATA_LEN_MAX: usize = 128 * 1024;
const SUBJECTS_MAX: usize = 1024;
const REPLICAS_MAX: i64 = 5;
const DUPLICATE_WINDOW_DEFAULT: i64 = 120 * 1_000_000_000;
const MILLIS_100: i64 = 100 * 1_000_000;

pub(crate) const REQUIRED_LEVEL: &str = "_nats.req.level";

/// What happens to an append that would exceed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Discard {
    Old,
    New,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ConsumerLimits {
    #[serde(skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
}

/// The fields are in the order in which nats-server writes them. Durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StreamConfig {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    pub retention: &'static str,
    pub max_consumers: i64,
    pub max_msgs: i64,
    pub max_bytes: i64,
    pub max_age: i64,
    pub max_msgs_per_subject: i64,
    #[serde(skip_serializing_if = "is_zero_i32")]
    pub max_msg_size: i32,
    pub discard: Discard,
    pub storage: &'static str,
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate_window: i64,
    pub compression: &'static str,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub first_seq: u64,
    pub allow_direct: bool,
    pub mirror_direct: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    pub sealed: bool,
    pub deny_delete: bool,
    pub deny_purge: bool,
    pub allow_rollup_hdrs: bool,
    pub consumer_limits: ConsumerLimits,
    pub allow_msg_ttl: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A request to create or change a stream.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    pub config: StreamConfig,
    pub pedantic: bool,
    /// The first setting that this broker does not have.
    unsupported: Option<&'static str>,
}

/// What nats-server can do for a stream and this broker cannot, by field.
const UNSUPPORTED: [&str; 10] = [
    "placement",
    "mirror",
    "sources",
    "subject_transform",
    "republish",
    "subject_delete_marker_ttl",
    "allow_msg_counter",
    "allow_atomic",
    "allow_msg_schedules",
    "allow_batched",
];

impl StreamRequest {
    pub fn parse(payload: &[u8]) -> Result<StreamRequest, ApiError> {
        let mut json = Object::parse(payload, "StreamConfigRequest")?;
        let (config, unsupported) = read_fields(&mut json);
        let pedantic = json.bool("pedantic");
        json.finish()?;
        Ok(StreamRequest { config, pedantic, unsupported })
    }

    /// Fills in defaults and checks everything that can be checked without looking at other streams.
    pub fn check(self) -> Result<StreamConfig, ApiError> {
        let config = with_defaults(self.config, self.pedantic)?;
        if let Some(field) = self.unsupported {
            return Err(errors::unsupported_stream_field(field));
        }
        check_limits(&config)?;
        check_subjects(&config)?;
        Ok(config)
    }
}

fn read_fields(json: &mut Object) -> (StreamConfig, Option<&'static str>) {
    let mut unsupported = None;
    for field in UNSUPPORTED {
        if json.is_set(field) {
            unsupported.get_or_insert(field);
        }
    }
    let mut words = |field: &'static str, words: &[(&str, bool)]| {
        if !json.one_of(field, words, true) {
            unsupported.get_or_insert(field);
        }
    };
    words("retention", &[("limits", true), ("interest", false), ("workqueue", false)]);
    words("storage", &[("file", true), ("memory", false)]);
    words("persist_mode", &[("default", true), ("", true), ("async", false)]);
    let algorithms = [("none", true), ("s2", false)];
    if !json.one_of_or("compression", &algorithms, true, |_| "unknown compression algorithm".to_owned()) {
        unsupported.get_or_insert("compression");
    }
    let mut limits = json.object("consumer_limits");
    let consumer_limits = ConsumerLimits {
        inactive_threshold: limits.nanos("inactive_threshold"),
        max_ack_pending: limits.int("max_ack_pending"),
    };
    json.absorb(limits);
    let config = StreamConfig {
        name: json.string("name"),
        description: json.string("description"),
        subjects: json.strings("subjects"),
        retention: "limits",
        max_consumers: json.int("max_consumers"),
        max_msgs: json.i64("max_msgs"),
        max_bytes: json.i64("max_bytes"),
        max_age: json.nanos("max_age"),
        max_msgs_per_subject: json.i64("max_msgs_per_subject"),
        max_msg_size: json.i32("max_msg_size"),
        discard: json.one_of("discard", &[("old", Discard::Old), ("new", Discard::New)], Discard::Old),
        storage: "file",
        num_replicas: json.int("num_replicas"),
        no_ack: json.bool("no_ack"),
        duplicate_window: json.nanos("duplicate_window"),
        compression: "none",
        first_seq: json.u64("first_seq"),
        allow_direct: json.bool("allow_direct"),
        mirror_direct: json.bool("mirror_direct"),
        discard_new_per_subject: json.bool("discard_new_per_subject"),
        sealed: json.bool("sealed"),
        deny_delete: json.bool("deny_delete"),
        deny_purge: json.bool("deny_purge"),
        allow_rollup_hdrs: json.bool("allow_rollup_hdrs"),
        consumer_limits,
        allow_msg_ttl: json.bool("allow_msg_ttl"),
        metadata: json.string_map("metadata"),
    };
    (config, unsupported)
}

/// Counts that are zero or negative mean "no limit", written -1.
fn with_defaults(mut config: StreamConfig, pedantic: bool) -> Result<StreamConfig, ApiError> {
    if !is_asset_name(&config.name) {
        let rule = r"stream name is required and can not contain '.', '*', '>', '\', '/'";
        return Err(errors::invalid_config(rule));
    }
    let unlimited = |value: &mut i64, field: &str| {
        if pedantic && *value < -1 {
            return Err(errors::pedantic(format_args!("{field} must be set to -1")));
        }
        if *value < 1 {
            *value = -1;
        }
        Ok(())
    };
    if config.num_replicas == 0 {
        config.num_replicas = 1;
    }
    unlimited(&mut config.max_msgs, "max_msgs")?;
    unlimited(&mut config.max_msgs_per_subject, "max_msgs_per_subject")?;
    unlimited(&mut config.max_bytes, "max_bytes")?;
    let mut size = i64::from(config.max_msg_size);
    unlimited(&mut size, "max_msg_size")?;
    config.max_msg_size = i32::try_from(size).unwrap_or(-1);
    unlimited(&mut config.max_consumers, "max_consumers")?;
    if config.duplicate_window == 0 {
        let age_is_less = config.max_age > 0 && config.max_age < DUPLICATE_WINDOW_DEFAULT;
        if age_is_less && pedantic {
            return Err(errors::pedantic("duplicate window cannot be bigger than max age"));
        }
        config.duplicate_window = if age_is_less { config.max_age } else { DUPLICATE_WINDOW_DEFAULT };
    }
    if config.subjects.is_empty() {
        config.subjects.push(config.name.clone());
    }
    config.metadata.retain(|name, _| name != "_nats.ver" && name != "_nats.level");
    let level = if config.allow_msg_ttl { "1" } else { "0" };
    config.metadata.insert(REQUIRED_LEVEL.to_owned(), level.to_owned());
    Ok(config)
}

fn check_limits(config: &StreamConfig) -> Result<(), ApiError> {
    let metadata_len: usize = config.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    let age = config.max_age;
    let window = config.duplicate_window;
    let per_subject = config.discard_new_per_subject;
    let refuse = |when: bool, reason: &str| if when { Err(errors::invalid_config(reason)) } else { Ok(()) };
    refuse(config.name.len() > NAME_LEN_MAX, "stream name is too long, maximum allowed is 255")?;
    let long = config.description.len() > DESCRIPTION_LEN_MAX;
    refuse(long, "stream description is too long, maximum allowed is 4096")?;
    refuse(metadata_len > METADATA_LEN_MAX, "stream metadata exceeds maximum size of 131072 bytes")?;
    refuse(config.num_replicas > REPLICAS_MAX, "maximum replicas is 5")?;
    if config.num_replicas < 0 {
        return Err(errors::NEGATIVE_REPLICAS);
    }
    refuse(age < 0, "max age can not be negative")?;
    refuse(age != 0 && age < MILLIS_100, "max age needs to be >= 100ms")?;
    refuse(window < 0, "duplicates window can not be negative")?;
    refuse(age != 0 && window > age, "duplicates window can not be larger then max age")?;
    refuse(window < MILLIS_100, "duplicates window needs to be >= 100ms")?;
    refuse(config.deny_purge && config.allow_rollup_hdrs, "roll-ups require the purge permission")?;
    let discards_old = config.discard != Discard::New;
    refuse(per_subject && discards_old, "discard new per subject requires discard new policy to be set")?;
    let unlimited = config.max_msgs_per_subject < 1;
    refuse(per_subject && unlimited, "discard new per subject requires max msgs per subject > 0")
}

fn check_subjects(config: &StreamConfig) -> Result<(), ApiError> {
    if config.subjects.len() > SUBJECTS_MAX {
        return Err(errors::invalid_config(format_args!("more than {SUBJECTS_MAX} subjects")));
    }
    let mut checked: Vec<Pattern> = Vec::with_capacity(config.subjects.len());
    for text in &config.subjects {
        let pattern = Pattern::new(text).map_err(|_| errors::invalid_config("invalid subject"))?;
        check_reserved(config, &pattern)?;
        checked.push(pattern);
    }
    for (position, ours) in checked.iter().enumerate() {
        let later = checked.iter().skip(position + 1);
        if let Some(other) = later.into_iter().find(|other| other.collides_with(ours)) {
            let reason = format!("subject \"{ours}\" overlaps with \"{other}\"");
            return Err(errors::invalid_config(reason));
        }
    }
    Ok(())
}

fn check_reserved(config: &StreamConfig, pattern: &Pattern) -> Result<(), ApiError> {
    if config.no_ack {
        return Ok(());
    }
    if pattern.as_str() == ">" {
        return Err(errors::invalid_config("capturing all subjects requires no-ack to be true"));
    }
    let within = |outer: &str| Pattern::new(outer).is_ok_and(|outer| pattern.is_subset_of(&outer));
    let touches = |outer: &str| Pattern::new(outer).is_ok_and(|outer| pattern.collides_with(&outer));
    if ["$JS.>", "$JSC.>", "$NRG.>"].into_iter().any(touches) && !within("$JS.EVENT.>") {
        let reason = "subjects that overlap with jetstream api require no-ack to be true";
        return Err(errors::invalid_config(reason));
    }
    if touches("$SYS.>") && !within("$SYS.ACCOUNT.>") {
        let reason = "subjects that overlap with system api require no-ack to be true";
        return Err(errors::invalid_config(reason));
    }
    Ok(())
}

impl StreamConfig {
    pub fn patterns(&self) -> Vec<Pattern> {
        self.subjects.iter().filter_map(|text| Pattern::new(text).ok()).collect()
    }

    /// The configuration with what nats-server adds to it in most answers.
    pub fn with_server_metadata(&self) -> StreamConfig {
        let mut config = self.clone();
        config.metadata.extend(server_metadata());
        config
    }

    /// Checks a change. A sealed stream is frozen as nats-server freezes it.
    pub fn check_update(&self, mut new: StreamConfig) -> Result<StreamConfig, ApiError> {
        let refuse =
            |when: bool, reason: &str| if when { Err(errors::invalid_config(reason)) } else { Ok(()) };
        if new.num_replicas > 1 {
            return Err(errors::REPLICAS_NOT_SUPPORTED);
        }
        let unseals = !new.sealed && self.sealed;
        refuse(unseals, "stream configuration update can not unseal a sealed stream")?;
        let allows_delete = !new.deny_delete && self.deny_delete;
        refuse(allows_delete, "stream configuration update can not cancel deny message deletes")?;
        let allows_purge = !new.deny_purge && self.deny_purge;
        refuse(allows_purge, "stream configuration update can not cancel deny purge")?;
        let forgets_ttl = !new.allow_msg_ttl && self.allow_msg_ttl;
        refuse(forgets_ttl, "message TTL status can not be disabled")?;
        if new.sealed {
            new.max_age = 0;
            new.discard = Discard::New;
            new.deny_delete = true;
            new.deny_purge = true;
            new.allow_rollup_hdrs = false;
        }
        Ok(new)
    }
}

pub(crate) fn server_metadata() -> [(String, String); 2] {
    [
        ("_nats.ver".to_owned(), COMPATIBLE_VERSION.to_owned()),
        ("_nats.level".to_owned(), API_LEVEL.to_string()),
    ]
}

/// Whether a text may name a stream or consumer: one token of a subject that is no path either.
pub(crate) fn is_asset_name(name: &str) -> bool {
    let bad = |c: char| matches!(c, '.' | '*' | '>' | '\\' | '/') || c.is_whitespace() || c.is_control();
    !name.is_empty() && !name.contains(bad)
}

pub(crate) fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_zero_i32(value: &i32) -> bool {
    *value == 0
}

pub(crate) fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// Whether two sets of patterns have a subject in common.
pub(crate) fn collide(ours: &[Pattern], theirs: &[Pattern]) -> bool {
    ours.iter().any(|our| theirs.iter().any(|their| our.collides_with(their)))
}
