//! `/admin`: who has signed up, what each is trusted with, and who is kept out. Whoever is no admin finds there how to become the first.
//! What the pages of admins share is here, too.

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::{Call, Cx, Problem, Response};

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::fields::{Field, Fields, notice};
use crate::trellis::accounts::types::{AdminCode, ListedUser, NewRoles, UserPage};
use crate::{ask, origin, page, signing, time};

const PATH: &str = "/admin";
pub const KEYS: &str = "/admin/keys";
/// The pages of admins, and what they are called.
const PAGES: [(&str, &str); 2] = [(PATH, "People"), (KEYS, "Keys")];

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(call, services, None))
}

/// Takes the names of roles, with blanks between them.
pub fn set_roles(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [user, roles] = call.form(["user", "roles"])?;
    answer(call, services, services.set_roles(&user, &NewRoles { roles: split(&roles) }))
}

/// The names of roles, as they are typed.
pub fn split(roles: &str) -> Vec<String> {
    roles.split([' ', ',']).filter(|role| !role.is_empty()).map(str::to_owned).collect()
}

pub fn block(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [user, blocked] = call.form(["user", "blocked"])?;
    answer(call, services, if blocked == "yes" { services.block(&user) } else { services.unblock(&user) })
}

pub fn take_code(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [code] = call.form(["code"])?;
    answer(call, services, services.become_admin(&AdminCode { code: code.trim().to_owned() }))
}

fn answer(
    call: &Call<'_>,
    services: Services<'_>,
    done: Result<Option<String>, Trouble>,
) -> Result<Response, Problem> {
    match done {
        Ok(position) => look_again(PATH, position),
        Err(trouble) => page::answer(shown(call, services, Some(&trouble))),
    }
}

/// Sends the browser to a page that has what was written.
pub fn look_again(path: &str, position: Option<String>) -> Result<Response, Problem> {
    let seen = page::look_at(&ask::at(path, position.as_deref()));
    Ok(page::known(page::answer(seen)?, position))
}

/// The ways from one page of admins to another.
pub fn tabs(here: &str) -> Markup {
    html! {
        nav.tabs aria-label="For admins" {
            ul {
                @for (path, name) in PAGES {
                    li { a href=(path) aria-current=[(path == here).then_some("page")] { (name) } }
                }
            }
        }
    }
}

fn shown(call: &Call<'_>, services: Services<'_>, trouble: Option<&Trouble>) -> Page {
    let cx = call.cx();
    if cx.caller.is_none() {
        return signing::asked_for(cx, "People", PATH, "This is for admins.");
    }
    let window = page::window(call);
    let users = services.users(&window);
    match &users {
        Err(Trouble::Refused(problem)) if problem.status == 403 => return first(cx, trouble),
        Err(Trouble::Refused(problem)) => return page::refusal(Some(cx), problem),
        _ => {}
    }
    let status = trouble.or(users.as_ref().err()).map_or(200, Trouble::status);
    let main = html! {
        h1 { "People" }
        (tabs(PATH))
        @if let Some(trouble) = trouble { (explained(trouble)) }
        @else if window.position.is_some() { p.notice role="status" { "That is done." } }
        p.hint #roles {
            "Roles are written with blanks between them. The pages here know " code { "moderator" } ", " code { "operator" } " and "
            code { "admin" } "; what others are for, the policy of the gateway says."
        }
        @match &users {
            Ok(users) => (list(users)),
            Err(_) => { div.notice { strong { "This cannot be read right now" } } },
        }
    };
    page::document(Some(cx), status, "People", &main)
}

/// A field of a row is named in the notice: there is one such field in every row.
fn explained(trouble: &Trouble) -> Markup {
    match trouble {
        Trouble::Refused(Problem { errors, .. }) if !errors.is_empty() => html! {
            div.notice role="alert" {
                strong { "That was not done" }
                @for error in errors { p { (error.field) ": " (error.message) } }
            }
        },
        _ => notice(trouble),
    }
}

fn first(cx: &Cx, trouble: Option<&Trouble>) -> Page {
    let code = Field {
        name: "code",
        label: "Code",
        kind: "text",
        autocomplete: "one-time-code",
        hint: "64 letters and digits.",
        ..Field::EMAIL
    };
    let form =
        Fields { action: "/admin/code", button: "Become admin", fields: &[code], hidden: &[], trouble };
    let main = html! {
        h1 { "People" }
        p.lead { "This is for admins. As long as there is none, the host prints a code: whoever shows it here becomes the first." }
        (form.show())
    };
    page::document(Some(cx), 403, "People", &main)
}

fn list(UserPage { items, next }: &UserPage) -> Markup {
    html! {
        ul.comments.people { @for user in items { (entry(user)) } }
        @if let Some(next) = next {
            p.pager { a rel="next" href={ (PATH) "?after=" (encoded(next)) } { "Earlier ones" } }
        }
    }
}

fn entry(user: &ListedUser) -> Markup {
    let ListedUser { id, display_name, roles, signed_up_at, blocked_at } = user;
    let (name, field) = (format!("name-{id}"), format!("roles-{id}"));
    let (blocked, button) = if blocked_at.is_some() { ("no", "Let in again") } else { ("yes", "Block") };
    html! {
        li data-key=(id) data-state=[blocked_at.is_some().then_some("rejected")] {
            p.about #(name) {
                bdi.author { (display_name.as_deref().unwrap_or(id)) }
                " · since " (time::shown(signed_up_at))
                @if blocked_at.is_some() { " · " strong { "blocked" } }
            }
            div.row {
                form.roles method="post" action="/admin/roles" {
                    input type="hidden" name="user" value=(id);
                    label for=(field) { "Roles" }
                    input #(field) name="roles" type="text" value=(roles.join(" ")) autocomplete="off" aria-describedby={ (name) " roles" };
                    button.quiet type="submit" aria-describedby=(name) { "Save" }
                }
                form method="post" action="/admin/block" {
                    input type="hidden" name="user" value=(id);
                    input type="hidden" name="blocked" value=(blocked);
                    button.quiet type="submit" aria-describedby=(name) { (button) }
                }
            }
        }
    }
}
