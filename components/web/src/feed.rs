//! `/`: posts, newest first, and a form to write one; and beside them what is for sale.

use maud::{Markup, html};
use trellis_kit::http::encoded;

use crate::api::{Page, Window};
use crate::ask::{Services, Trouble};
use crate::form::{Draft, Form};
use crate::money::Style;
use crate::trellis::query::types::{FeedPage, ReadPost, ShownComment};
use crate::{market, page, post, time};

const FORM: Form<'_> = Form {
    action: "/",
    field: "title",
    label: "What is on your mind?",
    hint: "One line, up to 200 characters.",
    button: "Publish",
    lines: 1,
};

/// How many characters the feed has of a comment.
const LATEST_MAX: usize = 300;

/// How many tickets stand beside the posts.
const TICKETS_MAX: usize = 5;

pub fn page(services: Services<'_>, style: Style, window: &Window, draft: &Draft) -> Page {
    let read = services.feed(window);
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(services.cx()), problem);
    }
    let status = draft.status().or_else(|| Some(read.as_ref().err()?.status())).unwrap_or(200);
    if window.after.is_some() {
        let shown = read.as_ref().map_or_else(|_| page::unreadable(window), |read| list(&read.value));
        let main = html! {
            h1 { "Older posts" }
            (page::kept_up_to_date(None, &shown))
            p.pager { a href="/" { "Newest posts" } }
        };
        return page::document(Some(services.cx()), status, "Older posts", &main);
    }
    let shown = match &read {
        Ok(read) => side_by_side(services, style, &list(&read.value)),
        Err(_) => page::unreadable(window),
    };
    let main = html! {
        div.welcome {
            h1 { "A blog and a market, side by side" }
            p.lead {
                "Write and comment, and sell and buy tickets. Behind it are small services that tell each other what has happened."
            }
        }
        (FORM.show(draft))
        (page::not_yet(&read, window))
        (page::kept_up_to_date(Some("/live"), &shown))
    };
    page::document(Some(services.cx()), status, "Posts and tickets", &main)
}

/// The newest posts, and beside them the newest tickets, as they are now.
pub fn live(services: Services<'_>, style: Style) -> Result<Markup, Trouble> {
    let posts = list(&services.feed(&page::NEWEST)?.value);
    Ok(side_by_side(services, style, &posts))
}

fn side_by_side(services: Services<'_>, style: Style, posts: &Markup) -> Markup {
    let tickets = services.tickets(&page::NEWEST);
    html! {
        div.sides {
            section aria-labelledby="posts" {
                h2.unseen #posts { "Posts" }
                (posts)
            }
            section.beside aria-labelledby="tickets" {
                h2 #tickets { "On the market" }
                @match &tickets {
                    Ok(read) if read.value.items.is_empty() => { p.hint { "Nothing is for sale yet." } },
                    Ok(read) => (market::tickets(read.value.items.iter().take(TICKETS_MAX), style)),
                    Err(_) => { p.hint { "What is for sale cannot be read right now." } },
                }
                p.pager { a href="/market" { "To the market" } }
            }
        }
    }
}

fn list(feed: &FeedPage) -> Markup {
    html! {
        @if feed.items.is_empty() {
            div.empty {
                p { strong { "Nothing here yet." } }
                p { "The first post is yours to write." }
            }
        } @else {
            ol.feed { @for post in &feed.items { (entry(post)) } }
        }
        @if let Some(next) = &feed.next {
            p.pager { a rel="next" href={ "/?after=" (encoded(next)) } { "Older posts" } }
        }
    }
}

fn entry(post: &ReadPost) -> Markup {
    let path = format!("/p/{}", post.id);
    html! {
        li #{ "post-" (post.id) } data-key=(post.id) data-kind="post" {
            // The title comes first, so it decides in which direction all of this is read.
            article.post dir="auto" {
                h2 { a href=(path) { (post.title) } }
                p.about {
                    (post::named(post.author.as_deref(), post.author_name.as_deref()))
                    " · " (time::shown(&post.created_at))
                    " · " a href={ (path) "#comments" } { (comments(post.comment_count)) }
                }
                @if !post.comments.is_empty() {
                    ul.latest aria-label="Latest comments" {
                        @for comment in &post.comments { (latest(comment)) }
                    }
                }
            }
        }
    }
}

fn latest(comment: &ShownComment) -> Markup {
    html! {
        li data-key=(comment.id) dir="auto" {
            (post::named(comment.author.as_deref(), comment.author_name.as_deref()))
            " " (beginning(comment.content.as_deref().unwrap_or_default()))
        }
    }
}

/// More than the two lines that are shown of a comment, and not much more.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(LATEST_MAX).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// How many comments there are.
pub fn comments(count: u64) -> String {
    if count == 0 { "no comments".to_owned() } else { post::comments(count) }
}
