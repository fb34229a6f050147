//! `/market/{id}`: one ticket. Whoever wants it reserves it, its seller changes and withdraws it.

use maud::{Markup, html};
use trellis_kit::{Call, Cx, Problem, Response, id};

use crate::api::{Page, Window};
use crate::ask::{self, Services, Trouble};
use crate::money::Style;
use crate::offer::Typed;
use crate::trellis::orders::types::NewOrder;
use crate::trellis::query::types::ReadTicket;
use crate::trellis::tickets::types::{Money, Status};
use crate::{fields, market, offer, order, origin, page, post, signing, time};

/// What was sent in vain.
enum Vain {
    /// To have it.
    Reserved(Trouble),
    /// To have it changed, with what was typed.
    Changed(Typed, Trouble),
    Withdrawn(Trouble),
}

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(call, services, &page::window(call), None))
}

pub fn live(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    let read = services.ticket(&call.param("id"), &page::NEWEST);
    page::part(call, read.map(|read| changing(services.cx(), &read.value)))
}

/// Reserves it for the price that was shown.
pub fn reserve(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [key, amount, currency] = call.form(["key", "amount", "currency"])?;
    let broken = |_| Problem::malformed("The form does not say which price was shown.");
    let price = Money { amount: amount.parse().map_err(broken)?, currency };
    let cx = call.cx().with_key(key);
    match services.with(&cx).reserve(&NewOrder { ticket_id: call.param("id"), price }) {
        Ok(order) => page::answer(page::look_at(&order::address(&order.id, None))),
        Err(trouble) => page::answer(vainly(call, services, Vain::Reserved(trouble))),
    }
}

pub fn change(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    let (typed, _) = offer::sent(call)?;
    let id = call.param("id");
    match typed.offer().and_then(|offer| services.change_offer(&id, &offer)) {
        Ok(position) => page::answer(page::look_at(&ask::at(&path(&id), position.as_deref()))),
        Err(trouble) => page::answer(vainly(call, services, Vain::Changed(typed, trouble))),
    }
}

pub fn withdraw(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    origin::check(call.request())?;
    let [] = call.form([])?;
    let id = call.param("id");
    match services.withdraw(&id) {
        Ok(position) => page::answer(page::look_at(&ask::at(&path(&id), position.as_deref()))),
        Err(trouble) => page::answer(vainly(call, services, Vain::Withdrawn(trouble))),
    }
}

fn path(id: &str) -> String {
    format!("/market/{id}")
}

/// The ticket again, with why nothing came of what was wanted. Whoever has signed out meanwhile is asked to sign in.
fn vainly(call: &Call<'_>, services: Services<'_>, vain: Vain) -> Page {
    if vain.trouble().status() == 401 {
        return signing::asked_for(
            call.cx(),
            "Sign in",
            &path(&call.param("id")),
            "You are not signed in any more.",
        );
    }
    shown(call, services, &page::NEWEST, Some(&vain))
}

impl Vain {
    fn trouble(&self) -> &Trouble {
        match self {
            Self::Reserved(trouble) | Self::Changed(_, trouble) | Self::Withdrawn(trouble) => trouble,
        }
    }
}

fn shown(call: &Call<'_>, services: Services<'_>, window: &Window, vain: Option<&Vain>) -> Page {
    let (cx, path) = (services.cx(), path(&call.param("id")));
    let read = services.ticket(&call.param("id"), window);
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(cx), problem);
    }
    let trouble = vain.map(Vain::trouble);
    let status = trouble.or(read.as_ref().err()).map_or(200, Trouble::status);
    let ticket = read.as_ref().ok().map(|read| &read.value);
    let offered = ticket.filter(|ticket| is_seller(cx, ticket) && ticket.status == Status::ForSale);
    // What is wrong with an offer is said beside its form, if there is one.
    let is_in_form = offered.is_some() && matches!(vain, Some(Vain::Changed(..)));
    let shown = ticket.map_or_else(|| page::unreadable(window), |ticket| changing(cx, ticket));
    let main = html! {
        @match ticket {
            Some(ticket) => { (heading(ticket, page::style(call))) }
            None => { h1.unseen { "A ticket" } }
        }
        @if let Some(trouble) = trouble.filter(|_| !is_in_form) { (fields::notice(trouble)) }
        (page::not_yet(&read, window))
        (page::kept_up_to_date(Some(&format!("{path}/live")), &shown))
        @if let Some(ticket) = offered { (for_seller(ticket, vain)) }
    };
    page::document(Some(cx), status, ticket.map_or("A ticket", |ticket| &ticket.title), &main)
}

fn is_seller(cx: &Cx, ticket: &ReadTicket) -> bool {
    cx.caller.as_ref() == Some(&ticket.seller)
}

fn heading(ticket: &ReadTicket, style: Style) -> Markup {
    html! {
        header.post dir="auto" {
            h1 { (ticket.title) }
            p.price { (style.write(&ticket.price)) }
            p.about {
                (post::named(Some(&ticket.seller), ticket.seller_name.as_deref()))
                " · " (time::shown(&ticket.listed_at))
            }
        }
    }
}

/// Whether it can be had, and the form to have it.
fn changing(cx: &Cx, ticket: &ReadTicket) -> Markup {
    let state = market::state(ticket.status);
    html! {
        div.standing data-key=(ticket.id) data-kind="standing" data-state=(state) data-said=(market::said(ticket.status)) {
            (market::availability(ticket))
            @match ticket.status {
                _ if is_seller(cx, ticket) => { p.hint { (to_seller(ticket.status)) } },
                Status::ForSale if cx.caller.is_none() => {
                    p.hint { "Whoever is signed in can reserve it." }
                    (signing::ways_in(&path(&ticket.id)))
                },
                Status::ForSale => { (reservation(ticket)) },
                Status::Reserved => {
                    p.hint {
                        "One buyer has it to themselves. This page says so when it is free again."
                        @if cx.caller.is_some() { " If that is you, it is among " a href="/me" { "what is yours" } "." }
                    }
                },
                Status::Sold | Status::Withdrawn => { p.pager { a href="/market" { "To what is for sale" } } },
            }
        }
    }
}

fn to_seller(status: Status) -> &'static str {
    match status {
        Status::ForSale => "You offer it.",
        Status::Reserved => "You offer it. You can change or withdraw it if it becomes free again.",
        Status::Sold => "You have sold it.",
        Status::Withdrawn => "You have withdrawn it.",
    }
}

/// Whatever is pressed, twice or in two windows: as long as nothing has happened to the ticket it is one attempt, by its key.
fn reservation(ticket: &ReadTicket) -> Markup {
    html! {
        form.composer method="post" action=(path(&ticket.id)) {
            input type="hidden" name="key" value={ "reserve-" (ticket.id) "-" (ticket.reservation) };
            input type="hidden" name="amount" value=(ticket.price.amount);
            input type="hidden" name="currency" value=(ticket.price.currency);
            div.row {
                p.hint #hint { "It is yours alone while you pay. If you do not, it is free again after a while, and costs you nothing." }
                button type="submit" aria-describedby="hint" { "Reserve it" }
            }
        }
    }
}

/// For as long as nobody has it: the styles take it away once the part that is kept up to date says that somebody does.
fn for_seller(ticket: &ReadTicket, vain: Option<&Vain>) -> Markup {
    let path = path(&ticket.id);
    let now = Typed::of(&ticket.title, &ticket.price);
    let (typed, trouble) = match vain {
        Some(Vain::Changed(typed, trouble)) => (typed, Some(trouble)),
        _ => (&now, None),
    };
    html! {
        section.for-seller {
            h2 { "Change it" }
            (typed.form(&format!("{path}/offer"), "Save", &[("key", &id::unique())], trouble))
            form method="post" action={ (path) "/withdrawal" } {
                div.row {
                    p.hint #for-good { "What is withdrawn is off the market for good." }
                    button.quiet type="submit" aria-describedby="for-good" { "Withdraw it" }
                }
            }
        }
    }
}
