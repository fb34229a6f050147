//! Events as they reach a service: what they are, what is done with them, and what becomes of those that cannot
//! be handled.
//!
//! An event comes again until it is acknowledged, so it is acknowledged last, and everything done before can be
//! done again. An event that fails is asked for again later, each time later than before; after [`ATTEMPTS`]
//! times, or at once if it cannot be read, it is put into the service's stream of dead letters, and the events
//! behind it move on. A read model that lacks a dead letter is whole again after the next rebuild.
//!
//! **What is for another version of the service waits for it**: an event of a source that this version does not follow, of a
//! kind or a schema that it does not know, or for read models that another version makes. It is put off, with the events
//! behind it, and the log says so. [`wanted`] has what any version has ever followed.
//!
//! **One handler at a time.** Whoever has had an event for longer than [`SLOW`] asks the server whether it is still theirs
//! before they write or answer. After a write without an answer, nothing is said until the server gives the event to
//! somebody else: by then the write has been carried out, or never will be.

use std::time::Duration;

use trellis_subjects::jetstream::Acknowledgement;

use crate::event::{Envelope, Event, Followed, Recorded, Undecodable};
use crate::generation::Generations;
use crate::platform::{self, Entry, Fault, Platform};
use crate::position::Place;
use crate::reaction::Reaction;
use crate::views::Writer;
use crate::{Problem, Service, dead, generation, jetstream, log, names, wanted};

/// How often an event is tried.
pub const ATTEMPTS: u64 = 8;
/// How long an event may take before it is given to somebody else. Handlers stop writing after half of it.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
const FIRST_DELAY_MS: u64 = 500;
const LONGEST_DELAY_MS: u64 = 5 * 60 * 1000;

/// Why an event could not be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub why: String,
    pub kind: FailureKind,
}

/// What can be done about an event that could not be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It may go well another time.
    Passing,
    /// It will go wrong every time, until somebody changes something.
    Lasting,
    /// It is for another version of this service, and waits for that one. No attempt is counted.
    NotOurs,
    /// Nothing is said of it until the server gives it to somebody: a write had no answer and may still be carried out, or
    /// somebody else has the event already.
    Left,
}

impl Failure {
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Passing }
    }

    pub fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Lasting }
    }

    #[cfg(test)]
    pub(crate) fn is_lasting(&self) -> bool {
        self.kind == FailureKind::Lasting
    }

    pub(crate) fn not_ours(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::NotOurs }
    }

    pub(crate) fn left(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: FailureKind::Left }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::passing(fault.what)
    }
}

impl From<Undecodable> for Failure {
    fn from(undecodable: Undecodable) -> Self {
        match undecodable {
            Undecodable::Broken(why) => Self::lasting(why),
            Undecodable::Newer(why) => Self::not_ours(why),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let Problem { status, title, detail, .. } = problem;
        Self::passing(format!("{status} {title}: {}", detail.unwrap_or_default()))
    }
}

/// One line of what a service makes read models of.
#[derive(Debug, Clone, Copy)]
pub struct Projection {
    pub source: &'static str,
    pub events: Followed,
    pub apply: fn(&Incoming, &Writer<'_>) -> Result<(), Failure>,
}

/// One line of what a service reacts to.
#[derive(Debug, Clone, Copy)]
pub struct Reacts {
    pub source: &'static str,
    pub events: Followed,
    pub apply: fn(&Incoming, &Reaction) -> Result<(), Failure>,
}

/// A table of [`Projection`]s: `"source" => function`, in which the function takes a [`Recorded`] event and a
/// [`Writer`].
#[macro_export]
macro_rules! projections {
    ($($source:literal => $apply:expr),* $(,)?) => {
        &[$($crate::Projection {
            source: $source,
            events: $crate::event::Followed::by(&$apply),
            apply: |event, writer| event.give($apply, writer),
        }),*]
    };
}

/// A table of [`Reacts`]: `"source" => function`, in which the function takes a [`Recorded`] event and a
/// [`Reaction`].
#[macro_export]
macro_rules! reactions {
    ($($source:literal => $apply:expr),* $(,)?) => {
        &[$($crate::Reacts {
            source: $source,
            events: $crate::event::Followed::by_reaction(&$apply),
            apply: |event, reaction| event.give($apply, reaction),
        }),*]
    };
}

/// An event that came in, not yet of any type.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub(crate) envelope: Envelope,
    pub(crate) seq: u64,
}

impl Incoming {
    /// Gives the event to a function that takes events of its kind. What is about another kind of entity of the
    /// same service is no concern of that function.
    pub fn give<E: Event, W>(
        &self,
        function: impl FnOnce(&Recorded<E>, &W) -> Result<(), Failure>,
        with: &W,
    ) -> Result<(), Failure> {
        let (of, ..) = self.envelope.kind()?;
        if of != E::OF {
            return Ok(());
        }
        function(&self.envelope.clone().decode::<E>(self.seq)?, with)
    }
}

/// A message of a durable consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery<'a> {
    reply_to: &'a str,
    pub(crate) body: &'a [u8],
    /// The service whose log this comes from.
    pub(crate) source: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) partition: u32,
    /// By which name its consumer knows the generation of the read models that it is for; none is for reactions.
    pub(crate) generation: Option<u64>,
    /// How often it has been delivered, this time included.
    pub(crate) attempt: u64,
    pub(crate) seq: u64,
    /// Which delivery of its consumer it is, counted from 1.
    pub(crate) nth: u64,
    /// How many are behind it.
    pub(crate) behind: u64,
}

impl<'a> Delivery<'a> {
    /// An event that is to be reacted to once more, without a consumer that waits for it.
    pub fn again(source: &'a str, consumer: &'a str, partition: u32, seq: u64, body: &'a [u8]) -> Self {
        Self {
            reply_to: "",
            body,
            source,
            consumer,
            partition,
            generation: None,
            attempt: 1,
            seq,
            nth: 1,
            behind: 0,
        }
    }

    /// Reads what the subject for the acknowledgement says.
    pub fn parse(service: &str, reply_to: &'a str, body: &'a [u8]) -> Option<Self> {
        let said = Acknowledgement::parse(reply_to)?;
        let (partition, generation) = names::parse_consumer(service, said.consumer)?;
        Some(Self {
            reply_to,
            body,
            source: names::parse_log_stream(said.stream)?,
            consumer: said.consumer,
            partition,
            generation,
            attempt: said.attempt,
            seq: said.seq,
            nth: said.nth,
            behind: said.behind,
        })
    }

    /// Whether nobody else has been given the event meanwhile. Asks the server only if there was time for that.
    fn is_still_ours(&self, term: Term) -> bool {
        if self.reply_to.is_empty() || !term.is_slow() {
            return true;
        }
        if term.is_over() {
            return false;
        }
        let progress = jetstream::progress(&names::log_stream(self.source), self.consumer);
        progress.is_ok_and(|progress| progress.is_some_and(|progress| progress.deliveries == self.nth))
    }
}

/// How long a handler may be at work before it makes sure that the event is still its own.
const SLOW: Duration = Duration::from_secs(1);

/// The time that a handler has for an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Term {
    begun: Duration,
    /// When it is too late to write or to answer.
    end: Duration,
}

impl Term {
    pub fn begin() -> Self {
        let begun = platform::current().elapsed();
        Self { begun, end: begun + ACK_WAIT / 2 }
    }

    /// For tests of what has nothing to do with time.
    #[cfg(test)]
    pub const ENDLESS: Self = Self { begun: Duration::MAX, end: Duration::MAX };

    pub fn is_over(&self) -> bool {
        platform::current().elapsed() >= self.end
    }

    fn is_slow(&self) -> bool {
        platform::current().elapsed().saturating_sub(self.begun) >= SLOW
    }
}

/// What the server is told of an event.
enum Answer {
    Done,
    /// Not before so many milliseconds from now.
    Again(u64),
    Never,
    /// Nothing: it will give the event to somebody when its patience ends.
    Silence,
}

/// Handles an event and says so to the server. An error is one that the server need not know: it will send the
/// event again.
pub(crate) fn handle<S: Service>(delivery: &Delivery<'_>) -> Result<(), Fault> {
    let term = Term::begin();
    let answer = match process::<S>(delivery, term) {
        Ok(()) => Answer::Done,
        Err(failure) => answer_to::<S>(delivery, &failure, term),
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
fn answer_to<S: Service>(delivery: &Delivery<'_>, failure: &Failure, term: Term) -> Answer {
    let Delivery { source, seq, .. } = delivery;
    let (why, attempt) = (&failure.why, wanted::attempts(delivery));
    match failure.kind {
        FailureKind::Left => {
            log::warn(&format!(
                "event {seq} of {source} is left until it comes again, within {ACK_WAIT:?}: {why}"
            ));
            Answer::Silence
        }
        FailureKind::NotOurs => {
            log::warn(&format!(
                "event {seq} of {source} waits for another version of {}, and so do those behind it: {why}",
                S::NAME
            ));
            Answer::Again(jittered(wanted::put_off(delivery)))
        }
        FailureKind::Passing if attempt < ATTEMPTS => {
            log::warn(&format!("event {seq} of {source} failed, attempt {attempt} of {ATTEMPTS}: {why}"));
            if delivery.is_still_ours(term)
                && let Err(fault) = note_failed(delivery, Place::stuck)
            {
                log::warn(&format!("lag is not what answers say it is: {fault}"));
                return Answer::Silence;
            }
            later(attempt)
        }
        FailureKind::Passing | FailureKind::Lasting => bury::<S>(delivery, failure),
    }
}

fn bury<S: Service>(delivery: &Delivery<'_>, failure: &Failure) -> Answer {
    let buried = dead::bury::<S>(delivery, failure).and_then(|()| {
        note_failed(delivery, |place, delivery| place.passed(delivery, std::iter::empty()))?;
        catch_up::<S>(delivery, &generation::load()?)
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

/// Handles an event.
pub(crate) fn process<S: Service>(delivery: &Delivery<'_>, term: Term) -> Result<(), Failure> {
    if wanted::attempts(delivery) > ATTEMPTS {
        // Nobody was left to say so after the last of them.
        return Err(Failure::lasting(format!("ended the instance, or took too long, {ATTEMPTS} times")));
    }
    let envelope = Envelope::parse(delivery.body)?;
    let incoming = Incoming { envelope, seq: delivery.seq };
    match delivery.generation {
        Some(name) => project::<S>(delivery, name, &incoming, term)?,
        None => react::<S>(delivery, &incoming, term)?,
    }
    let event = &incoming.envelope;
    let done = if delivery.generation.is_some() { "followed" } else { "heeded" };
    let trace = event.traceparent.as_deref().unwrap_or("none");
    log::debug(&format!("{done} {} {} of {}, trace {trace}", event.kind, event.id, delivery.source));
    Ok(())
}

/// Does what the service does because of the event.
fn react<S: Service>(delivery: &Delivery<'_>, incoming: &Incoming, term: Term) -> Result<(), Failure> {
    let (of, ..) = incoming.envelope.kind()?;
    let lines = S::REACTIONS.iter().filter(|line| line.source == delivery.source);
    let mut concerned = lines.clone().filter(|line| line.events.of == of).peekable();
    if concerned.peek().is_none() {
        let is_followed = lines.count() > 0;
        if !is_followed || wanted::is_wanted(delivery.source, of)? {
            return Err(Failure::not_ours(format!("it does not react to {of} of {}", delivery.source)));
        }
    }
    let reaction = Reaction::new(incoming, delivery.source, term);
    concerned.try_for_each(|line| (line.apply)(incoming, &reaction))
}

/// Writes what the event means for the read models.
fn project<S: Service>(
    delivery: &Delivery<'_>,
    name: u64,
    incoming: &Incoming,
    term: Term,
) -> Result<(), Failure> {
    let (mut generations, mut place) = Place::load(delivery.source, delivery.partition, name)?;
    if place.is_none() {
        // Perhaps the bucket does not know yet.
        generation::noted::<S>()?;
        (generations, place) = Place::load(delivery.source, delivery.partition, name)?;
    }
    let Some(place) = place else {
        return Ok(()); // A straggler of a generation that nobody reads any more.
    };
    let generation = place.generation();
    let schema = generations.schema_of(generation);
    if schema != S::VIEWS_SCHEMA {
        return Err(Failure::not_ours(format!(
            "its read models have schema {schema}, and this version makes schema {}",
            S::VIEWS_SCHEMA
        )));
    }
    let mut concerned = S::PROJECTIONS.iter().filter(|line| line.source == delivery.source).peekable();
    if concerned.peek().is_none() {
        return Err(Failure::not_ours(format!("its read models do not follow {}", delivery.source)));
    }
    if place.went_back_before(delivery) {
        let what = format!("the bucket has lost what was read of {}", delivery.source);
        if !generation::rebuild::<S>(&what)? {
            return Err(Failure::passing(what));
        }
    }
    let writer = Writer {
        source: delivery.source,
        partition: delivery.partition,
        entity: &incoming.envelope.subject,
        seq: delivery.seq,
        generation,
        term,
        ..Writer::default()
    };
    concerned.try_for_each(|line| (line.apply)(incoming, &writer))?;
    if !delivery.is_still_ours(term) {
        return Err(Failure::left(
            "took more than half of the time there is for an event, or somebody else has it by now",
        ));
    }
    let passed = place.passed(delivery, writer.changes.borrow().iter().map(|(key, _)| key))?;
    writer.finish(passed)?;
    Ok(catch_up::<S>(delivery, &generations)?)
}

/// Lets the generation that is being built be read, if this was the last event that it lacked.
fn catch_up<S: Service>(delivery: &Delivery<'_>, generations: &Generations) -> Result<(), Fault> {
    let is_built = generations.building.map(names::generation_name) == delivery.generation;
    if delivery.generation.is_some() && is_built && delivery.behind == 0 {
        generation::advance::<S>(Some(&format!("{}/{}", delivery.source, delivery.consumer)))?;
    }
    Ok(())
}

/// Notes that an event which could not be handled waits or, once it is put aside, no longer does.
fn note_failed(
    delivery: &Delivery<'_>,
    note: impl FnOnce(&Place, &Delivery<'_>) -> Result<Entry, Fault>,
) -> Result<(), Fault> {
    let Some(name) = delivery.generation else { return Ok(()) };
    let (_, place) = Place::load(delivery.source, delivery.partition, name)?;
    let Some(place) = place else { return Ok(()) };
    let (key, value) = note(&place, delivery)?;
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
