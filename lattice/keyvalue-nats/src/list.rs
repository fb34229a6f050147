//! `list-keys`, a page at a time.
//!
//! A cursor is the stream sequence at which the next page starts. A key's newest message has one sequence, which only grows,
//! so a key that is there throughout is met, and a process that has never seen the cursor can go on from it.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::patience::Patience;

/// Keys in a page; messages looked at for one.
const PAGE_LEN: usize = 1000;

/// A consumer that nobody deletes, because this process ended, is forgotten by the server after this.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

const DOING: &str = "list keys";

#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub keys: Vec<String>,
    pub cursor: Option<u64>,
}

/// A key in the stream, at its sequence.
struct Seen {
    key: String,
    revision: u64,
}

impl Bucket {
    /// The keys written at or after `cursor`, oldest first. A page can be empty and not the last: its keys were deleted by
    /// somebody who leaves markers.
    pub async fn list_keys(&self, cursor: Option<u64>) -> Result<Page> {
        let opened = self.open().await?;
        let mut patience = Patience::new(self.limit);
        self.connection.ready(DOING, &mut patience, self.limit).await?;
        let read = self.read_page(cursor.unwrap_or(0).max(1));
        let (seen, cursor) = tokio::time::timeout_at(patience.deadline(), read).await.map_err(|_| {
            Error::TimedOut { doing: DOING.to_owned(), limit: self.limit, why: "NATS is silent".to_owned() }
        })??;
        let keys = if opened.has_history { self.newest(seen).await? } else { names(seen) };
        Ok(Page { keys, cursor })
    }

    /// Up to a page of messages from `start`, and where the next page starts.
    async fn read_page(&self, start: u64) -> Result<(Vec<Seen>, Option<u64>)> {
        let failed =
            |error: &dyn std::fmt::Display| Error::Failed { doing: DOING.to_owned(), why: error.to_string() };
        let stream = self.connection.jetstream().get_stream_no_info(&self.stream).await;
        let stream = stream.map_err(|error| failed(&error))?;
        let consumer = stream.create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start },
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}>", self.prefix),
            headers_only: true,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        });
        let consumer = consumer.await.map_err(|error| failed(&error))?;
        let mut messages =
            consumer.fetch().max_messages(PAGE_LEN).messages().await.map_err(|error| failed(&error))?;
        let (mut seen, mut next) = (Vec::new(), None);
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| failed(&error))?;
            let info = message.info().map_err(|error| failed(&error))?;
            next = (info.pending > 0).then(|| info.stream_sequence + 1);
            let is_deletion = message.headers.as_ref().is_some_and(has_deletion);
            if let Some(key) = message.subject.strip_prefix(&self.prefix).filter(|_| !is_deletion) {
                seen.push(Seen { key: key.to_owned(), revision: info.stream_sequence });
            }
        }
        // Not waited for, and not missed if it fails: see FORGOTTEN_AFTER.
        let name = consumer.cached_info().name.clone();
        tokio::spawn(async move { stream.delete_consumer(&name).await.map(drop).ok() });
        Ok((seen, next))
    }

    /// Of a stream that keeps older values, those keys whose newest was seen: the others come later, or are deleted.
    async fn newest(&self, seen: Vec<Seen>) -> Result<Vec<String>> {
        let each = seen.into_iter().map(|seen| async move {
            let newest = self.entry(&seen.key).await?;
            let is_newest = newest.is_some_and(|entry| entry.revision == seen.revision);
            Ok::<_, Error>(is_newest.then_some(seen.key))
        });
        let found: Vec<Option<String>> = stream::iter(each).buffered(32).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Each once: a key that was written while its page was read is in it twice.
fn names(seen: Vec<Seen>) -> Vec<String> {
    let mut listed = BTreeSet::new();
    seen.into_iter().map(|seen| seen.key).filter(|key| listed.insert(key.clone())).collect()
}

fn has_deletion(headers: &async_nats::HeaderMap) -> bool {
    headers.get("KV-Operation").is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
}
