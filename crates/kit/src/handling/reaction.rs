//! What a service does because of an event, as opposed to what it writes down about it.

use std::time::Duration;

use http::{Request, Response};
use serde::Serialize;

use crate::contract::types::Context;
use crate::cx::Cx;
use crate::delivery::Term;
use crate::eventlog::{Aggregate, Event, Incoming};
use crate::id;
use crate::outgoing;
use crate::platform::SendError;
use crate::problem::Problem;

/// With less than that left, it is better to begin anew.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// The means to react to an event. It is like a [`Cx`], but what is created belongs to the event: a redelivered event
/// finds what it created before. Nothing is begun when the event may already be with somebody else.
#[derive(Debug)]
pub struct Reaction {
    cx: Cx,
    /// What ids of new entities follow from.
    origin: String,
    term: Term,
}

impl Reaction {
    pub(crate) fn new(incoming: &Incoming, source: &str, term: Term) -> Self {
        let event = &incoming.envelope;
        let cx = Cx::from(Context {
            caller: None,
            name: None,
            roles: Vec::new(),
            session: None,
            address: None,
            idempotency_key: None,
            traceparent: event.traceparent.clone(),
            causation: Some(event.id.clone()),
        });
        Self { cx, origin: format!("{source} {}", incoming.seq), term }
    }

    pub fn now(&self) -> String {
        self.cx.now()
    }

    /// A time before now, written in the same way: of two such texts the lesser is the earlier.
    pub fn ago(&self, time: Duration) -> String {
        self.cx.ago(time)
    }

    /// Creates the one entity of its kind that this event leads to.
    pub fn create<A: Aggregate>(
        &self,
        request: &impl Serialize,
        birth: impl FnOnce(String) -> A::Event,
    ) -> Result<A, Problem> {
        let of = <A::Event as Event>::OF;
        let id = id::derived(&[b"reaction", of.as_bytes(), self.origin.as_bytes()]);
        self.in_time()?.create_as(id, request, birth)
    }

    pub fn load<A: Aggregate>(&self, id: &str) -> Result<A, Problem> {
        self.cx.load(id)
    }

    pub fn update<A: Aggregate>(
        &self,
        id: &str,
        decide: impl FnMut(&A) -> Result<Option<A::Event>, Problem>,
    ) -> Result<A, Problem> {
        self.in_time()?.update(id, decide)
    }

    pub fn execute<A: Aggregate>(
        &self,
        id: &str,
        decide: impl FnMut(Option<&A>) -> Result<Option<A::Event>, Problem>,
    ) -> Result<A, Problem> {
        self.in_time()?.execute(id, decide)
    }

    /// Sends a request to a server outside, and waits for its answer: so long, and 8 seconds at most, or what is left of 9 for the
    /// event. What is sent is sent again if the event comes again, so have the server know it by a key.
    pub fn send(
        &self,
        request: &Request<Vec<u8>>,
        patience: Duration,
    ) -> Result<Response<Vec<u8>>, SendError> {
        let left = self.term.left_for_outside();
        if left < SHORTEST_PATIENCE {
            return Err(SendError::NotSent(
                "what came before it took the time that there is for an event".to_owned(),
            ));
        }
        outgoing::send(request, patience.min(left))
    }

    fn in_time(&self) -> Result<&Cx, Problem> {
        if self.term.is_over() {
            return Err(Problem::unavailable("took more than half of the time there is for an event"));
        }
        Ok(&self.cx)
    }
}
