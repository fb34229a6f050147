//! `/o/{id}`: one order, which its buyer pays or cancels. It is shown as orders has it just now, and the payment as payments has it.

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::{Call, Problem, Response};

use crate::api::Page;
use crate::ask::{Services, Trouble};
use crate::card::Cards;
use crate::money::Style;
use crate::trellis::orders::types::{ReadOrder, Status};
use crate::trellis::payments::types::{NewPayment, Payment, Status as PaymentStatus};
use crate::{fields, origin, page, signing, time};

/// In how many seconds a page is loaded again that no script keeps up to date.
const SOON: u32 = 2;

/// An order, and the payment that is spoken of.
struct Standing {
    order: ReadOrder,
    payment: Option<Payment>,
}

/// How it stands, for its buyer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reserved,
    Paying,
    Paid,
    Cancelled,
    Expired,
}

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    shown(call, services, None)
}

pub fn live(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    let cards = Cards::configured()?;
    page::part(call, Standing::read(call, services).map(|standing| standing.show(&cards)))
}

/// Pays. What comes of it shows on the page that follows.
pub fn pay(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [key, token] = call.form(["key", "token"])?;
    let (id, cx) = (call.param("id"), call.cx().with_key(key));
    match services.with(&cx).pay(&NewPayment { order_id: id.clone(), token }) {
        Ok(payment) => page::answer(page::look_at(&address(&id, Some(&payment.id)))),
        Err(trouble) => shown(call, services, Some(&trouble)),
    }
}

pub fn cancel(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [] = call.form([])?;
    let id = call.param("id");
    match services.cancel_order(&id) {
        Ok(()) => page::answer(page::look_at(&path(&id))),
        Err(trouble) => shown(call, services, Some(&trouble)),
    }
}

fn path(id: &str) -> String {
    format!("/o/{id}")
}

/// Where an order is shown, and which payment of it.
pub fn address(id: &str, payment: Option<&str>) -> String {
    format!("{}{}", path(id), spoken_of(payment))
}

fn spoken_of(payment: Option<&str>) -> String {
    payment.map(|payment| format!("?payment={}", encoded(payment))).unwrap_or_default()
}

fn shown(call: &Call<'_>, services: Services<'_>, vain: Option<&Trouble>) -> Result<Response, Problem> {
    let cards = Cards::configured()?;
    page::answer_with(document(call, services, &cards, vain), cards.origins())
}

fn document(call: &Call<'_>, services: Services<'_>, cards: &Cards, vain: Option<&Trouble>) -> Page {
    let (cx, path) = (services.cx(), path(&call.param("id")));
    if cx.caller.is_none() {
        return signing::asked_for(cx, "Your order", &path, "Sign in to see it.");
    }
    let standing = match Standing::read(call, services) {
        Ok(standing) => standing,
        Err(Trouble::Refused(problem)) => return page::refusal(Some(cx), &problem),
        Err(trouble) => return unread(call, cards, vain, &trouble),
    };
    let payment = standing.payment.as_ref().map(|payment| payment.id.as_str());
    let live = format!("{path}/live{}", spoken_of(payment));
    let main = html! {
        (heading(&standing.order, page::style(call)))
        @if let Some(trouble) = vain { (in_vain(trouble)) }
        (page::kept_up_to_date(Some(&live), &standing.show(cards)))
        @if !standing.is_sellers() { (cards.scripts()) }
    };
    let again = (standing.stage() == Stage::Paying).then_some(SOON);
    let status = vain.map_or(200, Trouble::status);
    page::document_that_changes(Some(cx), status, &standing.order.title, &main, again)
}

/// What there is until the order can be read again. Whatever was done before has been done.
fn unread(call: &Call<'_>, cards: &Cards, vain: Option<&Trouble>, trouble: &Trouble) -> Page {
    const HEADING: &str = "Your order";
    let live = format!("{}/live{}", path(&call.param("id")), spoken_of(call.query("payment")));
    let main = html! {
        h1 { (HEADING) }
        @if let Some(vain) = vain { (in_vain(vain)) }
        (page::kept_up_to_date(Some(&live), &page::unreadable(&page::window(call))))
        (cards.scripts())
    };
    page::document_that_changes(Some(call.cx()), vain.unwrap_or(trouble).status(), HEADING, &main, Some(SOON))
}

fn heading(order: &ReadOrder, style: Style) -> Markup {
    html! {
        header.post dir="auto" {
            h1 { (order.title) }
            p.price { (style.write(&order.price)) }
            p.about { "Reserved " (time::shown(&order.placed_at)) " · " a href={ "/market/" (order.ticket_id) } { "the ticket" } }
        }
    }
}

/// Why nothing was paid or cancelled.
fn in_vain(trouble: &Trouble) -> Markup {
    if page::was_sent_before(trouble) {
        return html! {
            div.notice role="alert" {
                strong { "You are paying already" }
                p { "This form was sent before, with another card: in another window, perhaps. What came of that is below." }
            }
        };
    }
    fields::notice(trouble)
}

impl Standing {
    /// The order, with the payment that the address names or else the one that it is paid by.
    fn read(call: &Call<'_>, services: Services<'_>) -> Result<Self, Trouble> {
        let order = services.order(&call.param("id"))?;
        let named = call.query("payment").map(str::to_owned).or_else(|| order.payment.clone());
        let payment = match named.map(|payment| services.payment(&payment)) {
            None | Some(Err(Trouble::Refused(_))) => None,
            Some(payment) => Some(payment?).filter(|payment| payment.order_id == order.id),
        };
        Ok(Self { order, payment })
    }

    /// A payment that is asked for and not decided on yet is on its way to the order.
    fn stage(&self) -> Stage {
        let is_asked_for = |payment: &Payment| payment.status == PaymentStatus::Requested;
        match self.order.status {
            Status::Reserved if self.payment.as_ref().is_some_and(is_asked_for) => Stage::Paying,
            Status::Reserved => Stage::Reserved,
            Status::Paying => Stage::Paying,
            Status::Paid => Stage::Paid,
            Status::Cancelled => Stage::Cancelled,
            Status::Expired => Stage::Expired,
        }
    }

    fn is_sellers(&self) -> bool {
        self.order.buyer.is_none()
    }

    fn show(&self, cards: &Cards) -> Markup {
        let Self { order, .. } = self;
        let (state, title, text) = if self.is_sellers() { self.for_seller() } else { self.for_buyer() };
        html! {
            div.standing data-key=(order.id) data-kind="standing" data-state=(state) data-said=(title) {
                h2 { (title) }
                @if !self.is_sellers() { (self.failure()) }
                p { (text) }
                @if !self.is_sellers() {
                    @match self.stage() {
                        Stage::Reserved => { (self.forms(cards)) },
                        Stage::Cancelled | Stage::Expired => {
                            p.pager { a href={ "/market/" (order.ticket_id) } { "See whether it can still be had" } }
                        },
                        Stage::Paid => { p.pager { a href="/me" { "All that is yours" } } },
                        Stage::Paying => {},
                    }
                }
            }
        }
    }

    /// What its state is called, and what is said of it.
    fn for_buyer(&self) -> (&'static str, &'static str, Markup) {
        let left = || time::left(&self.order.expires_at);
        match self.stage() {
            Stage::Reserved => (
                "reserved",
                "It is yours to pay for",
                html! {
                    "Your time is over " (left()) ". Until then nobody else can have it."
                },
            ),
            Stage::Paying => (
                "paying",
                "Being paid",
                html! {
                    "What comes of it shows here by itself. There is nothing more to do."
                },
            ),
            Stage::Paid => ("paid", "Paid. The ticket is yours", html! { "You were charged once." }),
            Stage::Cancelled => (
                "cancelled",
                "Cancelled",
                html! {
                    "You have given the ticket back. Nothing was charged."
                },
            ),
            Stage::Expired => (
                "expired",
                "Your time is over",
                html! {
                    "It was not paid in time, so others can have the ticket. Nothing was charged."
                },
            ),
        }
    }

    fn for_seller(&self) -> (&'static str, &'static str, Markup) {
        let left = || time::left(&self.order.expires_at);
        match self.stage() {
            Stage::Reserved => (
                "reserved",
                "Somebody has reserved your ticket",
                html! {
                    "It is free again " (left()) ", unless it is paid."
                },
            ),
            Stage::Paying => {
                ("paying", "Your ticket is being paid", html! { "What comes of it shows here by itself." })
            }
            Stage::Paid => {
                ("paid", "Your ticket is sold", html! { a href="/me" { "All that you have sold" } })
            }
            Stage::Cancelled => {
                ("cancelled", "The order was cancelled", html! { "Your ticket is for sale again." })
            }
            Stage::Expired => {
                ("expired", "The order was not paid in time", html! { "Your ticket is for sale again." })
            }
        }
    }

    /// Why the payment came to nothing, and what to do about it.
    fn failure(&self) -> Markup {
        let Some(payment) = &self.payment else { return Markup::default() };
        let why = match (payment.status, payment.reason.as_deref()) {
            (PaymentStatus::Failed, Some("card_declined")) => "The card was declined.",
            (PaymentStatus::Failed, Some("insufficient_funds")) => "There is not enough money on the card.",
            (PaymentStatus::Failed, _) => "The payment did not go through.",
            (PaymentStatus::Refused, _) => "This payment came too late, or another one was first.",
            _ => return Markup::default(),
        };
        html! {
            div.notice role="alert" {
                strong { (why) }
                p {
                    "Nothing was charged for it."
                    @if self.stage() == Stage::Reserved { " Choose another card, as long as there is time." }
                }
            }
        }
    }

    /// However often it is sent, and from however many windows: until something has come of it, it is one payment, by its key.
    fn forms(&self, cards: &Cards) -> Markup {
        let Self { order, payment } = self;
        let path = path(&order.id);
        let before = payment.as_ref().map_or("none", |payment| payment.id.as_str());
        html! {
            form.composer method="post" action={ (path) "/payment" } {
                input type="hidden" name="key" value={ "pay-" (order.id) "-" (before) };
                (cards.field())
                div.row {
                    p.hint #hint { (cards.hint()) }
                    button type="submit" aria-describedby="hint" { "Pay" }
                }
            }
            form method="post" action={ (path) "/cancellation" } {
                div.row {
                    p.hint #give-back { "You do not want it any more?" }
                    button.quiet type="submit" aria-describedby="give-back" { "Give it back" }
                }
            }
        }
    }
}
