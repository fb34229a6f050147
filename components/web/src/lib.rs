//! Web: the blog and the market as pages, for people with any browser. It keeps nothing; it asks the services on behalf of whoever
//! looks at the page.
//!
//! Everything works with forms and redirects alone. Where scripts run, `assets/live.js` keeps what is on the page up to
//! date, by asking for the same part of it again.

mod account;
mod admin;
mod ask;
mod assets;
mod backlog;
mod card;
mod feed;
mod fields;
mod flow;
mod form;
mod keys;
mod map;
mod market;
mod moderation;
mod money;
mod offer;
mod order;
mod origin;
mod own;
mod page;
mod post;
mod signing;
#[cfg(test)]
mod tests;
mod ticket;
mod time;
mod trace;

use api::{Cx, Decision, Guest, Page, Queue, Window};
use ask::Services;
use form::Draft;
use money::Style;
use trellis_kit::http::Request;
use trellis_kit::{Asks, Call, Described, OPERATOR, Problem, Response, Route, Service, routes};

trellis_kit::bindings!(web; accounts, posts, comments, moderation, query, registry, tickets, orders, payments);
trellis_kit::export!(Web);

#[derive(Debug)]
pub struct Web;

impl Service for Web {
    const NAME: &str = "web";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("platform");
    /// It has nothing to tell.
    const PARTITIONS: u32 = 0;
    const ASKS: Asks = clients::ASKED;
    const ROUTES: &[Route] = routes! {
        GET "/" => |r| page::answer(Self::feed(r.cx(), page::languages(r), page::window(r))),
        POST "/" => |r| {
            let (cx, title) = typed(r, "title")?;
            page::answer(Self::write_post(&cx, page::languages(r), title))
        },
        GET "/live" => |r| page::part(r, feed::live(services(r.cx()), page::style(r))),
        GET "/p/{id}" => |r| page::answer(Self::post(r.cx(), r.param("id"), page::window(r))),
        POST "/p/{id}" => |r| {
            let (cx, content) = typed(r, "content")?;
            page::answer(Self::write_comment(&cx, r.param("id"), content))
        },
        GET "/p/{id}/live" => |r| page::part(r, post::live(services(r.cx()), &r.param("id"))),
        GET "/market" => |r| market::look(r, services(r.cx())),
        GET "/market/live" => |r| market::live(r, services(r.cx())),
        GET "/market/new" => |r| offer::look(services(r.cx())),
        POST "/market/new" => |r| offer::create(r, services(r.cx())),
        GET "/market/{id}" => |r| ticket::look(r, services(r.cx())),
        POST "/market/{id}" => |r| ticket::reserve(r, services(r.cx())),
        GET "/market/{id}/live" => |r| ticket::live(r, services(r.cx())),
        POST "/market/{id}/offer" => |r| ticket::change(r, services(r.cx())),
        POST "/market/{id}/withdrawal" => |r| ticket::withdraw(r, services(r.cx())),
        GET "/o/{id}" => |r| order::look(r, services(r.cx())),
        GET "/o/{id}/live" => |r| order::live(r, services(r.cx())),
        POST "/o/{id}/payment" => |r| order::pay(r, services(r.cx())),
        POST "/o/{id}/cancellation" => |r| order::cancel(r, services(r.cx())),
        GET "/me" => |r| own::look(r, services(r.cx())),
        GET "/moderation" => |r| page::answer(Self::moderation(r.cx(), moderation::asked_for(r)?)),
        POST "/moderation" => |r| page::answer(Self::decide(r.cx(), moderation::said(r)?)),
        only(OPERATOR) GET "/flow" => |r| page::answer(Self::flow(r.cx(), word(r, "service"), word(r, "after"))),
        only(OPERATOR) GET "/flow/live" => |r| {
            page::part(r, flow::live(services(r.cx()), word(r, "service").as_deref()))
        },
        only(OPERATOR) GET "/flow/traces/{id}" => |r| {
            page::answer(Self::trace(r.cx(), r.param("id"), word(r, "around")))
        },
        GET "/signup" => signing::sign_up_page,
        POST "/signup" => |r| signing::sign_up(r, services(r.cx())),
        GET "/signin" => signing::sign_in_page,
        POST "/signin" => |r| signing::sign_in(r, services(r.cx())),
        POST "/signout" => |r| signing::sign_out(r, services(r.cx())),
        GET "/account" => |r| account::look(r, services(r.cx())),
        POST "/account/name" => |r| account::rename(r, services(r.cx())),
        POST "/account/password" => |r| account::set_password(r, services(r.cx())),
        POST "/account/sessions" => |r| account::end_session(r, services(r.cx())),
        GET "/admin" => |r| admin::look(r, services(r.cx())),
        POST "/admin/roles" => |r| admin::set_roles(r, services(r.cx())),
        POST "/admin/block" => |r| admin::block(r, services(r.cx())),
        POST "/admin/code" => |r| admin::take_code(r, services(r.cx())),
        GET "/admin/keys" => |r| keys::look(r, services(r.cx())),
        POST "/admin/keys" => |r| keys::issue(r, services(r.cx())),
        POST "/admin/keys/end" => |r| keys::end(r, services(r.cx())),
        GET "/assets/{file}" => |r| assets::answer(&r.param("file")),
    };

    fn respond(request: &Request) -> Response {
        if request.method != "HEAD" {
            return page::dressed(Self::routes().answer(request));
        }
        let whole = Self::respond(&Request { method: "GET".to_owned(), ..request.clone() });
        Response { body: Vec::new(), ..whole }
    }
}

impl Guest for Web {
    fn feed(cx: &Cx, languages: Option<String>, from: Window) -> Page {
        feed::page(services(cx), Style::of(languages.as_deref()), &from, &Draft::empty())
    }

    fn post(cx: &Cx, id: String, from: Window) -> Page {
        post::page(services(cx), &id, &from, &Draft::empty())
    }

    fn write_post(cx: &Cx, languages: Option<String>, title: String) -> Page {
        match services(cx).write_post(&title) {
            Ok(written) => page::look_at(&ask::shown_at(&written, "/", "post", &written.value.id)),
            Err(trouble) => {
                let style = Style::of(languages.as_deref());
                feed::page(services(cx), style, &page::NEWEST, &Draft::refused(cx, title, trouble))
            }
        }
    }

    fn write_comment(cx: &Cx, post: String, content: String) -> Page {
        match services(cx).write_comment(&post, &content) {
            Ok(written) => {
                let path = format!("/p/{post}");
                page::look_at(&ask::shown_at(&written, &path, "comment", &written.value.id))
            }
            Err(trouble) => {
                post::page(services(cx), &post, &page::NEWEST, &Draft::refused(cx, content, trouble))
            }
        }
    }

    fn moderation(cx: &Cx, queue: Queue) -> Page {
        moderation::page(services(cx), &queue, None)
    }

    fn flow(cx: &Cx, service: Option<String>, after: Option<String>) -> Page {
        flow::page(services(cx), service.as_deref(), after.as_deref())
    }

    fn trace(cx: &Cx, id: String, around: Option<String>) -> Page {
        trace::page(services(cx), &id, around.as_deref())
    }

    fn decide(cx: &Cx, decision: Decision) -> Page {
        moderation::decide(services(cx), &decision)
    }
}

/// The services, for the pages.
fn services(cx: &Cx) -> Services<'_> {
    Services::new(Web::DESCRIPTOR, cx)
}

/// What the address says under a name, if anything.
fn word(call: &Call<'_>, name: &str) -> Option<String> {
    call.query(name).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// What was typed into a form of ours, and the context with the key that makes it count once.
fn typed(call: &Call<'_>, field: &str) -> Result<(Cx, String), Problem> {
    origin::check(call.request())?;
    let [key, text] = call.form(["key", field])?;
    Ok((call.cx().with_key(key), text))
}
