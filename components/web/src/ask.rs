//! What the pages ask of the services, on behalf of whoever looks at them.

use std::time::Duration;

use trellis_kit::http::{AskError, Request, ask, encoded};
use trellis_kit::{Descriptor, Problem, Response, id, log};

use crate::api::{Cx, Decision, Place};
use crate::trellis::comments::types::{Comment, NewComment};
use crate::trellis::moderation::types::{NewOutcome, Verdict, VerdictPage};
use crate::trellis::posts::types::{NewPost, Post};
use crate::trellis::query::types::{FeedPage, PostPage};
use crate::trellis::registry::types::Flow;
use crate::trellis::web::types::Shown;

/// A read may wait for a second until it has what was just written, a write for its disk. One after the other they take
/// less time than the gateway gives: what was typed is lost if it answers for us.
const READ_PATIENCE: Duration = Duration::from_millis(2500);
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// How services are told who asks, by a gateway and by us.
const CALLER: &str = "trellis-caller";
const ROLES: &str = "trellis-roles";

/// Why there is nothing to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The service is not there. Nothing has happened.
    Away,
    /// It gave no answer, or no good one. What was asked for may have happened.
    Unsure { status: u16 },
    /// It said no.
    Refused(Problem),
}

/// A part of a list.
#[derive(Debug)]
pub struct Read<T> {
    pub shown: T,
    /// Whether there is news that it does not have yet.
    pub is_behind: bool,
}

/// Something that is written now.
#[derive(Debug)]
pub struct Written {
    pub id: String,
    pub position: Option<String>,
}

impl Written {
    /// The address at which it shows: the page there waits until it has it.
    pub fn shown_at(&self, path: &str, name: &str) -> String {
        let position = self.position.as_ref().map(|position| format!("?position={}", encoded(position)));
        format!("{path}{}#{name}-{}", position.unwrap_or_default(), self.id)
    }
}

/// The services, as they are asked on behalf of whoever looks at a page.
#[derive(Debug, Clone, Copy)]
pub struct Services<'a> {
    /// The service of the pages, which asks the others.
    by: &'static Descriptor,
    cx: &'a Cx,
}

impl<'a> Services<'a> {
    pub fn new(by: &'static Descriptor, cx: &'a Cx) -> Self {
        Self { by, cx }
    }

    /// Whoever looks at the page, if they are signed in.
    pub fn caller(self) -> Option<&'a str> {
        self.cx.caller.as_deref()
    }

    pub fn feed(self, place: &Place) -> Result<Read<FeedPage>, Trouble> {
        let answer = self.read("query", "/posts", place)?;
        let shown = FeedPage { items: understood(answer.read())?, next: next(&answer) };
        Ok(Read { shown, is_behind: is_behind(&answer) })
    }

    pub fn post(self, id: &str, place: &Place) -> Result<Read<PostPage>, Trouble> {
        let answer = self.read("query", &format!("/posts/{}", known(id)?), place)?;
        let shown = PostPage { post: understood(answer.read())?, next: next(&answer) };
        Ok(Read { shown, is_behind: is_behind(&answer) })
    }

    pub fn write_post(self, title: &str) -> Result<Written, Trouble> {
        let request = self.request("POST", "/posts").with_json(&NewPost { title: title.to_owned() });
        let answer = self.asked("posts", &request.map_err(Trouble::Refused)?, WRITE_PATIENCE)?;
        let Post { id, .. } = understood(answer.read())?;
        Ok(Written { id, position: position(&answer) })
    }

    pub fn write_comment(self, post: &str, content: &str) -> Result<Written, Trouble> {
        let request = self
            .request("POST", &format!("/posts/{}/comments", known(post)?))
            .with_json(&NewComment { content: content.to_owned() });
        let answer = self.asked("comments", &request.map_err(Trouble::Refused)?, WRITE_PATIENCE)?;
        let Comment { id, .. } = understood(answer.read())?;
        Ok(Written { id, position: position(&answer) })
    }

    pub fn verdicts(self, shown: Shown, place: &Place) -> Result<Read<VerdictPage>, Trouble> {
        let path = match shown {
            Shown::Rejected => "/moderation/queue?status=rejected",
            Shown::Approved => "/moderation/queue?status=approved",
            Shown::All => "/moderation/queue",
        };
        let answer = self.read("moderation", path, place)?;
        let shown = VerdictPage { items: understood(answer.read())?, next: next(&answer) };
        Ok(Read { shown, is_behind: is_behind(&answer) })
    }

    pub fn verdict(self, comment: &str) -> Result<Verdict, Trouble> {
        let request = self.request("GET", &format!("/moderation/{}", known(comment)?));
        understood(self.asked("moderation", &request, READ_PATIENCE)?.read())
    }

    pub fn decide(self, Decision { comment, status, .. }: &Decision) -> Result<Written, Trouble> {
        let request = self
            .request("POST", &format!("/moderation/{}", known(comment)?))
            .with_json(&NewOutcome { status: *status });
        let answer = self.asked("moderation", &request.map_err(Trouble::Refused)?, WRITE_PATIENCE)?;
        let Verdict { id, .. } = understood(answer.read())?;
        Ok(Written { id, position: position(&answer) })
    }

    pub fn flows(self) -> Result<Vec<Flow>, Trouble> {
        let request = self.request("GET", "/registry/flow?limit=100");
        understood(self.asked("registry", &request, READ_PATIENCE)?.read())
    }

    fn read(self, service: &str, path: &str, place: &Place) -> Result<Response, Trouble> {
        let word = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={}", encoded(value)))
        };
        let words = [word("after", &place.after), word("position", &place.position)];
        let query = words.into_iter().flatten().collect::<Vec<_>>().join("&");
        let mark = if path.contains('?') { '&' } else { '?' };
        self.asked(service, &self.request("GET", &format!("{path}{mark}{query}")), READ_PATIENCE)
    }

    /// A request of the one who looks at the page.
    fn request(self, method: &str, target: &str) -> Request {
        let roles = (!self.cx.roles.is_empty()).then(|| self.cx.roles.join(","));
        let headers = [
            (CALLER, self.cx.caller.clone()),
            (ROLES, roles),
            ("traceparent", self.cx.traceparent.clone()),
            ("idempotency-key", self.cx.idempotency_key.clone()),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        headers.fold(Request::new(method, target), |request, (name, value)| request.with(name, value))
    }

    /// The answer of a service, if it is a good one.
    fn asked(self, service: &str, request: &Request, patience: Duration) -> Result<Response, Trouble> {
        let answer = match ask(self.by, service, request, patience) {
            Ok(answer) => answer,
            Err(AskError::NoService) => return Err(Trouble::Away),
            Err(AskError::TooLarge) => {
                return Err(Trouble::Refused(Problem::too_large("That is more than can be sent.")));
            }
            Err(error) => return Err(unsure(service, error)),
        };
        match (answer.status, answer.problem()) {
            (200 | 201, _) => Ok(answer),
            (400..500, Some(problem)) => Err(Trouble::Refused(problem)),
            (status @ 500.., _) => Err(Trouble::Unsure { status }),
            (status, _) => {
                Err(unsure(service, AskError::Garbled(format!("status {status} means nothing here"))))
            }
        }
    }
}

/// An id, if it could be one: it becomes part of a path.
fn known(id: &str) -> Result<&str, Trouble> {
    if id::is_valid(id) {
        Ok(id)
    } else {
        Err(Trouble::Refused(Problem::not_found("There is no such post or comment.")))
    }
}

fn understood<T>(answer: Result<T, AskError>) -> Result<T, Trouble> {
    answer.map_err(|error| unsure("a service", error))
}

fn unsure(service: &str, error: AskError) -> Trouble {
    log::warn(&format!("{service}: {error}"));
    Trouble::Unsure { status: Problem::from(error).status }
}

/// What the next part of a list is asked for with.
fn next(answer: &Response) -> Option<String> {
    let (target, _) = answer.header("link")?.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("after=")).map(str::to_owned)
}

fn position(answer: &Response) -> Option<String> {
    answer.header("trellis-position").map(str::to_owned)
}

fn is_behind(answer: &Response) -> bool {
    answer.header("x-trellis-lag").is_some_and(|events| events != "0")
}
