//! Query: the blog and the market as they are read. It follows the other services, and answers from its own data whether or not they run.
//!
//! What posts tell and what comments tell is kept apart and put together when it is read, so that it does not matter
//! who is ahead of whom. A comment whose post has not been heard of waits in its list until the post comes.

mod errors;
mod market;
mod names;
#[cfg(test)]
mod tests;

use api::{
    Cx, FeedPage, Guest, OwnOrderPage, PageRequest, PostPage, Problem, ReadTicket, ReadTicketPage, SalesPage,
};
use errors::QueryError;
use names::Names;
use trellis::comments::events::CommentEvent;
use trellis::comments::types::{Comment, Status};
use trellis::posts::events::PostEvent;
use trellis::posts::types::Post;
use trellis::query::types::{ReadPost, ShownComment};
use trellis_kit::{
    Docs, Failure, Lists, Projections, Reader, Recorded, Route, Series, Service, Wire, Writer, id,
    projections, routes,
};

trellis_kit::bindings!(query: posts, comments, accounts, tickets, orders, payments);
trellis_kit::export!(Query);

#[derive(Debug)]
pub struct Query;

/// How many comments the feed shows of each post.
const SHOWN_IN_FEED: usize = 3;
/// How many comments of each post are at hand for the feed: more than it shows, for the newest may be hidden.
const NEWEST: usize = 8;
/// The role that reads every comment.
const MODERATOR: &str = "moderator";

/// All posts, as they came.
const POSTS: Series<Post> = Series::new(sources::POSTS, "post", "feed");
/// The posts of each author, as they came. What is anonymous is nobody's.
const POSTS_OF: Lists = Lists::of_anybody(sources::POSTS, "posts-of");
const COMMENTS: Docs<Comment> = Docs::new(sources::COMMENTS, "comment");
/// The comments of each post, as they came.
const COMMENTS_OF: Lists = Lists::new(sources::COMMENTS, "of");
const THREADS: Docs<Thread> = Docs::new(sources::COMMENTS, "thread");

/// What the feed shows of the comments of a post.
#[derive(Debug, Default, Wire)]
struct Thread {
    count: u64,
    /// The newest [`NEWEST`], newest first.
    newest: Vec<Comment>,
}

impl Service for Query {
    const NAME: &str = "query";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("platform");
    /// It has nothing to tell that others have not told.
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! {
        GET "/posts" => page(Self::feed),
        GET "/posts/{id}" => page(Self::get),
        GET "/tickets" => page(Self::tickets),
        GET "/tickets/{id}" => ok(Self::ticket),
        GET "/users/currentuser/posts" => page(Self::own_posts),
        GET "/orders" => page(Self::orders),
        GET "/sales" => page(Self::sales),
    };
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! {
        sources::POSTS => follow_posts,
        sources::COMMENTS => follow_comments,
        sources::ACCOUNTS => names::follow,
        sources::TICKETS => market::follow_tickets,
        sources::ORDERS => market::follow_orders,
        sources::PAYMENTS => market::follow_payments,
    };
    /// The list holds posts since 2, authors have names since 3, and lists of what they wrote since 4.
    const VIEWS_SCHEMA: u32 = 4;
}

impl Guest for Query {
    fn feed(cx: &Cx, page: PageRequest) -> Result<FeedPage, Problem> {
        let views = cx.views()?;
        let listed = POSTS.list_with(&THREADS, &views, &page)?;
        in_feed(cx, &views, listed.items, listed.next)
    }

    fn own_posts(cx: &Cx, page: PageRequest) -> Result<FeedPage, Problem> {
        let (author, views) = (cx.caller.as_deref().ok_or(QueryError::NobodyKnown)?, cx.views()?);
        let listed = POSTS_OF.list(&views, author, &page)?;
        let posts = POSTS.docs().get_each_with(&THREADS, &views, &listed.ids)?;
        in_feed(cx, &views, posts, listed.next)
    }

    fn get(cx: &Cx, id: String, comments: PageRequest) -> Result<PostPage, Problem> {
        let views = cx.views()?;
        let (post, thread) = POSTS.docs().get_with(&THREADS, &views, &id)?;
        let post = post.ok_or(QueryError::NoSuchPost)?;
        let count = thread.map_or(0, |thread| thread.count);
        let listed = COMMENTS_OF.list(&views, &id, &comments)?;
        let comments = COMMENTS.get_many(&views, &listed.ids)?;
        let mut post = with_comments(cx, post, count, comments);
        name(&views, std::slice::from_mut(&mut post))?;
        Ok(PostPage { post, next: listed.next })
    }

    fn tickets(cx: &Cx, page: PageRequest) -> Result<ReadTicketPage, Problem> {
        market::tickets(cx, &page)
    }

    fn ticket(cx: &Cx, id: String) -> Result<ReadTicket, Problem> {
        market::ticket(cx, &id)
    }

    fn orders(cx: &Cx, page: PageRequest) -> Result<OwnOrderPage, Problem> {
        market::orders(cx, &page)
    }

    fn sales(cx: &Cx, page: PageRequest) -> Result<SalesPage, Problem> {
        market::sales(cx, &page)
    }
}

/// Posts, each with the newest few comments that the caller may read.
fn in_feed(
    cx: &Cx,
    views: &Reader,
    posts: Vec<(Option<Post>, Option<Thread>)>,
    next: Option<String>,
) -> Result<FeedPage, Problem> {
    let items = posts.into_iter().filter_map(|(post, thread)| {
        let Thread { count, newest } = thread.unwrap_or_default();
        let readable = newest.into_iter().filter(|comment| may_read(cx, comment));
        Some(with_comments(cx, post?, count, readable.take(SHOWN_IN_FEED)))
    });
    let mut items: Vec<ReadPost> = items.collect();
    name(views, &mut items)?;
    Ok(FeedPage { items, next })
}

/// Adds the names of all authors.
fn name(views: &Reader, posts: &mut [ReadPost]) -> Result<(), Problem> {
    let names =
        Names::of(views, posts.iter_mut().flat_map(authors).filter_map(|(author, _)| author.as_ref()))?;
    for (author, name) in posts.iter_mut().flat_map(authors) {
        *name = author.as_ref().and_then(|author| names.get(author));
    }
    Ok(())
}

/// Each author in a post and its comments, and the place for the name.
fn authors(post: &mut ReadPost) -> impl Iterator<Item = (&Option<String>, &mut Option<String>)> {
    let of_comments = post.comments.iter_mut().map(|comment| (&comment.author, &mut comment.author_name));
    std::iter::once((&post.author, &mut post.author_name)).chain(of_comments)
}

/// Before its verdict and against it, a comment is for its author and for moderators. What is anonymous has no author
/// who could be known again.
fn may_read(cx: &Cx, comment: &Comment) -> bool {
    let is_its_author = comment.author.is_some() && comment.author == cx.caller;
    comment.status == Status::Approved || is_its_author || cx.has(MODERATOR)
}

fn with_comments(cx: &Cx, post: Post, count: u64, comments: impl IntoIterator<Item = Comment>) -> ReadPost {
    let comments = comments.into_iter().map(|comment| {
        let readable = may_read(cx, &comment);
        let Comment { id, post_id, author, content, status, created_at, version, .. } = comment;
        let content = readable.then_some(content);
        ShownComment { id, post_id, author, author_name: None, content, status, created_at, version }
    });
    let comments = comments.collect();
    let Post { id, title, author, created_at, version } = post;
    ReadPost { id, title, author, author_name: None, created_at, version, comment_count: count, comments }
}

fn follow_posts(event: &Recorded<PostEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match &event.data {
        PostEvent::Created(post) => {
            POSTS.add(writer, &post.id, post)?;
            post.author.as_ref().map_or(Ok(()), |author| POSTS_OF.add(writer, author, &post.id))
        }
        PostEvent::Retitled(_) => POSTS.change(writer, &event.entity, &event.state()?),
    }
}

fn follow_comments(event: &Recorded<CommentEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let comment: Comment = event.state()?;
    let (post, is_new) = (id::root(&event.entity), matches!(event.data, CommentEvent::Created(_)));
    COMMENTS.put(writer, &event.entity, &comment)?;
    THREADS.update(writer, post, |thread| {
        if is_new {
            Some(thread.unwrap_or_default().with(comment))
        } else {
            Some(thread?.with_changed(comment))
        }
    })?;
    if is_new { COMMENTS_OF.add(writer, post, &event.entity) } else { Ok(()) }
}

impl Thread {
    fn with(mut self, comment: Comment) -> Self {
        self.count += 1;
        self.newest.insert(0, comment);
        self.newest.truncate(NEWEST);
        self
    }

    fn with_changed(mut self, comment: Comment) -> Self {
        if let Some(known) = self.newest.iter_mut().find(|known| known.id == comment.id) {
            *known = comment;
        }
        self
    }
}
