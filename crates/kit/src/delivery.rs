//! An event on its way to a service: what its message says of it, and how long there is for it.

use std::time::Duration;

use trellis_names::{self as names, Purpose};
use trellis_subjects::jetstream::Acknowledgement;

use crate::descriptor::Descriptor;
use crate::jetstream;
use crate::limits::{ACK_WAIT, OUTSIDE_TERM};
use crate::platform::{self, Fault, Platform};

/// A message of a durable consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery<'a> {
    pub(crate) reply_to: &'a str,
    pub(crate) body: &'a [u8],
    /// The service whose log this comes from.
    pub(crate) source: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) purpose: Purpose,
    /// How often it has been delivered, this time included.
    pub(crate) attempt: u64,
    pub(crate) seq: u64,
    /// Which delivery of its consumer it is, counted from 1.
    pub(crate) nth: u64,
    /// How many are behind it.
    pub(crate) behind: u64,
}

impl<'a> Delivery<'a> {
    /// An event that is to be handled once more, without a consumer that waits for it.
    pub fn again(source: &'a str, consumer: &'a str, purpose: Purpose, seq: u64, body: &'a [u8]) -> Self {
        Self { reply_to: "", body, source, consumer, purpose, attempt: 1, seq, nth: 1, behind: 0 }
    }

    /// Reads what the subject for the acknowledgement says.
    pub fn parse(service: &Descriptor, reply_to: &'a str, body: &'a [u8]) -> Option<Self> {
        let said = Acknowledgement::parse(reply_to)?;
        let purpose = Purpose::parse(service.name, said.consumer)?;
        let is_own = names::parse_own_stream(said.stream) == Some(service.name);
        Some(Self {
            reply_to,
            body,
            source: if is_own { service.private_log } else { names::parse_log_stream(said.stream)? },
            consumer: said.consumer,
            purpose,
            attempt: said.attempt,
            seq: said.seq,
            nth: said.nth,
            behind: said.behind,
        })
    }

    /// Whether no consumer waits for it.
    pub fn is_again(&self) -> bool {
        self.reply_to.is_empty()
    }

    /// By which name its consumer knows the generation of the read models that it is for, if it is for any.
    pub fn generation(&self) -> Option<u64> {
        match self.purpose {
            Purpose::ReadModels { generation, .. } => Some(generation),
            Purpose::Reactions { .. } | Purpose::Timers => None,
        }
    }

    /// The partition that it is for; nobody asks that of timers.
    pub fn partition(&self) -> u32 {
        self.purpose.partition().unwrap_or_default()
    }

    /// Whether nobody else has been given the event meanwhile. Asks the server only if there was time for that.
    pub fn is_still_ours(&self, term: Term) -> bool {
        if self.is_again() || !term.is_slow() {
            return true;
        }
        if term.is_over() {
            return false;
        }
        // There is no order among timers that somebody else could be ahead in.
        self.purpose == Purpose::Timers || self.is_waited_for().unwrap_or(false)
    }

    /// Whether it is the one that its consumer waits for.
    pub fn is_waited_for(&self) -> Result<bool, Fault> {
        let progress = jetstream::progress(&names::log_stream(self.source), self.consumer);
        let progress = progress.map_err(|error| error.into_fault(self.source))?;
        // A consumer that was reset counts anew.
        Ok(progress.is_some_and(|progress| (progress.deliveries, progress.delivered) == (self.nth, self.seq)))
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

    /// How long there is to wait for a server outside.
    pub fn left_for_outside(&self) -> Duration {
        self.begun.saturating_add(OUTSIDE_TERM).saturating_sub(platform::current().elapsed())
    }

    /// When it is time to write what there is.
    pub fn is_half_over(&self) -> bool {
        platform::current().elapsed().saturating_sub(self.begun) >= ACK_WAIT / 4
    }

    pub fn is_slow(&self) -> bool {
        platform::current().elapsed().saturating_sub(self.begun) >= SLOW
    }
}
