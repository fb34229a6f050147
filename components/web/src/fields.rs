//! Forms with several fields, as for signing in: what is wrong with one is said beside it, and what was typed is kept, but for
//! passwords. What each field is for is said in the words that password managers know.

use maud::{Markup, html};
use trellis_kit::Problem;

use crate::ask::Trouble;

#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Its name, by which services complain about it.
    pub name: &'static str,
    pub label: &'static str,
    pub kind: &'static str,
    /// What a password manager fills in there.
    pub autocomplete: &'static str,
    pub hint: &'static str,
    pub is_required: bool,
    pub value: &'a str,
}

#[derive(Debug)]
pub struct Fields<'a> {
    pub action: &'a str,
    pub button: &'static str,
    pub fields: &'a [Field<'a>],
    /// What is sent along and not shown.
    pub hidden: &'a [(&'static str, &'a str)],
    /// Why it was sent in vain.
    pub trouble: Option<&'a Trouble>,
}

impl Field<'_> {
    pub const EMAIL: Self = Self {
        name: "email",
        label: "Email",
        kind: "email",
        autocomplete: "username",
        hint: "With which you signed up.",
        is_required: true,
        value: "",
    };
    pub const PASSWORD: Self = Self {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        hint: "The one that you have set.",
        ..Self::EMAIL
    };
    pub const NEW_PASSWORD: Self = Self {
        autocomplete: "new-password",
        hint: "8 characters or more, and none that everybody uses.",
        ..Self::PASSWORD
    };
    pub const DISPLAY_NAME: Self = Self {
        name: "display_name",
        label: "Name",
        kind: "text",
        autocomplete: "nickname",
        hint: "As others see it.",
        ..Self::EMAIL
    };
}

impl Fields<'_> {
    pub fn show(&self) -> Markup {
        let wrong = |field: &Field<'_>| self.trouble.and_then(|trouble| complaint(trouble, field.name));
        let first_wrong = self.fields.iter().find(|field| wrong(field).is_some()).map(|field| field.name);
        html! {
            form.composer.fields method="post" action=(self.action) {
                @if let Some(trouble) = self.trouble.filter(|_| first_wrong.is_none()) { (notice(trouble)) }
                @for field in self.fields { (entry(field, wrong(field), first_wrong == Some(field.name))) }
                @for (name, value) in self.hidden { input type="hidden" name=(name) value=(value); }
                div.row { button type="submit" { (self.button) } }
            }
        }
    }
}

fn entry(field: &Field<'_>, wrong: Option<&str>, has_focus: bool) -> Markup {
    let Field { name, label, kind, autocomplete, hint, is_required, value } = *field;
    let (wrong_id, hint_id) = (format!("{name}-wrong"), format!("{name}-hint"));
    let described_by = match wrong {
        Some(_) => format!("{wrong_id} {hint_id}"),
        None => hint_id.clone(),
    };
    html! {
        div.field {
            label for=(name) { (label) }
            @if let Some(wrong) = wrong { p.wrong #(wrong_id) { (wrong) } }
            input #(name) name=(name) type=(kind) value=[(kind != "password").then_some(value)] dir="auto"
                autocomplete=(autocomplete) required[is_required] aria-describedby=(described_by)
                aria-invalid=[wrong.map(|_| "true")] autofocus[has_focus];
            p.hint #(hint_id) { (hint) }
        }
    }
}

fn complaint<'t>(trouble: &'t Trouble, field: &str) -> Option<&'t str> {
    let Trouble::Refused(Problem { errors, .. }) = trouble else { return None };
    // A list is typed into one field: `roles.0` is a part of `roles`.
    let of_field =
        |name: &str| name.strip_prefix(field).is_some_and(|part| part.is_empty() || part.starts_with('.'));
    errors.iter().find(|error| of_field(&error.field)).map(|error| error.message.as_str())
}

/// What is the matter, where it is not one field.
pub fn notice(trouble: &Trouble) -> Markup {
    let (title, text) = match trouble {
        Trouble::Away => (
            "This cannot be done right now",
            "What is needed for it is away. Nothing was changed: try again in a moment.",
        ),
        Trouble::Unsure { .. } => (
            "It is not certain that this was done",
            "There was no clear answer. Look whether it is as you want it, or send it again.",
        ),
        Trouble::Refused(problem) if problem.status == 429 => {
            ("That was tried too often", problem.detail.as_deref().unwrap_or_default())
        }
        Trouble::Refused(problem) => ("That was not done", problem.detail.as_deref().unwrap_or_default()),
    };
    html! {
        div.notice role="alert" {
            strong { (title) }
            p { (text) }
        }
    }
}
