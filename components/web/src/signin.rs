//! Signing in and out: the forms go to the gateway, which knows the keys, and sends the browser back here.

use maud::{Markup, html};

/// A form that asks for the API key, for the page at this path.
pub fn form(to: &str, was_refused: bool) -> Markup {
    let described_by = if was_refused { "wrong hint" } else { "hint" };
    html! {
        form.composer method="post" action="/signin" {
            label for="text" { "API key" }
            @if was_refused { p.wrong #wrong { "This key is not known here." } }
            input #text name="key" type="password" required autocomplete="current-password"
                aria-describedby=(described_by) aria-invalid=[was_refused.then_some("true")] autofocus[was_refused];
            input type="hidden" name="to" value=(to);
            div.row {
                p.hint #hint { "It is kept until you sign out or close the browser, and sent here only: by https, or to a server on your own machine." }
                button type="submit" { "Sign in" }
            }
        }
    }
}

/// Who is signed in, and the way out.
pub fn whoever(caller: &str, to: &str) -> Markup {
    html! {
        form.whoever method="post" action="/signout" {
            p { "Signed in as " bdi.author { (caller) } }
            input type="hidden" name="to" value=(to);
            button.quiet type="submit" { "Sign out" }
        }
    }
}
