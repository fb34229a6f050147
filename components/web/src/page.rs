//! The frame that all pages share, and what goes with them to the browser.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use trellis_kit::http::{self, Answer};
use trellis_kit::{Call, Cx, Problem, Response};

use crate::api::{Page, Window};
use crate::ask::Trouble;
use crate::assets::{self, ICON, SCRIPT, STYLE};
use crate::card::{self, Origins};
use crate::fields;
use crate::money::Style;

/// The first part of a list.
pub const NEWEST: Window = Window { after: None, position: None };

/// Styles, scripts and pictures are ours and files of their own, so that no markup of anybody's can bring another.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const POLICY_HEADER: &str = "content-security-policy";
const HTML: &str = "text/html; charset=utf-8";

/// What a browser is asked to wait before it comes again to a service that is away, in seconds.
const COME_AGAIN: &str = "2";

/// What the address asks to see.
pub fn window(call: &Call<'_>) -> Window {
    let word = |name| call.query(name).map(str::to_owned);
    Window { after: word("after"), position: word("position") }
}

/// The languages that a reader would like, as the browser says them.
pub fn languages(call: &Call<'_>) -> Option<String> {
    call.request().header("accept-language").map(str::to_owned)
}

/// How whoever asks writes money.
pub fn style(call: &Call<'_>) -> Style {
    Style::of(call.request().header("accept-language"))
}

/// Whether the key of a form was used for something else: the page was gone back to, and sent again.
pub fn was_sent_before(trouble: &Trouble) -> bool {
    let Trouble::Refused(Problem { errors, .. }) = trouble else { return false };
    errors.iter().any(|error| error.field == "idempotency-key")
}

/// A whole document, for whoever is known by the call.
pub fn document(cx: Option<&Cx>, status: u16, title: &str, main: &Markup) -> Page {
    document_that_changes(cx, status, title, main, None)
}

/// The same of what changes by itself. Where no script keeps it up to date, it is loaded again after so many seconds.
pub fn document_that_changes(
    cx: Option<&Cx>,
    status: u16,
    title: &str,
    main: &Markup,
    seconds: Option<u32>,
) -> Page {
    let html = html! {
        (DOCTYPE)
        html lang="en" data-now=[cx.map(|cx| cx.now())] {
            head {
                meta charset="utf-8";
                title { @if status >= 400 { "Error: " } (title) " · Trellis" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" type="image/svg+xml" href=(ICON.path());
                link rel="stylesheet" href=(STYLE.path());
                script src=(SCRIPT.path()) defer {}
                @if let Some(seconds) = seconds { noscript { meta http-equiv="refresh" content=(seconds); } }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.site {
                    a.brand href="/" {
                        (PreEscaped(assets::picture()))
                        "Trellis"
                    }
                    nav.places aria-label="Site" { a href="/market" { "Market" } }
                    @if let Some(cx) = cx { (whoever(cx)) }
                }
                main #main tabindex="-1" { (main) }
                footer.site {
                    p { "Anybody may write here. Comments appear once moderation has read them. " (card::notice()) }
                    p {
                        a href="/flow" { "What flows" } " · " a href="/moderation" { "Moderation" } " · "
                        a href="/admin" { "People" }
                    }
                }
            }
        }
    };
    Page { status, location: None, html: html.into_string() }
}

/// Who is signed in, and the way out; or the ways in. Whoever shows an API key has no account.
fn whoever(cx: &Cx) -> Markup {
    let name = cx.name.as_deref().or(cx.caller.as_deref()).unwrap_or_default();
    html! {
        nav.whoever aria-label="You" {
            @if cx.session.is_some() {
                a href="/me" { "Yours" }
                a.author href="/account" { bdi { (cx.name.as_deref().unwrap_or("Your account")) } }
                form method="post" action="/signout" { button.quiet type="submit" { "Sign out" } }
            } @else if cx.caller.is_some() {
                bdi.author { (name) }
            } @else {
                a href="/signin" { "Sign in" }
                a href="/signup" { "Sign up" }
            }
        }
    }
}

/// Why nothing came of what was asked, where there is no form to say it beside.
pub fn in_vain(cx: &Cx, title: &str, trouble: &Trouble) -> Page {
    let main = html! {
        h1 { (title) }
        (fields::notice(trouble))
    };
    document(Some(cx), trouble.status(), title, &main)
}

/// With the position of what was written: the gateway waits until it knows who is signed in by now.
pub fn known(response: Response, position: Option<String>) -> Response {
    match position {
        Some(position) => response.with(http::POSITION, position),
        None => response,
    }
}

/// Sends the browser to look at what was written.
pub fn look_at(location: &str) -> Page {
    Page { status: 303, location: Some(location.to_owned()), html: String::new() }
}

/// The part of a page that a script keeps up to date, and what it is asked for with. Older parts of a list are not: they
/// would slide away under the reader.
pub fn kept_up_to_date(from: Option<&str>, contents: &Markup) -> Markup {
    let tag = from.map(|_| tag(&contents.0));
    html! {
        p.news #news role="status" {}
        section #live data-live=[from] data-tag=[tag] { (contents) }
    }
}

/// What there is instead of a list that cannot be read.
pub fn unreadable(window: &Window) -> Markup {
    html! {
        div.notice {
            strong { "This cannot be read right now" }
            @if window.position.is_some() {
                p { "What you wrote is safe. It shows as soon as reading works again." }
            } @else {
                p { "Nothing is lost: it shows as soon as reading works again. You can still write." }
            }
        }
    }
}

/// What somebody is told who has just written and does not see it yet.
pub fn not_yet<T>(read: &Result<Answer<T>, Trouble>, window: &Window) -> Markup {
    let is_behind = window.position.is_some() && read.as_ref().is_ok_and(|read| read.is_behind);
    html! {
        @if is_behind { p.notice role="status" { "Published. It may take a moment until it shows here." } }
    }
}

impl Trouble {
    pub fn status(&self) -> u16 {
        match self {
            Self::Away => 503,
            Self::Unsure { status } => *status,
            Self::Refused(problem) => problem.status,
        }
    }
}

/// A page as it goes to the browser. It is made for one reader and one moment, the key of its form above all.
pub fn answer(page: Page) -> Result<Response, Problem> {
    let Page { status, location, html } = page;
    let response = Response { body: html.into_bytes(), ..Response::empty(status) };
    let response = response.with("content-type", HTML).with("cache-control", "no-store");
    Ok(match location {
        Some(location) => response.with("location", location),
        None => response,
    })
}

/// The same of a page that loads something from elsewhere.
pub fn answer_with(page: Page, origins: Option<&Origins>) -> Result<Response, Problem> {
    let answer = answer(page)?;
    let Some(Origins { scripts, frames, requests }) = origins else { return Ok(answer) };
    let policy = POLICY
        .replace("script-src 'self'", &format!("script-src 'self' {scripts}; frame-src {frames}"))
        .replace("connect-src 'self'", &format!("connect-src 'self' {requests}"));
    Ok(answer.with(POLICY_HEADER, policy))
}

/// A part of a page, for the script that keeps it up to date; nothing if that has it already.
pub fn part(call: &Call<'_>, part: Result<Markup, Trouble>) -> Result<Response, Problem> {
    let html = part.map_err(Problem::from)?.into_string();
    let tag = tag(&html);
    let known = call.request().header("if-none-match").unwrap_or_default();
    let is_known = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
    let response = if is_known {
        Response::empty(304)
    } else {
        Response { body: html.into_bytes(), ..Response::empty(200) }.with("content-type", HTML)
    };
    Ok(response.with("etag", tag).with("cache-control", "private, no-cache"))
}

/// What tells this part from what it is at another moment.
pub fn tag(html: &str) -> String {
    format!("\"{:016x}\"", assets::hash(html.as_bytes()))
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(problem) => problem,
            Trouble::Away => Self::unavailable("a service is away"),
            Trouble::Unsure { .. } => Self::unavailable("a service gave no good answer"),
        }
    }
}

/// What all answers have: refusals are pages too, and nothing is taken for what it is not.
pub fn dressed(response: Response) -> Response {
    let mut response = match response.problem() {
        Some(problem) => as_page(&problem, response),
        None => response,
    };
    if matches!(response.status, 502..=504) {
        response = response.with("retry-after", COME_AGAIN);
    }
    if response.header(POLICY_HEADER).is_none() {
        response = response.with(POLICY_HEADER, POLICY);
    }
    response
        .with("x-content-type-options", "nosniff")
        // With less than that, browsers would not say where a form comes from.
        .with("referrer-policy", "same-origin")
        .with("cross-origin-opener-policy", "same-origin")
        .with("cross-origin-resource-policy", "same-origin")
}

/// The page of a refusal.
pub fn refusal(cx: Option<&Cx>, problem: &Problem) -> Page {
    let heading = match problem.status {
        404 => "There is nothing here",
        403 => "That was not done",
        _ => &problem.title,
    };
    let main = html! {
        div.refusal {
            h1 { (heading) }
            @if let Some(detail) = &problem.detail { p { (detail) } }
            p.pager { a href="/" { "To the newest posts" } }
        }
    };
    document(cx, problem.status, heading, &main)
}

fn as_page(problem: &Problem, refused: Response) -> Response {
    let body = refusal(None, problem).html.into_bytes();
    let is_of_json = |name: &str| matches!(name, "content-type" | "content-length");
    let headers = refused.headers.into_iter().filter(|(name, _)| !is_of_json(name)).collect();
    let length = body.len().to_string();
    Response { status: refused.status, headers, body }
        .with("content-type", HTML)
        .with("content-length", length)
        .with("cache-control", "no-store")
}
