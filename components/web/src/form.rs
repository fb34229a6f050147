//! The form of a page: for one text, which is kept until it is known to be published.

use maud::{Markup, html};
use trellis_kit::{Problem, id};

use crate::api::Cx;
use crate::ask::Trouble;
use crate::page;

/// What is asked for.
#[derive(Debug)]
pub struct Form<'a> {
    pub action: &'a str,
    /// The name of the field, which services complain about by the same name.
    pub field: &'a str,
    pub label: &'a str,
    pub hint: &'a str,
    pub button: &'a str,
    pub lines: u32,
}

/// What is in it.
#[derive(Debug)]
pub struct Draft {
    text: String,
    /// However often it is sent with this key, it is published once.
    key: String,
    trouble: Option<Trouble>,
}

impl Draft {
    pub fn empty() -> Self {
        Self { text: String::new(), key: id::unique(), trouble: None }
    }

    /// What somebody typed in vain.
    pub fn refused(cx: &Cx, text: String, trouble: Trouble) -> Self {
        let sent = cx.idempotency_key.clone().filter(|_| !page::was_sent_before(&trouble));
        Self { text, key: sent.unwrap_or_else(id::unique), trouble: Some(trouble) }
    }

    pub fn is_refused(&self) -> bool {
        self.trouble.is_some()
    }

    /// The status of a page with this form on it, if the form decides that.
    pub fn status(&self) -> Option<u16> {
        self.trouble.as_ref().map(Trouble::status)
    }
}

fn complaint<'p>(problem: &'p Problem, field: &str) -> Option<&'p str> {
    problem.errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
}

impl Form<'_> {
    pub fn show(&self, draft: &Draft) -> Markup {
        let wrong = match &draft.trouble {
            Some(Trouble::Refused(problem)) => complaint(problem, self.field),
            _ => None,
        };
        let described_by = if wrong.is_some() { "wrong hint" } else { "hint" };
        html! {
            form.composer method="post" action=(self.action) {
                @if let Some(trouble) = &draft.trouble {
                    @if wrong.is_none() { (notice(trouble)) }
                }
                label for="text" { (self.label) }
                @if let Some(wrong) = wrong {
                    p.wrong #wrong { (wrong) }
                }
                @let invalid = wrong.map(|_| "true");
                @let focused = draft.is_refused();
                @if self.lines > 1 {
                    // A browser drops the first line break of what is in it.
                    textarea #text name=(self.field) rows=(self.lines) dir="auto" required autocomplete="off"
                        aria-describedby=(described_by) aria-invalid=[invalid] autofocus[focused] {
                        "\n" (draft.text)
                    }
                } @else {
                    input #text name=(self.field) type="text" value=(draft.text) dir="auto" required
                        autocomplete="off" aria-describedby=(described_by) aria-invalid=[invalid]
                        autofocus[focused];
                }
                input type="hidden" name="key" value=(draft.key);
                div.row {
                    p.hint #hint { (self.hint) }
                    button type="submit" { (self.button) }
                }
            }
        }
    }
}

/// What is the matter, where it is not one field.
fn notice(trouble: &Trouble) -> Markup {
    let (title, text) = match trouble {
        Trouble::Away => (
            "This cannot be published right now",
            "The service that takes it is away. Nothing was sent, and what you typed is kept here: try again in a \
             moment. Everything that is published can still be read.",
        ),
        Trouble::Unsure { .. } => (
            "It is not certain that this was published",
            "There was no clear answer. Send it again: however often you do, it is published once.",
        ),
        problem if page::was_sent_before(problem) => (
            "This form was sent before, with another text",
            "That text is published. Send this one again if it should be published as well.",
        ),
        Trouble::Refused(problem) => (problem.title.as_str(), problem.detail.as_deref().unwrap_or_default()),
    };
    html! {
        div.notice role="alert" {
            strong { (title) }
            p { (text) }
        }
    }
}
