//! Events: what a service author sees of them ([`Event`], [`Recorded`]) and how they are stored (`Envelope`,
//! CloudEvents 1.0 JSON).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::schema::{Schema, Wire};
use crate::{Failure, Reaction, Writer};

/// Events larger than this are refused when they are appended.
pub const MAX_BYTES: usize = 512 * 1024;

/// The events of one kind of entity: the variant `<entity>-event` in the `events` interface of its service's WIT.
pub trait Event: Wire + Serialize + DeserializeOwned {
    /// The entity that these events are about, the first word of `post.created.v1`.
    const OF: &'static str;

    /// The version of the contract: of the event's cases and of the entity's state, the last word of
    /// `post.created.v1`. Count it up when a stored event or state would no longer be read as it is, and teach
    /// [`upcast`](Self::upcast) the difference.
    const SCHEMA: u32 = 1;

    /// Rewrites one event from `old.schema` to the version after it. Called before any handler sees the event,
    /// once for each version between: for live events, replayed ones and dead letters alike. It must depend on
    /// nothing but `old`.
    fn upcast(old: &mut Old) -> Result<(), String> {
        Err(format!("nobody taught {} to read version {}", Self::OF, old.schema))
    }
}

/// `post.created.v1`.
pub(crate) fn kind(of: &str, case: &str, schema: u32) -> String {
    format!("{of}.{case}.v{schema}")
}

/// The events that a function takes.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    pub(crate) of: &'static str,
    pub(crate) schema: u32,
    pub(crate) events: &'static Schema,
}

impl Followed {
    const fn of<E: Event>() -> Self {
        Self { of: E::OF, schema: E::SCHEMA, events: E::JSON }
    }

    /// By a function that writes read models, as its type says.
    #[doc(hidden)]
    pub const fn by<E: Event>(_: &impl Fn(&Recorded<E>, &Writer<'_>) -> Result<(), Failure>) -> Self {
        Self::of::<E>()
    }

    /// By a function that reacts.
    #[doc(hidden)]
    pub const fn by_reaction<E: Event>(_: &impl Fn(&Recorded<E>, &Reaction) -> Result<(), Failure>) -> Self {
        Self::of::<E>()
    }
}

/// An event as it was written by an older version of its service.
#[derive(Debug, Clone, PartialEq)]
pub struct Old {
    pub schema: u32,
    /// The variant's case, as in WIT but in snake_case.
    pub case: String,
    pub data: Value,
    /// The entity after the event.
    pub state: Value,
}

/// An event that happened.
#[derive(Debug, Clone)]
pub struct Recorded<E> {
    pub id: String,
    /// The entity it happened to.
    pub entity: String,
    /// Which event of its entity it is, from 1.
    pub version: u64,
    /// Its place in the log of its service; later events have higher ones.
    pub seq: u64,
    pub time: String,
    pub actor: Option<String>,
    pub data: E,
    /// JSON, in today's shape.
    pub(crate) state: Box<RawValue>,
}

impl<E> Recorded<E> {
    /// The entity after this event.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T, Undecodable> {
        read(&self.state)
            .map_err(|error| Undecodable::Broken(format!("state after event {}: {error}", self.id)))
    }
}

/// Something stored that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecodable {
    /// Trying again will not help.
    Broken(String),
    /// A newer version of this code can read it.
    Newer(String),
}

impl std::fmt::Display for Undecodable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Broken(what) | Self::Newer(what)) = self;
        f.write_str(what)
    }
}

/// An event as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    specversion: String,
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: String,
    pub time: String,
    datacontenttype: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    pub version: u64,
    pub state: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What was asked for when this event created its entity: the digest by which a repeated request is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Its place in the log, if it was read from there.
    #[serde(skip)]
    pub seq: u64,
}

/// The parts of an envelope that differ from event to event.
pub(crate) struct Draft<'a, E, S> {
    pub service: &'a str,
    pub entity: &'a str,
    pub version: u64,
    pub event: &'a E,
    pub state: &'a S,
    pub request: Option<String>,
    pub cx: &'a crate::Context,
}

/// How serde writes a variant with payloads.
#[derive(Serialize, Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    case: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

impl Envelope {
    pub fn new<E: Event, S: Serialize>(draft: Draft<'_, E, S>) -> Result<Self, serde_json::Error> {
        let Tagged { case, data } = serde_json::from_slice(&serde_json::to_vec(draft.event)?)?;
        Ok(Self {
            specversion: "1.0".to_owned(),
            id: crate::id::unique(),
            source: format!("/{}", draft.service),
            kind: kind(E::OF, &case, E::SCHEMA),
            subject: draft.entity.to_owned(),
            time: draft.cx.now(),
            datacontenttype: "application/json".to_owned(),
            data,
            version: draft.version,
            state: RawValue::from_string(serde_json::to_string(draft.state)?)?,
            traceparent: Some(draft.cx.trace().to_string()),
            causation: draft.cx.causation.clone(),
            actor: draft.cx.caller.clone(),
            request: draft.request,
            seq: 0,
        })
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, Undecodable> {
        let envelope: Self = serde_json::from_slice(bytes)
            .map_err(|error| Undecodable::Broken(format!("not an event: {error}")))?;
        if envelope.specversion != "1.0" {
            return Err(Undecodable::Broken(format!("CloudEvents {:?} is not 1.0", envelope.specversion)));
        }
        Ok(envelope)
    }

    /// The kind of entity, the case and the version of the contract: `post`, `created`, 1.
    pub fn kind(&self) -> Result<(&str, &str, u32), Undecodable> {
        let mut words = self.kind.split('.');
        let parts =
            (words.next(), words.next(), words.next().and_then(|v| v.strip_prefix('v')), words.next());
        if let (Some(of), Some(case), Some(schema), None) = parts
            && let Ok(schema) = schema.parse()
        {
            return Ok((of, case, schema));
        }
        Err(Undecodable::Broken(format!("type {:?} is not <entity>.<case>.v<n>", self.kind)))
    }

    /// Only the state after the event.
    pub fn state<E: Event, S: DeserializeOwned>(&self) -> Result<S, Undecodable> {
        let state = if self.is_of_today::<E>()? { self.state.clone() } else { self.upcast::<E>()?.1 };
        read(&state).map_err(|error| self.undecodable("state", &error))
    }

    /// The event as handlers see it.
    pub fn decode<E: Event>(self, seq: u64) -> Result<Recorded<E>, Undecodable> {
        let (tagged, state) = if self.is_of_today::<E>()? {
            let (_, case, _) = self.kind()?;
            (Tagged { case: case.to_owned(), data: self.data.clone() }, self.state.clone())
        } else {
            self.upcast::<E>()?
        };
        let data = serde_json::to_vec(&tagged)
            .and_then(|tagged| serde_json::from_slice(&tagged))
            .map_err(|error| self.undecodable("data", &error))?;
        let Self { id, subject: entity, version, time, actor, .. } = self;
        Ok(Recorded { id, entity, version, seq, time, actor, data, state })
    }

    /// Whether the event was written in today's version of its contract.
    fn is_of_today<E: Event>(&self) -> Result<bool, Undecodable> {
        let (of, _, schema) = self.kind()?;
        if of == E::OF && (1..=E::SCHEMA).contains(&schema) {
            return Ok(schema == E::SCHEMA);
        }
        let what = format!("type {} is not among {}.*.v1 to v{}", self.kind, E::OF, E::SCHEMA);
        Err(if of == E::OF && schema > E::SCHEMA {
            Undecodable::Newer(what)
        } else {
            Undecodable::Broken(what)
        })
    }

    /// The event and the state after it, brought from an older version to today's.
    fn upcast<E: Event>(&self) -> Result<(Tagged, Box<RawValue>), Undecodable> {
        let (_, case, schema) = self.kind()?;
        let value = |raw: &RawValue| read::<Value>(raw).map_err(|error| self.undecodable("JSON", &error));
        let data = self.data.as_deref().map_or(Ok(Value::Null), value)?;
        let mut old = Old { schema, case: case.to_owned(), data, state: value(&self.state)? };
        while old.schema < E::SCHEMA {
            let from = old.schema;
            E::upcast(&mut old).map_err(|why| self.undecodable("upcast", &why))?;
            old.schema = from + 1;
        }
        let raw = |value: &Value| {
            RawValue::from_string(value.to_string()).map_err(|error| self.undecodable("upcast", &error))
        };
        let data = if old.data.is_null() { None } else { Some(raw(&old.data)?) };
        Ok((Tagged { case: old.case, data }, raw(&old.state)?))
    }

    fn undecodable(&self, part: &str, why: &dyn std::fmt::Display) -> Undecodable {
        Undecodable::Broken(format!("{part} of event {} ({}): {why}", self.id, self.kind))
    }
}

/// Everything is read from bytes: one reader for all types keeps components small.
fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_slice(raw.get().as_bytes())
}
