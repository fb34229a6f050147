//! `/p/{id}`: one post with its comments, newest first, and a form to write one.

use maud::{Markup, html};
use trellis_kit::http::encoded;

use crate::api::{Page, Window};
use crate::ask::{Services, Trouble};
use crate::form::{Draft, Form};
use crate::trellis::comments::types::Status;
use crate::trellis::query::types::{PostPage, ReadPost, ShownComment};
use crate::{page, time};

pub fn page(services: Services<'_>, id: &str, window: &Window, draft: &Draft) -> Page {
    let read = services.post(id, window);
    if let Err(Trouble::Refused(problem)) = &read {
        return page::refusal(Some(services.cx()), problem);
    }
    let status = draft.status().or_else(|| Some(read.as_ref().err()?.status())).unwrap_or(200);
    let (title, heading) = match &read {
        Ok(read) => (read.value.post.title.as_str(), heading(&read.value.post)),
        Err(_) => ("A post", html! { h1.unseen { "A post" } }),
    };
    let shown = read.as_ref().map_or_else(|_| page::unreadable(window), |read| list(&read.value));
    let path = format!("/p/{id}");
    let main = if window.after.is_some() {
        html! {
            (heading)
            (page::kept_up_to_date(None, &shown))
            p.pager { a href={ (path) "#comments" } { "Newest comments" } }
        }
    } else {
        html! {
            (heading)
            (form(&path).show(draft))
            (page::not_yet(&read, window))
            (page::kept_up_to_date(Some(&format!("{path}/live")), &shown))
        }
    };
    page::document(Some(services.cx()), status, title, &main)
}

/// The newest comments of a post, as they are now.
pub fn live(services: Services<'_>, id: &str) -> Result<Markup, Trouble> {
    Ok(list(&services.post(id, &page::NEWEST)?.value))
}

/// Whoever wrote something.
pub fn author(name: Option<&str>) -> Markup {
    html! {
        bdi.author { (name.unwrap_or("Anonymous")) }
    }
}

/// Whoever wrote something, as they want to be called.
pub fn named(author: Option<&str>, name: Option<&str>) -> Markup {
    self::author(name.or(author))
}

/// How many comments there are, where it is seen when there are none.
pub fn comments(count: u64) -> String {
    match count {
        0 => "Comments".to_owned(),
        1 => "1 comment".to_owned(),
        count => format!("{count} comments"),
    }
}

fn form(path: &str) -> Form<'_> {
    Form {
        action: path,
        field: "content",
        label: "Your comment",
        hint: "Up to 2000 characters. It appears once moderation has read it.",
        button: "Comment",
        lines: 4,
    }
}

fn heading(post: &ReadPost) -> Markup {
    html! {
        header.post dir="auto" {
            h1 { (post.title) }
            p.about { (named(post.author.as_deref(), post.author_name.as_deref())) " · " (time::shown(&post.created_at)) }
        }
    }
}

fn list(PostPage { post, next }: &PostPage) -> Markup {
    html! {
        h2 #comments { (comments(post.comment_count)) }
        @if post.comments.is_empty() {
            div.empty { p { "Nobody has said anything yet. Be the first." } }
        } @else {
            ol.comments { @for comment in &post.comments { (entry(comment)) } }
        }
        @if let Some(next) = next {
            p.pager {
                a rel="next" href={ "/p/" (post.id) "?after=" (encoded(next)) } { "Older comments" }
            }
        }
    }
}

fn entry(comment: &ShownComment) -> Markup {
    let (state, word) = match comment.status {
        Status::Approved => ("approved", None),
        Status::Pending => ("pending", Some("Waiting for moderation")),
        Status::Rejected => ("rejected", Some("This comment was not published")),
    };
    html! {
        li #{ "comment-" (comment.id) } data-key=(comment.id) data-kind="comment" data-state=(state) {
            p.about { (named(comment.author.as_deref(), comment.author_name.as_deref())) " · " (time::shown(&comment.created_at)) }
            @if let Some(content) = &comment.content { p.said dir="auto" { (content) } }
            @if let Some(word) = word {
                p.state {
                    (word)
                    @if comment.content.is_some() { ". Not everybody sees its text." }
                }
            }
        }
    }
}
