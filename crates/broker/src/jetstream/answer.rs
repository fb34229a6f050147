//! What requests to the API get, and what they have in common.

use bytes::Bytes;
use serde::Serialize;

use super::errors::{self, ApiError};
use crate::Headers;

/// What a request to the API gets.
#[derive(Debug)]
pub(crate) enum Answer {
    Message {
        headers: Option<Headers>,
        payload: Bytes,
    },
    /// The answer comes later, on the reply subject.
    Later,
    /// There is nobody at this subject.
    Nobody,
}

/// The outcome of an API request: what its answer holds, or an error.
pub(crate) type Outcome<T> = Result<T, ApiError>;

#[derive(Serialize)]
struct Success<'a, T: Serialize> {
    r#type: &'a str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Failure<'a, T: Serialize> {
    r#type: &'a str,
    error: &'a ApiError,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Empty {}

/// The numbers of a paged answer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Page {
    pub total: usize,
    pub offset: usize,
    pub limit: usize,
}

impl Answer {
    /// An answer of the named kind. `rest` is what stands beside an error.
    pub fn with_rest<T: Serialize, R: Serialize>(kind: &str, outcome: Outcome<T>, rest: R) -> Answer {
        let r#type = format!("io.nats.jetstream.api.v1.{kind}");
        let json = match outcome {
            Ok(body) => serde_json::to_vec(&Success { r#type: &r#type, body }),
            Err(error) => serde_json::to_vec(&Failure { r#type: &r#type, error: &error, rest }),
        };
        // Answers are made of strings, numbers and string-keyed maps, which always serialize.
        Answer::Message { headers: None, payload: json.unwrap_or_default().into() }
    }

    pub fn new<T: Serialize>(kind: &str, outcome: Outcome<T>) -> Answer {
        Answer::with_rest(kind, outcome, Empty {})
    }

    pub fn is_refusal(&self) -> bool {
        let marker = b",\"error\":{";
        matches!(self, Answer::Message { payload, .. } if payload.windows(marker.len()).take(128).any(|w| w == marker))
    }
}

/// Whether a request that takes no fields has none.
pub(crate) fn check_empty(payload: &[u8]) -> Outcome<()> {
    let payload = payload.trim_ascii();
    let empty = payload.is_empty() || payload.iter().all(|byte| b"{} \t\r\n".contains(byte));
    if empty { Ok(()) } else { Err(errors::NOT_EMPTY_REQUEST) }
}

/// Requests whose fields are optional ignore a payload that is not JSON.
pub(crate) fn is_json(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii().first(), Some(b'{' | b'['))
}

/// Cuts a page out of a list.
pub(crate) fn page<T>(all: Vec<T>, offset: i64, limit: usize) -> (Page, Vec<T>) {
    let total = all.len();
    let offset = usize::try_from(offset).unwrap_or(0).min(total);
    (Page { total, offset, limit }, all.into_iter().skip(offset).take(limit).collect())
}
