//! What a seller says of a ticket, in a form: to offer it, and to change it as long as nobody has it.

use maud::Markup;
use trellis_kit::{Call, Problem, Response, id};

use crate::api::Page;
use crate::ask::{self, Services, Trouble};
use crate::fields::{Field, Fields};
use crate::trellis::tickets::types::{Money, Offer};
use crate::{money, origin, page, signing};

pub const PATH: &str = "/market/new";
const HEADING: &str = "Offer a ticket";

/// What is in the form, as it is typed.
#[derive(Debug)]
pub struct Typed {
    pub title: String,
    pub price: String,
    pub currency: String,
}

impl Typed {
    fn empty() -> Self {
        Self { title: String::new(), price: String::new(), currency: "EUR".to_owned() }
    }

    pub fn of(title: &str, price: &Money) -> Self {
        let (title, currency) = (title.to_owned(), price.currency.clone());
        Self { title, price: money::typed(price), currency }
    }

    /// What is offered, if the price can be read: whether it is one, tickets decide.
    pub fn offer(&self) -> Result<Offer, Trouble> {
        let currency = self.currency.trim().to_uppercase();
        let wrong = |field: &str, message| Trouble::Refused(Problem::invalid(field, message));
        if !money::is_currency(&currency) {
            return Err(wrong(
                "price.currency",
                "Write the three letters of a currency: EUR, USD or JPY, for example.",
            ));
        }
        let amount = money::read(self.price.trim(), &currency);
        let amount = amount.ok_or_else(|| {
            wrong(
                "price.amount",
                "Write a number such as 19.99, with no more digits behind the point than the currency has.",
            )
        })?;
        Ok(Offer { title: self.title.clone(), price: Money { amount, currency } })
    }

    /// The form with all that. The hidden fields are sent along.
    pub fn form(
        &self,
        action: &str,
        button: &'static str,
        hidden: &[(&'static str, &str)],
        trouble: Option<&Trouble>,
    ) -> Markup {
        let text = Field { kind: "text", autocomplete: "off", ..Field::EMAIL };
        let fields = [
            Field {
                name: "title",
                label: "What is it for?",
                hint: "One line, up to 200 characters.",
                value: &self.title,
                ..text
            },
            Field {
                name: "price.amount",
                label: "Price",
                hint: "For example 19.99.",
                value: &self.price,
                ..text
            },
            Field {
                name: "price.currency",
                label: "Currency",
                hint: "Three letters: EUR, USD, JPY.",
                value: &self.currency,
                ..text
            },
        ];
        Fields { action, button, fields: &fields, hidden, trouble }.show()
    }
}

/// What was sent with the form, and the key of it if it has one.
pub fn sent(call: &Call<'_>) -> Result<(Typed, String), Problem> {
    origin::check(call.request())?;
    let [title, price, currency, key] = call.form(["title", "price.amount", "price.currency", "key"])?;
    Ok((Typed { title, price, currency }, key))
}

pub fn look(services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(services, &Typed::empty(), &id::unique(), None))
}

pub fn create(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    let (typed, key) = sent(call)?;
    let cx = call.cx().with_key(key.clone());
    let created = typed.offer().and_then(|offer| services.with(&cx).offer(&offer));
    page::answer(match created {
        Ok(ticket) => {
            let path = format!("/market/{}", ticket.value.id);
            page::look_at(&ask::at(&path, ticket.position.as_deref()))
        }
        Err(trouble) => {
            let key = if page::was_sent_before(&trouble) { id::unique() } else { key };
            shown(services, &typed, &key, Some(&trouble))
        }
    })
}

fn shown(services: Services<'_>, typed: &Typed, key: &str, trouble: Option<&Trouble>) -> Page {
    let cx = services.cx();
    if cx.caller.is_none() {
        return signing::asked_for(cx, HEADING, PATH, "Sign in to offer one.");
    }
    let main = maud::html! {
        h1 { (HEADING) }
        (typed.form(PATH, "Offer it", &[("key", key)], trouble))
    };
    page::document(Some(cx), trouble.map_or(200, Trouble::status), HEADING, &main)
}
