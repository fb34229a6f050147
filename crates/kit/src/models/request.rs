//! What a request brings, how far it wants the read models to be, and what it is told beside its answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::progress::Progress;
use super::writer::Reader;
use crate::contract::types::Context;
use crate::descriptor::Descriptor;
use crate::id;
use crate::platform::{self, Fault, Platform};
use crate::position::Position;
use crate::problem::Problem;

/// How many events the read models that answered had not yet seen.
pub(crate) const LAG_HEADER: &str = "x-trellis-lag";

/// How long a read waits for the position that it wants.
pub const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// What a request brings and what it is told, beside its route's own business.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The positions of what it wrote, or found written already.
    wrote: BTreeMap<(&'static str, u32), u64>,
    /// How far behind the read models were that it was answered from.
    pub lag: Option<u64>,
}

impl Told {
    /// The value of the header for what was written.
    pub fn position(&self) -> Option<String> {
        let positions = self.wrote.iter().map(|((service, partition), seq)| {
            Position { service: (*service).to_owned(), partition: *partition, seq: *seq }.to_string()
        });
        let text = positions.collect::<Vec<_>>().join(",");
        (!text.is_empty()).then_some(text)
    }
}

/// An instance serves one request at a time, and this is about the one that it serves now.
#[derive(Debug, Default)]
struct Scope {
    service: &'static str,
    wanted: Vec<Position>,
    /// What it is answered from, once that has been asked for.
    reached: Option<Rc<Progress>>,
    told: Told,
}

thread_local!(static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) });

/// Begins a request. What it wants of sources that this service does not follow will never come here.
pub(crate) fn begin(service: &Descriptor, mut wanted: Vec<Position>) {
    wanted.retain(|position| service.projects(&position.service));
    SCOPE.set(Some(Scope { service: service.name, wanted, ..Scope::default() }));
}

/// Ends a request, and says what it is to be told.
pub(crate) fn end() -> Told {
    SCOPE.take().unwrap_or_default().told
}

/// Remembers for the answer what has been written.
pub(crate) fn wrote(service: &Descriptor, entity: &str, seq: u64) {
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = scope {
            let key = (service.name, id::partition(entity, service.partitions));
            let newest = scope.told.wrote.entry(key).or_default();
            *newest = seq.max(*newest);
        }
    });
}

/// Adds what this request has written to what it wants.
pub(crate) fn want_mine() {
    SCOPE.with_borrow_mut(|scope| {
        let Some(scope) = scope else { return };
        let mine = scope.told.wrote.iter().map(|((service, partition), seq)| Position {
            service: (*service).to_owned(),
            partition: *partition,
            seq: *seq,
        });
        scope.wanted.extend(mine);
        scope.reached = None;
    });
}

/// The read models, once they have what the request wants or have been waited for long enough.
pub(crate) fn reached() -> Result<Rc<Progress>, Fault> {
    let scope = SCOPE.with_borrow_mut(|scope| {
        let scope = scope.as_mut()?;
        Some((scope.service, scope.reached.clone(), std::mem::take(&mut scope.wanted)))
    });
    let Some((service, reached, wanted)) = scope else { return Progress::load() };
    if let Some(progress) = reached {
        return Ok(progress);
    }
    let platform = platform::current();
    let deadline = platform.elapsed() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    let mut progress = Progress::load()?;
    let mut missing = wanted;
    missing.retain(|position| !progress.have(position) && position.is_stored());
    while !missing.is_empty() && platform.elapsed() < deadline {
        platform.pause(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        progress = Progress::load()?;
        missing.retain(|position| !progress.have(position));
    }
    let lag = progress.lag(service);
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = scope {
            scope.told.lag = Some(lag);
            scope.reached = Some(Rc::clone(&progress));
        }
    });
    Ok(progress)
}

impl Context {
    /// The read models as they are now or, if the request brings positions, as soon as they have come so far.
    pub fn views(&self) -> Result<Reader, Problem> {
        Ok(Reader { generation: reached()?.generation })
    }

    /// The same, once they also have what this request itself has written.
    pub fn views_with_mine(&self) -> Result<Reader, Problem> {
        want_mine();
        self.views()
    }
}
