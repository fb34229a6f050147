//! A running application: the components of a manifest, linked as it says, with one broker and one store between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use trellis_broker::{Broker, Message, Subject};
use wasmtime::component::{InstancePre, Linker};

use crate::cache::Cache;
use crate::call::Body;
use crate::capabilities::messaging::BrokerMessage;
use crate::capabilities::{self, Capabilities};
use crate::component::{Blueprint, CallError, Component};
use crate::engine::Engine;
use crate::env::Env;
use crate::imports;
use crate::manifest::{Application, ComponentPlan, ManifestError, Problem};
use crate::metrics;
use crate::state::State;
use crate::subscriptions;

/// The subject on which services are told that it is time to provision and describe themselves.
pub const ANNOUNCE: &str = "trellis.announce";
/// How often they are told again, so that whatever was lost or failed is repaired.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);

/// Why an application did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{}: {reason}; build it again with `cargo xtask build`", file.display())]
    Component { file: PathBuf, reason: String },
    #[error("the engine does not start: {0}")]
    Engine(String),
    #[error(transparent)]
    Broker(#[from] trellis_broker::Error),
    #[error("{component} cannot subscribe to {subject}: {reason}")]
    Subscription { component: String, subject: String, reason: String },
}

/// A handle on a running application; clones share it.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    components: BTreeMap<String, Arc<Component>>,
    broker: Broker,
    env: Env,
    tasks: Mutex<JoinSet<()>>,
    _engine: Engine,
}

impl App {
    /// Starts every component of `application` and announces that it is there.
    pub async fn start(application: &Application, env: Env) -> Result<App, StartError> {
        let broker = Broker::open(env.store.clone(), env.clock.clone()).await?;
        let engine = engine(application, &env)?;
        let linker = capabilities::linker(&engine.wasmtime)
            .map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let cache = env.options.cache_dir.as_deref().and_then(Cache::open);
        let maker =
            Maker { env: &env, broker: &broker, engine: &engine, linker, cache, started: Instant::now() };
        let components = maker.components(application)?;
        let mut tasks = JoinSet::new();
        for plan in &application.components {
            let Some(component) = components.get(&plan.name) else { continue };
            subscriptions::start(&mut tasks, &broker, component, &plan.subscriptions)?;
        }
        announce_first(&application.components, &components).await;
        tasks.spawn(announce(broker.clone()));
        Ok(App {
            inner: Arc::new(Inner { components, broker, env, tasks: Mutex::new(tasks), _engine: engine }),
        })
    }

    /// Gives `request` to a component, as its HTTP server would, and returns what it answers.
    pub async fn http(&self, component: &str, request: Request<Bytes>) -> Result<Response<Body>, CallError> {
        match self.inner.components.get(component) {
            Some(component) => component.http(request).await,
            None => Err(CallError::Request(format!("there is no component {component}"))),
        }
    }

    pub fn broker(&self) -> &Broker {
        &self.inner.broker
    }

    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// The names of all components.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.inner.components.keys().map(String::as_str)
    }

    /// Counters in Prometheus' text format.
    pub fn metrics(&self) -> String {
        metrics::render(
            self.inner.components.iter().map(|(name, component)| (name.as_str(), &component.metrics)),
        )
    }

    /// Takes no more messages and calls, and waits for those that run, `within` at most. Says whether all ended by themselves.
    pub async fn stop(&self, within: Duration) -> bool {
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock());
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let deadline = Instant::now() + within;
        let mut all_ended = true;
        for component in self.inner.components.values() {
            all_ended &= component.drain(deadline.saturating_duration_since(Instant::now())).await;
        }
        self.inner.broker.close().await;
        all_ended
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("components", &self.inner.components).finish_non_exhaustive()
    }
}

/// One pool for all components, as large as they may become together.
fn engine(application: &Application, env: &Env) -> Result<Engine, StartError> {
    let default = env.options.limits.instances_default;
    let instances =
        application.components.iter().map(|component| component.instances.unwrap_or(default)).sum();
    Engine::new(instances, &env.options).map_err(|error| StartError::Engine(format!("{error:#}")))
}

/// Lets every component that listens to announcements provision itself before anybody else can ask it for something. What
/// one of them finds missing because another was not there yet, it finds when the announcement is repeated.
async fn announce_first(plans: &[ComponentPlan], components: &BTreeMap<String, Arc<Component>>) {
    for plan in plans.iter().filter(|plan| plan.subscriptions.iter().any(|plan| plan.subject == ANNOUNCE)) {
        let Some(component) = components.get(&plan.name) else { continue };
        let message = BrokerMessage { subject: ANNOUNCE.to_owned(), body: Vec::new(), reply_to: None };
        match component.message(message).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(component = plan.name, error, "not provisioned yet; this is repeated")
            }
            Err(error) => tracing::error!(component = plan.name, %error, "not provisioned; this is repeated"),
        }
    }
}

async fn announce(broker: Broker) {
    let Ok(subject) = Subject::new(ANNOUNCE) else { return };
    loop {
        if let Err(error) = broker.publish(Message::new(subject.clone(), Bytes::new())).await {
            tracing::warn!(%error, "announcement not delivered to all; it is repeated");
        }
        tokio::time::sleep(ANNOUNCE_EVERY).await;
    }
}

/// What all components are made with.
struct Maker<'a> {
    env: &'a Env,
    broker: &'a Broker,
    engine: &'a Engine,
    linker: Linker<State>,
    cache: Option<Cache>,
    started: Instant,
}

impl Maker<'_> {
    fn components(&self, application: &Application) -> Result<BTreeMap<String, Arc<Component>>, StartError> {
        let mut components = BTreeMap::new();
        let mut problems = Vec::new();
        for plan in &application.components {
            match self.component(plan, &mut problems) {
                Ok(component) => _ = components.insert(plan.name.clone(), Arc::new(component)),
                Err(error) if problems.is_empty() => return Err(error),
                // What the manifest lacks says more than that linking failed because of it.
                Err(_) => {}
            }
        }
        check_exports(application, &components, &mut problems);
        if problems.is_empty() {
            return Ok(components);
        }
        problems.sort_by_key(|problem| problem.line);
        Err(ManifestError { file: application.file.clone(), problems }.into())
    }

    fn component(&self, plan: &ComponentPlan, problems: &mut Vec<Problem>) -> Result<Component, StartError> {
        let bad = |reason: String| StartError::Component { file: plan.wasm.clone(), reason };
        let pre = self.link(plan, problems).map_err(bad)?;
        let blueprint = Blueprint {
            name: plan.name.as_str().into(),
            instances: plan.instances.unwrap_or(self.env.options.limits.instances_default),
            pre,
            capabilities: Arc::new(self.capabilities(plan)),
            observer: self.env.observer.clone(),
        };
        Component::new(blueprint, &self.env.options).map_err(|error| bad(format!("{error:#}")))
    }

    fn link(&self, plan: &ComponentPlan, problems: &mut Vec<Problem>) -> Result<InstancePre<State>, String> {
        let wasm = std::fs::read(&plan.wasm).map_err(|error| error.to_string())?;
        let engine = &self.engine.wasmtime;
        let component = match &self.cache {
            Some(cache) => cache.component(engine, &wasm),
            None => wasmtime::component::Component::from_binary(engine, &wasm),
        };
        let component =
            component.map_err(|error| format!("is no component that can be run here: {error:#}"))?;
        problems.extend(imports::check(plan, &component));
        self.linker.instantiate_pre(&component).map_err(|error| format!("{error:#}"))
    }

    fn capabilities(&self, plan: &ComponentPlan) -> Capabilities {
        let buckets =
            plan.buckets.iter().map(|(link, bucket)| (link.clone(), bucket.as_str().into())).collect();
        let linked = |import: &str| plan.imports.iter().any(|other| other == import);
        Capabilities {
            clocks: capabilities::clocks::ClocksCtx { clock: self.env.clock.clone(), started: self.started },
            config: capabilities::config::ConfigCtx { values: plan.config.clone() },
            keyvalue: capabilities::keyvalue::KeyValueCtx::new(self.env.store.clone(), buckets),
            logging: capabilities::logging::LoggingCtx {
                line_bytes_max: self.env.options.log_line_bytes_max,
            },
            messaging: capabilities::messaging::MessagingCtx {
                broker: linked("wasmcloud:messaging/consumer").then(|| self.broker.clone()),
            },
            random: capabilities::random::RandomCtx { randomness: self.env.randomness.clone() },
            http_client: linked("wasi:http/outgoing-handler"),
        }
    }
}

/// What a capability is linked to must be able to take its calls.
fn check_exports(
    application: &Application,
    components: &BTreeMap<String, Arc<Component>>,
    problems: &mut Vec<Problem>,
) {
    let mut lacks = |line: usize, component: &str, export: &str| {
        let what = format!("{component} does not export {export}, which this link calls");
        problems.push(Problem {
            line: Some(line),
            what,
            remedy: "remove the link, or export the interface".to_owned(),
        });
    };
    for http in &application.http {
        if components.get(&http.component).is_some_and(|component| !component.answers_http()) {
            lacks(http.line, &http.component, "wasi:http/incoming-handler");
        }
    }
    for plan in &application.components {
        let handles = components.get(&plan.name).is_none_or(|component| component.handles_messages());
        if let (false, Some(subscription)) = (handles, plan.subscriptions.first()) {
            lacks(subscription.line, &plan.name, "wasmcloud:messaging/handler");
        }
    }
}
