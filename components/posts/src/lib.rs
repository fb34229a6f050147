//! Posts: someone writes, everyone may read, the author may change the title.

#[cfg(test)]
mod tests;

use api::{Cx, Guest, NewPost, NewTitle, PageRequest, Post, PostPage, Problem};
use thiserror::Error;
use trellis::posts::events::PostEvent;
use trellis_kit::{
    Aggregate, Entity, Failure, Projections, Recorded, Route, Series, Service, Writer, projections, routes,
    text,
};

trellis_kit::bindings!(posts);
trellis_kit::export!(Posts);

#[derive(Debug)]
pub struct Posts;

/// How many characters a title may have.
const TITLE_MAX: usize = 200;

/// All posts, as they came.
const POSTS: Series<Post> = Series::new(sources::POSTS, "post", "feed");

impl Service for Posts {
    const NAME: &str = "posts";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("blog");
    const PARTITIONS: u32 = sources::POSTS.partitions;
    const ROUTES: &[Route] = routes! {
        POST "/posts" => created(Self::create),
        own GET "/posts" => page(Self::list),
        own GET "/posts/{id}" => ok(Self::get),
        PUT "/posts/{id}" => ok(Self::retitle),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Post>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! { sources::POSTS => follow };
    /// The list holds posts since 2.
    const VIEWS_SCHEMA: u32 = 2;
}

impl Guest for Posts {
    fn create(cx: &Cx, new: NewPost) -> Result<Post, Problem> {
        let title = text::one_line("title", &new.title, TITLE_MAX)?;
        cx.create(&new, |id| {
            PostEvent::Created(Post {
                id,
                title,
                author: cx.caller.clone(),
                created_at: cx.now(),
                version: 1,
            })
        })
    }

    fn get(cx: &Cx, id: String) -> Result<Post, Problem> {
        cx.load(&id)
    }

    fn list(cx: &Cx, page: PageRequest) -> Result<PostPage, Problem> {
        let listed = POSTS.list(&cx.views()?, &page)?;
        Ok(PostPage { items: listed.items, next: listed.next })
    }

    fn retitle(cx: &Cx, id: String, to: NewTitle) -> Result<Post, Problem> {
        let title = text::one_line("title", &to.title, TITLE_MAX)?;
        cx.update(&id, |post: &Post| {
            if post.author.is_none() || post.author != cx.caller {
                return Err(PostError::NotItsAuthor.into());
            }
            let changes = post.title != title;
            Ok(changes.then(|| PostEvent::Retitled(NewTitle { title: title.clone() })))
        })
    }
}

/// Why a post stays as it is.
#[derive(Debug, Error)]
enum PostError {
    #[error("Only its author may change a post.")]
    NotItsAuthor,
}

impl From<PostError> for Problem {
    fn from(error: PostError) -> Self {
        match error {
            PostError::NotItsAuthor => Self::forbidden(error.to_string()),
        }
    }
}

impl Aggregate for Post {
    type Service = Posts;
    type Event = PostEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &PostEvent) -> Option<Self> {
        match event {
            PostEvent::Created(post) => Some(post.clone()),
            PostEvent::Retitled(NewTitle { title }) => {
                before.map(|post| Post { title: title.clone(), version: post.version + 1, ..post })
            }
        }
    }
}

/// Keeps the list of posts.
fn follow(event: &Recorded<PostEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match &event.data {
        PostEvent::Created(post) => POSTS.add(writer, &post.id, post),
        PostEvent::Retitled(_) => POSTS.change(writer, &event.entity, &event.state()?),
    }
}
