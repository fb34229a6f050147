//! Refusals: [`Problem`], which a handler returns and a caller reads as RFC 9457 JSON.

use serde::{Deserialize, Serialize};
use std::fmt;

pub use crate::contract::types::{FieldError, Problem};

use crate::log;
use crate::platform::Fault;

impl Problem {
    fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self { status, title: title.to_owned(), detail: Some(detail.into()), errors: Vec::new() }
    }

    /// 400: the request itself is broken.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad Request", detail)
    }

    /// 401: whoever calls has not shown who they are.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, "Unauthorized", detail)
    }

    /// 402: it was not paid.
    pub fn payment_required(detail: impl Into<String>) -> Self {
        Self::new(402, "Payment Required", detail)
    }

    /// 403: this caller may not do that.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", detail)
    }

    /// 404: there is no such thing, or this caller may not know of it.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "Not Found", detail)
    }

    /// 405: the path exists, this method on it does not.
    pub fn method_not_allowed(method: &str) -> Self {
        Self::new(405, "Method Not Allowed", format!("{method} is not possible here; see the Allow header."))
    }

    /// 409: what is asked for contradicts what is.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, "Conflict", detail)
    }

    /// 413: more than will be read or stored.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "Content Too Large", detail)
    }

    /// 415: the body is not of a type that this route reads.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(415, "Unsupported Media Type", detail)
    }

    /// 422: understood, but one field is not acceptable.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut problem =
            Self::new(422, "Unprocessable Content", "The request has a field that is not acceptable.");
        problem.errors.push(FieldError { field: field.into(), message: message.into() });
        problem
    }

    /// 429: more requests than this caller may make.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(429, "Too Many Requests", detail)
    }

    /// 431: more header than will be read.
    pub fn header_too_large(detail: impl Into<String>) -> Self {
        Self::new(431, "Request Header Fields Too Large", detail)
    }

    /// 500: our own mistake. The caller learns nothing of it, the log everything.
    pub fn internal(what: impl fmt::Display) -> Self {
        log::error(&format!("internal error: {what}"));
        Self::new(500, "Internal Server Error", "The service made a mistake; it has been logged.")
    }

    /// 502: a service's answer makes no sense. The log says in what way.
    pub fn bad_gateway(what: impl fmt::Display) -> Self {
        log::error(&format!("garbled answer: {what}"));
        Self::new(502, "Bad Gateway", "The service gave an answer that makes no sense; it has been logged.")
    }

    /// 504: a service did not answer in time.
    pub fn late(detail: impl Into<String>) -> Self {
        Self::new(504, "Gateway Timeout", detail)
    }

    /// 503: not now. The log says why, the caller is asked to come again.
    pub fn unavailable(what: impl fmt::Display) -> Self {
        log::warn(&format!("unavailable: {what}"));
        let detail =
            "The service cannot answer now. Try again, with the same Idempotency-Key if you sent one.";
        Self::new(503, "Service Unavailable", detail)
    }

    /// 503: the service answers, but does not keep up.
    pub(crate) fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(503, "Service Unavailable", detail)
    }

    /// The JSON of `application/problem+json`, with the trace that the log knows this call by.
    pub(crate) fn to_json(&self, trace_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            title: &'a str,
            status: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
            trace_id: &'a str,
        }
        let Self { status, title, detail, errors } = self;
        let body = Body { title, status: *status, detail: detail.as_deref(), errors, trace_id };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl Problem {
    /// The refusal that a service wrote.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            title: String,
            status: u16,
            detail: Option<String>,
            #[serde(default)]
            errors: Vec<FieldError>,
        }
        let Body { title, status, detail, errors } = serde_json::from_slice(json).ok()?;
        Some(Self { status, title, detail, errors })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, title, detail, .. } = self;
        write!(f, "{status} {title}: {}", detail.as_deref().unwrap_or_default())
    }
}

impl std::error::Error for Problem {}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::unavailable(fault)
    }
}
