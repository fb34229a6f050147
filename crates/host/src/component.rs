//! One component and its instances.
//!
//! * At most as many calls run at once as the component has `instances`. Requests wait, as many and as long as the limits
//!   say; messages wait where they are kept anyway.
//! * An instance serves one call at a time. It is used again only after a call that ended well, until it has served `reuse`
//!   calls or grown too large; in every other case it is dropped, and the next call gets a new one.
//! * The instance that was put back last is taken first: its memory is still warm, and the others may be let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;
use wasmtime::component::{InstancePre, types::ComponentItem};
use wasmtime::{Store, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler;

use crate::capabilities::Capabilities;
use crate::capabilities::messaging::handler;
use crate::env::{Limits, Options};
use crate::metrics::ComponentMetrics;
use crate::observe::{Observer, Probe};
use crate::permits::{Permit, Permits, Purpose};
use crate::state::{Computing, State};
use crate::threads::RequestThreads;

/// Why a call has no result. What happened in detail is in the log; a caller outside must not see it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("component {component} has no export {export}")]
    NotExported { component: Arc<str>, export: &'static str },
    #[error("component {component} is busy: no instance became free")]
    Busy { component: Arc<str> },
    #[error("component {component} is stopped")]
    Stopped { component: Arc<str> },
    #[error("component {component} did not finish within {limit:?}")]
    Overrun { component: Arc<str>, limit: Duration },
    #[error("component {component} failed: {reason}")]
    Failed { component: Arc<str>, reason: String },
    #[error("component {component} returned without a response")]
    NoResponse { component: Arc<str> },
    #[error("the request cannot be given to a component: {0}")]
    Request(String),
}

/// A request that asks nothing of the host for so many epochs computes for long: a password takes dozens, a feed not one.
const LONG: u32 = 8;

/// A component that is ready to be called.
pub(crate) struct Component {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<ComponentMetrics>,
    pre: InstancePre<State>,
    http: Option<incoming_handler::GuestIndices>,
    handler: Option<handler::GuestIndices>,
    capabilities: Arc<Capabilities>,
    observer: Option<Arc<dyn Observer>>,
    line_bytes_max: usize,
    reuse: u32,
    request_threads: Option<RequestThreads>,
    /// Whether it has been seen to compute for long.
    computes: Arc<AtomicBool>,
    permits: Permits,
    waiting: AtomicUsize,
    free: Mutex<Vec<Instance>>,
    made: AtomicU64,
}

/// An instance between two calls, or in one.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) http: Option<incoming_handler::Guest>,
    pub(crate) handler: Option<handler::Guest>,
    calls: u32,
}

/// What a component is made from.
pub(crate) struct Blueprint {
    pub(crate) name: Arc<str>,
    pub(crate) instances: usize,
    pub(crate) pre: InstancePre<State>,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Counted on from, so that nothing is forgotten when a component is stopped and started.
    pub(crate) metrics: Arc<ComponentMetrics>,
}

impl Component {
    pub(crate) fn new(blueprint: Blueprint, options: &Options) -> wasmtime::Result<Component> {
        let Blueprint { name, instances, pre, capabilities, observer, metrics } = blueprint;
        Ok(Component {
            http: exports(&pre, "wasi:http/incoming-handler@")
                .then(|| incoming_handler::GuestIndices::new(&pre))
                .transpose()?,
            handler: exports(&pre, "wasmcloud:messaging/handler@")
                .then(|| handler::GuestIndices::new(&pre))
                .transpose()?,
            name,
            limits: options.limits.clone(),
            metrics,
            pre,
            capabilities,
            observer,
            line_bytes_max: options.log_line_bytes_max,
            reuse: options.reuse.max(1),
            request_threads: options.request_threads.clone(),
            computes: Arc::default(),
            permits: Permits::new(instances),
            waiting: AtomicUsize::new(0),
            free: Mutex::default(),
            made: AtomicU64::new(0),
        })
    }

    /// How many calls may run at once.
    pub(crate) fn instances(&self) -> usize {
        self.permits.count()
    }

    pub(crate) fn answers_http(&self) -> bool {
        self.http.is_some()
    }

    pub(crate) fn handles_messages(&self) -> bool {
        self.handler.is_some()
    }

    /// A permit for a call, waited for as long as it takes: for what waits in a queue of its own.
    pub(crate) async fn permit(&self, purpose: Purpose) -> Result<Permit, CallError> {
        self.permits.take(purpose).await.ok_or_else(|| self.stopped())
    }

    /// A permit for a call that need not be waited for.
    pub(crate) fn free_permit(&self, purpose: Purpose) -> Option<Permit> {
        self.permits.free(purpose)
    }

    /// A permit for a call whose caller does not wait for long.
    pub(crate) async fn permit_soon(&self) -> Result<Permit, CallError> {
        if let Some(permit) = self.free_permit(Purpose::Request) {
            return Ok(permit);
        }
        let busy = || CallError::Busy { component: self.name.clone() };
        let waiting = Waiting::enter(&self.waiting, self.limits.queue_len_max).ok_or_else(busy)?;
        let permit = tokio::time::timeout(self.limits.queue_time_max, self.permit(Purpose::Request)).await;
        drop(waiting);
        permit.map_err(|_| busy())?
    }

    /// Where calls for this purpose run. Requests of a component that computes for long hold up nobody else's: between two epochs
    /// others do run, but wait one out each time they have waited for something.
    pub(crate) fn runs_on(&self, purpose: Purpose) -> Handle {
        match (&self.request_threads, purpose) {
            (Some(threads), Purpose::Request) if self.computes.load(Ordering::Relaxed) => {
                threads.patient().clone()
            }
            (Some(threads), Purpose::Request) => threads.here_or_next(),
            _ => Handle::current(),
        }
    }

    /// An instance for one call, which must be over at the lease's deadline.
    pub(crate) async fn lease(self: &Arc<Self>, permit: Permit) -> Result<Lease, CallError> {
        let free = self.free.lock().pop();
        let mut instance = match free {
            Some(instance) => instance,
            None => self.instantiate().await.map_err(|error| self.failed(&error))?,
        };
        instance.calls += 1;
        let state = instance.store.data_mut();
        state.deadline = Instant::now() + self.limits.call_time_max;
        state.answering = None;
        state.computing = (permit.purpose() == Purpose::Request).then(Computing::default);
        instance.store.set_epoch_deadline(1);
        Ok(Lease { instance: Some(instance), component: self.clone(), _permit: permit })
    }

    async fn instantiate(&self) -> wasmtime::Result<Instance> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let probe = Probe::new(self.name.clone(), number, self.observer.clone());
        let state = State::new(self.capabilities.clone(), probe, &self.limits, self.line_bytes_max);
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.limiter);
        let computes = self.computes.clone();
        store.epoch_deadline_callback(move |mut context| {
            // Between two epochs others may run; past the deadline nothing of this instance does.
            let state = context.data_mut();
            if Instant::now() >= state.deadline {
                return Err(Overrun.into());
            }
            let calls = state.probe.calls();
            if state.computing.as_mut().is_some_and(|computing| computing.goes_on(calls) >= LONG) {
                computes.store(true, Ordering::Relaxed);
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store.set_epoch_deadline(1);
        store.data_mut().deadline = Instant::now() + self.limits.call_time_max;
        let instance = self.pre.instantiate_async(&mut store).await?;
        let http = self.http.as_ref().map(|indices| indices.load(&mut store, &instance)).transpose()?;
        let handler = self.handler.as_ref().map(|indices| indices.load(&mut store, &instance)).transpose()?;
        self.metrics.instances_made.add(1);
        Ok(Instance { store, http, handler, calls: 0 })
    }

    pub(crate) fn failed(&self, error: &wasmtime::Error) -> CallError {
        if error.is::<Overrun>() {
            return CallError::Overrun { component: self.name.clone(), limit: self.limits.call_time_max };
        }
        // Where in the component it was is for who looks for the reason there: it takes many lines.
        let place = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
        let causes = error.chain().map(ToString::to_string).filter(|cause| Some(cause) != place.as_ref());
        let reason = causes.collect::<Vec<_>>().join(": ");
        if let Some(place) = place {
            tracing::debug!(component = %self.name, reason, place, "where a call failed");
        }
        CallError::Failed { component: self.name.clone(), reason }
    }

    /// Lets `instances` calls run at once from now on. When it becomes fewer, this returns once no more than that are running.
    pub(crate) async fn scale(&self, instances: usize) {
        self.permits.resize(instances).await;
        let mut free = self.free.lock();
        let surplus = free.len().saturating_sub(instances);
        let longest_idle: Vec<Instance> = free.drain(..surplus).collect();
        drop(free);
        drop(longest_idle);
    }

    /// Waits until the calls that run are over, or until `within` has passed, and refuses calls from then on. Says whether
    /// all were over.
    pub(crate) async fn drain(&self, within: Duration) -> bool {
        let idle = tokio::time::timeout(within, self.permits.all_free()).await.is_ok();
        self.permits.close();
        self.free.lock().clear();
        idle
    }

    fn stopped(&self) -> CallError {
        CallError::Stopped { component: self.name.clone() }
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .field("instances", &self.instances())
            .finish_non_exhaustive()
    }
}

fn exports(pre: &InstancePre<State>, prefix: &str) -> bool {
    let component = pre.component();
    component.component_type().exports(component.engine()).any(|(name, export)| {
        name.starts_with(prefix) && matches!(export.ty, ComponentItem::ComponentInstance(_))
    })
}

/// The guest computed past its deadline.
#[derive(Debug, thiserror::Error)]
#[error("computed past the deadline of its call")]
pub(crate) struct Overrun;

/// A place in the queue for an instance.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, max: usize) -> Option<Waiting<'a>> {
        let place = Waiting(waiting);
        // Given back by the drop of `place` in both cases.
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An instance that serves a call. Dropped without [`Lease::finish`], the instance is gone.
pub(crate) struct Lease {
    instance: Option<Instance>,
    component: Arc<Component>,
    _permit: Permit,
}

impl Lease {
    pub(crate) fn component(&self) -> &Arc<Component> {
        &self.component
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.instance.as_ref().map_or_else(Instant::now, |instance| instance.store.data().deadline)
    }

    pub(crate) fn instance(&mut self) -> wasmtime::Result<&mut Instance> {
        self.instance.as_mut().ok_or_else(|| wasmtime::format_err!("the instance was given back"))
    }

    /// The call ended well: the instance may serve another.
    pub(crate) fn finish(&mut self) {
        let Some(instance) = self.instance.take() else { return };
        let kept = self.component.limits.memory_bytes_kept;
        if instance.calls < self.component.reuse && instance.store.data().limiter.memory_bytes <= kept {
            self.component.free.lock().push(instance);
        }
    }
}
