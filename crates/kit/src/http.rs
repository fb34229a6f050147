//! HTTP as services see it: a table of routes that call the functions of the WIT contract, and nothing else.
//!
//! A route says which function answers and how; what the function takes of the request follows from its types:
//! ```ignore
//! const ROUTES: &[Route] = routes! {
//!     POST "/posts" => created(Self::create),
//!     GET "/posts/{id}" => ok(Self::get),
//! };
//! ```
//! The same table answers requests of the `wasi:http` export and those that come as messages on `svc.<service>`.

mod ask;
mod form;
mod message;
mod path;
pub(crate) mod remembered;
mod route;
mod router;
#[cfg(target_arch = "wasm32")]
mod wasi;

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::contract::types::PageRequest;
use crate::{Aggregate, Context, Problem};

pub use ask::{AskError, MAX_MESSAGE, ask};
pub(crate) use message::answer as answer_message;
#[cfg(test)]
pub(crate) use message::parse as read_message;
pub use path::percent_decoded as decoded;
pub use path::{Path, allowed, is_any, is_pattern, shape, words};
#[doc(hidden)]
pub use route::{Answers, Argument, Function, Handler, Rest, Takes, answer, function};
pub use route::{Page, Record, Route};
pub use router::{by_routes, by_routes_for};
#[cfg(target_arch = "wasm32")]
pub(crate) use wasi::serve;

/// The largest body that is read.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most headers that are read, and how long they may be together.
pub const MAX_HEADERS: usize = 64;
pub const MAX_HEAD: usize = 16 * 1024;

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
        router::refuse(problem, trace_id)
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

/// A request that a route matched.
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) path: &'a path::Path,
    pub(crate) route: &'static Route,
    pub(crate) params: Vec<(&'static str, &'a str)>,
    pub(crate) context: Context,
}

impl Call<'_> {
    /// Who calls and what the call belongs to.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// All of the request as it came in.
    pub fn request(&self) -> &Request {
        self.request
    }

    /// What stands in the path for a word in braces; the empty text if the pattern has no such word.
    pub fn param(&self, name: &str) -> String {
        self.params
            .iter()
            .find(|(known, _)| *known == name)
            .map_or_else(String::new, |(_, value)| (*value).to_owned())
    }

    /// What stands in the query for a name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.path.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same for what may be there once: 400 if it is there again.
    fn query_once(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.path.query.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::malformed(format!("{name} is there twice."))),
            (value, None) => Ok(value.map(|(_, value)| value.as_str())),
        }
    }

    /// What stands in the query for a name, as one of the cases of an enum: 400 for any other word.
    pub fn query_as<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query_once(name)? else { return Ok(None) };
        let word = serde_json::Value::String(text.to_owned());
        serde_json::from_value(word)
            .map(Some)
            .map_err(|error| Problem::malformed(format!("{name}: {error}.")))
    }

    /// The values of the fields of a form: these, each once, and no other.
    pub fn form<const N: usize>(&self, names: [&str; N]) -> Result<[String; N], Problem> {
        self.expect_body("application/x-www-form-urlencoded")?;
        form::fields(&self.request.body, names)
    }

    fn expect_body(&self, media_type: &str) -> Result<(), Problem> {
        let sent = self.request.header("content-type").unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(media_type) {
            Ok(())
        } else {
            Err(Problem::unsupported(format!("Send the body as {media_type}.")))
        }
    }

    /// The JSON of the body as the record that the function takes. What is missing, unknown or of a wrong type is
    /// named.
    pub fn body<T: Record>(&self) -> Result<T, Problem> {
        self.expect_body("application/json")?;
        json(&self.request.body)
    }

    /// `?limit=` and `?after=`.
    pub fn page(&self) -> Result<PageRequest, Problem> {
        let number = |text: &str| {
            // `parse` would take a plus sign.
            let limit = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
            limit.ok_or_else(|| Problem::malformed("limit must be a number from 1 to 100."))
        };
        let limit = self.query_once("limit")?.map(number).transpose()?;
        Ok(PageRequest { limit, after: self.query_once("after")?.map(str::to_owned) })
    }

    /// 200 with the result as JSON.
    pub fn ok(&self, result: Result<impl Serialize, Problem>) -> Result<Response, Problem> {
        Response::json(200, &result?)
    }

    /// 201 with the new entity as JSON, and where it is found: its id below this path.
    pub fn created<A: Aggregate>(&self, result: Result<A, Problem>) -> Result<Response, Problem> {
        let entity = result?;
        let location = format!("{}/{}", self.path.raw, entity.id());
        Ok(Response::json(201, &entity)?.with("location", location))
    }

    /// 200 with the items as a JSON array, and where the next ones are found, if there are more.
    pub fn list<T: Serialize>(&self, items: &[T], next: Option<&str>) -> Result<Response, Problem> {
        self.part(&items, next)
    }

    /// 200 with JSON that a part of a list is in, and where the next part is found, if there is one.
    pub fn part(&self, body: &impl Serialize, next: Option<&str>) -> Result<Response, Problem> {
        let response = Response::json(200, body)?;
        let Some(next) = next else { return Ok(response) };
        let rest = self.path.query.iter().filter(|(name, _)| name != "after");
        let rest: String =
            rest.map(|(name, value)| format!("&{}={}", encoded(name), encoded(value))).collect();
        Ok(response.with("link", format!("<{}?after={next}{rest}>; rel=\"next\"", self.path.raw)))
    }
}

/// Text as it may stand in a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let each = text
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    each.collect()
}

/// Reads JSON strictly: 400 if it is none, 422 naming the field if it is not the one expected.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut unknown = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut note = |path: serde_ignored::Path<'_>| {
        // It marks what is optional with a question mark.
        unknown.get_or_insert_with(|| path.to_string().replace(".?", ""));
    };
    let ignoring = serde_ignored::Deserializer::new(&mut reader, &mut note);
    let parsed = serde_path_to_error::deserialize::<_, T>(ignoring);
    let value = parsed.map_err(|error| {
        let field = dotted(error.path());
        let cause = error.into_inner();
        if cause.is_data() { wrong_field(&field, &cause.to_string()) } else { not_json(&cause) }
    })?;
    reader.end().map_err(|error| not_json(&error))?;
    match unknown {
        Some(field) => Err(Problem::invalid(field, "There is no such field.")),
        None => Ok(value),
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed(format!("The body is not JSON: line {}, column {}.", error.line(), error.column()))
}

/// serde reports a field that is missing or there twice at its parent; the caller is told of the field itself.
fn wrong_field(parent: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or_default();
    let named = |before| message.strip_prefix(before).and_then(|rest| rest.strip_suffix('`'));
    let (field, message) = match (named("missing field `"), named("duplicate field `")) {
        (Some(field), _) => (field, "This field is required."),
        (_, Some(field)) => (field, "This field is there twice."),
        (None, None) => return Problem::invalid(parent, message),
    };
    let dot = if parent.is_empty() { "" } else { "." };
    Problem::invalid(format!("{parent}{dot}{field}"), message)
}

/// `tags.1.name`.
fn dotted(path: &serde_path_to_error::Path) -> String {
    let words = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    });
    words.collect::<Vec<_>>().join(".")
}
