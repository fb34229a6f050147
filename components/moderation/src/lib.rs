//! Moderation: every comment gets a verdict as soon as it is there, by the `rules`; a moderator can say otherwise,
//! and a `review` applies changed rules to all comments.

mod review;
mod rules;
#[cfg(test)]
mod tests;

use api::{Cx, Guest, NewOutcome, Outcome, PageRequest, Problem, Review, Verdict, VerdictPage};
use thiserror::Error;
use trellis::comments::events::CommentEvent;
use trellis::moderation::events::{ReviewEvent, VerdictEvent};
use trellis::moderation::types::{Overturning, Progress};
use trellis_kit::{
    Aggregate, Docs, Entity, Failure, Index, OPERATOR, Projections, Reaction, Reactions, Reader, Recorded,
    Route, Service, Writer, projections, reactions, routes,
};

trellis_kit::bindings!(moderation: comments);
trellis_kit::export!(Moderation);

#[derive(Debug)]
pub struct Moderation;

const MODERATOR: &str = "moderator";

/// What the queue shows of each comment.
const VERDICTS: Docs<Verdict> = Docs::new(sources::MODERATION, "verdict");
/// All verdicts, as they were first given.
const ALL: Index = Index::new(sources::MODERATION, "all");
/// Decisions by what they say, as `<comment>.<version>`. One that was overturned stays where it is, and is known by
/// its version.
const APPROVED: Index = Index::new(sources::MODERATION, "approved");
const REJECTED: Index = Index::new(sources::MODERATION, "rejected");
/// How often more decisions are looked at when those at hand were overturned, before a page is as it is.
const LOOKS_MAX: u32 = 5;

impl Service for Moderation {
    const NAME: &str = "moderation";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("blog");
    const PARTITIONS: u32 = sources::MODERATION.partitions;
    const ROUTES: &[Route] = routes! {
        only(MODERATOR) GET "/moderation/queue?status" => page(Self::queue),
        only(MODERATOR) GET "/moderation/{comment}" => ok(Self::get),
        only(MODERATOR) POST "/moderation/{comment}" => ok(Self::overturn),
        only(OPERATOR) POST "/moderation/rules/apply" => created(Self::apply_rules),
        only(OPERATOR) GET "/moderation/rules/apply/{id}" => ok(Self::get_review),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Verdict>(), Entity::of::<Review>()];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! { sources::MODERATION => follow };
    const REACTIONS: Reactions =
        reactions! { sources::COMMENTS => judge, sources::MODERATION => review::go_on };
}

impl Guest for Moderation {
    fn queue(cx: &Cx, status: Option<Outcome>, page: PageRequest) -> Result<VerdictPage, Problem> {
        cx.require(MODERATOR)?;
        let views = cx.views()?;
        if let Some(status) = status {
            return decided(&views, status, &page);
        }
        let listed = ALL.list(&views, &page)?;
        Ok(VerdictPage { items: VERDICTS.get_many(&views, &listed.ids)?, next: listed.next })
    }

    fn get(cx: &Cx, comment: String) -> Result<Verdict, Problem> {
        cx.require(MODERATOR)?;
        cx.load(&comment)
    }

    fn overturn(cx: &Cx, comment: String, to: NewOutcome) -> Result<Verdict, Problem> {
        cx.require(MODERATOR)?;
        if cx.caller.is_none() {
            return Err(VerdictError::Nameless.into());
        }
        cx.update(&comment, |verdict: &Verdict| {
            if verdict.status != to.status {
                return Ok(Some(VerdictEvent::Overturned(Overturning {
                    status: to.status,
                    reason: None,
                    moderator: cx.caller.clone(),
                    review: None,
                    decided_at: cx.now(),
                })));
            }
            // Whoever asks again for what they did, because the answer was lost, gets that answer.
            if verdict.moderator == cx.caller {
                return Ok(None);
            }
            Err(VerdictError::SoAlready.into())
        })
    }

    fn apply_rules(cx: &Cx) -> Result<Review, Problem> {
        cx.require(OPERATOR)?;
        review::start(cx)
    }

    fn get_review(cx: &Cx, id: String) -> Result<Review, Problem> {
        cx.require(OPERATOR)?;
        cx.load(&id)
    }
}

/// Why a verdict stays as it is.
#[derive(Debug, Error)]
enum VerdictError {
    #[error("A moderator who overturns a verdict must have a name.")]
    Nameless,
    #[error("The verdict is so already.")]
    SoAlready,
}

impl From<VerdictError> for Problem {
    fn from(error: VerdictError) -> Self {
        match error {
            VerdictError::Nameless => Self::forbidden(error.to_string()),
            VerdictError::SoAlready => Self::conflict(error.to_string()),
        }
    }
}

/// The verdicts with a status, the latest decision first.
fn decided(views: &Reader, status: Outcome, page: &PageRequest) -> Result<VerdictPage, Problem> {
    let index = match status {
        Outcome::Approved => APPROVED,
        Outcome::Rejected => REJECTED,
    };
    let mut listed = index.list(views, page)?;
    let wanted = listed.ids.len();
    let mut items = standing(views, &listed.ids)?;
    for _look in 1..LOOKS_MAX {
        let missing = wanted - items.len();
        if missing == 0 || listed.next.is_none() {
            break;
        }
        listed =
            index.list(views, &PageRequest { limit: u32::try_from(missing).ok(), after: listed.next })?;
        items.extend(standing(views, &listed.ids)?);
    }
    Ok(VerdictPage { items, next: listed.next })
}

/// The verdicts that come from these decisions; none from those that were overturned since.
fn standing(views: &Reader, decisions: &[String]) -> Result<Vec<Verdict>, Problem> {
    let (ids, versions): (Vec<String>, Vec<&str>) = decisions
        .iter()
        .filter_map(|decision| decision.rsplit_once('.'))
        .map(|(id, version)| (id.to_owned(), version))
        .unzip();
    let verdicts = VERDICTS.get_many(views, &ids)?;
    let standing = ids.iter().zip(versions).filter_map(|(id, version)| {
        verdicts.iter().find(|verdict| verdict.id == *id && verdict.version.to_string() == version)
    });
    Ok(standing.cloned().collect())
}

impl Aggregate for Verdict {
    type Service = Moderation;
    type Event = VerdictEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &VerdictEvent) -> Option<Self> {
        match (before, event) {
            (None, VerdictEvent::Given(verdict)) => Some(verdict.clone()),
            (Some(before), VerdictEvent::Overturned(to)) if before.status != to.status => {
                let Overturning { status, reason, moderator, review, decided_at } = to.clone();
                let version = before.version + 1;
                Some(Self { status, reason, moderator, review, decided_at, version, ..before })
            }
            _ => None,
        }
    }
}

impl Aggregate for Review {
    type Service = Moderation;
    type Event = ReviewEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &ReviewEvent) -> Option<Self> {
        let moved = |progress: &Progress, finished| {
            let before = before.clone().filter(|review| !review.finished)?;
            Some(Self { progress: *progress, finished, version: before.version + 1, ..before })
        };
        match event {
            ReviewEvent::Started(review) => before.is_none().then(|| review.clone()),
            ReviewEvent::Advanced(progress) => moved(progress, false),
            ReviewEvent::Finished(progress) => moved(progress, true),
        }
    }
}

/// Gives a new comment its verdict.
fn judge(event: &Recorded<CommentEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let CommentEvent::Created(comment) = &event.data else { return Ok(()) };
    let (status, reason) = rules::judge(&rules::load()?, &comment.content);
    reaction.execute(&comment.id, |verdict: Option<&Verdict>| {
        Ok(verdict.is_none().then(|| {
            VerdictEvent::Given(Verdict {
                id: comment.id.clone(),
                status,
                reason: reason.clone(),
                content: comment.content.clone(),
                author: comment.author.clone(),
                moderator: None,
                review: None,
                decided_at: reaction.now(),
                version: 1,
            })
        }))
    })?;
    Ok(())
}

/// Keeps the queue.
fn follow(event: &Recorded<VerdictEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let verdict: Verdict = event.state()?;
    VERDICTS.put(writer, &verdict.id, &verdict)?;
    if let VerdictEvent::Given(_) = event.data {
        ALL.add(writer, &verdict.id)?;
    }
    let decision = format!("{}.{}", verdict.id, verdict.version);
    match verdict.status {
        Outcome::Approved => APPROVED.add(writer, &decision),
        Outcome::Rejected => REJECTED.add(writer, &decision),
    }
}
