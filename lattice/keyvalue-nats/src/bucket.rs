//! One bucket: a JetStream stream that keeps the newest message of each subject `$KV.<bucket>.<key>`.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::connection::{ApiError, ConnectError, Connection, Question};
use crate::error::{Error, Result};
use crate::settings::{Create, Settings};
use crate::turns::Turns;

/// As in the embedded host, so that a component that works on one works on the other.
pub const KEY_LEN_MAX: usize = 1024;
pub const BATCH_LEN_MAX: usize = 1000;

/// Requests of one batch that are under way at once.
const BATCH_WIDTH: usize = 32;

/// The key under which this provider says what it promises beyond the interface; it cannot be written. The kit of Trellis
/// looks for it (`crates/kit/src/platform/batch.rs`).
pub const PROMISE_KEY: &str = "provider/set-many";
/// What is found there: what [`Bucket::set_many`] does.
pub const LAST_AFTER_ALL: &str = "last-after-all";

/// The header by which NATS's own tools mark that a key was deleted.
pub(crate) const OPERATION: &str = "KV-Operation";
const EXPECTED_REVISION: &str = "Nats-Expected-Last-Subject-Sequence";

#[derive(Debug)]
pub struct Bucket {
    pub(crate) connection: Connection,
    pub(crate) name: String,
    pub(crate) stream: String,
    /// What comes before a key in the subject of its message.
    pub(crate) prefix: String,
    /// How long one call may take.
    pub(crate) limit: Duration,
    pub(crate) turns: Turns,
    create: Option<Create>,
    opened: Mutex<Option<Opened>>,
}

/// What is known of the stream once it has been seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// Whether it keeps older values of a key, too.
    pub(crate) has_history: bool,
    /// Whether many keys can be read with one request, and as they are: there is one copy, and it is asked for them.
    is_read_directly: bool,
}

/// A key's newest value, and the stream sequence at which it was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// None if it was deleted by somebody who leaves a marker.
    pub(crate) value: Option<Bytes>,
    pub(crate) revision: u64,
}

/// What became of a write that was only to happen if nobody else had written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    Done,
    Conflict,
}

impl Bucket {
    /// Does not wait for NATS; `limit` is for how long each call may try.
    pub async fn new(settings: &Settings, limit: Duration) -> std::result::Result<Self, ConnectError> {
        Ok(Self {
            connection: Connection::open(settings).await?,
            name: settings.bucket.clone(),
            stream: format!("KV_{}", settings.bucket),
            prefix: format!("$KV.{}.", settings.bucket),
            limit,
            turns: Turns::default(),
            create: settings.create,
            opened: Mutex::new(None),
        })
    }

    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.entry(key).await?.and_then(|entry| entry.value))
    }

    pub async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.get(key).await?.is_some())
    }

    pub async fn set(&self, key: &str, value: Bytes) -> Result<()> {
        match self.publish(key, value, None).await? {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refused("set a key", refusal).await),
        }
    }

    pub async fn delete(&self, key: &str) -> Result<()> {
        check_writable(key)?;
        self.open().await?;
        let subject = format!("{}.STREAM.PURGE.{}", self.connection.api(), self.stream);
        let filter = json!({ "filter": format!("{}{key}", self.prefix) });
        match self.ask::<Value>("delete a key", &subject, &filter).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(self.refused("delete a key", refusal).await),
        }
    }

    pub async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<(String, Bytes)>>> {
        check_batch(keys.len())?;
        keys.iter().try_for_each(|key| check_key(key))?;
        if !self.open().await?.is_read_directly {
            let each = keys.into_iter().map(|key| async move {
                let value = self.get(&key).await?;
                Ok(value.map(|value| (key, value)))
            });
            return stream::iter(each).buffered(BATCH_WIDTH).try_collect().await;
        }
        let values = self.get_direct(&keys).await?;
        let with_its_key = |(key, value): (String, Option<Bytes>)| match key.as_str() {
            PROMISE_KEY => Some((key, LAST_AFTER_ALL.into())),
            _ => Some((key, value?)),
        };
        Ok(keys.into_iter().zip(values).map(with_its_key).collect())
    }

    /// Sets all but the last entry, in any order, and once they all are set, the last. If one cannot be set, the last is not.
    pub async fn set_many(&self, mut entries: Vec<(String, Bytes)>) -> Result<()> {
        check_batch(entries.len())?;
        let Some((last, value)) = entries.pop() else { return Ok(()) };
        let each = entries.into_iter().map(|(key, value)| async move { self.set(&key, value).await });
        stream::iter(each).buffer_unordered(BATCH_WIDTH).try_collect::<()>().await?;
        self.set(&last, value).await
    }

    pub async fn delete_many(&self, keys: Vec<String>) -> Result<()> {
        check_batch(keys.len())?;
        let each = keys.into_iter().map(|key| async move { self.delete(&key).await });
        stream::iter(each).buffer_unordered(BATCH_WIDTH).try_collect().await
    }

    /// Finds the bucket, and creates it if it is missing and the link says so.
    pub(crate) async fn open(&self) -> Result<Opened> {
        let mut opened = self.opened.lock().await;
        if let Some(opened) = *opened {
            return Ok(opened);
        }
        let found = match self.find().await? {
            Some(found) => found,
            None => self.create().await?,
        };
        *opened = Some(found);
        Ok(found)
    }

    async fn find(&self) -> Result<Option<Opened>> {
        let subject = format!("{}.STREAM.INFO.{}", self.connection.api(), self.stream);
        match self.ask::<StreamInfo>("open the bucket", &subject, &json!({})).await? {
            Ok(info) => {
                let StreamInfo { config } = info;
                self.check(&config)?;
                Ok(Some(Opened {
                    has_history: config.max_msgs_per_subject != 1,
                    is_read_directly: config.allow_direct
                        && config.num_replicas <= 1
                        && config.mirror.is_none()
                        && self.connection.answers_for_many(),
                }))
            }
            Err(refusal) if refusal.code == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Err(refusal) => Err(failed("open the bucket", refusal)),
        }
    }

    /// That what is there can be this bucket. What it was made with is left as it is, and said if the link says otherwise.
    fn check(&self, found: &StreamConfig) -> Result<()> {
        let subjects = format!("{}>", self.prefix);
        // A mirror has none of its own.
        if !(found.subjects.is_empty() || found.subjects.contains(&subjects)) {
            let (stream, found) = (self.stream.clone(), found.subjects.join(", "));
            return Err(Error::OtherStream { stream, found, expected: subjects });
        }
        if let Some(Create { num_replicas }) =
            self.create.filter(|create| create.num_replicas != found.num_replicas)
        {
            warn!(
                "the bucket {} has {} replicas and the link says {num_replicas}; it stays as it is until \
                 `nats stream edit {} --replicas {num_replicas}`",
                self.name, found.num_replicas, self.stream
            );
        }
        Ok(())
    }

    async fn create(&self) -> Result<Opened> {
        let create = self.create.ok_or_else(|| Error::NoBucket { bucket: self.name.clone() })?;
        let subject = format!("{}.STREAM.CREATE.{}", self.connection.api(), self.stream);
        let config = json!({
            "name": self.stream,
            "subjects": [format!("{}>", self.prefix)],
            "max_msgs_per_subject": 1,
            "num_replicas": create.num_replicas,
            "storage": "file",
            "discard": "new",
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        });
        match self.ask::<Value>("create the bucket", &subject, &config).await? {
            Ok(_) => info!(bucket = self.name, "created a bucket"),
            // Somebody else was faster, with another idea of what it should be: that is theirs to say.
            Err(refusal) if refusal.code == ErrorCode::STREAM_NAME_EXIST => {}
            Err(refusal) => return Err(failed("create the bucket", refusal)),
        }
        self.find().await?.ok_or_else(|| Error::NoBucket { bucket: self.name.clone() })
    }

    pub(crate) async fn entry(&self, key: &str) -> Result<Option<Entry>> {
        if key == PROMISE_KEY {
            return Ok(Some(Entry { value: Some(LAST_AFTER_ALL.into()), revision: 0 }));
        }
        check_key(key)?;
        self.open().await?;
        // Of the leader, not "direct": a replica may be behind, and who reads, changes and writes would undo what it missed.
        let subject = format!("{}.STREAM.MSG.GET.{}", self.connection.api(), self.stream);
        let request = json!({ "last_by_subj": format!("{}{key}", self.prefix) });
        match self.ask::<Found>("get a key", &subject, &request).await? {
            Ok(found) => found.message.entry().map(Some),
            Err(refusal) if refusal.code == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Err(refusal) => Err(self.refused("get a key", refusal).await),
        }
    }

    /// Writes if the key's newest revision is `revision`; 0 stands for a key that is not there.
    pub(crate) async fn swap(&self, key: &str, value: Bytes, revision: u64) -> Result<Swap> {
        match self.publish(key, value, Some(revision)).await? {
            Ok(()) => Ok(Swap::Done),
            Err(refusal) if is_conflict(refusal.code) => Ok(Swap::Conflict),
            Err(refusal) => Err(self.refused("increment a key", refusal).await),
        }
    }

    async fn publish(
        &self,
        key: &str,
        value: Bytes,
        revision: Option<u64>,
    ) -> Result<std::result::Result<(), ApiError>> {
        check_writable(key)?;
        self.open().await?;
        let (len, max) = (value.len(), self.connection.payload_len_max());
        if len > max {
            return Err(Error::ValueTooLarge { key: key.to_owned(), len, max });
        }
        let headers = revision.map(|revision| {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECTED_REVISION, revision.to_string());
            headers
        });
        let subject = format!("{}{}{key}", self.connection.publish_prefix(), self.prefix);
        let question = Question { doing: "set a key", subject: &subject, headers, payload: value };
        Ok(self.connection.ask::<Value>(question, self.limit).await?.map(drop))
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        doing: &str,
        subject: &str,
        body: &Value,
    ) -> Result<std::result::Result<T, ApiError>> {
        let payload = body.to_string().into();
        self.connection.ask(Question { doing, subject, headers: None, payload }, self.limit).await
    }

    /// The error for a refusal; a bucket that was removed is looked for, or created, again by the next call.
    async fn refused(&self, doing: &str, refusal: ApiError) -> Error {
        if refusal.code == ErrorCode::STREAM_NOT_FOUND {
            *self.opened.lock().await = None;
            return Error::NoBucket { bucket: self.name.clone() };
        }
        failed(doing, refusal)
    }
}

fn failed(doing: &str, refusal: ApiError) -> Error {
    Error::Failed { doing: doing.to_owned(), why: refusal.why }
}

/// Whether somebody else was faster. A stream of several replicas says that with a code of its own, for which this version
/// of the client has no name.
fn is_conflict(code: ErrorCode) -> bool {
    const OF_REPLICAS: u64 = 10164;
    code == ErrorCode::STREAM_WRONG_LAST_SEQUENCE || json!(code) == OF_REPLICAS
}

/// Whether a key may be part of a subject.
fn check_key(key: &str) -> Result<()> {
    let (len, max) = (key.len(), KEY_LEN_MAX);
    if len == 0 || len > max {
        return Err(Error::KeyLength { len, max });
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'_' | b'=' | b'.');
    if !key.bytes().all(allowed) || key.split('.').any(str::is_empty) {
        return Err(Error::KeyCharacters { key: key.escape_debug().collect() });
    }
    Ok(())
}

fn check_writable(key: &str) -> Result<()> {
    if key == PROMISE_KEY {
        return Err(Error::KeyOfProvider { key: key.to_owned() });
    }
    check_key(key)
}

fn check_batch(len: usize) -> Result<()> {
    let max = BATCH_LEN_MAX;
    if len > max { Err(Error::BatchTooLarge { len, max }) } else { Ok(()) }
}

#[derive(Deserialize)]
struct StreamInfo {
    config: StreamConfig,
}

#[derive(Deserialize)]
struct StreamConfig {
    #[serde(default)]
    max_msgs_per_subject: i64,
    #[serde(default)]
    num_replicas: usize,
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    allow_direct: bool,
    #[serde(default)]
    mirror: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Found {
    message: StoredMessage,
}

/// A message as `STREAM.MSG.GET` has it: headers and body in base64, and absent when empty.
#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl StoredMessage {
    fn entry(&self) -> Result<Entry> {
        let unreadable = |what: &str| Error::Failed {
            doing: "get a key".to_owned(),
            why: format!("the {what} of message {} cannot be read", self.seq),
        };
        let headers = STANDARD.decode(&self.hdrs).map_err(|_| unreadable("headers"))?;
        let value = STANDARD.decode(&self.data).map_err(|_| unreadable("body"))?;
        let is_marker = is_deletion(&String::from_utf8_lossy(&headers));
        Ok(Entry { value: (!is_marker).then(|| value.into()), revision: self.seq })
    }
}

fn is_deletion(headers: &str) -> bool {
    let operations = headers.lines().filter_map(|line| line.split_once(':'));
    operations
        .filter(|(name, _)| name.eq_ignore_ascii_case(OPERATION))
        .any(|(_, value)| means_deletion(value))
}

/// What [`OPERATION`] says of a deleted key.
pub(crate) fn means_deletion(operation: &str) -> bool {
    matches!(operation.trim(), "DEL" | "PURGE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_subject_cannot_have_are_refused() {
        for key in ["a", "posts.2026/x=1_-", &"k".repeat(KEY_LEN_MAX)] {
            check_key(key).unwrap();
        }
        assert!(matches!(check_key(""), Err(Error::KeyLength { len: 0, .. })));
        assert!(matches!(check_key(&"k".repeat(KEY_LEN_MAX + 1)), Err(Error::KeyLength { .. })));
        for key in [".a", "a.", "a..b", "a b", "a*", ">", "ä", "a\r\nPUB x 0", "a\0"] {
            assert!(matches!(check_key(key), Err(Error::KeyCharacters { .. })), "{key:?}");
        }
    }

    #[test]
    fn markers_of_other_tools_are_deletions() {
        let message = |headers: &str, data: &str| StoredMessage {
            seq: 7,
            hdrs: STANDARD.encode(headers),
            data: STANDARD.encode(data),
        };
        let deleted = Entry { value: None, revision: 7 };
        assert_eq!(message("NATS/1.0\r\nKV-Operation: DEL\r\n\r\n", "").entry().unwrap(), deleted);
        assert_eq!(message("NATS/1.0\r\nkv-operation:PURGE\r\n\r\n", "").entry().unwrap(), deleted);
        let kept = message("NATS/1.0\r\ntraceparent: DEL\r\n\r\n", "v").entry().unwrap();
        assert_eq!(kept, Entry { value: Some("v".into()), revision: 7 });
    }
}
