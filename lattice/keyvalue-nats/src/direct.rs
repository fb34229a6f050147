//! Many keys for one request: JetStream's direct get of the newest messages of several subjects, which NATS has since 2.11.
//!
//! Any server that has a copy of the stream answers. Where there is one copy, whatever was written before is seen. Of
//! several, some may be behind, so a bucket with replicas is read key by key from its leader.

use std::collections::HashMap;

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use serde_json::json;

use crate::bucket::{Bucket, OPERATION, means_deletion};
use crate::connection::Question;
use crate::error::{Error, Result};

const DOING: &str = "get keys";
/// A request has to fit into a message: of more subjects than this, in bytes, several are made.
const REQUEST_MAX: usize = 256 * 1024;
/// So many bytes, and one message more, are in an answer: a server ends connections to which it would have to keep much more.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

const SUBJECT: &str = "Nats-Subject";
/// How many messages did not fit into this answer.
const PENDING: &str = "Nats-Num-Pending";
/// The status of the message that ends an answer.
const END_OF_BATCH: u16 = 204;

/// What the server has of each subject; none where a marker says that the key was deleted.
type Found = HashMap<String, Option<Bytes>>;

impl Bucket {
    /// The values of keys, in the order of the keys.
    pub(crate) async fn get_direct(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>> {
        let subjects: Vec<String> = keys.iter().map(|key| format!("{}{key}", self.prefix)).collect();
        let longest = subjects.iter().map(String::len).max().unwrap_or_default();
        let mut found = Found::new();
        for subjects in subjects.chunks((REQUEST_MAX / longest.max(1)).max(1)) {
            self.find_all(subjects, &mut found).await?;
        }
        Ok(subjects.iter().map(|subject| found.get(subject).cloned().flatten()).collect())
    }

    /// Asks until the server has nothing more: an answer has only so many bytes.
    async fn find_all(&self, subjects: &[String], found: &mut Found) -> Result<()> {
        let mut left: Vec<&String> = subjects.iter().collect();
        while self.find_some(&left, found).await? > 0 {
            let before = left.len();
            left.retain(|subject| !found.contains_key(*subject));
            if left.len() == before {
                return Err(failed("NATS has more of them and does not send it"));
            }
        }
        Ok(())
    }

    /// Answers with how many did not fit into the answer.
    async fn find_some(&self, subjects: &[&String], found: &mut Found) -> Result<u64> {
        let subject = format!("{}.DIRECT.GET.{}", self.connection.api(), self.stream);
        let payload = json!({ "multi_last": subjects, "max_bytes": ANSWER_MAX }).to_string().into();
        let question = Question { doing: DOING, subject: &subject, headers: None, payload };
        let mut messages = self.connection.ask_for_many(question, self.limit).await?;
        let end = messages.pop();
        for message in messages {
            let subject = header(&message, SUBJECT).ok_or_else(|| failed("an answer names no subject"))?;
            let is_deleted = header(&message, OPERATION).is_some_and(means_deletion);
            found.insert(subject.to_owned(), (!is_deleted).then(|| message.payload.clone()));
        }
        match end.and_then(|end| Some((end.status?, end))) {
            Some((StatusCode::NOT_FOUND, _)) => Ok(0),
            Some((status, end)) if status.as_u16() == END_OF_BATCH => {
                Ok(header(&end, PENDING).and_then(|text| text.parse().ok()).unwrap_or(0))
            }
            Some((status, end)) => {
                Err(failed(&format!("NATS says {status} {}", end.description.unwrap_or_default())))
            }
            None => Err(failed("the answer has no end")),
        }
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let mut all = message.headers.as_ref()?.iter();
    let (_, values) = all.find(|(other, _)| AsRef::<str>::as_ref(other).eq_ignore_ascii_case(name))?;
    values.first().map(|value| value.as_str())
}

fn failed(why: &str) -> Error {
    Error::Failed { doing: DOING.to_owned(), why: why.to_owned() }
}
