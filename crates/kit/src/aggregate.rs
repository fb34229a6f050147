//! Entities whose state follows from their events ([`Aggregate`]), and what a handler does with them through its
//! [`Context`]: create, load, change.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{Draft, Envelope, Event};
use crate::eventlog::{self, Outcome};
use crate::platform::{self, Platform};
use crate::schema::{Schema, Wire};
use crate::trace::Trace;
use crate::{Context, Problem, Service, id, position, time};

/// How often a change is decided anew because somebody else was faster.
const DECISIONS: u32 = 8;
const MAX_KEY_LEN: usize = 255;

/// An entity: its state is what its events made of it, and every change of it is one event.
pub trait Aggregate: Wire + Serialize + DeserializeOwned {
    /// The service whose log this entity lives in.
    type Service: Service;
    type Event: Event;

    fn id(&self) -> &str;

    /// What the event makes of the entity. It never refuses and never looks around: it only says what follows
    /// from what has happened. None is for an event that cannot happen to the entity as it is (which is then a
    /// mistake of the decision).
    fn evolve(before: Option<Self>, event: &Self::Event) -> Option<Self>;
}

/// A kind of entity that a service keeps in its log, as [`Service::ENTITIES`] lists it.
#[derive(Debug, Clone, Copy)]
pub struct Entity {
    pub(crate) of: &'static str,
    /// The version of the contract of its events and its state.
    pub(crate) schema: u32,
    pub(crate) events: &'static Schema,
    pub(crate) state: &'static Schema,
}

impl Entity {
    pub const fn of<A: Aggregate>() -> Self {
        Self { of: A::Event::OF, schema: A::Event::SCHEMA, events: A::Event::JSON, state: A::JSON }
    }

    /// Whether the service says that it keeps this kind. What is not listed is not described, and cannot be stored.
    const fn is_listed<A: Aggregate>() -> bool {
        let mut rest = <A::Service as Service>::ENTITIES;
        while let [entity, others @ ..] = rest {
            if is_same(entity.of, A::Event::OF) {
                return true;
            }
            rest = others;
        }
        false
    }
}

/// `==` for constants.
const fn is_same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, rest_of_one @ ..], [b, rest_of_other @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest_of_one, rest_of_other);
    }
    one.is_empty() && other.is_empty()
}

impl Context {
    /// The time of this call, for an event to remember.
    pub fn now(&self) -> String {
        time::rfc3339(platform::current().now_ms())
    }

    /// A time before this call, written in the same way: of two such texts the lesser is the earlier.
    pub fn ago(&self, time: Duration) -> String {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        time::rfc3339(platform::current().now_ms().saturating_sub(ms))
    }

    /// For what a service does of itself, when nobody calls.
    pub fn nobody() -> Self {
        Self { caller: None, roles: Vec::new(), idempotency_key: None, traceparent: None, causation: None }
    }

    pub(crate) fn trace(&self) -> Trace {
        Trace::accept(self.traceparent.as_deref())
    }

    /// Goes on only for callers who are trusted with a role.
    pub fn require(&self, role: &str) -> Result<(), Problem> {
        if self.has(role) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("This needs the role {role}.")))
    }

    pub fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held == role)
    }

    /// Asks again and again until there is an answer, or it has taken too long: for what may be on its way.
    pub fn within<T>(
        &self,
        patience: Duration,
        pause: Duration,
        mut ask: impl FnMut() -> Result<Option<T>, Problem>,
    ) -> Result<Option<T>, Problem> {
        let platform = platform::current();
        let deadline = platform.elapsed() + patience;
        loop {
            let answer = ask()?;
            if answer.is_some() || platform.elapsed() >= deadline {
                return Ok(answer);
            }
            platform.pause(pause);
        }
    }

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
        match eventlog::append::<A::Service>(&event)? {
            Outcome::Stored => Ok(created),
            Outcome::Taken(first) if first.request.as_ref() == Some(&digest) => {
                position::wrote::<A::Service>(&id, first.seq);
                first.state::<A::Event, A>().map_err(Problem::from)
            }
            Outcome::Taken(_) => Err(Problem::invalid(
                "idempotency-key",
                "This key was used before, with another request. Use a new key for a new request.",
            )),
        }
    }

    /// The entity as it is now: a caller reads what it wrote.
    pub fn load<A: Aggregate>(&self, id: &str) -> Result<A, Problem> {
        match newest::<A>(id)? {
            Some((entity, ..)) => Ok(entity),
            None => Err(missing::<A>()),
        }
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
                position::wrote::<A::Service>(id, seq);
                return before.ok_or_else(missing::<A>);
            };
            let (event, after) = self.next(id, before, version + 1, &event, None)?;
            if let Outcome::Stored = eventlog::append::<A::Service>(&event)? {
                return Ok(after);
            }
            eventlog::backoff(attempt);
        }
        Err(Problem::unavailable(format_args!("{id} was changed by others {DECISIONS} times in a row")))
    }

    /// The event as it will be stored, and the entity after it.
    fn next<A: Aggregate>(
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
        let service = <A::Service as Service>::NAME;
        let draft = Draft { service, entity: id, version, event, state: &after, request, cx: self };
        let envelope = Envelope::new(draft).map_err(Problem::internal)?;
        Ok((envelope, after))
    }

    /// An id that the caller's key leads to, or a new one.
    fn new_id<A: Aggregate>(&self) -> Result<String, Problem> {
        self.idempotency_key.as_ref().map_or_else(|| Ok(id::unique()), |key| self.id_from::<A>(key))
    }

    fn id_from<A: Aggregate>(&self, key: &str) -> Result<String, Problem> {
        if key.is_empty() || key.len() > MAX_KEY_LEN || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!("Idempotency-Key must be 1 to {MAX_KEY_LEN} visible ASCII characters.");
            return Err(Problem::malformed(detail));
        }
        // An anonymous caller is not the caller with an empty name.
        let caller =
            self.caller.as_ref().map_or_else(|| "anonymous".to_owned(), |name| format!("caller {name}"));
        let service = <A::Service as Service>::NAME;
        Ok(id::derived(&[service.as_bytes(), A::Event::OF.as_bytes(), caller.as_bytes(), key.as_bytes()]))
    }
}

/// An entity as it is now, how many events made it so, and the place of the last of them in the log.
fn newest<A: Aggregate>(id: &str) -> Result<Option<(A, u64, u64)>, Problem> {
    if !id::is_valid(id) {
        return Ok(None);
    }
    let Some(event) = eventlog::read::<A::Service>(id, None)? else { return Ok(None) };
    // Entities of another kind may share the log; for this kind they do not exist.
    if event.kind().map_err(Problem::internal)?.0 != A::Event::OF {
        return Ok(None);
    }
    let entity = event.state::<A::Event, A>()?;
    Ok(Some((entity, event.version, event.seq)))
}

fn missing<A: Aggregate>() -> Problem {
    Problem::not_found(format!("There is no such {}.", A::Event::OF))
}
