//! Query: the blog as it is read. It follows posts, and answers from its own data whether or not they run.

#[cfg(test)]
mod tests;

use api::{Context, FeedPage, Guest, PageRequest, Problem, ReadPost};
use trellis::posts::events::PostEvent;
use trellis::posts::types::Post;
use trellis_kit::{
    Docs, Event, Failure, Index, Projection, Recorded, Route, Service, Writer, projections, routes,
};

trellis_kit::bindings!(query: posts);
trellis_kit::export!(Query);

#[derive(Debug)]
pub struct Query;

/// Into how many partitions the posts service divides its log.
const POSTS_PARTITIONS: u32 = 8;

const POSTS: Docs<Post> = Docs::new("posts", "post");
/// All posts, as they came.
const FEED: Index = Index::new("posts", "feed", POSTS_PARTITIONS);

impl Service for Query {
    const NAME: &str = "query";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    /// It has nothing to say that others have not said.
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! {
        GET "/posts" => |r| {
            let page = Self::feed(r.context(), r.page()?)?;
            r.list(&page.items, page.next.as_deref())
        },
        GET "/posts/{id}" => |r| r.ok(Self::get(r.context(), r.param("id"))),
    };
    const PROJECTIONS: &[Projection] = projections! { "posts" => follow_posts };
}

impl Guest for Query {
    fn feed(cx: Context, page: PageRequest) -> Result<FeedPage, Problem> {
        let views = cx.views()?;
        let listed = FEED.list(&views, &page)?;
        let posts = POSTS.get_many(&views, &listed.ids)?;
        Ok(FeedPage { items: posts.into_iter().map(read_post).collect(), next: listed.next })
    }

    fn get(cx: Context, id: String) -> Result<ReadPost, Problem> {
        match POSTS.get(&cx.views()?, &id)? {
            Some(post) => Ok(read_post(post)),
            None => Err(Problem::not_found("There is no such post.")),
        }
    }
}

fn read_post(post: Post) -> ReadPost {
    let Post { id, title, author, created_at, version } = post;
    ReadPost { id, title, author, created_at, version }
}

impl Event for PostEvent {
    const OF: &str = "post";
}

fn follow_posts(event: &Recorded<PostEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    POSTS.put(writer, &event.entity, &event.state()?)?;
    match &event.data {
        PostEvent::Created(post) => FEED.add(writer, &post.id),
        PostEvent::Retitled(_) => Ok(()),
    }
}
