//! Handling an event: writing what it means for read models, or doing something about it.

use std::cell::RefCell;

use trellis_names as names;

use super::put_off;
use super::reaction::Reaction;
use super::table::{Projections, Reactions};
use crate::delivery::{Delivery, Term};
use crate::descriptor::Descriptor;
use crate::eventlog::{Envelope, Incoming};
use crate::failure::Failure;
use crate::limits::ATTEMPTS;
use crate::log;
use crate::models::Writer;
use crate::models::generation::{self, Generations};
use crate::models::offset::{Loaded, Offset};
use crate::models::writer::Before;
use crate::platform::Fault;
use crate::upkeep::{rebuild, wanted};

/// What a service does with events.
#[derive(Debug)]
pub(crate) struct Handler {
    pub service: &'static Descriptor,
    pub projections: Projections,
    pub reactions: Reactions,
}

impl Handler {
    /// Handles an event.
    pub fn process(&self, delivery: &Delivery<'_>, term: Term) -> Result<(), Failure> {
        if put_off::attempts(delivery) > ATTEMPTS {
            // Nobody was left to say so after the last of them.
            return Err(Failure::lasting(format!("ended the instance, or took too long, {ATTEMPTS} times")));
        }
        let envelope = Envelope::parse(delivery.body)?;
        let incoming = Incoming { envelope, seq: delivery.seq };
        match delivery.generation {
            Some(name) => self.project(delivery, name, &incoming, term)?,
            None => self.react(delivery, &incoming, term)?,
        }
        let event = &incoming.envelope;
        let done = if delivery.generation.is_some() { "followed" } else { "reacted to" };
        let trace = event.traceparent.as_deref().unwrap_or("none");
        log::debug(&format!("{done} {} {} of {}, trace {trace}", event.kind, event.id, delivery.source));
        Ok(())
    }

    /// Does what the service does because of the event.
    fn react(&self, delivery: &Delivery<'_>, incoming: &Incoming, term: Term) -> Result<(), Failure> {
        let (of, ..) = incoming.envelope.kind()?;
        let mut concerned = self.reactions.of(delivery.source).filter(|(kind, _)| *kind == of).peekable();
        if concerned.peek().is_none()
            && (!self.service.reacts_to(delivery.source) || wanted::is_wanted(delivery.source, of)?)
        {
            return Err(Failure::not_ours(format!("it does not react to {of} of {}", delivery.source)));
        }
        let reaction = Reaction::new(incoming, delivery.source, term);
        concerned.try_for_each(|(_, react)| react(incoming, &reaction))
    }

    /// Writes what the event means for the read models.
    fn project(
        &self,
        delivery: &Delivery<'_>,
        name: u64,
        incoming: &Incoming,
        term: Term,
    ) -> Result<(), Failure> {
        let mut concerned = self.projections.of(delivery.source).peekable();
        let writer = |generation, before| Writer {
            source: delivery.source,
            partition: delivery.partition,
            entity: &incoming.envelope.subject,
            seq: delivery.seq,
            generation,
            term,
            before,
            ..Writer::default()
        };
        let load = || {
            // The keys of a generation follow from its name. What goes wrong here goes wrong again below.
            let noting = writer(name, Before::Noted(RefCell::default()));
            concerned.clone().try_for_each(|(_, project)| project(incoming, &noting)).ok();
            Offset::load(delivery.source, delivery.partition, name, noting.into_noted())
        };
        let mut loaded = load()?;
        if loaded.offset.is_none() {
            // Perhaps the bucket does not know yet.
            generation::noted(self.service)?;
            loaded = load()?;
        }
        let Loaded { generations, offset, values } = loaded;
        let Some(offset) = offset else {
            return Ok(()); // A late event, of a generation that nobody reads any more.
        };
        let generation = offset.generation();
        let schema = generations.schema_of(generation);
        if schema != self.service.views_schema {
            return Err(Failure::not_ours(format!(
                "its read models have schema {schema}, and this version makes schema {}",
                self.service.views_schema
            )));
        }
        if concerned.peek().is_none() {
            return Err(Failure::not_ours(format!("its read models do not follow {}", delivery.source)));
        }
        if offset.went_back_before(delivery) {
            let what = format!("the bucket has lost what was read of {}", delivery.source);
            if !rebuild::begin_because(self.service, &what)? {
                return Err(Failure::passing(what));
            }
        }
        let writer = writer(generation, Before::Read(values));
        concerned.try_for_each(|(_, project)| project(incoming, &writer))?;
        if !delivery.is_still_ours(term) {
            return Err(Failure::left(
                "took more than half of the time there is for an event, or somebody else has it by now",
            ));
        }
        let passed = offset.passed(delivery, writer.changes.borrow().iter().map(|(key, _)| key))?;
        writer.finish(passed)?;
        Ok(catch_up(self.service, delivery, &generations)?)
    }
}

/// Lets the generation that is being built be read, if this was the last event that it lacked.
pub(super) fn catch_up(
    service: &Descriptor,
    delivery: &Delivery<'_>,
    generations: &Generations,
) -> Result<(), Fault> {
    let is_built = generations.building.map(names::generation_name) == delivery.generation;
    if delivery.generation.is_some() && is_built && delivery.behind == 0 {
        rebuild::advance(
            service,
            generation::noted(service)?,
            Some(&format!("{}/{}", delivery.source, delivery.consumer)),
        )?;
    }
    Ok(())
}
