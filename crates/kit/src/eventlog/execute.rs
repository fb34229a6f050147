//! What a handler does with entities through its [`Cx`]: create, load, change.

use std::time::Duration;

use serde::Serialize;

use super::aggregate::{Aggregate, log_of};
use super::envelope::{Draft, Envelope};
use super::event::Event;
use super::store::{self, Log, Outcome};
use crate::cx::Cx;
use crate::descriptor::Entity;
use crate::id;
use crate::platform::{self, Platform};
use crate::problem::Problem;
use crate::time::back_off;

/// How often a change is decided anew because somebody else was faster.
pub(super) const DECISIONS: u32 = 8;
const MAX_KEY_LEN: usize = 255;
/// How long a caller may wait for what comes of a change.
const WAIT_MAX: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

impl Cx {
    /// Creates an entity. `birth` gets the id of the new entity and returns its first event.
    ///
    /// With an idempotency key, the id follows from the caller and the key, so a repeated call finds what the
    /// first one made and returns that (or 422 if it asks for something else now). `request` is what was asked
    /// for.
    pub fn create<A: Aggregate>(
        &self,
        request: &impl Serialize,
        birth: impl FnOnce(String) -> A::Event,
    ) -> Result<A, Problem> {
        self.create_as(self.new_id::<A>()?, request, birth)
    }

    /// Creates an entity that belongs to another one: its id begins with that of the other, and it shares the
    /// other's partition. An idempotency key counts for this family.
    pub fn create_below<A: Aggregate>(
        &self,
        root: &str,
        request: &impl Serialize,
        birth: impl FnOnce(String) -> A::Event,
    ) -> Result<A, Problem> {
        self.create_as(format!("{root}-{}", self.new_id::<A>()?), request, birth)
    }

    /// Creates an entity with an id that the caller made; the same id and request again find what is there.
    pub fn create_as<A: Aggregate>(
        &self,
        id: String,
        request: &impl Serialize,
        birth: impl FnOnce(String) -> A::Event,
    ) -> Result<A, Problem> {
        let request = serde_json::to_vec(request).map_err(Problem::internal)?;
        let digest = id::hex(&id::digest(&[&request]));
        let (event, created) = self.next::<A>(&id, None, 1, &birth(id.clone()), Some(digest.clone()))?;
        let log = log_of::<A>();
        match store::append(log, &event)? {
            Outcome::Stored(seq) => {
                self.noted(log, &id, seq);
                Ok(created)
            }
            Outcome::Taken(first) if first.request.as_ref() == Some(&digest) => {
                self.noted(log, &id, first.seq);
                first.state::<A::Event, A>().map_err(Problem::from)
            }
            Outcome::Taken(_) => Err(used_before()),
        }
    }

    /// The entity as it is now: a caller reads what it wrote.
    pub fn load<A: Aggregate>(&self, id: &str) -> Result<A, Problem> {
        self.find(id)?.ok_or_else(missing::<A>)
    }

    /// The same, for one that need not be there.
    pub fn find<A: Aggregate>(&self, id: &str) -> Result<Option<A>, Problem> {
        Ok(newest::<A>(id)?.map(|(entity, ..)| entity))
    }

    /// For how long a caller wants to wait who says so in seconds. Whoever waits has an instance of the service meanwhile: 400 for more
    /// than five.
    pub fn patience(seconds: Option<u32>) -> Result<Duration, Problem> {
        let patience = Duration::from_secs(seconds.unwrap_or_default().into());
        if patience > WAIT_MAX {
            return Err(Problem::malformed(format!(
                "wait must be from 0 to {} seconds.",
                WAIT_MAX.as_secs()
            )));
        }
        Ok(patience)
    }

    /// An entity as soon as something is known of it, or else as it is after so long.
    pub fn wait_for<A: Aggregate>(
        &self,
        mut entity: A,
        patience: Duration,
        is_known: impl Fn(&A) -> bool,
    ) -> Result<A, Problem> {
        let platform = platform::current();
        let deadline = platform.elapsed() + patience;
        let mut pause = FIRST_PAUSE;
        while !is_known(&entity) && platform.elapsed() < deadline {
            platform.pause(pause.min(deadline.saturating_sub(platform.elapsed())));
            pause = (pause * 2).min(LONGEST_PAUSE);
            entity = self.load(entity.id())?;
        }
        Ok(entity)
    }

    /// Changes an entity that exists. `decide` sees it as it is and says what happens, if anything; it is asked
    /// again when somebody else changed the entity meanwhile.
    pub fn update<A: Aggregate>(
        &self,
        id: &str,
        mut decide: impl FnMut(&A) -> Result<Option<A::Event>, Problem>,
    ) -> Result<A, Problem> {
        self.execute(id, |entity| entity.map_or_else(|| Err(missing::<A>()), &mut decide))
    }

    /// Loads, decides and appends, for an entity that may or may not exist yet.
    pub fn execute<A: Aggregate>(
        &self,
        id: &str,
        mut decide: impl FnMut(Option<&A>) -> Result<Option<A::Event>, Problem>,
    ) -> Result<A, Problem> {
        for attempt in 0..DECISIONS {
            let (before, version, seq) =
                newest::<A>(id)?.map_or((None, 0, 0), |(entity, version, seq)| (Some(entity), version, seq));
            let Some(event) = decide(before.as_ref())? else {
                self.noted(log_of::<A>(), id, seq);
                return before.ok_or_else(missing::<A>);
            };
            let (event, after) = self.next(id, before, version + 1, &event, None)?;
            if let Outcome::Stored(seq) = store::append(log_of::<A>(), &event)? {
                self.noted(log_of::<A>(), id, seq);
                return Ok(after);
            }
            back_off(attempt);
        }
        Err(Problem::unavailable(format_args!("{id} was changed by others {DECISIONS} times in a row")))
    }

    /// The event as it will be stored, and the entity after it.
    pub(super) fn next<A: Aggregate>(
        &self,
        id: &str,
        before: Option<A>,
        version: u64,
        event: &A::Event,
        request: Option<String>,
    ) -> Result<(Envelope, A), Problem> {
        const { assert!(Entity::is_listed::<A>(), "the service does not list this kind in its ENTITIES") };
        let after = A::evolve(before, event).ok_or_else(|| {
            Problem::internal(format_args!("this cannot happen to {id} at version {version}"))
        })?;
        if !id::is_valid(id) || after.id() != id {
            return Err(Problem::internal(format_args!("{:?} is not the id {id:?}", after.id())));
        }
        let service = log_of::<A>().service.name;
        let draft = Draft { service, entity: id, version, event, state: &after, request, cx: self };
        let envelope = Envelope::new(draft).map_err(Problem::internal)?;
        Ok((envelope, after))
    }

    /// Remembers for the answer what was written, where a read model could follow it.
    pub(super) fn noted(&self, log: Log, entity: &str, seq: u64) {
        if !log.is_private {
            self.wrote(log.service, entity, seq);
        }
    }

    /// An id that the caller's key leads to, or a new one.
    fn new_id<A: Aggregate>(&self) -> Result<String, Problem> {
        self.idempotency_key.as_ref().map_or_else(|| Ok(id::unique()), |key| self.id_from::<A>(key))
    }

    pub(super) fn id_from<A: Aggregate>(&self, key: &str) -> Result<String, Problem> {
        if key.is_empty() || key.len() > MAX_KEY_LEN || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!("Idempotency-Key must be 1 to {MAX_KEY_LEN} visible ASCII characters.");
            return Err(Problem::malformed(detail));
        }
        // An anonymous caller is not the caller with an empty name.
        let caller =
            self.caller.as_ref().map_or_else(|| "anonymous".to_owned(), |name| format!("caller {name}"));
        let service = log_of::<A>().service.name;
        Ok(id::derived(&[service.as_bytes(), A::Event::OF.as_bytes(), caller.as_bytes(), key.as_bytes()]))
    }
}

/// An entity as it is now, how many events made it so, and the place of the last of them in the log.
pub(super) fn newest<A: Aggregate>(id: &str) -> Result<Option<(A, u64, u64)>, Problem> {
    if !id::is_valid(id) {
        return Ok(None);
    }
    let Some(event) = store::read(log_of::<A>(), id, None)? else { return Ok(None) };
    // Entities of another kind may share the log; for this kind they do not exist.
    if event.kind().map_err(Problem::internal)?.0 != A::Event::OF {
        return Ok(None);
    }
    let entity = event.state::<A::Event, A>()?;
    Ok(Some((entity, event.version, event.seq)))
}

pub(super) fn missing<A: Aggregate>() -> Problem {
    Problem::not_found(format!("There is no such {}.", A::Event::OF))
}

pub(super) fn used_before() -> Problem {
    Problem::invalid(
        "idempotency-key",
        "This key was used before, with another request. Use a new key for a new request.",
    )
}
