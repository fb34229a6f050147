//! Asking the functions of another service by its routes. The functions of `clients`, which
//! [`bindings!`](crate::bindings) derives, are made of this.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ask::ask;
use super::error::{AskError, CallError};
use super::exchange::{Request, Response};
use super::path::encoded;
use crate::contract::types::PageRequest;
use crate::cx::Cx;
use crate::descriptor::Descriptor;
use crate::position;
use crate::problem::Problem;
use crate::schema::Page;

/// The header in which a service is told who asks, and the one in which it is told what they are trusted with.
pub const CALLER: &str = "trellis-caller";
pub const ROLES: &str = "trellis-roles";
/// The header in which it says by which session. A service answers there with the token of a new one.
pub const SESSION: &str = "trellis-session";
/// The header in which it says what the caller wants to be called, encoded as in a path.
pub const NAME: &str = "trellis-name";
/// The header in which it says where the request comes from.
pub const ADDRESS: &str = "trellis-address";
/// How many events the read models that answered had not yet seen.
pub(super) const LAG: &str = "x-trellis-lag";

/// A service that asks others on behalf of a caller.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    service: &'static Descriptor,
    cx: &'a Cx,
    patience: Duration,
    position: Option<&'a str>,
}

/// An answer, and what its headers say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    pub value: T,
    /// Of what was written, for whoever reads it next.
    pub position: Option<String>,
    /// Whether there are events that it does not show yet.
    pub is_behind: bool,
}

impl<'a> Asker<'a> {
    /// Asks as this service, which says in [`ASKS`](crate::Service::ASKS) whom it asks, for whoever has called it.
    pub fn new(service: &'static Descriptor, cx: &'a Cx, patience: Duration) -> Self {
        Self { service, cx, patience, position: None }
    }

    /// Lets reads wait until the read models have this position.
    #[must_use]
    pub fn at(self, position: Option<&'a str>) -> Self {
        Self { position, ..self }
    }

    /// Begins a request by a route of another service.
    #[doc(hidden)]
    pub fn question(&self, service: &'static str, method: &'static str, route: &'static str) -> Question<'_> {
        let (path, names) = route.split_once('?').unwrap_or((route, ""));
        Question {
            asker: self,
            service,
            method,
            path: path.to_owned(),
            names: names.split('&'),
            query: Vec::new(),
            body: None,
        }
    }
}

/// A request to a route, to which one argument after the other is added.
#[doc(hidden)]
#[derive(Debug)]
pub struct Question<'a> {
    asker: &'a Asker<'a>,
    service: &'static str,
    method: &'static str,
    /// The pattern of the route, in which words in braces are yet to be replaced.
    path: String,
    /// The names of the parameters that are yet to be added.
    names: std::str::Split<'static, char>,
    query: Vec<String>,
    body: Option<Value>,
}

impl Question<'_> {
    /// The next word in braces.
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        if let (Some(begin), Some(end)) = (self.path.find('{'), self.path.find('}')) {
            self.path.replace_range(begin..=end, &encoded(word));
        }
        self
    }

    /// The next parameter that the route names after its question mark.
    pub fn parameter(mut self, value: Option<&impl Serialize>) -> Result<Self, CallError> {
        let name = self.names.next().unwrap_or_default();
        let text = match value.map(serde_json::to_value).transpose().map_err(Problem::internal)? {
            None => return Ok(self),
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
        };
        Ok(self.with(name, &text))
    }

    /// `?limit=` and `?after=`.
    #[must_use]
    pub fn page(self, page: &PageRequest) -> Self {
        let limited = match page.limit {
            Some(limit) => self.with("limit", &limit.to_string()),
            None => self,
        };
        match &page.after {
            Some(after) => limited.with("after", after),
            None => limited,
        }
    }

    pub fn body(self, body: &impl Serialize) -> Result<Self, CallError> {
        let body = serde_json::to_value(body).map_err(Problem::internal)?;
        Ok(Self { body: Some(body), ..self })
    }

    /// Asks for what is the body of the answer.
    pub fn whole<T: DeserializeOwned>(self) -> Result<Answer<T>, CallError> {
        self.answer(Response::read)
    }

    /// Asks for something to be done.
    pub fn nothing(self) -> Result<Answer<()>, CallError> {
        self.answer(|_| Ok(()))
    }

    /// Asks for a part of a list.
    pub fn part<P: Page>(self) -> Result<Answer<P>, CallError> {
        self.answer(|answer| Ok(P::whole(answer.read()?, next(answer))))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.query.push(format!("{name}={}", encoded(value)));
        self
    }

    fn answer<T>(self, read: impl FnOnce(&Response) -> Result<T, AskError>) -> Result<Answer<T>, CallError> {
        let service = self.service;
        let garbled = |error| CallError::NoAnswer { service, error };
        let answer = self.ask()?;
        Ok(Answer {
            value: read(&answer).map_err(garbled)?,
            position: answer.header(position::HEADER).map(str::to_owned),
            is_behind: answer.header(LAG).is_some_and(|events| events != "0"),
        })
    }

    fn ask(mut self) -> Result<Response, CallError> {
        if let Some(position) = self.asker.position {
            self = self.with(position::QUERY, position);
        }
        let Self { asker, service, method, path, query, body, .. } = self;
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = Request::new(method, format!("{path}{mark}{}", query.join("&")));
        let cx = asker.cx;
        let said = [
            (CALLER, cx.caller.clone()),
            (ROLES, (!cx.roles.is_empty()).then(|| cx.roles.join(","))),
            (SESSION, cx.session.clone()),
            (ADDRESS, cx.address.clone()),
            (NAME, cx.name.as_deref().map(encoded)),
            ("traceparent", cx.traceparent.clone()),
            ("idempotency-key", cx.idempotency_key.clone()),
        ];
        for (name, value) in said {
            if let Some(value) = value {
                request = request.with(name, value);
            }
        }
        if let Some(body) = body {
            request = request.with_json(&body)?;
        }
        let answer = ask(asker.service, service, &request, asker.patience)
            .map_err(|error| CallError::NoAnswer { service, error })?;
        match (answer.status, answer.problem()) {
            (200 | 201 | 202 | 204, _) => Ok(answer),
            (400..500, Some(problem)) => Err(CallError::Refused(problem)),
            (status @ 500.., _) => Err(CallError::Failed { status }),
            (status, _) => {
                let error = AskError::Garbled(format!("status {status} means nothing here"));
                Err(CallError::NoAnswer { service, error })
            }
        }
    }
}

/// What the next part of a list is asked for with.
fn next(answer: &Response) -> Option<String> {
    let (target, _) = answer.header("link")?.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("after=")).map(str::to_owned)
}
