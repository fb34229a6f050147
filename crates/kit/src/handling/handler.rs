//! What handles events: what all parts of it have in common.

use trellis_names as names;

use super::table::{Project, Projections, Reactions, Timers};
use crate::delivery::Delivery;
use crate::descriptor::Descriptor;
use crate::models::generation::{self, Generations};
use crate::platform::Fault;
use crate::upkeep::rebuild;

/// What was handled.
pub(crate) enum Handled {
    /// The event: it is to be acknowledged.
    Event,
    /// Nothing: the event is not due for so many milliseconds.
    NotDue(u64),
    /// The event with others behind it, or it was done before: its consumer is elsewhere by now, and waits for no answer.
    Unawaited,
}

/// What a service does with events.
#[derive(Debug)]
pub(crate) struct Handler {
    pub service: &'static Descriptor,
    pub projections: Projections,
    pub reactions: Reactions,
    pub timers: Timers,
}

impl Handler {
    /// The projections that take the events of a source.
    pub(super) fn concerned(
        &self,
        delivery: &Delivery<'_>,
    ) -> impl Iterator<Item = (&'static str, &'static Project)> + Clone {
        self.projections.of(delivery.source)
    }
}

/// Lets the generation that is being built be read, if this was the last event that it lacked.
pub(super) fn catch_up(
    service: &Descriptor,
    delivery: &Delivery<'_>,
    generations: &Generations,
) -> Result<(), Fault> {
    let is_built = generations.building.map(names::generation_name) == delivery.generation();
    if delivery.generation().is_some() && is_built && delivery.behind == 0 {
        rebuild::advance(
            service,
            generation::noted(service)?,
            Some(&format!("{}/{}", delivery.source, delivery.consumer)),
        )?;
    }
    Ok(())
}
