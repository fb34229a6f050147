//! A review applies the rules to every comment anew, some at a time: each part that is done is an event, and the
//! service's reaction to that event is the next part. So it goes on wherever it was interrupted, whoever did the
//! part before, and a part that is done twice changes nothing the second time.

use trellis_kit::{Failure, Problem, Reaction, Recorded};

use crate::api::{Cx, Review, Verdict};
use crate::rules;
use crate::trellis::moderation::events::{ReviewEvent, VerdictEvent};
use crate::trellis::moderation::types::{Overturning, Progress};

/// How many events one part looks at.
const PART_LEN: usize = 50;

pub fn start(cx: &Cx) -> Result<Review, Problem> {
    let rules = rules::load()?;
    cx.create(&(), |id| {
        ReviewEvent::Started(Review {
            id,
            rules,
            progress: Progress { position: 0, end: 0, examined: 0, overturned: 0 },
            finished: false,
            started_by: cx.caller.clone(),
            started_at: cx.now(),
            version: 1,
        })
    })
}

/// Does the next part. What was judged after the review began was judged by the rules of then or later.
pub fn go_on(event: &Recorded<ReviewEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let review: Review = reaction.load(&event.entity)?;
    if review.finished || review.version != event.version {
        return Ok(());
    }
    let Progress { position, end, mut examined, mut overturned } = review.progress;
    let end = if end == 0 { event.seq } else { end };
    let part = reaction.births::<Verdict>(position, end, PART_LEN)?;
    for verdict in &part.events {
        examined += 1;
        overturned += u64::from(again(&verdict.entity, &review, reaction)?);
    }
    let progress = Progress { position: part.position.unwrap_or(end), end, examined, overturned };
    reaction.update(&event.entity, |now: &Review| {
        let next = match part.position {
            Some(_) => ReviewEvent::Advanced(progress),
            None => ReviewEvent::Finished(progress),
        };
        Ok((now.version == event.version).then_some(next))
    })?;
    Ok(())
}

/// Judges one comment again, and says whether this review has overturned its verdict, now or when the same part was
/// done before. What a moderator has decided stays.
fn again(comment: &str, review: &Review, reaction: &Reaction) -> Result<bool, Problem> {
    let verdict = reaction.update(comment, |verdict: &Verdict| {
        let (status, reason) = rules::judge(&review.rules, &verdict.content);
        let changes = verdict.moderator.is_none() && verdict.status != status;
        Ok(changes.then(|| {
            VerdictEvent::Overturned(Overturning {
                status,
                reason,
                moderator: None,
                review: Some(review.id.clone()),
                decided_at: reaction.now(),
            })
        }))
    })?;
    Ok(verdict.review.as_ref() == Some(&review.id))
}
