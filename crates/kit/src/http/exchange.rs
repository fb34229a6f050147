//! A request and a response, as services see them.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::AskError;
use crate::problem::Problem;

/// The largest body that is read.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most headers that are read, and how long they may be together.
pub const MAX_HEADERS: usize = 64;
pub const MAX_HEAD: usize = 16 * 1024;

/// The largest message that goes either way, with its head: what a NATS server takes if nobody sets it otherwise.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// The type of a body that is a refusal.
const PROBLEM: &str = "application/problem+json";

/// A request as it came in, whichever way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, header: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((header.into(), value.into()));
        self
    }

    /// With a body of JSON.
    pub fn with_json(mut self, body: &impl Serialize) -> Result<Self, Problem> {
        self.body = serde_json::to_vec(body).map_err(Problem::internal)?;
        Ok(self.with("content-type", "application/json"))
    }

    /// A header's value, if it is sent once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }
}

/// What a caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn json(status: u16, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(Problem::internal)?;
        Ok(Self { status, headers: Vec::new(), body }.with("content-type", "application/json"))
    }

    /// A refusal as RFC 9457 has it, with the id of the trace that the log knows the request by.
    pub fn refusal(problem: &Problem, trace_id: &str) -> Self {
        let body = problem.to_json(trace_id);
        Self { body, ..Self::empty(problem.status) }.with("content-type", PROBLEM)
    }

    #[must_use]
    pub fn with(mut self, header: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((header.into(), value.into()));
        self
    }

    /// The value of a header, the first one if there are more.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The JSON of an answer.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, AskError> {
        serde_json::from_slice(&self.body).map_err(|error| AskError::Garbled(error.to_string()))
    }

    /// The refusal that an answer is, if it says so.
    pub fn problem(&self) -> Option<Problem> {
        let says_so = self.header("content-type") == Some(PROBLEM);
        if says_so { Problem::from_json(&self.body) } else { None }
    }

    /// Whether a body can follow; otherwise there is no length of one either.
    pub fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}
