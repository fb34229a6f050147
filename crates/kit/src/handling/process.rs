//! Handling an event: writing what it means for read models, or doing something about it.

use trellis_names::Purpose;

use super::batch::{self, Given};
use super::handler::{Handled, Handler, catch_up};
use super::put_off;
use super::reaction::Reaction;
use crate::delivery::{Delivery, Term};
use crate::eventlog::{Envelope, Incoming};
use crate::failure::Failure;
use crate::limits::ATTEMPTS;
use crate::log;
use crate::models::generation;
use crate::models::offset::{Loaded, Offset};
use crate::models::writer::Before;
use crate::upkeep::{rebuild, wanted};

impl Handler {
    /// Handles an event.
    pub fn process(&self, delivery: &Delivery<'_>, term: Term) -> Result<Handled, Failure> {
        if delivery.purpose != Purpose::Timers && put_off::attempts(delivery) > ATTEMPTS {
            // Nobody was left to say so after the last of them.
            return Err(Failure::lasting(format!("ended the instance, or took too long, {ATTEMPTS} times")));
        }
        let envelope = Envelope::parse(delivery.body)?;
        let incoming = Incoming { envelope, seq: delivery.seq };
        let unless_too_old = |failure: Failure| failure.unless_too_old(incoming.stored_ms());
        let (handled, done) = match delivery.purpose {
            Purpose::ReadModels { generation, .. } => {
                let handled = self.project(delivery, generation, &incoming, term);
                (handled.map_err(unless_too_old)?, "followed")
            }
            Purpose::Reactions { .. } => {
                self.react(delivery, &incoming, term).map_err(unless_too_old)?;
                (Handled::Event, "reacted to")
            }
            Purpose::Timers => (self.wait(delivery, &incoming, term)?, "timed"),
        };
        let event = &incoming.envelope;
        let trace = event.traceparent.as_deref().unwrap_or("none");
        log::debug(&format!("{done} {} {} of {}, trace {trace}", event.kind, event.id, delivery.source));
        Ok(handled)
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
    ) -> Result<Handled, Failure> {
        // The keys of a generation follow from its name.
        let keys = self.keys_of(delivery, incoming, name);
        let load = || Offset::load(delivery.source, delivery.partition(), name, keys.clone());
        let mut loaded = load()?;
        if loaded.offset.is_none() {
            // Perhaps the bucket does not know yet.
            generation::noted(self.service)?;
            loaded = load()?;
        }
        let Loaded { generations, offset, values } = loaded;
        let Some(offset) = offset else {
            return Ok(Handled::Event); // A late event, of a generation that nobody reads any more.
        };
        let generation = offset.generation();
        let schema = generations.schema_of(generation);
        if schema != self.service.views_schema {
            return Err(Failure::not_ours(format!(
                "its read models have schema {schema}, and this version makes schema {}",
                self.service.views_schema
            )));
        }
        if self.concerned(delivery).next().is_none() {
            return Err(Failure::not_ours(format!("its read models do not follow {}", delivery.source)));
        }
        if offset.went_back_before(delivery) {
            let what = format!("the bucket has lost what was read of {}", delivery.source);
            if !rebuild::begin_because(self.service, &what)? {
                return Err(Failure::passing(what));
            }
        }
        if delivery.seq < offset.seq && !delivery.is_waited_for()? {
            return Ok(Handled::Unawaited); // A late delivery, of an event that is done.
        }
        let given = Given { delivery, incoming, offset: &offset, generations: &generations, term };
        if generations.building == Some(generation)
            && let Some(handled) = self.project_batch(&given)?
        {
            return Ok(handled);
        }
        let writer = batch::writer(delivery, incoming, generation, term, Before::Read(values));
        self.concerned(delivery).try_for_each(|(_, project)| project(incoming, &writer))?;
        let late = self.may_be_written_late(&given)?;
        if !delivery.is_still_ours(term) {
            return Err(Failure::left(
                "took more than half of the time there is for an event, or somebody else has it by now",
            ));
        }
        let passed = {
            let changes = writer.changes.borrow();
            let changed = changes.iter().map(|(key, _)| (key, delivery.seq));
            offset.passed(delivery, late.iter().map(|key| (key, 0)).chain(changed))?
        };
        writer.finish(passed)?;
        catch_up(self.service, delivery, &generations)?;
        Ok(Handled::Event)
    }
}
