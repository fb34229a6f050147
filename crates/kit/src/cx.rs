//! A call, as whoever answers it sees it: who calls, how far the caller wants the read models to be, and what has been
//! written for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use crate::contract::types::Context;
use crate::descriptor::Descriptor;
use crate::id;
use crate::models::Reader;
use crate::models::progress::{self, Progress};
use crate::platform::{self, Fault, Platform};
use crate::position::{self, Position};
use crate::problem::Problem;

/// How long a read waits for the position that it wants.
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// What a function of a service is called with: the [`Context`] of the contract, and what the kit keeps of the call.
#[derive(Debug)]
pub struct Cx {
    context: Context,
    /// The service that is asked; none if this is no request, and nobody is told anything of it.
    service: Option<&'static Descriptor>,
    wanted: RefCell<Vec<Position>>,
    /// The newest positions of what it wrote, or found written already.
    written: RefCell<BTreeMap<(&'static str, u32), u64>>,
    /// What it is answered from, once that has been asked for.
    reader: RefCell<Option<Reader>>,
    reached: RefCell<Option<Rc<Progress>>>,
    /// What the answer says of the session that the caller has from now on.
    session: RefCell<Option<String>>,
    /// After how many seconds the caller may come again.
    wait: Cell<Option<u64>>,
    /// How far behind that was.
    lag: Cell<Option<u64>>,
    /// Whether nothing was asked of this instance before.
    is_first: bool,
}

impl From<Context> for Cx {
    fn from(context: Context) -> Self {
        Self {
            context,
            service: None,
            wanted: RefCell::default(),
            written: RefCell::default(),
            reader: RefCell::default(),
            reached: RefCell::default(),
            session: RefCell::default(),
            wait: Cell::default(),
            lag: Cell::default(),
            is_first: false,
        }
    }
}

impl Deref for Cx {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Cx {
    /// For what a service does of itself, when nobody calls.
    pub fn nobody() -> Self {
        Context::nobody().into()
    }

    /// A call of its own by the same caller, with an idempotency key.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Context { idempotency_key: Some(key.into()), ..self.context.clone() }.into()
    }

    /// Has the caller show this token from now on, or none if it is empty: a gateway makes a cookie of it.
    pub fn tell_session(&self, token: &str) {
        self.session.replace(Some(token.to_owned()));
    }

    /// Refuses who asks too often, and tells when to come again.
    pub fn too_many(&self, detail: impl Into<String>, left: Duration) -> Problem {
        self.wait.set(Some(left.as_millis().div_ceil(1000) as u64));
        Problem::too_many(detail)
    }

    pub(crate) fn told_wait(&self) -> Option<u64> {
        self.wait.get()
    }

    pub(crate) fn told_session(&self) -> Option<String> {
        self.session.borrow().clone()
    }

    /// A request to a service.
    pub(crate) fn of_request(service: &'static Descriptor, context: Context) -> Self {
        Self { service: Some(service), is_first: progress::is_first_request(), ..Self::from(context) }
    }

    /// Reads shall wait for these, but for those of sources that the service does not follow: they will never come here.
    pub(crate) fn want(&self, mut positions: Vec<Position>) {
        positions.retain(|position| self.service.is_some_and(|service| service.projects(&position.service)));
        self.wanted.borrow_mut().extend(positions);
    }

    /// Remembers for the answer what has been written.
    pub(crate) fn wrote(&self, service: &Descriptor, entity: &str, seq: u64) {
        let key = (service.name, id::partition(entity, service.partitions));
        let mut written = self.written.borrow_mut();
        let newest = written.entry(key).or_default();
        *newest = seq.max(*newest);
    }

    /// Waits until the read models of a service have what an answer named as its position, or for long enough. Says whether they
    /// have.
    pub fn reach(service: &'static Descriptor, position: &str) -> Result<bool, Problem> {
        let cx = Self::of_request(service, Context::nobody());
        cx.want(position::parse(position)?);
        let wanted = cx.wanted.borrow().clone();
        let progress = cx.reached()?;
        Ok(wanted.iter().all(|position| progress.have(position)))
    }

    fn written(&self) -> Vec<Position> {
        let written = self.written.borrow();
        let each = written.iter().map(|((service, partition), seq)| Position {
            service: (*service).to_owned(),
            partition: *partition,
            seq: *seq,
        });
        each.collect()
    }

    /// What was written, as the answer says it.
    pub fn position(&self) -> Option<String> {
        let text = self.written().iter().map(Position::to_string).collect::<Vec<_>>().join(",");
        (!text.is_empty()).then_some(text)
    }

    /// How many events the read models that answered had not yet seen.
    pub(crate) fn lag(&self) -> Option<u64> {
        let from_backlogs = || {
            let (service, reader) = (self.service?, self.reader.borrow());
            let (generation, noted) = reader.as_ref()?.backlogs()?;
            let noted = noted.of_generation(generation);
            Some(noted.fresh(service.name, service.projected_sources()).total())
        };
        self.lag.get().or_else(from_backlogs)
    }

    /// Whether the first answer of an instance is wanted as it is now: then the progress is not asked for.
    pub(crate) fn needs_no_progress(&self) -> bool {
        self.service.is_none() || (self.is_first && self.wanted.borrow().is_empty())
    }

    /// The read models, once they have what the request wants or have been waited for long enough.
    pub(crate) fn reached(&self) -> Result<Rc<Progress>, Fault> {
        let Some(service) = self.service else { return Progress::load() };
        if let Some(progress) = &*self.reached.borrow() {
            return Ok(Rc::clone(progress));
        }
        let platform = platform::current();
        let deadline = platform.elapsed() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        let mut progress = Progress::load()?;
        let mut missing = self.wanted.take();
        missing.retain(|position| !progress.have(position) && position.is_stored());
        while !missing.is_empty() && platform.elapsed() < deadline {
            platform.pause(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            progress = Progress::load()?;
            missing.retain(|position| !progress.have(position));
        }
        self.lag.set(Some(progress.lag(service.name)));
        self.reached.replace(Some(Rc::clone(&progress)));
        Ok(progress)
    }

    /// The read models as they are now or, if the request brings positions, as soon as they have come so far.
    pub fn views(&self) -> Result<Reader, Problem> {
        if let Some(reader) = &*self.reader.borrow() {
            return Ok(reader.clone());
        }
        let is_reached = self.reached.borrow().is_some();
        let reader = if self.needs_no_progress() && !is_reached {
            Reader::new()
        } else {
            Reader::of(self.reached()?.generation)
        };
        self.reader.replace(Some(reader.clone()));
        Ok(reader)
    }

    /// The same, once they also have what this request itself has written.
    pub fn views_with_mine(&self) -> Result<Reader, Problem> {
        self.wanted.borrow_mut().extend(self.written());
        self.reached.take();
        self.reader.take();
        self.views()
    }
}
