//! How the gateway itself says no: JSON after RFC 9457 to programs, a page to people. The page is whole in itself, for
//! nobody may be there who could add to it.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use trellis_kit::{Problem, Request, Response, Trace};

use crate::accept;

/// The page in the colours of all others. What it may bring is known by the hash of this.
const STYLE: &str = include_str!("../assets/refusal.css");
/// SHA-256 of it, as a policy has it.
const STYLE_HASH: &str = "AOE2XRbxjofLW4U7/4Y3ZKOh9QEr0X7AsKEjYQ9M3bA=";
const ICON: &str = include_str!("../assets/icon.svg");

/// A refusal, and what its status wants to be said in headers.
#[derive(Debug)]
pub struct Refusal {
    problem: Problem,
    headers: Vec<(&'static str, String)>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, headers: Vec::new() }
    }
}

impl Refusal {
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub fn respond(self, to: &Request, trace: &Trace) -> Response {
        let response = if accept::prefers_page(to) {
            let page = page(&self.problem, to, self.header("retry-after"), trace.id());
            Response { body: page.into_string().into_bytes(), ..Response::empty(self.problem.status) }
                .with("content-type", "text/html; charset=utf-8")
                .with("content-security-policy", policy())
                .with("cache-control", "no-store")
        } else {
            Response::refusal(&self.problem, trace.id())
        };
        let response = response.with("vary", "accept");
        self.headers.into_iter().fold(response, |response, (name, value)| response.with(name, value))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(known, value)| (*known == name).then_some(value.as_str()))
    }
}

fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn page(problem: &Problem, request: &Request, retry_after: Option<&str>, trace: &str) -> Markup {
    let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
    let (heading, text) = words(problem.status, is_read);
    let text = text.or(problem.detail.as_deref());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Error: " (heading) " · Trellis" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header { a href="/" { (PreEscaped(ICON)) "Trellis" } }
                main #main tabindex="-1" {
                    h1 { (heading) }
                    @if let Some(text) = text { p { (text) } }
                    @if let Some(seconds) = retry_after { p { "Come again in " (seconds) " seconds." } }
                    ul {
                        @if problem.status == 401 { li { a href="/signin" { "Sign in" } } }
                        @if is_passing(problem.status) { li { a href="" { "Try again" } } }
                        li { a href="/" { "To the newest posts" } }
                    }
                }
                footer { p { "Status " (problem.status) ", and in the log " code { (trace) } } }
            }
        }
    }
}

/// Whether it may be otherwise in a while.
fn is_passing(status: u16) -> bool {
    matches!(status, 401 | 429 | 500..)
}

/// What is wrong, and what can be done about it, where that can be said better to people than the problem says it.
fn words(status: u16, is_read: bool) -> (&'static str, Option<&'static str>) {
    const READ: Option<&str> =
        Some("Nothing is lost, and other pages go on as they are. Try again in a moment.");
    const UNSURE: Option<&str> = Some(
        "What you sent may have been carried out all the same. Go back and send it again: a form counts once, however often \
         it is sent.",
    );
    const NOT_DONE: Option<&str> = Some(
        "Go back, where what you typed may still be, and send it again in a moment: a form counts once, however often it is \
         sent.",
    );
    match status {
        400 => ("This address or form cannot be read", None),
        401 => ("This is for those who are signed in", None),
        403 => ("This may not be done", None),
        404 => {
            ("There is nothing here", Some("The address may have a mistake in it, or what was here is gone."))
        }
        405 => ("This cannot be done here", None),
        413 => {
            ("That is too much at once", Some("Go back, where what you typed may still be, and send less."))
        }
        429 => ("That was too often", None),
        431 => ("That is too much at once", None),
        502 => ("An answer came that makes no sense", if is_read { READ } else { UNSURE }),
        503 => ("This part is away at the moment", if is_read { READ } else { NOT_DONE }),
        504 => ("No answer came in time", if is_read { READ } else { UNSURE }),
        _ => ("Something went wrong here", if is_read { READ } else { UNSURE }),
    }
}
