//! `/moderation`: verdicts on comments, the latest first, and for each a form to say otherwise. It stays as it was loaded:
//! what slides away under the hand is decided about by mistake.

use maud::{Markup, html};
use trellis_kit::http::{Answer, encoded};
use trellis_kit::{Call, Problem, id};

use crate::api::{Decision, Page, Queue};
use crate::ask::{Services, Trouble};
use crate::trellis::moderation::types::{Outcome, Verdict, VerdictPage};
use crate::trellis::web::types::Shown;
use crate::{origin, page, post, signing, time};

const PATH: &str = "/moderation";
/// What can be looked at, in the words of the address, and of the page.
const SHOWN: [(Shown, &str, &str); 3] = [
    (Shown::Rejected, "rejected", "Not published"),
    (Shown::Approved, "approved", "Published"),
    (Shown::All, "all", "All"),
];

/// What the address asks to see.
pub fn asked_for(call: &Call<'_>) -> Result<Queue, Problem> {
    Ok(Queue {
        shown: call.query_as("status")?.unwrap_or(Shown::Rejected),
        from: page::window(call),
        decided: call.query("decided").map(str::to_owned),
    })
}

/// What the form says.
pub fn said(call: &Call<'_>) -> Result<Decision, Problem> {
    origin::check(call.request())?;
    let [comment, status, shown] = call.form(["comment", "status", "shown"])?;
    let status = match status.as_str() {
        "approved" => Outcome::Approved,
        "rejected" => Outcome::Rejected,
        _ => return Err(Problem::malformed("status must be approved or rejected.")),
    };
    let shown = SHOWN.into_iter().find_map(|(known, word, _)| (word == shown).then_some(known));
    let shown = shown.ok_or_else(|| Problem::malformed("shown must be rejected, approved or all."))?;
    Ok(Decision { comment, status, shown })
}

pub fn decide(services: Services<'_>, decision: &Decision) -> Page {
    let Decision { comment, shown, .. } = decision;
    match services.decide(decision) {
        Ok(written) => {
            let position = written.position.map(|position| format!("&position={}", encoded(&position)));
            let position = position.unwrap_or_default();
            page::look_at(&format!("{}&decided={comment}{position}", address(*shown)))
        }
        Err(trouble) => {
            let queue = Queue { shown: *shown, from: page::NEWEST, decided: None };
            page(services, &queue, Some(&trouble))
        }
    }
}

/// The page, after a decision that was in vain if there is trouble with one.
pub fn page(services: Services<'_>, queue: &Queue, trouble: Option<&Trouble>) -> Page {
    if services.cx().caller.is_none() {
        return signing::asked_for(services.cx(), "Moderation", PATH, "This is for moderators.");
    }
    let read = match services.verdicts(queue.shown, &queue.from) {
        Err(Trouble::Refused(problem)) if problem.status == 403 => return not_for(services),
        Err(Trouble::Refused(problem)) => return page::refusal(Some(services.cx()), &problem),
        read => read,
    };
    let status = trouble.or(read.as_ref().err()).map_or(200, Trouble::status);
    let decided = queue.decided.as_ref().and_then(|comment| services.verdict(comment).ok());
    let main = html! {
        h1 { "Moderation" }
        (tabs(queue))
        @if let Some(trouble) = trouble { (in_vain(trouble)) }
        @if let Some(verdict) = &decided { (done(verdict, &read, queue)) }
        @match &read {
            Ok(read) => (list(&read.value, queue)),
            Err(_) => (unreadable()),
        }
        @if queue.from.after.is_some() {
            p.pager { a href=(address(queue.shown)) { "Latest verdicts" } }
        }
    };
    page::document(Some(services.cx()), status, "Moderation", &main)
}

fn not_for(services: Services<'_>) -> Page {
    let main = html! {
        h1 { "Moderation" }
        div.notice role="alert" {
            strong { "This is for moderators" }
            p { "You are signed in, but that does not make you one. An admin can." }
        }
    };
    page::document(Some(services.cx()), 403, "Moderation", &main)
}

fn address(shown: Shown) -> String {
    format!("{PATH}?status={}", word(shown))
}

fn word(shown: Shown) -> &'static str {
    SHOWN.into_iter().find_map(|(known, word, _)| (known == shown).then_some(word)).unwrap_or_default()
}

fn tabs(queue: &Queue) -> Markup {
    html! {
        nav.tabs aria-label="Verdicts" {
            ul {
                @for (shown, _, name) in SHOWN {
                    @let current = (shown == queue.shown).then_some("page");
                    li { a href=(address(shown)) aria-current=[current] { (name) } }
                }
            }
        }
    }
}

fn list(VerdictPage { items, next }: &VerdictPage, queue: &Queue) -> Markup {
    html! {
        @if !items.is_empty() {
            ol.comments.verdicts { @for verdict in items { (entry(verdict, queue.shown)) } }
        } @else if next.is_some() {
            p.lead { "All of these were decided otherwise since." }
        } @else {
            (nothing(queue))
        }
        @if let Some(next) = next {
            p.pager {
                a rel="next" href={ (address(queue.shown)) "&after=" (encoded(next)) } { "Earlier verdicts" }
            }
        }
    }
}

fn nothing(queue: &Queue) -> Markup {
    let (title, text) = match (queue.from.after.is_some(), queue.shown) {
        (true, _) => ("That was all.", "There are no earlier verdicts."),
        (_, Shown::Rejected) => {
            ("Nothing is held back.", "What the rules or a moderator refuse is listed here.")
        }
        (_, Shown::Approved) => ("Nothing is published yet.", "Comments are listed here once they are."),
        (_, Shown::All) => ("No comments yet.", "Each is listed here as soon as it has its verdict."),
    };
    html! {
        div.empty {
            p { strong { (title) } }
            p { (text) }
        }
    }
}

fn entry(verdict: &Verdict, shown: Shown) -> Markup {
    let Verdict { id, author, content, status, decided_at, .. } = verdict;
    let state = if *status == Outcome::Approved { "approved" } else { "rejected" };
    let said = format!("said-{id}");
    html! {
        li #{ "verdict-" (id) } data-key=(id) data-state=(state) {
            p.about {
                (post::author(author.as_deref()))
                " · " a href={ "/p/" (id::root(id)) "#comment-" (id) } { "in its post" }
            }
            p.said #(said) dir="auto" { (content) }
            div.row {
                p.why { (why(verdict)) " · " (time::shown(decided_at)) }
                (otherwise(verdict, shown, &said))
            }
        }
    }
}

/// Who decided so, and by what.
fn why(verdict: &Verdict) -> Markup {
    let what = if verdict.status == Outcome::Approved { "Published" } else { "Not published" };
    html! {
        (what)
        @match (&verdict.moderator, &verdict.reason) {
            (Some(moderator), _) => { " by " bdi.author { (moderator) } },
            (None, Some(rule)) => { ", by the rule " bdi.author { (rule) } },
            (None, None) => { ", by the rules" },
        }
        @if verdict.review.is_some() { ", when they were applied anew" }
    }
}

/// The form that says otherwise.
fn otherwise(verdict: &Verdict, shown: Shown, said: &str) -> Markup {
    let (status, name) = match verdict.status {
        Outcome::Approved => ("rejected", "Take back"),
        Outcome::Rejected => ("approved", "Publish"),
    };
    html! {
        form method="post" action=(PATH) {
            input type="hidden" name="comment" value=(verdict.id);
            input type="hidden" name="status" value=(status);
            input type="hidden" name="shown" value=(word(shown));
            button.quiet type="submit" aria-describedby=(said) { (name) }
        }
    }
}

/// What was decided a moment ago, with the way back.
fn done(verdict: &Verdict, read: &Result<Answer<VerdictPage>, Trouble>, queue: &Queue) -> Markup {
    let what = if verdict.status == Outcome::Approved { "is published" } else { "is not published any more" };
    let is_behind = queue.from.position.is_some() && read.as_ref().is_ok_and(|read| read.is_behind);
    html! {
        div.notice.done role="status" {
            p {
                strong { "The comment by " (post::author(verdict.author.as_deref())) " " (what) "." }
                @if is_behind { " It may take a moment until the list shows it." }
            }
            div.row {
                p.said #decided dir="auto" { (verdict.content) }
                (otherwise(verdict, queue.shown, "decided"))
            }
        }
    }
}

/// Why nothing came of a decision.
fn in_vain(trouble: &Trouble) -> Markup {
    let (title, text) = match trouble {
        Trouble::Away => (
            "This cannot be decided right now",
            "Moderation is away. Nothing was changed: try again in a moment.",
        ),
        Trouble::Unsure { .. } => (
            "It is not certain that this was decided",
            "There was no clear answer. Look whether it is as you want it; to say the same again does no harm.",
        ),
        Trouble::Refused(problem) if problem.status == 409 => {
            ("Somebody else has decided so already", "Nothing was changed.")
        }
        Trouble::Refused(problem) => (problem.title.as_str(), problem.detail.as_deref().unwrap_or_default()),
    };
    html! {
        div.notice role="alert" {
            strong { (title) }
            p { (text) }
        }
    }
}

fn unreadable() -> Markup {
    html! {
        div.notice {
            strong { "The verdicts cannot be read right now" }
            p { "Nothing is lost, and comments wait until moderation is back." }
        }
    }
}
