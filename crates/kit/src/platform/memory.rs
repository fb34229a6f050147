//! The platform of native tests: a log, a key-value store and a clock in memory, one per thread, and faults to
//! order.
//!
//! It speaks the same JetStream requests as a real server, as far as the kit uses them, so that the kit is
//! tested through the code that runs in production. Time stands still until it is [advanced](Memory::advance);
//! chance comes from a fixed seed.

mod jetstream;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use secrecy::SecretString;
use trellis_names as names;

use super::batch::{self, Provider};
use super::fault::Fault;
use super::interface::{Entry, Level, Platform};
use super::sending::{Origin, SendError};
use crate::limits::OUTSIDE_BODY_MAX;
use jetstream::Streams;
pub use jetstream::{Delivery, Stored};

/// When every simulation starts: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

/// A handle on this thread's platform.
#[derive(Clone)]
pub struct Memory(Rc<RefCell<State>>);

/// What goes wrong with one call.
pub enum Harm {
    /// It is carried out, but its answer is lost.
    AnswerLost,
    /// It is carried out, but the answer is not what it should be.
    AnswerGarbled,
    /// It is not carried out, and that is all the caller hears.
    NotDone,
    /// The same to the caller, but what it writes to the bucket is under way and will [arrive](Memory::arrive).
    UnderWay,
    /// The instance is killed before the call is carried out: nothing it does from then on has an effect.
    DiesBefore,
    /// The instance is killed after the call is carried out.
    DiesAfter,
    /// Somebody else does something just before.
    Meanwhile(Box<dyn FnOnce(&Memory)>),
}

/// Somebody else who answers requests; no answer is one that never comes.
type Listener = Rc<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// A server outside; no answer is one that never comes.
type Server = Rc<dyn Fn(&Request<Vec<u8>>) -> Option<Response<Vec<u8>>>>;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub subject: String,
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
}

#[derive(Default)]
struct State {
    streams: Streams,
    bucket: BTreeMap<String, Vec<u8>>,
    settings: Rc<BTreeMap<String, String>>,
    secrets: BTreeMap<String, SecretString>,
    /// Whether the key-value provider does no more than the interface says.
    promises_nothing: bool,
    elapsed: Duration,
    /// By how much the clock was set forth.
    step_ms: i64,
    chance: u64,
    disorder: u64,
    calls: u64,
    harms: BTreeMap<u64, Harm>,
    /// How many increments are given up yet.
    contended: u64,
    dead: bool,
    /// Writes to the bucket that have not arrived yet.
    under_way: Vec<Entry>,
    listeners: BTreeMap<String, Listener>,
    servers: BTreeMap<Origin, Server>,
    published: Vec<(String, Vec<u8>)>,
    /// Whether there is nobody who keeps streams.
    has_no_jetstream: bool,
    exchanges: Vec<Exchange>,
    lines: Vec<(Level, String)>,
}

thread_local!(static CURRENT: Memory = Memory::default());

/// This thread's platform.
pub fn current() -> Memory {
    CURRENT.with(Memory::clone)
}

impl Default for Memory {
    /// Somebody has set something, if only what is so anyway.
    fn default() -> Self {
        let memory = Self(Rc::default());
        memory.configure("replicas", "1");
        memory
    }
}

impl Memory {
    /// Sets a config value, as an operator would.
    pub fn configure(&self, key: &str, value: &str) {
        Rc::make_mut(&mut self.0.borrow_mut().settings).insert(key.to_owned(), value.to_owned());
    }

    /// Gives a secret, as an operator would.
    pub fn give_secret(&self, name: &str, secret: &str) {
        self.0.borrow_mut().secrets.insert(name.to_owned(), secret.into());
    }

    /// Takes one value away again.
    pub fn unset(&self, key: &str) {
        Rc::make_mut(&mut self.0.borrow_mut().settings).remove(key);
    }

    /// Takes the whole config away, as wadm does from a component that it replaces.
    pub fn lose_config(&self) {
        self.0.borrow_mut().settings = Rc::default();
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.0.borrow_mut().elapsed += time;
    }

    /// Sets the clock forth, or back, while no time passes.
    pub fn step_clock(&self, by_ms: i64) {
        self.0.borrow_mut().step_ms += by_ms;
    }

    /// As with a server that goes by its date, and whose clock was set back: what it had given out comes again later by so much.
    pub fn hold_up(&self, by: Duration) {
        self.0.borrow_mut().streams.hold_up(by);
    }

    /// Puts one stored message into a stream that exists, past all checks.
    pub fn store(&self, stream: &str, subject: &str, body: &[u8]) {
        let mut state = self.0.borrow_mut();
        let now_ms = state.now_ms();
        state.streams.store(stream, subject, body, now_ms);
    }

    /// All messages of a stream, oldest first.
    pub fn stored(&self, stream: &str) -> Vec<Stored> {
        self.0.borrow().streams.stored(stream)
    }

    /// Loses a stream and its consumers, as an operator's mistake would.
    pub fn lose_stream(&self, stream: &str) {
        self.0.borrow_mut().streams.lose(stream);
    }

    /// All messages of all streams.
    pub fn all_stored(&self) -> BTreeMap<String, Vec<Stored>> {
        self.0.borrow().streams.all_stored()
    }

    /// Loses all that was ever written: streams, consumers and the bucket.
    pub fn forget_everything(&self) {
        self.0.borrow_mut().streams = Streams::default();
        self.forget_bucket();
    }

    /// As where NATS runs without JetStream.
    pub fn lose_jetstream(&self) {
        self.0.borrow_mut().has_no_jetstream = true;
    }

    /// Lets somebody else listen to a subject and answer, or never answer.
    pub fn listen(&self, subject: &str, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + 'static) {
        self.0.borrow_mut().listeners.insert(subject.to_owned(), Rc::new(answer));
    }

    /// Nobody listens to a subject any more.
    pub fn unlisten(&self, subject: &str) {
        self.0.borrow_mut().listeners.remove(subject);
    }

    /// Lets a server outside answer, or never answer, what is sent to its origin: `https://api.example.com`. One that nobody plays
    /// refuses connections. Config `outgoing-origins` has to allow it, as everywhere.
    ///
    /// A call to it can be [harmed](Self::harm) as any other. With [`Harm::NotDone`] it has got nothing, and with
    /// [`Harm::AnswerLost`] it has answered; the service cannot tell these from each other.
    #[track_caller]
    pub fn serve(
        &self,
        origin: &str,
        server: impl Fn(&Request<Vec<u8>>) -> Option<Response<Vec<u8>>> + 'static,
    ) {
        self.0.borrow_mut().servers.insert(origin_of(origin), Rc::new(server));
    }

    /// The server refuses connections from now on.
    #[track_caller]
    pub fn unserve(&self, origin: &str) {
        self.0.borrow_mut().servers.remove(&origin_of(origin));
    }

    /// The bucket's contents.
    pub fn bucket(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.borrow().bucket.clone()
    }

    /// What was sent to a subject that no stream and no API listens to, since the last time this was asked.
    pub fn take_published(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.0.borrow_mut().published)
    }

    /// The requests that were answered since the last time this was asked.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.0.borrow_mut().exchanges)
    }

    /// What was logged since the last time this was asked.
    pub fn take_lines(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.0.borrow_mut().lines)
    }

    /// The next message that a consumer of this service is due, if any is due now.
    pub fn deliver(&self, service: &str) -> Option<Delivery> {
        let mut state = self.0.borrow_mut();
        let (elapsed, now_ms) = (state.elapsed, state.now_ms());
        state.streams.deliver(&names::deliver_subject(service), elapsed, now_ms)
    }

    /// How long until a consumer of this service is due a message again.
    pub fn next_due(&self, service: &str) -> Option<Duration> {
        let state = self.0.borrow();
        state.streams.next_due(&names::deliver_subject(service)).map(|due| due.saturating_sub(state.elapsed))
    }

    /// Lets writes to the bucket arrive that were under way. Says how many there were.
    pub fn arrive(&self) -> usize {
        let mut state = self.0.borrow_mut();
        let arrived = std::mem::take(&mut state.under_way);
        let count = arrived.len();
        state.bucket.extend(arrived);
        count
    }

    /// Loses one value of the bucket.
    pub fn forget(&self, key: &str) {
        self.0.borrow_mut().bucket.remove(key);
    }

    /// Empties the bucket.
    pub fn forget_bucket(&self) {
        self.0.borrow_mut().bucket.clear();
    }

    /// As with the key-value provider that wasmCloud publishes: it sets many keys in any order, says that all were set though
    /// some were not, and finds keys in any order.
    pub fn use_published_provider(&self) {
        self.0.borrow_mut().promises_nothing = true;
        batch::forget();
    }

    /// How many calls that leave the instance there have been.
    pub fn calls(&self) -> u64 {
        self.0.borrow().calls
    }

    /// Harms the `nth` call from now, counted from 0.
    pub fn harm(&self, nth: u64, harm: Harm) {
        let mut state = self.0.borrow_mut();
        let call = state.calls + nth;
        state.harms.insert(call, harm);
    }

    /// So many increments from now are given up, as by a provider that counts by comparing while too many others do.
    pub fn contend(&self, increments: u64) {
        self.0.borrow_mut().contended = increments;
    }

    /// Starts a new instance after the last one was killed, and forgets harms that did not come to pass.
    pub fn revive(&self) {
        batch::forget();
        let mut state = self.0.borrow_mut();
        state.dead = false;
        state.harms.clear();
    }

    /// Starts a new instance if the last one was killed; what is still ordered to go wrong will.
    pub fn revive_if_dead(&self) {
        batch::forget();
        self.0.borrow_mut().dead = false;
    }

    /// One call that leaves the instance, with what was ordered to go wrong. `garbled` is an answer that makes
    /// no sense.
    fn call<T>(
        &self,
        what: &str,
        garbled: Option<T>,
        act: impl FnOnce(&mut State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.disturbed(what, garbled, |memory| act(&mut memory.0.borrow_mut()))
    }

    /// The same, for what others do who may use the platform themselves.
    fn disturbed<T>(
        &self,
        what: &str,
        garbled: Option<T>,
        act: impl FnOnce(&Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let harm = {
            let mut state = self.0.borrow_mut();
            let call = state.calls;
            state.calls += 1;
            if state.dead {
                return Err(Fault::new("this instance is dead"));
            }
            state.harms.remove(&call)
        };
        let lost = || Fault::unanswered(what, "request timed out");
        match harm {
            None => act(self),
            Some(Harm::NotDone | Harm::UnderWay) => Err(lost()),
            Some(Harm::AnswerLost) => act(self).and(Err(lost())),
            Some(Harm::AnswerGarbled) => act(self).and_then(|_| garbled.ok_or_else(lost)),
            Some(Harm::DiesBefore) => {
                self.0.borrow_mut().dead = true;
                Err(lost())
            }
            Some(Harm::DiesAfter) => {
                let done = act(self);
                self.0.borrow_mut().dead = true;
                done.and(Err(lost()))
            }
            Some(Harm::Meanwhile(other)) => {
                other(self);
                act(self)
            }
        }
    }
}

impl State {
    fn now_ms(&self) -> u64 {
        let elapsed_ms = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        START_MS.saturating_add(elapsed_ms).saturating_add_signed(self.step_ms)
    }
}

impl Provider for Memory {
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, Fault> {
        self.call("many keys", None, |state| {
            if keys.len() > batch::KEYS_MAX {
                return Err(Fault::new(format!("{} keys are too many for one call", keys.len())));
            }
            let promise = (!state.promises_nothing).then(|| batch::LAST_AFTER_ALL.to_vec());
            let value = |key: &String| match key.as_str() {
                batch::PROMISE_KEY => promise.clone(),
                key => state.bucket.get(key).cloned(),
            };
            let mut found: Vec<_> = keys.iter().map(|key| Some((key.clone(), value(key)?))).collect();
            if state.promises_nothing {
                shuffle(&mut found, &mut state.disorder);
            }
            Ok(found)
        })
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        {
            let mut state = self.0.borrow_mut();
            if !state.dead && matches!(state.harms.get(&state.calls), Some(Harm::UnderWay)) {
                state.under_way.push((key.to_owned(), value.to_vec()));
            }
        }
        self.call(key, None, |state| {
            state.bucket.insert(key.to_owned(), value.to_vec());
            Ok(())
        })
    }

    /// As many calls as there are keys, so that what goes wrong can go wrong between any two of them.
    fn set_many(&self, entries: &[Entry]) -> Result<(), Fault> {
        let mut entries: Vec<&Entry> = entries.iter().collect();
        let promises_nothing = {
            let mut state = self.0.borrow_mut();
            let ordered = usize::from(!state.promises_nothing);
            let len = entries.len().saturating_sub(ordered);
            shuffle(entries.get_mut(..len).unwrap_or_default(), &mut state.disorder);
            state.promises_nothing
        };
        let mut all = entries.into_iter().map(|(key, value)| Provider::set(self, key, value));
        if promises_nothing {
            all.for_each(drop);
            return Ok(());
        }
        all.try_for_each(|set| set)
    }
}

#[track_caller]
fn origin_of(text: &str) -> Origin {
    match Origin::parse(text) {
        Some(origin) => origin,
        None => panic!("{text:?} is no origin, which is https://<host>"),
    }
}

/// SplitMix64.
fn next(chance: &mut u64) -> u64 {
    *chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*chance ^ (*chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn shuffle<T>(items: &mut [T], chance: &mut u64) {
    for count in (2..=items.len()).rev() {
        items.swap(count - 1, (next(chance) % count as u64) as usize);
    }
}

impl Platform for Memory {
    fn request(&self, subject: &str, body: &[u8], patience: Duration) -> Result<Vec<u8>, Fault> {
        self.call(subject, Some(b"{\"se".to_vec()), |state| {
            let answer = match state.listeners.get(subject).cloned() {
                Some(listener) => listener(body).ok_or_else(|| {
                    state.elapsed += patience;
                    Fault::unanswered(subject, "request timed out")
                })?,
                None if state.has_no_jetstream => return Err(Fault::unanswered(subject, "no responders")),
                None => state.streams.request(subject, body, state.now_ms())?,
            };
            let (subject, request) = (subject.to_owned(), body.to_vec());
            state.exchanges.push(Exchange { subject, request, answer: answer.clone() });
            Ok(answer)
        })
    }

    fn publish(&self, subject: &str, body: &[u8]) -> Result<(), Fault> {
        self.call(subject, None, |state| {
            let (elapsed, now_ms) = (state.elapsed, state.now_ms());
            if !state.streams.acknowledge(subject, body, elapsed, now_ms) {
                state.published.push((subject.to_owned(), body.to_vec()));
            }
            Ok(())
        })
    }

    fn send(&self, request: &Request<Vec<u8>>, patience: Duration) -> Result<Response<Vec<u8>>, SendError> {
        let Some(origin) = Origin::of(request.uri()) else {
            return Err(SendError::NotSent(format!("{} is no URL of a server", request.uri())));
        };
        let garbled = Response::new(b"<html>".to_vec());
        let sent = self.disturbed(&origin.to_string(), Some(Ok(garbled)), |memory| {
            let server = memory.0.borrow().servers.get(&origin).cloned();
            let Some(server) = server else {
                return Ok(Err(SendError::NotSent("connection refused".to_owned())));
            };
            Ok(match server(request) {
                Some(response) if response.body().len() <= OUTSIDE_BODY_MAX => Ok(response),
                Some(_) => {
                    Err(SendError::Unknown(format!("the answer has more than {OUTSIDE_BODY_MAX} bytes")))
                }
                None => {
                    memory.advance(patience);
                    Err(SendError::Unknown(format!("no answer within {patience:?}")))
                }
            })
        });
        sent.unwrap_or_else(|fault| Err(SendError::Unknown(fault.to_string())))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.call(key, None, |state| Ok(state.bucket.get(key).cloned()))
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        batch::get_many(self, keys)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        Provider::set(self, key, value)
    }

    fn increment(&self, key: &str) -> Result<u64, Fault> {
        self.call(key, None, |state| {
            if let Some(rest) = state.contended.checked_sub(1) {
                state.contended = rest;
                return Err(Fault::new("Failed to increment the value after 5 attempts"));
            }
            let count = state.bucket.entry(key.to_owned()).or_insert_with(|| b"0".to_vec());
            let text = std::str::from_utf8(count).ok().and_then(|text| text.parse::<u64>().ok());
            let next = text.ok_or_else(|| Fault::new(format!("{key} is no counter")))? + 1;
            *count = next.to_string().into_bytes();
            Ok(next)
        })
    }

    fn set_many(&self, entries: &[Entry]) -> Result<(), Fault> {
        batch::set_many(self, entries)
    }

    fn now_ms(&self) -> u64 {
        self.0.borrow().now_ms()
    }

    fn elapsed(&self) -> Duration {
        self.0.borrow().elapsed
    }

    fn pause(&self, time: Duration) {
        self.advance(time);
    }

    fn random(&self) -> u64 {
        next(&mut self.0.borrow_mut().chance)
    }

    fn settings(&self) -> Result<Rc<BTreeMap<String, String>>, Fault> {
        Ok(Rc::clone(&self.0.borrow().settings))
    }

    fn secret(&self, name: &str) -> Result<Option<SecretString>, Fault> {
        self.call(name, None, |state| Ok(state.secrets.get(name).cloned()))
    }

    fn log(&self, level: Level, _context: &str, message: &str) {
        self.0.borrow_mut().lines.push((level, message.to_owned()));
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnswerLost => "AnswerLost",
            Self::AnswerGarbled => "AnswerGarbled",
            Self::NotDone => "NotDone",
            Self::UnderWay => "UnderWay",
            Self::DiesBefore => "DiesBefore",
            Self::DiesAfter => "DiesAfter",
            Self::Meanwhile(_) => "Meanwhile",
        })
    }
}
