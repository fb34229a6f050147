//! `/account`: what somebody is called, their password, and where they are signed in.

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::{Call, Cx, Problem, Response};

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::fields::{Field, Fields, notice};
use crate::trellis::accounts::types::{ListedSession, NewName, NewPassword};
use crate::{origin, page, signing, time};

const PATH: &str = "/account";
/// The value that stands for all sessions but this one.
const OTHERS: &str = "others";

/// What was done a moment ago, in the words of the address, and of the page.
const DONE: [(&str, &str); 3] = [
    ("name", "You are called that from now on."),
    ("password", "Your password is set. You are signed in nowhere else any more."),
    ("session", "That session is over."),
];

/// What was sent in vain.
enum Vain<'t> {
    Name(&'t Trouble),
    Password(&'t Trouble),
    Session(&'t Trouble),
}

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(call, services, None))
}

pub fn rename(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [display_name] = call.form(["display_name"])?;
    let done = services.rename(&NewName { display_name });
    answer(call, services, "name", done, |trouble| Vain::Name(trouble))
}

pub fn set_password(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [current_password, new_password] = call.form(["current_password", "new_password"])?;
    let done = services.set_password(&NewPassword { current_password, new_password });
    answer(call, services, "password", done, |trouble| Vain::Password(trouble))
}

pub fn end_session(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [session] = call.form(["session"])?;
    let done = if session == OTHERS { services.end_sessions() } else { services.end_session(&session) };
    answer(call, services, "session", done, |trouble| Vain::Session(trouble))
}

fn answer(
    call: &Call<'_>,
    services: Services<'_>,
    what: &str,
    done: Result<Option<String>, Trouble>,
    vain: impl for<'t> FnOnce(&'t Trouble) -> Vain<'t>,
) -> Result<Response, Problem> {
    match done {
        Ok(position) => {
            let at = position.iter().map(|position| format!("&position={}", encoded(position)));
            let seen = page::look_at(&format!("{PATH}?done={what}{}", at.collect::<String>()));
            Ok(page::known(page::answer(seen)?, position))
        }
        Err(trouble) => page::answer(shown(call, services, Some(&vain(&trouble)))),
    }
}

fn shown(call: &Call<'_>, services: Services<'_>, vain: Option<&Vain<'_>>) -> Page {
    let cx = call.cx();
    if cx.session.is_none() {
        return signing::asked_for(cx, "Your account", PATH, "Sign in to see it.");
    }
    let sessions = services.sessions(&page::window(call));
    if let Err(Trouble::Refused(problem)) = &sessions {
        return page::refusal(Some(cx), problem);
    }
    let trouble = match vain {
        Some(Vain::Name(trouble) | Vain::Password(trouble) | Vain::Session(trouble)) => Some(*trouble),
        None => None,
    };
    let status = trouble.or(sessions.as_ref().err()).map_or(200, Trouble::status);
    let done = call.query("done").and_then(|word| DONE.iter().find(|(known, _)| *known == word));
    let main = html! {
        h1 { "Your account" }
        @if let Some((_, words)) = done.filter(|_| trouble.is_none()) { p.notice.done role="status" { (words) } }
        (name_form(cx, vain))
        (password_form(vain))
        h2 { "Where you are signed in" }
        @if let Some(Vain::Session(trouble)) = vain { (notice(trouble)) }
        @match &sessions {
            Ok(sessions) => (list(&sessions.items, sessions.next.as_deref())),
            Err(_) => { div.notice { strong { "This cannot be read right now" } } },
        }
    };
    page::document(Some(cx), status, "Your account", &main)
}

fn name_form(cx: &Cx, vain: Option<&Vain<'_>>) -> Markup {
    let fields = [Field { value: cx.name.as_deref().unwrap_or_default(), ..Field::DISPLAY_NAME }];
    let trouble = if let Some(Vain::Name(trouble)) = vain { Some(*trouble) } else { None };
    let form = Fields { action: "/account/name", button: "Save", fields: &fields, hidden: &[], trouble };
    form.show()
}

fn password_form(vain: Option<&Vain<'_>>) -> Markup {
    let fields = [
        Field { name: "current_password", label: "Password as it is", ..Field::PASSWORD },
        Field { name: "new_password", label: "New password", ..Field::NEW_PASSWORD },
    ];
    let trouble = if let Some(Vain::Password(trouble)) = vain { Some(*trouble) } else { None };
    let form =
        Fields { action: "/account/password", button: "Set password", fields: &fields, hidden: &[], trouble };
    form.show()
}

fn list(sessions: &[ListedSession], next: Option<&str>) -> Markup {
    html! {
        ul.comments.sessions {
            @for session in sessions {
                li data-key=(session.id) {
                    div.row {
                        p.why #{ "session-" (session.id) } {
                            @if session.this { strong { "This one" } ", since " } @else { "Since " }
                            (time::shown(&session.opened_at))
                        }
                        @if !session.this { (end(&session.id, "End", &format!("session-{}", session.id))) }
                    }
                }
            }
        }
        @if sessions.len() > 1 || next.is_some() { div.row { (end(OTHERS, "End all others", "others")) } }
        @if let Some(next) = next {
            p.pager { a rel="next" href={ (PATH) "?after=" (encoded(next)) } { "Earlier ones" } }
        }
    }
}

fn end(session: &str, button: &str, described_by: &str) -> Markup {
    let described_by = (session != OTHERS).then_some(described_by);
    html! {
        form method="post" action="/account/sessions" {
            input type="hidden" name="session" value=(session);
            button.quiet type="submit" aria-describedby=[described_by] { (button) }
        }
    }
}
