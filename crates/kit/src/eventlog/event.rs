//! Events, as the author of a service sees them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::schema::Wire;
use crate::undecodable::Undecodable;

pub use crate::limits::EVENT_MAX as MAX_BYTES;

/// The events of one kind of entity: the variant `<entity>-event` in the `events` interface of its service's WIT.
pub trait Event: Wire + Serialize + DeserializeOwned {
    /// The entity that these events are about, the first word of `post.created.v1`.
    const OF: &'static str;

    /// The version of the contract: of the event's cases and of the entity's state, the last word of
    /// `post.created.v1`. Count it up when a stored event or state would no longer be read as it is, and teach
    /// [`upcast`](Self::upcast) the difference.
    const SCHEMA: u32 = 1;

    /// Rewrites one event from `old.schema` to the version after it. Called before any handler sees the event,
    /// once for each version between: for live events, those of a rebuild and dead letters alike. It must depend on
    /// nothing but `old`.
    fn upcast(old: &mut Old) -> Result<(), String> {
        Err(format!("nobody taught {} to read version {}", Self::OF, old.schema))
    }
}

/// `post.created.v1`.
pub(crate) fn kind(of: &str, case: &str, schema: u32) -> String {
    format!("{of}.{case}.v{schema}")
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
        read(&self.state).map_err(|error| Undecodable::shape(format!("state after event {}", self.id), error))
    }
}

/// Everything is read from bytes: one reader for all types keeps components small.
pub(super) fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_slice(raw.get().as_bytes())
}
