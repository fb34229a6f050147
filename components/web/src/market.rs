//! `/market`: what is for sale, newest first, and whether it can be had.

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::{Call, Problem, Response};

use crate::api::{Page, Window};
use crate::ask::{Services, Trouble};
use crate::money::Style;
use crate::trellis::query::types::{ReadTicket, ReadTicketPage};
use crate::trellis::tickets::types::Status;
use crate::{page, post, time};

const PATH: &str = "/market";

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(services, &page::window(call), page::style(call)))
}

/// The newest tickets, as they are now.
pub fn live(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    let read = services.tickets(&page::NEWEST).map(|read| list(&read.value, page::style(call)));
    page::part(call, read)
}

fn shown(services: Services<'_>, window: &Window, style: Style) -> Page {
    let read = services.tickets(window);
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(services.cx()), problem);
    }
    let status = read.as_ref().err().map_or(200, Trouble::status);
    let tickets = read.as_ref().map_or_else(|_| page::unreadable(window), |read| list(&read.value, style));
    let is_newest = window.after.is_none();
    let heading = if is_newest { "Market" } else { "Older tickets" };
    let main = html! {
        h1 { (heading) }
        @if is_newest {
            div.row.intro {
                p.lead { "Tickets from people to people. Whoever reserves one has it to themselves until they have paid, or their time is over." }
                p.pager { a href="/market/new" { "Offer a ticket" } }
            }
        }
        (page::not_yet(&read, window))
        (page::kept_up_to_date(is_newest.then_some("/market/live"), &tickets))
        @if !is_newest { p.pager { a href=(PATH) { "Newest tickets" } } }
    };
    page::document(Some(services.cx()), status, heading, &main)
}

fn list(ReadTicketPage { items, next }: &ReadTicketPage, style: Style) -> Markup {
    html! {
        @if items.is_empty() && next.is_none() {
            div.empty {
                p { strong { "Nothing is for sale yet." } }
                p { a href="/market/new" { "Offer the first ticket" } "." }
            }
        } @else {
            (tickets(items, style))
        }
        @if let Some(next) = next {
            p.pager { a rel="next" href={ (PATH) "?after=" (encoded(next)) } { "Older tickets" } }
        }
    }
}

/// Some tickets, each with a way to its page.
pub fn tickets<'t>(tickets: impl IntoIterator<Item = &'t ReadTicket>, style: Style) -> Markup {
    html! {
        ul.market { @for ticket in tickets { (entry(ticket, style)) } }
    }
}

fn entry(ticket: &ReadTicket, style: Style) -> Markup {
    html! {
        li #{ "ticket-" (ticket.id) } data-key=(ticket.id) data-kind="ticket" data-state=(state(ticket.status))
            data-said={ (ticket.title) ": " (said(ticket.status)) } {
            article.ticket dir="auto" {
                h2 { a href={ (PATH) "/" (ticket.id) } { (ticket.title) } }
                p.price { (style.write(&ticket.price)) }
                p.about {
                    (post::named(Some(&ticket.seller), ticket.seller_name.as_deref()))
                    " · " (time::shown(&ticket.listed_at))
                }
                @if ticket.status != Status::ForSale { (availability(ticket)) }
            }
        }
    }
}

/// What a status is called in markup.
pub fn state(status: Status) -> &'static str {
    match status {
        Status::ForSale => "for-sale",
        Status::Reserved => "reserved",
        Status::Sold => "sold",
        Status::Withdrawn => "withdrawn",
    }
}

/// What those hear who do not see that it has come to this.
pub fn said(status: Status) -> &'static str {
    match status {
        Status::ForSale => "It is free now",
        Status::Reserved => "Somebody has reserved it",
        Status::Sold => "It is sold",
        Status::Withdrawn => "It is withdrawn",
    }
}

/// Whether a ticket can be had, in words.
pub fn availability(ticket: &ReadTicket) -> Markup {
    html! {
        p.availability {
            @match (ticket.status, &ticket.free_at) {
                (Status::ForSale, _) => { "For sale" },
                (Status::Reserved, Some(free_at)) => {
                    "Reserved. Free again " (time::left(free_at)) ", unless it is paid"
                },
                (Status::Reserved, None) => { "Reserved, and being paid just now" },
                (Status::Sold, _) => { "Sold" },
                (Status::Withdrawn, _) => { "Withdrawn by its seller" },
            }
        }
    }
}
