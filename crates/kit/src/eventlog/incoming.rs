//! An event as it comes in, before anybody knows its type.

use super::envelope::Envelope;
use super::event::{Event, Recorded};
use crate::failure::Failure;
use crate::instant;

/// An event that came in, not yet of any type.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub(crate) envelope: Envelope,
    pub(crate) seq: u64,
}

impl Incoming {
    /// When it was appended, in milliseconds since 1970; long ago, if it does not say so as this kit would.
    pub(crate) fn stored_ms(&self) -> u64 {
        instant::parse(&self.envelope.time).unwrap_or_default()
    }

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

    /// Asks a function that takes events of its kind when something is to be done about the event; never, for one of another
    /// kind.
    pub fn due<E: Event>(
        &self,
        function: impl FnOnce(&Recorded<E>) -> Result<Option<String>, Failure>,
    ) -> Result<Option<String>, Failure> {
        let mut due = None;
        self.give(
            |event, ()| {
                due = function(event)?;
                Ok(())
            },
            &(),
        )?;
        Ok(due)
    }
}
