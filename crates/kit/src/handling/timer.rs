//! Events that wait until something is to be done about them.
//!
//! **The log is the queue.** One consumer takes the events of all partitions of a source, and has so many of them out at once
//! as its window is wide. Whichever is not due is answered with how long it is to wait, which leaves it in the window; the
//! server keeps nothing else of it. The others stay in the log. Where each is due after the same time, those in the window are
//! the first that will be. So a million of them take no more memory than a hundred, in the service or in the server.
//!
//! **Never early, and soon.** An event is asked when it is due each time that it comes, and decided on by the clock of this
//! service. It comes when it should be due, and no later than [`LONGEST_PAUSE`] after it was asked last: that is how long it
//! takes to see that a clock has jumped. Neither waiting nor asking writes anything.
//!
//! **Events that are due at once need no order**, and that is all that is different about them: so many are under way at a time as
//! the window is wide, and one that is put off waits in it as one that is not due.
//!
//! **What fails is tried as often as everywhere**, but how often it was delivered says nothing of that. So an attempt is counted
//! in the bucket, before it is made, where an event is late and comes again (`tries`).

use super::handler::{Handled, Handler};
use super::reaction::Reaction;
use super::table::Due;
use super::tries::PutOff;
use crate::delivery::{Delivery, Term};
use crate::eventlog::Incoming;
use crate::failure::Failure;
use crate::instant;
use crate::limits::ATTEMPTS;
use crate::platform::{self, Platform};
use crate::time::millis;
use crate::upkeep::consumers::LONGEST_PAUSE;
use crate::upkeep::wanted;

impl Handler {
    /// Does what the service does when the time has come, or says how long that takes.
    pub(super) fn wait(
        &self,
        delivery: &Delivery<'_>,
        incoming: &Incoming,
        term: Term,
    ) -> Result<Handled, Failure> {
        let (of, ..) = incoming.envelope.kind()?;
        let Some((_, timer)) = self.timers.of(delivery.source).find(|(kind, _)| *kind == of) else {
            if !self.service.times(delivery.source) || wanted::is_timed(delivery.source, of)? {
                return Err(Failure::not_ours(format!("it has no timer for {of} of {}", delivery.source)));
            }
            return Ok(Handled::Event);
        };
        let due_ms = match timer.due {
            Due::AtOnce => incoming.stored_ms(),
            Due::At(due) => {
                let Some(due) = due(incoming)? else { return Ok(Handled::Event) };
                instant::parse(&due)
                    .ok_or_else(|| Failure::lasting(format!("{due:?} is no instant as this kit writes it")))?
            }
        };
        let now_ms = platform::current().now_ms();
        let is_due = matches!(timer.due, Due::AtOnce) || due_ms <= now_ms;
        if !is_due {
            return Ok(Handled::NotDue((due_ms - now_ms).min(millis(LONGEST_PAUSE))));
        }
        let late_ms = now_ms.saturating_sub(due_ms);
        let before = PutOff::of(delivery, late_ms)?;
        if let Some(left_ms) = before.left(now_ms) {
            return Ok(Handled::NotDue(left_ms));
        }
        if before.count(delivery, late_ms)? > ATTEMPTS {
            // Nobody was left to say so after the last of them.
            return Err(Failure::lasting(format!("ended the instance, or took too long, {ATTEMPTS} times")));
        }
        (timer.act)(incoming, &Reaction::new(incoming, delivery.source, term))
            .map_err(|failure| failure.unless_too_old(due_ms))?;
        Ok(Handled::Event)
    }
}
