//! Many events at once, for read models that are being built.
//!
//! A handler that has the first of many reads on in the log, and writes what they all come to, with the offset last. Then it
//! resets the consumer, which goes on behind them. An event that cannot be handled ends the batch before it, and is given to
//! somebody as the first one.
//!
//! **The offset is what counts.** A consumer may lag behind it, or be ahead of it if the bucket has lost it. Whoever is given an
//! event that is done, or one before which others are missing, resets the consumer to where the offset is. Where that cannot be
//! done, events that are done are acknowledged one by one, and none is passed over.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use trellis_names as names;

use super::handler::{Handled, Handler, catch_up};
use crate::delivery::{Delivery, Term};
use crate::eventlog::{Envelope, Incoming};
use crate::failure::Failure;
use crate::models::Writer;
use crate::models::generation::Generations;
use crate::models::offset::Offset;
use crate::models::writer::Before;
use crate::platform::{self, Fault, Platform};
use crate::{jetstream, log};

/// With fewer behind it, an event is handled alone.
const WAITING_MIN: u64 = 16;
/// A batch is read and written with one call each, which have limits of their own: on keys, and on bytes.
const EVENTS_MAX: usize = 256;
const KEYS_MAX: usize = 900;
const BYTES_MAX: usize = 256 * 1024;

/// What handling an event is about.
pub(super) struct Given<'a> {
    pub delivery: &'a Delivery<'a>,
    pub incoming: &'a Incoming,
    pub offset: &'a Offset,
    pub generations: &'a Generations,
    pub term: Term,
}

impl Handler {
    /// Handles an event of read models that are being built, with those behind it, or puts its consumer right; none if the event
    /// is to be handled alone.
    pub(super) fn project_batch(&self, given: &Given<'_>) -> Result<Option<Handled>, Failure> {
        let Given { delivery, offset, .. } = *given;
        if is_ahead(delivery, offset)? {
            let left = go_on_behind(delivery, offset.seq).map_err(|fault| {
                fault.with("what was read before this event is lost, and is not read again")
            })?;
            return Ok(Some(self.gone_on(given, left)?));
        }
        let last = if is_behind(delivery, offset)? {
            Some(offset.seq)
        } else if delivery.seq > offset.seq && delivery.attempt == 1 && delivery.behind >= WAITING_MIN {
            self.project_many(given)?
        } else {
            None
        };
        let Some(last) = last else { return Ok(None) };
        match go_on_behind(delivery, last) {
            Ok(left) => Ok(Some(self.gone_on(given, left)?)),
            Err(fault) => {
                let Delivery { source, consumer, .. } = *delivery;
                log::warn(&format!(
                    "{consumer} gives out events of {source} that are done, up to {last}: {fault}"
                ));
                Ok(Some(Handled::Event))
            }
        }
    }

    /// So many events are left for a consumer that was reset.
    fn gone_on(&self, given: &Given<'_>, left: u64) -> Result<Handled, Fault> {
        let delivery = Delivery { behind: left, ..given.delivery.clone() };
        catch_up(self.service, &delivery, given.generations)?;
        Ok(Handled::Unawaited)
    }

    /// Handles an event and those behind it. Returns the sequence of the last one; none if nothing was done, as the event is not
    /// for a batch.
    fn project_many(&self, given: &Given<'_>) -> Result<Option<u64>, Failure> {
        let Given { delivery, incoming: first, offset, term, .. } = *given;
        let generation = offset.generation();
        // No longer than an event may take without anybody asking whose it is.
        let (rest, keys) = self.read_on(given, Term::is_slow)?;
        let values = platform::current().get_many(&keys)?;
        let mut values: BTreeMap<String, Option<Vec<u8>>> = keys.into_iter().zip(values).collect();
        // With which event, the last one.
        let mut changed = BTreeMap::new();
        let mut bytes = 0;
        let mut done = Vec::new();
        for incoming in std::iter::once(first).chain(&rest) {
            let writer = writer(delivery, incoming, generation, term, Before::Read(values));
            let outcome = self.concerned(delivery).try_for_each(|(_, project)| project(incoming, &writer));
            let (changes, before) = writer.into_parts();
            values = before;
            match outcome {
                Ok(()) => done.push(incoming.seq),
                Err(failure) if done.is_empty() => return Err(failure),
                Err(_) => break,
            }
            for (key, value) in changes {
                bytes += value.len();
                if changed.insert(key.clone(), incoming.seq).is_some() {
                    bytes -= values.get(&key).and_then(Option::as_ref).map_or(0, Vec::len);
                }
                values.insert(key, Some(value));
            }
            if bytes > BYTES_MAX {
                break;
            }
        }
        let (Some(last), 2..) = (done.last().copied(), done.len()) else { return Ok(None) };
        let behind = delivery.behind.saturating_sub(done.len() as u64 - 1);
        let passed = offset.passed(
            &Delivery { seq: last, behind, ..delivery.clone() },
            changed.iter().map(|(key, seq)| (key, *seq)),
        )?;
        let written = changed.into_keys().filter_map(|key| Some((values.remove(&key)??, key)));
        let mut entries: Vec<_> = written.map(|(value, key)| (key, value)).collect();
        entries.push(passed);
        if term.is_over() || !delivery.is_still_ours(term) {
            return Err(Failure::left("took so long that somebody else may have the event by now"));
        }
        platform::current()
            .set_many(&entries)
            .map_err(|fault| Failure::left(fault.with("a batch had no answer and may still be written")))?;
        Ok(Some(last))
    }

    /// The keys that an earlier attempt at this event may still write, if it was a batch.
    pub(super) fn may_be_written_late(&self, given: &Given<'_>) -> Result<Vec<String>, Fault> {
        let is_built = given.generations.building == Some(given.offset.generation());
        if !is_built || given.delivery.attempt == 1 || given.delivery.seq <= given.offset.seq {
            return Ok(Vec::new());
        }
        Ok(self.read_on(given, Term::is_half_over)?.1)
    }

    /// Reads what comes after an event, as far as one call can write it, while there is time. Returns it with the keys that it
    /// all changes.
    fn read_on(
        &self,
        given: &Given<'_>,
        is_late: impl Fn(&Term) -> bool,
    ) -> Result<(Vec<Incoming>, Vec<String>), Fault> {
        let Given { delivery, incoming: first, offset, term, .. } = *given;
        let log = names::log_stream(delivery.source);
        let subjects = delivery.purpose.subjects(delivery.source);
        let keys_of = |incoming: &Incoming| self.keys_of(delivery, incoming, offset.generation());
        let mut keys: BTreeSet<String> = keys_of(first).into_iter().collect();
        let (mut rest, mut bytes, mut seq) = (Vec::new(), delivery.body.len(), first.seq);
        while rest.len() + 1 < EVENTS_MAX && !is_late(&term) {
            let message = jetstream::next(&log, &subjects, seq + 1);
            let Some(message) = message.map_err(|error| error.into_fault(delivery.source))? else { break };
            bytes += message.body.len();
            let Ok(envelope) = Envelope::parse(&message.body) else { break };
            seq = message.seq;
            let incoming = Incoming { envelope, seq };
            let more = keys_of(&incoming);
            if bytes > BYTES_MAX || keys.len() + more.len() > KEYS_MAX {
                break;
            }
            keys.extend(more);
            rest.push(incoming);
        }
        Ok((rest, keys.into_iter().collect()))
    }

    /// The keys that an event changes. What goes wrong here goes wrong again when they are changed.
    pub(super) fn keys_of(
        &self,
        delivery: &Delivery<'_>,
        incoming: &Incoming,
        generation: u64,
    ) -> Vec<String> {
        let noting =
            writer(delivery, incoming, generation, Term::default(), Before::Noted(RefCell::default()));
        self.concerned(delivery).try_for_each(|(_, project)| project(incoming, &noting)).ok();
        noting.into_noted()
    }
}

/// Whether a consumer gives out events before which others are missing: the bucket has lost how far it had come, or a write that
/// was late has put an older offset over it.
fn is_ahead(delivery: &Delivery<'_>, offset: &Offset) -> Result<bool, Fault> {
    let Delivery { source, seq, .. } = *delivery;
    if seq <= offset.seq + 1 || !(is_first_of_its_consumer(delivery) || offset.went_back_before(delivery)) {
        return Ok(false);
    }
    let (log, subjects) = (names::log_stream(source), delivery.purpose.subjects(source));
    let next = jetstream::next(&log, &subjects, offset.seq + 1).map_err(|error| error.into_fault(source))?;
    Ok(next.is_some_and(|next| next.seq < seq))
}

/// Whether a consumer gives out events that are done: it was lost and made anew, or nobody was left to reset it behind a batch.
/// That is looked at with the first of them, and once more where that one comes again. A log that was lost itself is no reason.
fn is_behind(delivery: &Delivery<'_>, offset: &Offset) -> Result<bool, Fault> {
    if delivery.seq >= offset.seq || !(is_first_of_its_consumer(delivery) || delivery.attempt > 1) {
        return Ok(false);
    }
    let last = jetstream::last(&names::log_stream(delivery.source));
    Ok(last.map_err(|error| error.into_fault(delivery.source))? >= offset.seq)
}

fn is_first_of_its_consumer(delivery: &Delivery<'_>) -> bool {
    delivery.nth == delivery.attempt
}

/// Lets the consumer of an event go on behind another one. Returns how many are left.
fn go_on_behind(delivery: &Delivery<'_>, seq: u64) -> Result<u64, Fault> {
    let log = names::log_stream(delivery.source);
    let progress = jetstream::reset_consumer(&log, delivery.consumer, seq + 1);
    Ok(progress.map_err(|error| error.into_fault(delivery.source))?.backlog)
}

/// What a projection writes an event with.
pub(super) fn writer<'a>(
    delivery: &Delivery<'a>,
    incoming: &'a Incoming,
    generation: u64,
    term: Term,
    before: Before,
) -> Writer<'a> {
    Writer {
        source: delivery.source,
        partition: delivery.partition(),
        entity: &incoming.envelope.subject,
        seq: incoming.seq,
        generation,
        term,
        before,
        ..Writer::default()
    }
}
