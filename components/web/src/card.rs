//! How somebody says which card pays: the sandbox by a choice, Stripe in its own form. That is Stripe's page within ours, so the number
//! of a card never comes here.

use maud::{Markup, html};
use trellis_kit::config;
use trellis_kit::platform::Fault;

use crate::assets::CARD;

/// What the sandbox knows cards by, and what it does with each.
const SANDBOX: [(&str, &str); 4] = [
    ("tok_ok", "A card that works"),
    ("tok_declined", "A card that is declined"),
    ("tok_insufficient", "A card without enough money"),
    ("tok_unknown", "A card whose answer is lost at first"),
];

/// The key by which Stripe knows whose form it is. With one, cards are Stripe's.
const KEY: &str = "stripe-publishable-key";
/// Where Stripe's script is; for a double.
const SCRIPT: &str = "stripe-script";

/// Who is told the card.
pub enum Cards {
    Sandbox,
    Stripe { key: String, script: Script },
}

pub struct Script {
    url: String,
    origins: Origins,
}

/// What a page with such a field loads from elsewhere, as lists of a content security policy.
pub struct Origins {
    pub scripts: String,
    pub frames: String,
    pub requests: String,
}

impl Cards {
    pub fn configured() -> Result<Self, Fault> {
        let Some(key) = config::text(KEY)? else { return Ok(Self::Sandbox) };
        if !key.starts_with("pk_") || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            // It may be the secret one.
            return Err(Fault::new(format!(
                "config {KEY}: it begins with pk_ and has letters, digits and _ only"
            )));
        }
        let script = config::text(SCRIPT)?.map_or_else(|| Ok(Script::stripes()), Script::doubles)?;
        Ok(Self::Stripe { key, script })
    }

    pub fn field(&self) -> Markup {
        match self {
            Self::Sandbox => html! {
                label for="token" { "Which card?" }
                select #token name="token" autocomplete="off" {
                    @for (token, words) in SANDBOX { option value=(token) { (words) } }
                }
            },
            Self::Stripe { .. } => html! {
                p.label #card-label { "Your card" }
                input type="hidden" name="token" value="";
                // Stripe's script fills it, so ours leaves it as it is.
                div.card #card data-own="" role="group" aria-labelledby="card-label" {}
                p.wrong #card-trouble role="alert" data-own="" {}
                noscript { p.notice { "The form for your card is Stripe's, and needs JavaScript." } }
            },
        }
    }

    /// What is said beside the button.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Sandbox => "This is a sandbox: no money moves, and no card is asked for.",
            Self::Stripe { .. } => "The number of your card goes to Stripe alone.",
        }
    }

    /// The scripts of a page with such a field.
    pub fn scripts(&self) -> Markup {
        let Self::Stripe { key, script } = self else { return Markup::default() };
        html! {
            script src=(script.url) defer {}
            script src=(CARD.path()) data-key=(key) defer {}
        }
    }

    /// What a page with such a field loads from elsewhere.
    pub fn origins(&self) -> Option<&Origins> {
        match self {
            Self::Sandbox => None,
            Self::Stripe { script, .. } => Some(&script.origins),
        }
    }
}

impl Script {
    /// As Stripe's documentation has it.
    fn stripes() -> Self {
        let origins = Origins {
            scripts: "https://js.stripe.com https://*.js.stripe.com".to_owned(),
            frames: "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com".to_owned(),
            requests: "https://api.stripe.com".to_owned(),
        };
        Self { url: "https://js.stripe.com/v3/".to_owned(), origins }
    }

    fn doubles(url: String) -> Result<Self, Fault> {
        let wrong = || {
            Fault::new(format!(
                "config {SCRIPT}: it is like https://host/path, without blanks, quotes, `*`, `,` and `;`"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, _) = rest.split_once('/').ok_or_else(wrong)?;
        let is_plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'*' | b',' | b';');
        if !matches!(scheme, "http" | "https") || authority.is_empty() || !url.bytes().all(is_plain) {
            return Err(wrong());
        }
        let origin = format!("{scheme}://{authority}");
        let origins = Origins { scripts: origin.clone(), frames: origin.clone(), requests: origin };
        Ok(Self { url, origins })
    }
}

/// What every page says of payments.
pub fn notice() -> &'static str {
    match Cards::configured() {
        Ok(Cards::Sandbox) => "Payments are a sandbox: no money moves.",
        // The page that asks for a card says what is wrong.
        Ok(Cards::Stripe { .. }) | Err(_) => "",
    }
}
