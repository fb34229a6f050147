//! Changes that happen once for each idempotency key, however often they are asked for.
//!
//! A new entity has its key in its id. A change has no such place: the entity goes on, and the change may come again after many
//! others. So what is to be found again is written down before it happens. An **attempt** says at which version of the entity
//! the event will be, and the event says of which attempts it is. Whoever comes with the same key reads the latest attempt
//! and looks at that version:
//!
//! * The event there is of these attempts: it has happened, and the state after it is the answer.
//! * Somebody else's event is there: this attempt has failed for ever, and the next one aims at a later version.
//! * Nothing is there: whoever made the attempt died or is on the way. The event goes to this version and no other one, so of all
//!   who bring the key one is the first, and the others meet its event.
//!
//! An attempt is one append to a stream of the service's own, as number n + 1 of what was seen. So there is one latest attempt at any
//! time, and events only ever go where it aims. All before it aimed at versions that others had taken.

use serde::{Deserialize, Serialize};
use trellis_names as names;

use super::aggregate::{Aggregate, log_of};
use super::event::Event;
use super::execute::{DECISIONS, missing, newest, used_before};
use super::store::{self, Outcome};
use crate::cx::Cx;
use crate::descriptor::Descriptor;
use crate::jetstream::{self, Appended, StreamError};
use crate::platform::Fault;
use crate::problem::Problem;
use crate::time::back_off;
use crate::{document, id, streams};

/// All attempts with one key of one caller, for one kind of entity.
struct Attempts {
    service: &'static Descriptor,
    of: &'static str,
    id: String,
    /// What was asked for, as a digest.
    request: String,
}

/// What a key has come to so far.
#[derive(Debug, Serialize, Deserialize)]
struct Attempt {
    /// How many there are by now.
    number: u64,
    request: String,
    /// What the entity's version is afterwards.
    version: u64,
    /// Whether that version is an event of this attempt. If not, nothing was to be done.
    changes: bool,
}

impl Cx {
    /// Changes an entity as [`execute`](Self::execute) does, but once for each idempotency key of this caller: whoever comes with
    /// the key again changes nothing, and is answered with the entity as it was right after the first time, whatever has happened
    /// since. The same key with another id or another `request` is refused. A refusal is not remembered, so what was refused can
    /// be tried again. A call without a key is no different from `execute`.
    ///
    /// That there was nothing to do is remembered as well, unless somebody with the same key saw the very same state, found
    /// something to do, and may be about to do it.
    pub fn once<A: Aggregate>(
        &self,
        id: &str,
        request: &impl Serialize,
        mut decide: impl FnMut(Option<&A>) -> Result<Option<A::Event>, Problem>,
    ) -> Result<A, Problem> {
        let Some(key) = &self.idempotency_key else { return self.execute(id, decide) };
        let request = serde_json::to_vec(request).map_err(Problem::internal)?;
        let attempts = Attempts {
            service: log_of::<A>().service,
            of: A::Event::OF,
            id: self.id_from::<A>(key)?,
            request: id::hex(&id::digest(&[id.as_bytes(), &request])),
        };
        for round in 0..DECISIONS {
            if let Some(entity) = self.attempt(id, &attempts, &mut decide)? {
                return Ok(entity);
            }
            back_off(round);
        }
        Err(Problem::unavailable(format_args!("{id} was changed by others {DECISIONS} times in a row")))
    }

    /// The entity after what the attempts are for; none if that is not known, as others were faster.
    fn attempt<A: Aggregate>(
        &self,
        id: &str,
        attempts: &Attempts,
        decide: &mut impl FnMut(Option<&A>) -> Result<Option<A::Event>, Problem>,
    ) -> Result<Option<A>, Problem> {
        let log = log_of::<A>();
        // In this order: a state that was read before the latest attempt does not have in it what that may come to.
        let (before, version, seq) =
            newest::<A>(id)?.map_or((None, 0, 0), |(entity, version, seq)| (Some(entity), version, seq));
        let latest = attempts.latest()?;
        let mut is_aimed = false;
        if let Some(latest) = &latest {
            if latest.request != attempts.request {
                return Err(used_before());
            }
            if let Some(event) = store::read(log, id, Some(latest.version))?
                && (!latest.changes || event.request.as_ref() == Some(&attempts.id))
            {
                self.noted(log, id, event.seq);
                return Ok(Some(event.state::<A::Event, A>()?));
            }
            if latest.version > version + 1 {
                return Ok(None);
            }
            is_aimed = latest.version > version;
        }
        let number = latest.map_or(0, |latest| latest.number) + 1;
        let Some(event) = decide(before.as_ref())? else {
            let before = before.ok_or_else(missing::<A>)?;
            if !is_aimed && !attempts.add(number, version, false)? {
                return Ok(None);
            }
            self.noted(log, id, seq);
            return Ok(Some(before));
        };
        let (event, after) = self.next(id, before, version + 1, &event, Some(attempts.id.clone()))?;
        if !is_aimed && !attempts.add(number, event.version, true)? {
            return Ok(None);
        }
        let Outcome::Stored(seq) = store::append(log, &event)? else { return Ok(None) };
        self.noted(log, id, seq);
        Ok(Some(after))
    }
}

impl Attempts {
    fn latest(&self) -> Result<Option<Attempt>, Fault> {
        let subject = names::attempt(self.service.name, self.of, &self.id, '*');
        match jetstream::newest(&names::own_stream(self.service.name), &subject) {
            Ok(Some(message)) => document::read(&message.subject, &message.body).map(Some),
            Ok(None) => Ok(None),
            Err(StreamError::NoStream) => {
                streams::make_own(self.service)?;
                Ok(None)
            }
            Err(error) => Err(error.into_fault(self.service.name)),
        }
    }

    /// Adds one, and says whether it is there. If it is not, or may not be, what is there has to be looked at again.
    fn add(&self, number: u64, version: u64, changes: bool) -> Result<bool, Fault> {
        let attempt = Attempt { number, request: self.request.clone(), version, changes };
        let subject = names::attempt(self.service.name, self.of, &self.id, number);
        let appended = jetstream::append(&subject, &document::write(&attempt)?);
        Ok(matches!(appended, Appended::At(_)))
    }
}
