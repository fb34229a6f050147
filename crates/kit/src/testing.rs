//! How services are tested: natively, in memory, in the words of their domain.
//!
//! ```ignore
//! given("p1", [created("p1", "Hello", "ann")])
//!     .when(|| Posts::retitle(&caller("bob"), "p1".into(), NewTitle { title: "Mine".into() }))
//!     .then_problem(403);
//! ```
//! Each test has a platform of its own (see [`memory`]), on which time stands still. Other services are [played](play!),
//! and [`trouble_at_every_call`] shows that nothing is lost or done twice when instances die.

mod play;
mod trouble;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;
pub use serde_json::Value as Json;
use trellis_names as names;

pub use play::play;
pub use trouble::{every_event_twice, trouble_at_every_call};

use crate::contract::types::Context;
use crate::cx::Cx;
use crate::eventlog::{Aggregate, Envelope, Event, log_of};
use crate::http::{Request, Response};
use crate::messages;
use crate::models::generation;
use crate::platform::memory::{self, Delivery, Memory};
use crate::problem::Problem;
use crate::service::Service;
use crate::time::elapsed;

/// How many deliveries [`settle`] makes before it says that they will never end.
const SETTLE_MAX: usize = 100_000;

/// The platform of this test.
pub fn platform() -> Memory {
    memory::current()
}

/// A call of somebody whom the gateway knows.
pub fn caller(name: &str) -> Cx {
    Context { caller: Some(name.to_owned()), ..Context::nobody() }.into()
}

/// A call of somebody who has a role.
pub fn caller_as(role: &str, name: &str) -> Cx {
    Context { roles: vec![role.to_owned()], caller: Some(name.to_owned()), ..Context::nobody() }.into()
}

/// A call of anybody.
pub fn anonymous() -> Cx {
    Cx::nobody()
}

/// Begins a test with what has happened to an entity.
#[track_caller]
pub fn given<A: Aggregate>(id: &str, events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given { before: 0, kind: PhantomData }.and(id, events)
}

/// Begins a test in which nothing has happened yet.
pub fn given_nothing<A: Aggregate>() -> Given<A> {
    Given { before: 0, kind: PhantomData }
}

#[derive(Debug)]
pub struct Given<A> {
    /// How many events there are.
    before: usize,
    kind: PhantomData<A>,
}

impl<A: Aggregate> Given<A> {
    /// What has happened to another entity.
    #[track_caller]
    pub fn and(mut self, id: &str, events: impl IntoIterator<Item = A::Event>) -> Self {
        for event in events {
            let mut event = Some(event);
            let given = anonymous().execute::<A>(id, |_| Ok(event.take()));
            if let Err(problem) = given {
                panic!("the given events of {id} cannot have happened: {problem:?}");
            }
        }
        self.before = stored::<A>().len();
        self
    }

    /// Does what the test is about.
    pub fn when<T>(self, act: impl FnOnce() -> Result<T, Problem>) -> Then<A, T> {
        let outcome = act();
        let happened = stored::<A>().split_off(self.before);
        Then { outcome, happened, kind: PhantomData }
    }
}

/// What came of it.
#[derive(Debug)]
#[must_use = "say what should have come of it"]
pub struct Then<A, T> {
    outcome: Result<T, Problem>,
    happened: Vec<Envelope>,
    kind: PhantomData<A>,
}

impl<A: Aggregate, T: Debug> Then<A, T>
where
    A::Event: PartialEq + Debug,
{
    /// It went well, and exactly these events happened. Gives the result.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> T {
        let happened = self.events();
        assert_eq!(
            happened,
            expected.into_iter().collect::<Vec<_>>(),
            "what happened is not what should have"
        );
        self.ok()
    }

    /// It went well, and nothing happened. Gives the result.
    #[track_caller]
    pub fn then_nothing(self) -> T {
        self.then([])
    }

    /// It was refused with this status, and nothing happened. Gives the refusal.
    #[track_caller]
    pub fn then_problem(self, status: u16) -> Problem {
        let happened = self.events();
        assert!(happened.is_empty(), "it should have been refused, but these happened: {happened:?}");
        match self.outcome {
            Err(problem) => {
                assert_eq!(problem.status, status, "refused, but with another status: {problem:?}");
                problem
            }
            Ok(result) => panic!("it should have been refused with {status}; the result is {result:?}"),
        }
    }

    /// It went well, whatever happened. Gives the result.
    #[track_caller]
    pub fn ok(self) -> T {
        match self.outcome {
            Ok(result) => result,
            Err(problem) => panic!("it should have gone well, but was refused: {problem:?}"),
        }
    }

    #[track_caller]
    fn events(&self) -> Vec<A::Event> {
        let decode = |envelope: &Envelope| match envelope.clone().decode::<A::Event>(0) {
            Ok(recorded) => recorded.data,
            Err(error) => panic!("stored what cannot be read: {error}"),
        };
        self.happened.iter().map(decode).collect()
    }
}

/// The stored events of this kind of entity, oldest first.
fn stored<A: Aggregate>() -> Vec<Envelope> {
    let messages = platform().stored(&log_of::<A>().stream());
    let events = messages.iter().filter_map(|message| Envelope::parse(&message.body).ok());
    events.filter(|event| event.kind().is_ok_and(|(of, ..)| of == A::Event::OF)).collect()
}

/// Sends a request to a service, as an HTTP server would.
pub fn request<S: Service>(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let (method, target) = (method.to_owned(), target.to_owned());
    S::respond(&Request { method, target, headers, body: body.as_bytes().to_vec() })
}

/// Sends a request with JSON.
pub fn send<S: Service>(method: &str, target: &str, json: &str) -> Response {
    request::<S>(method, target, &[("content-type", "application/json")], json)
}

/// The JSON of a response.
#[track_caller]
pub fn json<T: DeserializeOwned>(response: &Response) -> T {
    parse(&response.body)
}

/// JSON as a type, or as [`Json`] to look into.
#[track_caller]
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> T {
    match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(error) => panic!("{error} in {:?}", String::from_utf8_lossy(json)),
    }
}

/// Sends a message to a service, as its host would.
pub fn message<S: Service>(subject: &str, reply_to: Option<&str>, body: &[u8]) -> Result<(), String> {
    messages::handle::<S>(subject, reply_to, body)
}

/// Sets a service up, as its host does when it starts. It follows the logs that are there by then: what another service tells for
/// the first time is followed after the next start.
#[track_caller]
pub fn start<S: Service>() {
    if let Err(why) = message::<S>(names::ANNOUNCE, None, b"") {
        panic!("{} cannot set itself up: {why}", S::NAME);
    }
}

/// Gives one delivery to a service.
pub fn deliver<S: Service>(delivery: &Delivery) -> Result<(), String> {
    message::<S>(&delivery.subject, Some(&delivery.reply_to), &delivery.body)
}

/// What the read models that answer hold, without the marks of what wrote it: a rebuild must come to the same.
#[track_caller]
pub fn read_models() -> BTreeMap<String, Json> {
    let generation = match generation::load() {
        Ok(generations) => generations.active,
        Err(fault) => panic!("{fault}"),
    };
    let slot = names::doc_keys(generation);
    let of_slot = platform()
        .bucket()
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(slot)?.to_owned(), parse::<Json>(&value))));
    let of_generation = of_slot.filter(|(_, kept)| kept.get("g") == Some(&generation.into()));
    of_generation.map(|(key, kept)| (key, kept.get("v").cloned().unwrap_or_default())).collect()
}

/// Lets so much time pass, with whatever comes meanwhile handled, each by an instance that is alive.
pub fn run<S: Service>(time: Duration) {
    let end = elapsed() + time;
    loop {
        while let Some(delivery) = platform().deliver(S::NAME) {
            // What went wrong shows in what is delivered again.
            let _ = deliver::<S>(&delivery);
            platform().revive_if_dead();
        }
        let left = end.saturating_sub(elapsed());
        if left.is_zero() {
            return;
        }
        platform().advance(platform().next_due(S::NAME).unwrap_or(left).min(left));
    }
}

/// Delivers what a service is due until there is nothing left, letting time pass where events wait to come again.
#[track_caller]
pub fn settle<S: Service>() {
    for _ in 0..SETTLE_MAX {
        if let Some(delivery) = platform().deliver(S::NAME) {
            // What went wrong shows in what is delivered again.
            let _ = deliver::<S>(&delivery);
        } else if let Some(wait) = platform().next_due(S::NAME) {
            platform().advance(wait.max(Duration::from_millis(1)));
        } else {
            return;
        }
    }
    panic!("{} is never done with its events", S::NAME);
}
