//! Events, as they are stored: CloudEvents 1.0 in JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::{Event, Old, Recorded, kind, read};
use crate::contract::types::Context;
use crate::id;
use crate::undecodable::Undecodable;

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
    /// By what a repeated request is known: the digest of what was asked for, if this event created its entity; the id that
    /// all attempts with one key share, if it happened [once](crate::Cx::once).
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
    pub cx: &'a Context,
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
            id: id::unique(),
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
            .map_err(|error| Undecodable::shape("not an event".to_owned(), error))?;
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
        read(&state).map_err(|error| self.unreadable("state", error))
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
            .map_err(|error| self.unreadable("data", error))?;
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
        let value = |raw: &RawValue| read::<Value>(raw).map_err(|error| self.unreadable("JSON", error));
        let data = self.data.as_deref().map_or(Ok(Value::Null), value)?;
        let mut old = Old { schema, case: case.to_owned(), data, state: value(&self.state)? };
        while old.schema < E::SCHEMA {
            let from = old.schema;
            E::upcast(&mut old)
                .map_err(|why| Undecodable::Broken(format!("{}: {why}", self.part("upcast"))))?;
            old.schema = from + 1;
        }
        let raw = |value: &Value| {
            RawValue::from_string(value.to_string()).map_err(|error| self.unreadable("upcast", error))
        };
        let data = if old.data.is_null() { None } else { Some(raw(&old.data)?) };
        Ok((Tagged { case: old.case, data }, raw(&old.state)?))
    }

    fn unreadable(&self, part: &str, error: serde_json::Error) -> Undecodable {
        Undecodable::shape(self.part(part), error)
    }

    /// A part of the event, for whoever reads that there is something wrong with it.
    fn part(&self, part: &str) -> String {
        format!("{part} of event {} ({})", self.id, self.kind)
    }
}
