//! [Other services](Others), as one that looks at all sees them: who listens, what they have told, and what is on its way to whom.

use std::time::Duration;

use trellis_names as names;

use crate::descriptor::Described;
use crate::eventlog::Envelope;
use crate::jetstream::{self, Message, StreamError};
use crate::platform::{self, Fault, Platform};
use crate::time::millis;
use crate::trace::Trace;

pub use crate::jetstream::{ConsumerState, LATELY, StreamState};

/// How long one service may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What came of asking a service whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    Answers,
    /// Nobody listens on its name.
    Nobody,
    /// It did not answer, but somebody listens, or it is not known whether.
    Silent,
}

/// An event in the log that everybody may follow, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEvent {
    pub seq: u64,
    pub id: String,
    /// `order.placed.v1`
    pub kind: String,
    pub entity: String,
    pub version: u64,
    pub time: String,
    /// The trace that it is part of, in 32 digits.
    pub trace: Option<String>,
    /// The event that led to it, or the 16 digits of the request that did.
    pub causation: Option<String>,
}

/// Some events of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    pub service: String,
    /// In the order of the log.
    pub events: Vec<ListedEvent>,
    /// Whether the log has others.
    pub is_all: bool,
}

/// All services, for one that looks at them.
#[derive(Debug, Clone, Copy)]
pub struct Others(());

impl Others {
    /// That `S` looks at them stands in its [`WATCHES`](crate::Service::WATCHES), or this does not compile.
    pub fn of<S: Described>() -> Self {
        const { assert!(S::DESCRIPTOR.watches) };
        Self(())
    }

    /// Asks services whether they are there, for a time; those at the end of the list that is returned were not asked and are
    /// not in it. Where the asking begins is left to chance, so that in time every service is asked.
    pub fn ask_around(self, mut names: Vec<String>, time: Duration) -> Vec<(String, Listening)> {
        let platform = platform::current();
        let start = platform.random().checked_rem(names.len() as u64).unwrap_or(0);
        names.rotate_left(usize::try_from(start).unwrap_or(0));
        let deadline = platform.elapsed() + time;
        let in_time = names.into_iter().take_while(|_| platform.elapsed() < deadline);
        let asked = in_time.map(|name| {
            let listening = listening(&name);
            (name, listening)
        });
        asked.collect()
    }

    /// What a service's stream holds and who follows it; none if there is no such stream.
    pub fn stream(self, service: &str) -> Result<Option<StreamState>, Fault> {
        match jetstream::state(&names::log_stream(service)) {
            Ok(state) => Ok(Some(state)),
            Err(StreamError::NoStream) => Ok(None),
            Err(error) => Err(error.into_fault(service)),
        }
    }

    /// The last events of a service's log, newest first; or the last ones before a sequence. Says as well before which one to go
    /// on, if there may be more. Each is read by itself.
    pub fn events(
        self,
        service: &str,
        before: Option<u64>,
        count: usize,
    ) -> Result<(Vec<ListedEvent>, Option<u64>), Fault> {
        let log = names::log_stream(service);
        let Some((first, last)) = range(&log, service)? else { return Ok((Vec::new(), None)) };
        let end = before.map_or(last + 1, |before| before.clamp(first, last + 1));
        let begin = end.saturating_sub(count as u64).max(first);
        let mut events = Vec::new();
        for seq in (begin..end).rev() {
            events.extend(listed(&log, seq, service)?);
        }
        Ok((events, (begin > first).then_some(begin)))
    }

    /// Looks at so many events of each of these services' logs, for a time: at the last ones, or at those before and after a
    /// moment, which is told from 1970 on. All logs are read side by side, so that whatever there was time for is the same of each.
    pub fn look_through(
        self,
        services: Vec<String>,
        around: Option<Duration>,
        count: u64,
        time: Duration,
    ) -> Result<Vec<Looked>, Fault> {
        let platform = platform::current();
        let deadline = platform.elapsed() + time;
        let around = around.map(millis);
        let mut looks = Vec::new();
        for service in services {
            let log = names::log_stream(&service);
            let is_late = platform.elapsed() >= deadline;
            let range = if is_late { None } else { range(&log, &service)? };
            let sequences = range.map(|range| sequences(&log, range, around, count)).transpose();
            let left = sequences.map_err(|error| error.into_fault(&service))?.unwrap_or_default().into_iter();
            looks.push(Look { service, log, is_late, range, left, read: Vec::new() });
        }
        let mut is_more = true;
        while std::mem::take(&mut is_more) && platform.elapsed() < deadline {
            for look in &mut looks {
                is_more |= look.go_on()?;
            }
        }
        Ok(looks.into_iter().map(Look::end).collect())
    }

    /// How many events a service could not handle.
    pub fn dead_letters(self, service: &str) -> Result<u64, Fault> {
        match jetstream::messages(&names::dead_stream(service)) {
            Ok(messages) => Ok(messages),
            Err(StreamError::NoStream) => Ok(0),
            Err(error) => Err(error.into_fault(service)),
        }
    }
}

/// A log that is being looked at.
struct Look {
    service: String,
    log: String,
    /// Whether its time was over before it was begun with.
    is_late: bool,
    range: Option<(u64, u64)>,
    /// What is yet to be read.
    left: std::vec::IntoIter<u64>,
    read: Vec<(u64, Option<ListedEvent>)>,
}

impl Look {
    /// Reads one more; says whether there was one.
    fn go_on(&mut self) -> Result<bool, Fault> {
        let Some(seq) = self.left.next() else { return Ok(false) };
        self.read.push((seq, listed(&self.log, seq, &self.service)?));
        Ok(true)
    }

    fn end(mut self) -> Looked {
        self.read.sort_unstable_by_key(|(seq, _)| *seq);
        let ends = self.read.first().zip(self.read.last()).map(|((first, _), (last, _))| (*first, *last));
        Looked {
            is_all: !self.is_late && self.range == ends,
            service: self.service,
            events: self.read.into_iter().filter_map(|(_, event)| event).collect(),
        }
    }
}

/// Those of a log that are looked at, what is most wanted first.
fn sequences(
    log: &str,
    (first, last): (u64, u64),
    around: Option<u64>,
    count: u64,
) -> Result<Vec<u64>, StreamError> {
    let Some(moment) = around else {
        return Ok((first.max((last + 1).saturating_sub(count))..=last).rev().collect());
    };
    let middle = jetstream::first_since(log, first, last, moment)?;
    let begin = first.max(middle.saturating_sub(count / 2));
    let end = (last + 1).min(middle + count.div_ceil(2));
    let mut sequences: Vec<u64> = (begin..end).collect();
    sequences.sort_unstable_by_key(|seq| seq.abs_diff(middle));
    Ok(sequences)
}

fn range(log: &str, service: &str) -> Result<Option<(u64, u64)>, Fault> {
    match jetstream::range(log) {
        Err(StreamError::NoStream) => Ok(None),
        range => range.map_err(|error| error.into_fault(service)),
    }
}

/// The event with a sequence, if there is one.
fn listed(log: &str, seq: u64, service: &str) -> Result<Option<ListedEvent>, Fault> {
    let message = jetstream::get(log, seq).map_err(|error| error.into_fault(service))?;
    Ok(message.as_ref().and_then(ListedEvent::read))
}

impl ListedEvent {
    /// What is no event is not listed: its followers put it aside and say why.
    fn read(message: &Message) -> Option<Self> {
        let Envelope { id, kind, subject, time, version, traceparent, causation, .. } =
            Envelope::parse(&message.body).ok()?;
        let trace = traceparent.as_deref().and_then(Trace::read);
        let trace = trace.map(|trace| trace.id().to_owned());
        Some(Self { seq: message.seq, id, kind, entity: subject, version, time, trace, causation })
    }
}

fn listening(service: &str) -> Listening {
    match platform::current().request(&names::ping_subject(service), b"", PATIENCE) {
        Ok(_) => Listening::Answers,
        Err(Fault::Nobody { .. }) => Listening::Nobody,
        Err(_) => Listening::Silent,
    }
}

/// The service that alone says on this subject what it is.
pub fn who_says_hello(subject: &str) -> Option<&str> {
    names::parse_hello(subject)
}
