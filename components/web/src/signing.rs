//! `/signup`, `/signin` and `/signout`: a browser is given the token of a session in a cookie that no script reads. Which cookie that is
//! is the gateway's concern; here the token is told, and nothing of it is shown.

use maud::{Markup, html};
use trellis_kit::http::{Path, encoded};
use trellis_kit::{Call, Cx, Problem, Response};

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::fields::{Field, Fields};
use crate::trellis::accounts::types::{Credentials, NewUser};
use crate::{origin, page};

/// Where somebody came from, and goes back to.
const TO: &str = "to";

pub fn sign_up_page(call: &Call<'_>) -> Result<Response, Problem> {
    page::answer(sign_up_form(call.cx(), "", "", place(call.query(TO).unwrap_or("/"))?, None))
}

pub fn sign_up(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [email, display_name, password, to] = call.form(["email", "display_name", "password", TO])?;
    let (cx, to) = (call.cx(), place(&to)?);
    let name = Some(display_name.trim()).filter(|name| !name.is_empty()).map(str::to_owned);
    let new = NewUser { email: email.clone(), password, display_name: name };
    match services.sign_up(&new) {
        Ok(answer) => Ok(begun(cx, &answer.token, to)),
        Err(trouble) => page::answer(sign_up_form(cx, &email, &display_name, to, Some(&trouble))),
    }
}

pub fn sign_in_page(call: &Call<'_>) -> Result<Response, Problem> {
    page::answer(sign_in_form(call.cx(), "", place(call.query(TO).unwrap_or("/"))?, None))
}

pub fn sign_in(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [email, password, to] = call.form(["email", "password", TO])?;
    let (cx, to) = (call.cx(), place(&to)?);
    match services.sign_in(&Credentials { email: email.clone(), password }) {
        Ok(answer) => Ok(begun(cx, &answer.token, to)),
        Err(trouble) => page::answer(sign_in_form(cx, &email, to, Some(&trouble))),
    }
}

pub fn sign_out(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [] = call.form([])?;
    match services.sign_out() {
        Ok(answer) => {
            call.cx().tell_session("");
            Ok(page::known(page::answer(page::look_at("/"))?, answer.position))
        }
        Err(trouble) => page::answer(page::in_vain(call.cx(), "Sign out", &trouble)),
    }
}

/// What whoever is not signed in is shown instead of a page that is for those who are.
pub fn asked_for(cx: &Cx, heading: &str, to: &str, lead: &str) -> Page {
    let main = html! {
        h1 { (heading) }
        p.lead { (lead) }
        (ways_in(to))
    };
    page::document(Some(cx), 401, heading, &main)
}

/// The ways to sign in, and back.
pub fn ways_in(to: &str) -> Markup {
    html! {
        p.pager {
            a href={ "/signin?to=" (encoded(to)) } { "Sign in" }
            a href={ "/signup?to=" (encoded(to)) } { "Sign up" }
        }
    }
}

fn begun(cx: &Cx, token: &str, to: &str) -> Response {
    cx.tell_session(token);
    Response::empty(303).with("location", to).with("cache-control", "no-store")
}

fn sign_in_form(cx: &Cx, email: &str, to: &str, trouble: Option<&Trouble>) -> Page {
    let fields = [Field { value: email, ..Field::EMAIL }, Field::PASSWORD];
    let form = Fields { action: "/signin", button: "Sign in", fields: &fields, hidden: &[(TO, to)], trouble };
    let main = html! {
        h1 { "Sign in" }
        (form.show())
        p { "New here? " a href={ "/signup?to=" (encoded(to)) } { "Sign up" } "." }
    };
    page::document(Some(cx), trouble.map_or(200, Trouble::status), "Sign in", &main)
}

fn sign_up_form(cx: &Cx, email: &str, name: &str, to: &str, trouble: Option<&Trouble>) -> Page {
    let fields = [
        Field {
            value: email,
            hint: "You sign in with it. No mail is sent, and nobody is shown it.",
            ..Field::EMAIL
        },
        Field {
            value: name,
            hint: "As others see it. You may leave it out.",
            is_required: false,
            ..Field::DISPLAY_NAME
        },
        Field::NEW_PASSWORD,
    ];
    let form = Fields { action: "/signup", button: "Sign up", fields: &fields, hidden: &[(TO, to)], trouble };
    let main = html! {
        h1 { "Sign up" }
        (form.show())
        p { "Already signed up? " a href={ "/signin?to=" (encoded(to)) } { "Sign in" } "." }
    };
    page::document(Some(cx), trouble.map_or(200, Trouble::status), "Sign up", &main)
}

/// A path of ours, which is never an address elsewhere.
fn place(to: &str) -> Result<&str, Problem> {
    let is_plain = to.bytes().all(|byte| byte.is_ascii_graphic()) && !to.contains(['?', '#']);
    if is_plain && Path::parse(to).is_ok() {
        return Ok(to);
    }
    Err(Problem::malformed("The form does not say to which page it belongs."))
}
