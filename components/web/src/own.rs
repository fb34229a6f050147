//! `/me`: what somebody has ordered, what they have sold, with what that comes to, and what they have written.

use maud::{Markup, html};
use trellis_kit::http::encoded;
use trellis_kit::{Call, Problem, Response};

use crate::api::{Page, Window};
use crate::ask::{Services, Trouble};
use crate::money::Style;
use crate::trellis::orders::types::Status;
use crate::trellis::query::types::{FeedPage, OwnOrder, OwnOrderPage, ReadPost, Sale, SalesPage, Total};
use crate::trellis::tickets::types::Money;
use crate::{feed, order, page, signing, time};

const PATH: &str = "/me";
const HEADING: &str = "What is yours";

/// The lists, as the address calls them.
const ORDERS: &str = "orders";
const SALES: &str = "sales";
const POSTS: &str = "posts";

/// Which list the page shows a later part of; the others are left out then.
fn window(call: &Call<'_>, name: &str) -> Option<Window> {
    let after = |of: &str| call.query(of).map(str::to_owned);
    let others = [ORDERS, SALES, POSTS].into_iter().any(|other| other != name && after(other).is_some());
    (!others).then(|| Window { after: after(name), ..page::window(call) })
}

pub fn look(call: &Call<'_>, services: Services<'_>) -> Result<Response, Problem> {
    page::answer(shown(call, services))
}

fn shown(call: &Call<'_>, services: Services<'_>) -> Page {
    let (cx, style) = (services.cx(), page::style(call));
    if cx.caller.is_none() {
        return signing::asked_for(cx, HEADING, PATH, "Sign in to see it.");
    }
    let orders = window(call, ORDERS).map(|window| services.orders(&window));
    let sales = window(call, SALES).map(|window| services.sales(&window));
    let posts = window(call, POSTS).map(|window| services.own_posts(&window));
    let refused = [
        orders.as_ref().and_then(|read| read.as_ref().err()),
        sales.as_ref().and_then(|read| read.as_ref().err()),
        posts.as_ref().and_then(|read| read.as_ref().err()),
    ];
    for trouble in refused.iter().flatten() {
        if let Trouble::Refused(problem) = trouble {
            return page::refusal(Some(cx), problem);
        }
    }
    let status = refused.iter().flatten().next().map_or(200, |trouble| trouble.status());
    let main = html! {
        h1 { (HEADING) }
        @if let Some(read) = &orders {
            h2 #orders { "Your orders" }
            @match read { Ok(read) => (order_list(&read.value, style)), Err(_) => (unreadable()) }
        }
        @if let Some(read) = &sales {
            h2 #sales { "Your sales" }
            @match read { Ok(read) => (sale_list(&read.value, style)), Err(_) => (unreadable()) }
        }
        @if let Some(read) = &posts {
            h2 #posts { "Your posts" }
            @match read { Ok(read) => (post_list(&read.value)), Err(_) => (unreadable()) }
        }
        @if orders.is_none() || sales.is_none() { p.pager { a href=(PATH) { "The newest" } } }
    };
    page::document(Some(cx), status, HEADING, &main)
}

fn unreadable() -> Markup {
    html! { div.notice { strong { "This cannot be read right now" } p { "Nothing is lost: try again in a moment." } } }
}

fn order_list(OwnOrderPage { items, next }: &OwnOrderPage, style: Style) -> Markup {
    html! {
        @if items.is_empty() && next.is_none() {
            div.empty { p { "You have ordered nothing yet. " a href="/market" { "See what is for sale" } "." } }
        } @else {
            ul.market { @for order in items { (order_entry(order, style)) } }
        }
        (more(ORDERS, next.as_deref(), "Earlier orders"))
    }
}

fn order_entry(order: &OwnOrder, style: Style) -> Markup {
    let address = order::address(&order.id, order.payment.as_ref().map(|payment| payment.id.as_str()));
    let (state, words) = match order.status {
        Status::Reserved => {
            ("reserved", html! { "To be paid: your time is over " (time::left(&order.expires_at)) })
        }
        Status::Paying => ("reserved", html! { "Being paid" }),
        Status::Paid => ("paid", html! { "Paid" }),
        Status::Cancelled => ("over", html! { "Cancelled" }),
        Status::Expired => ("over", html! { "Not paid in time" }),
    };
    html! {
        li data-key=(order.id) data-state=(state) {
            article.ticket dir="auto" {
                h3 { a href=(address) { (order.title) } }
                p.price { (style.write(&order.price)) }
                p.availability { (words) }
            }
        }
    }
}

fn sale_list(SalesPage { sales, next }: &SalesPage, style: Style) -> Markup {
    html! {
        @if sales.items.is_empty() && next.is_none() {
            div.empty { p { "You have sold nothing yet. " a href="/market/new" { "Offer a ticket" } "." } }
        } @else {
            ul.totals { @for total in &sales.totals { li { (sum(total, style)) } } }
            ul.market { @for sale in &sales.items { (sale_entry(sale, style)) } }
        }
        (more(SALES, next.as_deref(), "Earlier sales"))
    }
}

fn sum(Total { currency, count, amount }: &Total, style: Style) -> Markup {
    let sales = if *count == 1 { "1 sale".to_owned() } else { format!("{count} sales") };
    html! {
        @match amount {
            Some(amount) => { strong { (style.write(&Money { amount: *amount, currency: currency.clone() })) } " from " (sales) },
            None => { strong { (currency) ": more than can be counted" } ", from " (sales) },
        }
    }
}

fn sale_entry(sale: &Sale, style: Style) -> Markup {
    html! {
        li data-key=(sale.order_id) data-state="paid" {
            article.ticket dir="auto" {
                h3 { a href={ "/market/" (sale.ticket_id) } { (sale.title) } }
                p.price { (style.write(&sale.price)) }
                p.about { "Sold " (time::shown(&sale.sold_at)) }
            }
        }
    }
}

fn post_list(FeedPage { items, next }: &FeedPage) -> Markup {
    html! {
        @if items.is_empty() && next.is_none() {
            div.empty { p { "You have written nothing yet. " a href="/" { "Write one" } "." } }
        } @else {
            ul.market { @for post in items { (post_entry(post)) } }
        }
        (more(POSTS, next.as_deref(), "Earlier posts"))
    }
}

fn post_entry(ReadPost { id, title, created_at, comment_count, .. }: &ReadPost) -> Markup {
    let path = format!("/p/{id}");
    html! {
        li data-key=(id) {
            article.ticket dir="auto" {
                h3 { a href=(path) { (title) } }
                p.about {
                    (time::shown(created_at)) " · " a href={ (path) "#comments" } { (feed::comments(*comment_count)) }
                }
            }
        }
    }
}

fn more(list: &str, next: Option<&str>, words: &str) -> Markup {
    html! {
        @if let Some(next) = next {
            p.pager { a rel="next" href={ (PATH) "?" (list) "=" (encoded(next)) } { (words) } }
        }
    }
}
