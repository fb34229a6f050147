//! What is done with an event that reaches a service, and what becomes of those that cannot be handled.
//!
//! An event comes again until it is acknowledged, so it is acknowledged last, and everything done before can be done
//! again. An event that fails is asked for again later, each time later than before. After [`ATTEMPTS`] times, or at
//! once if it cannot be read, it is put into the service's stream of dead letters. The events behind it move on. A
//! read model that lacks a dead letter is whole again after the next rebuild.
//!
//! **What is for another version of the service waits for it**: an event of a source that this version does not follow, of a
//! kind or a schema that it does not know, or for read models that another version makes. It is put off, with the events
//! behind it, and the log says so. [`wanted`](crate::upkeep::wanted) has what any version has ever followed.
//!
//! **One handler at a time.** Whoever has had an event for longer than a second asks the server whether it is still theirs
//! before they write or answer. After a write without an answer, nothing is said until the server gives the event to
//! somebody else: by then the write has been carried out, or never will be.

use trellis_names::Purpose;

use super::dead;
use super::handler::{Handled, Handler, catch_up};
use super::{put_off, tries};
use crate::delivery::{Delivery, Term};
use crate::failure::Failure;
use crate::limits::{ACK_WAIT, ATTEMPTS};
use crate::log;
use crate::models::generation;
use crate::models::offset::Offset;
use crate::platform::{self, Entry, Fault, Platform};
use crate::time::millis;
use crate::upkeep::consumers::LONGEST_PAUSE;

const FIRST_DELAY_MS: u64 = 500;
const LONGEST_DELAY_MS: u64 = 5 * 60 * 1000;

/// What the server is told of an event.
enum Answer {
    Done,
    /// Not before so many milliseconds from now.
    Again(u64),
    Never,
    /// Nothing: it will give the event to somebody when its patience ends, or waits for another one.
    Silence,
}

impl Handler {
    /// Handles an event and says so to the server. An error is one that the server need not know: it will send the
    /// event again.
    pub fn handle(&self, delivery: &Delivery<'_>) -> Result<(), Fault> {
        let term = Term::begin();
        let answer = match self.process(delivery, term) {
            Ok(Handled::Event) => Answer::Done,
            Ok(Handled::NotDue(ms)) => Answer::Again(ms),
            Ok(Handled::Unawaited) => Answer::Silence,
            Err(failure) => self.answer_to(delivery, &failure, term),
        };
        let text = match answer {
            Answer::Done => "+ACK".to_owned(),
            Answer::Again(ms) => format!("-NAK {{\"delay\": {}}}", ms.saturating_mul(1_000_000)),
            Answer::Never => "+TERM".to_owned(),
            Answer::Silence => return Ok(()),
        };
        if !delivery.is_still_ours(term) {
            let Delivery { source, seq, .. } = delivery;
            log::warn(&format!("event {seq} of {source} took so long that it is somebody else's now"));
            return Ok(());
        }
        platform::current().publish(delivery.reply_to, text.as_bytes())
    }

    /// What to say of an event that could not be handled, and what is done about it.
    fn answer_to(&self, delivery: &Delivery<'_>, failure: &Failure, term: Term) -> Answer {
        let Delivery { source, seq, .. } = delivery;
        let attempt = tries::made(delivery);
        match failure {
            Failure::Left(why) => {
                log::warn(&format!(
                    "event {seq} of {source} is left until it comes again, within {ACK_WAIT:?}: {why}"
                ));
                Answer::Silence
            }
            // Not what is behind it, which is in no order.
            Failure::NotOurs(why) if delivery.purpose == Purpose::Timers => {
                log::warn(&format!(
                    "event {seq} of {source} waits for another version of {}: {why}",
                    self.service.name
                ));
                Answer::Again(millis(LONGEST_PAUSE))
            }
            Failure::NotOurs(why) => {
                log::warn(&format!(
                    "event {seq} of {source} waits for another version of {}, and so do those behind it: {why}",
                    self.service.name
                ));
                Answer::Again(jittered(put_off::put_off(delivery)))
            }
            Failure::Later { after, why } => {
                log::info(&format!("event {seq} of {source} is put off for {after:?}: {why}"));
                Answer::Again(if delivery.purpose == Purpose::Timers {
                    tries::put_off(delivery, *after)
                } else {
                    put_off::note(delivery);
                    millis(*after)
                })
            }
            Failure::Passing(why) if attempt < ATTEMPTS => {
                log::warn(&format!("event {seq} of {source} failed, attempt {attempt} of {ATTEMPTS}: {why}"));
                if delivery.is_still_ours(term)
                    && let Err(fault) = note_failed(delivery, Offset::stuck)
                {
                    log::warn(&format!("lag is not what answers say it is: {fault}"));
                    return Answer::Silence;
                }
                later(attempt)
            }
            Failure::Passing(_) | Failure::Lasting(_) => self.bury(delivery, failure),
        }
    }

    fn bury(&self, delivery: &Delivery<'_>, failure: &Failure) -> Answer {
        let buried = dead::bury(self.service, delivery, failure).and_then(|()| {
            note_failed(delivery, |offset, delivery| offset.passed(delivery, std::iter::empty()))?;
            catch_up(self.service, delivery, &generation::load()?)
        });
        match buried {
            Ok(()) => Answer::Never,
            Err(fault) => {
                let Delivery { source, seq, attempt, .. } = delivery;
                log::error(&format!("event {seq} of {source} cannot even be put aside: {fault}"));
                later(*attempt)
            }
        }
    }
}

/// Notes that an event which could not be handled waits or, once it is put aside, no longer does.
fn note_failed(
    delivery: &Delivery<'_>,
    note: impl FnOnce(&Offset, &Delivery<'_>) -> Result<Entry, Fault>,
) -> Result<(), Fault> {
    let Some(name) = delivery.generation() else { return Ok(()) };
    let loaded = Offset::load(delivery.source, delivery.partition(), name, Vec::new())?;
    let Some(offset) = loaded.offset else { return Ok(()) };
    let (key, value) = note(&offset, delivery)?;
    platform::current().set(&key, &value)
}

/// Asks for the event again after a pause that doubles each time, and differs for each who asks.
fn later(attempt: u64) -> Answer {
    let doubled = FIRST_DELAY_MS << attempt.clamp(1, 16);
    Answer::Again(jittered(doubled.min(LONGEST_DELAY_MS)))
}

/// From half of it to half more.
fn jittered(delay_ms: u64) -> u64 {
    delay_ms / 2 + platform::current().random() % delay_ms.max(1)
}
