//! Host calls seen from outside: recorded into a transcript, delayed, or made the last thing an instance does.
//!
//! A simulation hands in a [`Transcript`]. Two runs that did the same things in the same order have the same
//! [`Transcript::hash`]. A seed decides which calls are late and which instances die half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use trellis_broker::Clock;

use crate::randomness::SeededRandomness;

/// One call across the border between a component and the host, at its beginning or its end.
#[derive(Debug)]
pub struct HostCall<'a> {
    pub component: &'a str,
    /// Numbered from 0 for each component, in the order in which they were made.
    pub instance: u64,
    pub name: &'static str,
    pub moment: Moment,
    /// Of the arguments when entering, of the result when leaving.
    pub hash: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Enter,
    Leave,
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// Later. Only asynchronous calls can be delayed; others proceed.
    Delay(Duration),
    /// The instance ends here, as if its machine had.
    Crash,
}

/// Sees every host call. Called on the path of the call: it must not block.
pub trait Observer: Send + Sync {
    fn observe(&self, call: &HostCall<'_>) -> Verdict;
}

/// Ends instances at random: one call in so many is the last thing that its instance does.
#[derive(Debug)]
pub struct Crashes {
    one_in: u64,
    random: SeededRandomness,
}

impl Crashes {
    pub fn new(one_in: u64, seed: u64) -> Crashes {
        Crashes { one_in, random: SeededRandomness::new(seed) }
    }
}

impl Observer for Crashes {
    fn observe(&self, _: &HostCall<'_>) -> Verdict {
        if self.one_in > 0 && self.random.below(self.one_in) == 0 { Verdict::Crash } else { Verdict::Proceed }
    }
}

/// Bytes of arguments or results on their way into a hash. Each part is preceded by its length.
#[derive(Debug, Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    pub fn add(&mut self, part: impl AsRef<[u8]>) -> &mut Fingerprint {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The observer as one instance uses it.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) component: Arc<str>,
    pub(crate) instance: u64,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    shared: Arc<Shared>,
}

/// What all parts of the host know of an instance.
#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    /// How many host calls have begun or ended.
    calls: AtomicU64,
}

impl Probe {
    pub(crate) fn new(component: Arc<str>, instance: u64, observer: Option<Arc<dyn Observer>>) -> Probe {
        Probe { component, instance, observer, shared: Arc::default() }
    }

    /// How many host calls have begun or ended so far: as long as that is the same, the instance computes.
    pub(crate) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the instance at its next host call: for what the host does beside it, and where nothing can be ended.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }

    /// An asynchronous call begins.
    pub(crate) async fn enter(
        &self,
        name: &'static str,
        arguments: impl FnOnce(&mut Fingerprint),
    ) -> wasmtime::Result<()> {
        self.count();
        if self.observer.is_none() {
            return Ok(());
        }
        match self.observe(name, Moment::Enter, arguments) {
            Verdict::Proceed => Ok(()),
            Verdict::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Verdict::Crash => Err(Crashed(name).into()),
        }
    }

    /// A call ends. A crash here leaves its effect behind without the guest knowing.
    pub(crate) fn leave(
        &self,
        name: &'static str,
        result: impl FnOnce(&mut Fingerprint),
    ) -> wasmtime::Result<()> {
        self.count();
        match self.observe(name, Moment::Leave, result) {
            Verdict::Crash => Err(Crashed(name).into()),
            Verdict::Proceed | Verdict::Delay(_) => Ok(()),
        }
    }

    fn observe(&self, name: &'static str, moment: Moment, add: impl FnOnce(&mut Fingerprint)) -> Verdict {
        let Some(observer) = &self.observer else { return Verdict::Proceed };
        if self.shared.ended.load(Ordering::Relaxed) {
            return Verdict::Crash;
        }
        let mut fingerprint = Fingerprint::default();
        add(&mut fingerprint);
        let (component, instance, hash) = (&*self.component, self.instance, fingerprint.finish());
        observer.observe(&HostCall { component, instance, name, moment, hash })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the observer ended the instance at {0}")]
struct Crashed(&'static str);

/// Records every call into one hash, and disturbs calls as a seed says.
pub struct Transcript {
    clock: Arc<dyn Clock>,
    disturbance: Disturbance,
    random: SeededRandomness,
    state: Mutex<State>,
}

/// How a [`Transcript`] disturbs what it records.
#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    /// Calls are delayed by a seeded time below this.
    pub delay_max: Duration,
    /// One call in this many ends its instance. 0: none.
    pub crash_one_in: u64,
}

#[derive(Default)]
struct State {
    chain: [u8; 32],
    calls: u64,
    lines: Vec<String>,
}

impl Transcript {
    /// What is kept in words of the newest calls, for a human who compares two runs.
    const LINES_KEPT: usize = 100_000;

    pub fn new(clock: Arc<dyn Clock>, seed: u64, disturbance: Disturbance) -> Transcript {
        Transcript { clock, disturbance, random: SeededRandomness::new(seed), state: Mutex::default() }
    }

    /// The hash of everything recorded so far, in order.
    pub fn hash(&self) -> [u8; 32] {
        self.state.lock().chain
    }

    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// One line for each recorded call, up to a bound.
    pub fn lines(&self) -> Vec<String> {
        self.state.lock().lines.clone()
    }

    fn verdict(&self, moment: Moment) -> Verdict {
        let Disturbance { delay_max, crash_one_in } = self.disturbance;
        if crash_one_in > 0 && self.random.below(crash_one_in) == 0 {
            return Verdict::Crash;
        }
        let delay_max_us = u64::try_from(delay_max.as_micros()).unwrap_or(u64::MAX);
        if moment == Moment::Leave || delay_max_us == 0 {
            return Verdict::Proceed;
        }
        Verdict::Delay(Duration::from_micros(self.random.below(delay_max_us)))
    }
}

impl Observer for Transcript {
    fn observe(&self, call: &HostCall<'_>) -> Verdict {
        let verdict = self.verdict(call.moment);
        let since_epoch = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [a, b, c, d, ..] = call.hash;
        let line = format!(
            "{:>14}us {}#{} {} {:?} {:08x} {verdict:?}",
            since_epoch.as_micros(),
            call.component,
            call.instance,
            call.name,
            call.moment,
            u32::from_be_bytes([a, b, c, d]),
        );
        let mut state = self.state.lock();
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(state.chain).add(&line).add(call.hash);
        state.chain = fingerprint.finish();
        state.calls += 1;
        if state.lines.len() < Transcript::LINES_KEPT {
            state.lines.push(line);
        }
        verdict
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").field("disturbance", &self.disturbance).finish_non_exhaustive()
    }
}
