//! Comments: anybody says something about a post, and others read it once moderation has approved it.
//!
//! Whether there is a post, its log says: whoever has just written it need not wait until somebody is told.

#[cfg(test)]
mod tests;

use api::{Comment, CommentPage, Cx, Guest, NewComment, PageRequest, Problem, ReadComment};
use thiserror::Error;
use trellis::comments::events::CommentEvent;
use trellis::comments::types::{Status, VerdictRef};
use trellis::moderation::events::VerdictEvent;
use trellis::moderation::types::{Outcome, Verdict};
use trellis::posts::events::PostEvent;
use trellis_kit::{
    Aggregate, Docs, Entity, Failure, Lists, Lookup, Projections, Reaction, Reactions, Recorded, Route,
    Service, Source, Writer, projections, reactions, routes, text,
};

trellis_kit::bindings!(comments: posts, moderation);
trellis_kit::export!(Comments);

#[derive(Debug)]
pub struct Comments;

/// How many characters a comment may have.
const CONTENT_MAX: usize = 2000;
/// Whoever has this role sees what others do not.
const MODERATOR: &str = "moderator";

/// The posts that there are.
const POSTS: Lookup<PostEvent> = Lookup::of::<Comments>(sources::POSTS);
/// What lists show of each comment.
const COMMENTS: Docs<Comment> = Docs::new(sources::COMMENTS, "comment");
/// The comments of each post, as they came.
const OF_POST: Lists = Lists::new(sources::COMMENTS, "of-post");

impl Service for Comments {
    const NAME: &str = "comments";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("blog");
    const PARTITIONS: u32 = sources::COMMENTS.partitions;
    const ROUTES: &[Route] = routes! {
        POST "/posts/{id}/comments" => created(Self::create),
        GET "/posts/{id}/comments" => page(Self::list),
        GET "/posts/{id}/comments/{comment}" => ok(Self::get),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Comment>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! { sources::COMMENTS => follow };
    const REACTIONS: Reactions = reactions! { sources::MODERATION => follow_verdict };
    const READS: &[Source] = &[sources::POSTS];
    const VIEWS_SCHEMA: u32 = 2;
}

impl Guest for Comments {
    fn create(cx: &Cx, post: String, new: NewComment) -> Result<Comment, Problem> {
        let content = text::lines("content", &new.content, CONTENT_MAX)?;
        POSTS.expect(&post)?;
        cx.create_below(&post, &new, |id| {
            CommentEvent::Created(Comment {
                id,
                post_id: post.clone(),
                author: cx.caller.clone(),
                content,
                status: Status::Pending,
                verdict: None,
                created_at: cx.now(),
                version: 1,
            })
        })
    }

    fn get(cx: &Cx, post: String, id: String) -> Result<ReadComment, Problem> {
        let comment: Comment = cx.load(&id)?;
        if comment.post_id != post {
            return Err(CommentError::OfAnotherPost.into());
        }
        Ok(comment.for_reader(cx))
    }

    fn list(cx: &Cx, post: String, page: PageRequest) -> Result<CommentPage, Problem> {
        POSTS.expect(&post)?;
        let views = cx.views()?;
        let listed = OF_POST.list(&views, &post, &page)?;
        let comments = COMMENTS.get_many(&views, &listed.ids)?;
        let items = comments.into_iter().map(|comment| comment.for_reader(cx)).collect();
        Ok(CommentPage { items, next: listed.next })
    }
}

/// Why a comment is not shown.
#[derive(Debug, Error)]
enum CommentError {
    #[error("There is no such comment on this post.")]
    OfAnotherPost,
}

impl From<CommentError> for Problem {
    fn from(error: CommentError) -> Self {
        match error {
            CommentError::OfAnotherPost => Self::not_found(error.to_string()),
        }
    }
}

impl Comment {
    /// Leaves out what this reader may not see.
    fn for_reader(self, cx: &Cx) -> ReadComment {
        let is_author = self.author.is_some() && self.author == cx.caller;
        let is_open = self.status == Status::Approved || is_author || cx.has(MODERATOR);
        ReadComment {
            id: self.id,
            post_id: self.post_id,
            author: self.author,
            content: is_open.then_some(self.content),
            status: self.status,
            created_at: self.created_at,
            version: self.version,
        }
    }
}

impl Aggregate for Comment {
    type Service = Comments;
    type Event = CommentEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &CommentEvent) -> Option<Self> {
        let judged = |status, verdict: &VerdictRef| {
            let verdict = Some(verdict.clone());
            before.clone().map(|comment| Self { status, verdict, version: comment.version + 1, ..comment })
        };
        match event {
            CommentEvent::Created(comment) => before.is_none().then(|| comment.clone()),
            CommentEvent::Approved(verdict) => judged(Status::Approved, verdict),
            CommentEvent::Rejected(verdict) => judged(Status::Rejected, verdict),
        }
    }
}

/// Does what moderation says. A verdict that is older than the one already followed changes nothing, so it does not
/// matter in which order they come, or how often.
fn follow_verdict(event: &Recorded<VerdictEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let verdict: Verdict = event.state()?;
    let to = VerdictRef { version: event.version, reason: verdict.reason };
    reaction.update(&event.entity, |comment: &Comment| {
        let followed = comment.verdict.as_ref().map_or(0, |followed| followed.version);
        Ok((followed < to.version).then(|| match verdict.status {
            Outcome::Approved => CommentEvent::Approved(to.clone()),
            Outcome::Rejected => CommentEvent::Rejected(to.clone()),
        }))
    })?;
    Ok(())
}

/// Keeps the comments of each post.
fn follow(event: &Recorded<CommentEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    COMMENTS.put(writer, &event.entity, &event.state()?)?;
    match &event.data {
        CommentEvent::Created(comment) => OF_POST.add(writer, &comment.post_id, &comment.id),
        CommentEvent::Approved(_) | CommentEvent::Rejected(_) => Ok(()),
    }
}
