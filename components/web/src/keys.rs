//! `/admin/keys`: the keys by which programs call. An admin issues one and sees its token on the page that answers, that once, and ends
//! those that are not needed.

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::{Call, Cx, Problem, Response};

use crate::api::{Page, Window};
use crate::ask::{Services, Trouble};
use crate::fields::{Field, Fields, notice};
use crate::trellis::accounts::types::{IssuedKey, KeyPage, ListedKey, NewKey};
use crate::{admin, origin, page, signing, time};

const TITLE: &str = "Keys";
/// For how many days a key counts if nobody says otherwise.
const DAYS: &str = "90";

/// The form as it was sent.
struct Draft<'t> {
    name: String,
    roles: String,
    days: String,
    trouble: &'t Trouble,
}

/// What was done a moment ago, or in vain.
enum Done<'t> {
    Nothing,
    Issued(&'t IssuedKey),
    NotIssued(Draft<'t>),
    NotEnded(&'t Trouble),
}

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(call.cx(), services, &page::window(call), &Done::Nothing))
}

/// Takes the names of roles, with blanks between them. Its token is shown on the page that answers, so this is no redirect.
pub fn issue(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [name, roles, days] = call.form(["name", "roles", "days"])?;
    let issued = number(&days).and_then(|days| {
        services.issue_key(&NewKey { name: name.clone(), roles: admin::split(&roles), days })
    });
    let done = |window: &Window, done: Done<'_>| page::answer(shown(call.cx(), services, window, &done));
    match issued {
        Ok(answer) => {
            let window = Window { position: answer.position.clone(), ..page::NEWEST };
            Ok(page::known(done(&window, Done::Issued(&answer.value))?, answer.position))
        }
        Err(trouble) => done(&page::NEWEST, Done::NotIssued(Draft { name, roles, days, trouble: &trouble })),
    }
}

pub fn end(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [key] = call.form(["key"])?;
    match services.end_key(&key) {
        Ok(position) => admin::look_again(admin::KEYS, position),
        Err(trouble) => page::answer(shown(call.cx(), services, &page::NEWEST, &Done::NotEnded(&trouble))),
    }
}

fn number(days: &str) -> Result<u32, Trouble> {
    days.trim().parse().map_err(|_| Trouble::Refused(Problem::invalid("days", "Must be a whole number.")))
}

fn shown(cx: &Cx, services: Services<'_>, window: &Window, done: &Done<'_>) -> Page {
    if cx.caller.is_none() {
        return signing::asked_for(cx, TITLE, admin::KEYS, "This is for admins.");
    }
    let keys = services.keys(window);
    if let Err(Trouble::Refused(problem)) = &keys {
        return page::refusal(Some(cx), problem);
    }
    let trouble = match done {
        Done::Nothing | Done::Issued(_) => None,
        Done::NotIssued(Draft { trouble, .. }) | Done::NotEnded(trouble) => Some(*trouble),
    };
    let status = trouble.or(keys.as_ref().err()).map_or(200, Trouble::status);
    let main = html! {
        h1 { (TITLE) }
        (admin::tabs(admin::KEYS))
        p.lead { "Programs call with a key. It stays when the admin goes who has issued it." }
        @if let Done::Issued(issued) = done { (told_once(issued)) }
        (form(done))
        @if let Done::NotEnded(trouble) = done { (notice(trouble)) }
        @match &keys {
            Ok(keys) => (list(cx, keys)),
            Err(_) => { div.notice { strong { "This cannot be read right now" } } },
        }
    };
    page::document(Some(cx), status, TITLE, &main)
}

fn told_once(IssuedKey { key, token }: &IssuedKey) -> Markup {
    html! {
        div.notice.done role="status" {
            strong { "There is a key " bdi { (key.name) } }
            p { "Its programs show this token, as " code { "Authorization: Bearer" } ". It is not shown again:" }
            p { code.token #token { (token) } }
        }
    }
}

fn form(done: &Done<'_>) -> Markup {
    let (name, roles, days, trouble) = match done {
        Done::NotIssued(Draft { name, roles, days, trouble }) => {
            (name.as_str(), roles.as_str(), days.as_str(), Some(*trouble))
        }
        _ => ("", "", DAYS, None),
    };
    let text = Field { kind: "text", autocomplete: "off", ..Field::EMAIL };
    let fields = [
        Field { name: "name", label: "Name", hint: "Whose programs call with it.", value: name, ..text },
        Field {
            name: "roles",
            label: "Roles",
            hint: "What they are trusted with, with blanks between. None is fine; admin is not possible.",
            is_required: false,
            value: roles,
            ..text
        },
        Field {
            name: "days",
            label: "Days",
            kind: "number",
            hint: "For which it counts: 366 at most.",
            value: days,
            ..text
        },
    ];
    Fields { action: "/admin/keys", button: "Issue a key", fields: &fields, hidden: &[], trouble }.show()
}

fn list(cx: &Cx, KeyPage { items, next }: &KeyPage) -> Markup {
    html! {
        ul.comments.keys { @for key in items { (entry(cx, key)) } }
        @if items.is_empty() && next.is_none() { p.lead { "There are no keys yet." } }
        @if let Some(next) = next {
            p.pager { a rel="next" href={ (admin::KEYS) "?after=" (encoded(next)) } { "Earlier ones" } }
        }
    }
}

fn entry(cx: &Cx, ListedKey { id, name, roles, issued_at, ends_at }: &ListedKey) -> Markup {
    let (about, is_over) = (format!("key-{id}"), *ends_at <= cx.now());
    html! {
        li data-key=(id) data-state=[is_over.then_some("rejected")] {
            div.row {
                div #(about) {
                    p.about {
                        bdi.author { (name) }
                        " · since " (time::shown(issued_at)) " · "
                        @if is_over { strong { "over" } " since " } @else { "until " }
                        (time::shown(ends_at))
                    }
                    @if !roles.is_empty() { p.about { (roles.join(", ")) } }
                }
                form method="post" action="/admin/keys/end" {
                    input type="hidden" name="key" value=(id);
                    button.quiet type="submit" aria-describedby=(about) { "End" }
                }
            }
        }
    }
}
