//! Events as they reach a service: what they are, what is done with them, and what becomes of those that cannot
//! be handled.
//!
//! An event comes again until it is acknowledged, so it is acknowledged last, and everything done before can be
//! done again. An event that fails is asked for again later, each time later than before; after [`ATTEMPTS`]
//! times, or at once if it cannot be read, it is put into the service's stream of dead letters, and the events
//! behind it move on. A read model that lacks a dead letter is whole again after the next rebuild.

use std::time::Duration;

use crate::event::{Envelope, Event, Followed, Recorded, Undecodable};
use crate::generation::Generations;
use crate::platform::{self, Entry, Fault, Platform};
use crate::position::Place;
use crate::reaction::Reaction;
use crate::views::Writer;
use crate::{Problem, Service, dead, generation, log, names};

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
    /// Trying again cannot help.
    pub lasting: bool,
}

impl Failure {
    /// May go well another time.
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), lasting: false }
    }

    /// Will go wrong every time, until somebody changes something.
    pub fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), lasting: true }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::passing(fault.what)
    }
}

impl From<Undecodable> for Failure {
    fn from(undecodable: Undecodable) -> Self {
        Self::lasting(undecodable.0)
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
    /// The generation of the read models that it is for; none is for reactions.
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

    /// Reads what the subject for the acknowledgement says: `$JS.ACK.<stream>.<consumer>.<attempt>.<stream
    /// seq>.<consumer seq>.<time>.<behind>`, with domain and account before the stream, and possibly a token at
    /// the end, on servers that have domains.
    pub fn parse(service: &str, reply_to: &'a str, body: &'a [u8]) -> Option<Self> {
        let words: Vec<&str> = reply_to.split('.').collect();
        let (stream, consumer, attempt, seq, nth, behind) = match words[..] {
            ["$JS", "ACK", stream, consumer, attempt, seq, nth, _, behind] => {
                (stream, consumer, attempt, seq, nth, behind)
            }
            ["$JS", "ACK", _, _, stream, consumer, attempt, seq, nth, _, behind, ..] => {
                (stream, consumer, attempt, seq, nth, behind)
            }
            _ => return None,
        };
        let (partition, generation) = names::parse_consumer(service, consumer)?;
        Some(Self {
            reply_to,
            body,
            source: stream.strip_prefix("LOG_")?,
            consumer,
            partition,
            generation,
            attempt: attempt.parse().ok()?,
            seq: seq.parse().ok()?,
            nth: nth.parse().ok()?,
            behind: behind.parse().ok()?,
        })
    }
}

/// Handles an event and says so to the server. An error is one that the server need not know: it will send the
/// event again.
pub(crate) fn handle<S: Service>(delivery: &Delivery<'_>) -> Result<(), Fault> {
    let platform = platform::current();
    let deadline = platform.elapsed() + ACK_WAIT / 2;
    let answer = match process::<S>(delivery, deadline) {
        Ok(()) => "+ACK".to_owned(),
        Err(failure) if !failure.lasting && delivery.attempt < ATTEMPTS => {
            let Delivery { source, seq, attempt, .. } = delivery;
            log::warn(&format!(
                "event {seq} of {source} failed, attempt {attempt} of {ATTEMPTS}: {}",
                failure.why
            ));
            if platform.elapsed() < deadline
                && let Err(fault) = note_failed(delivery, Place::stuck)
            {
                log::warn(&format!("lag is not what answers say it is: {fault}"));
            }
            later(delivery.attempt)
        }
        Err(failure) => {
            let buried = dead::bury::<S>(delivery, &failure)
                .and_then(|()| note_failed(delivery, Place::passed))
                .and_then(|()| catch_up::<S>(delivery, generation::load()?));
            match buried {
                Ok(()) => "+TERM".to_owned(),
                Err(fault) => {
                    log::error(&format!(
                        "event {} of {} cannot even be put aside: {fault}",
                        delivery.seq, delivery.source
                    ));
                    later(delivery.attempt)
                }
            }
        }
    };
    platform.publish(delivery.reply_to, answer.as_bytes())
}

/// Handles an event.
pub(crate) fn process<S: Service>(delivery: &Delivery<'_>, deadline: Duration) -> Result<(), Failure> {
    if delivery.attempt > ATTEMPTS {
        // Nobody was left to say so after the last of them.
        return Err(Failure::lasting(format!("ended the instance, or took too long, {ATTEMPTS} times")));
    }
    let envelope = Envelope::parse(delivery.body)?;
    let incoming = Incoming { envelope, seq: delivery.seq };
    apply::<S>(delivery, &incoming, deadline)?;
    let event = &incoming.envelope;
    let done = if delivery.generation.is_some() { "followed" } else { "heeded" };
    let trace = event.traceparent.as_deref().unwrap_or("none");
    log::debug(&format!("{done} {} {} of {}, trace {trace}", event.kind, event.id, delivery.source));
    Ok(())
}

/// Does what the service does about the event.
fn apply<S: Service>(
    delivery: &Delivery<'_>,
    incoming: &Incoming,
    deadline: Duration,
) -> Result<(), Failure> {
    let Some(generation) = delivery.generation else {
        let reaction = Reaction::new(incoming, delivery.source, deadline);
        let mut concerned = S::REACTIONS.iter().filter(|line| line.source == delivery.source);
        return concerned.try_for_each(|line| (line.apply)(incoming, &reaction));
    };
    let (generations, place) = Place::load(delivery.source, delivery.partition, generation)?;
    if !generations.follows(generation) {
        return Ok(()); // A straggler of a generation that nobody reads any more.
    }
    if !place.is_known() && delivery.nth > delivery.attempt {
        // An event before this one is done with, and its place was noted before that.
        generation::rebuild::<S>(&format!("the bucket has lost what was read of {}", delivery.source))?;
    }
    let writer = Writer {
        source: delivery.source,
        partition: delivery.partition,
        entity: &incoming.envelope.subject,
        seq: delivery.seq,
        generation,
        deadline,
        ..Writer::default()
    };
    let mut concerned = S::PROJECTIONS.iter().filter(|line| line.source == delivery.source);
    concerned.try_for_each(|line| (line.apply)(incoming, &writer))?;
    writer.finish(place.passed(delivery)?)?;
    Ok(catch_up::<S>(delivery, generations)?)
}

/// Lets the generation that is being built be read, if this was the last event that it lacked.
fn catch_up<S: Service>(delivery: &Delivery<'_>, generations: Generations) -> Result<(), Fault> {
    if delivery.generation.is_some() && delivery.generation == generations.building && delivery.behind == 0 {
        generation::advance::<S>(Some(&format!("{}/{}", delivery.source, delivery.consumer)))?;
    }
    Ok(())
}

/// Notes that an event which could not be handled waits or, once it is put aside, no longer does.
fn note_failed(
    delivery: &Delivery<'_>,
    note: impl FnOnce(&Place, &Delivery<'_>) -> Result<Entry, Fault>,
) -> Result<(), Fault> {
    let Some(generation) = delivery.generation else { return Ok(()) };
    let (generations, place) = Place::load(delivery.source, delivery.partition, generation)?;
    if !generations.follows(generation) {
        return Ok(());
    }
    let (key, value) = note(&place, delivery)?;
    platform::current().set(&key, &value)
}

/// Asks for the event again after a pause that doubles each time, and differs for each who asks.
fn later(attempt: u64) -> String {
    let doubled = FIRST_DELAY_MS << attempt.clamp(1, 16);
    let delay_ms = doubled.min(LONGEST_DELAY_MS);
    let jittered_ms = delay_ms / 2 + platform::current().random() % delay_ms;
    format!("-NAK {{\"delay\": {}}}", jittered_ms * 1_000_000)
}
