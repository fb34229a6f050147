//! Components from plans: compiled or loaded, checked against what their manifest gives them, linked to the capabilities.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::time::Instant;
use trellis_broker::Broker;
use trellis_kit::access::Member;
use wasmtime::component::{InstancePre, Linker};

use crate::cache::Cache;
use crate::capabilities::{self, Capabilities};
use crate::component::{Blueprint, Component};
use crate::engine::Engine;
use crate::env::Env;
use crate::files;
use crate::imports;
use crate::linker::linker;
use crate::manifest::{Application, ComponentPlan, ManifestError, Problem, SecretPlan};
use crate::metrics::ComponentMetrics;
use crate::permissions::Permissions;
use crate::start::StartError;
use crate::state::State;
use crate::waiting::Waiting;

/// The largest component.
const WASM_BYTES_MAX: u64 = 256 << 20;

/// What all components of an application are made with.
pub(crate) struct Maker {
    env: Env,
    broker: Broker,
    engine: Engine,
    linker: Linker<State>,
    cache: Option<Cache>,
    started: Instant,
}

impl Maker {
    /// With one pool for all components, as large as those of `application` need together, and room for more.
    pub(crate) fn new(application: &Application, env: Env, broker: Broker) -> Result<Maker, StartError> {
        let bad = |error: wasmtime::Error| StartError::Engine(format!("{error:#}"));
        let planned: usize =
            application.components.iter().map(|plan| instances(plan, &env)).fold(0, usize::saturating_add);
        let room = planned.saturating_add(env.options.limits.instances_spare);
        let engine = Engine::new(room, &env.options).map_err(bad)?;
        let linker = linker(&engine.wasmtime).map_err(bad)?;
        let cache = env.options.cache_dir.as_deref().and_then(Cache::open);
        Ok(Maker { env, broker, engine, linker, cache, started: Instant::now() })
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// How many calls of all components together can run at once.
    pub(crate) fn room(&self) -> usize {
        self.engine.room
    }

    /// How many calls of a component may run at once, by its plan.
    pub(crate) fn instances(&self, plan: &ComponentPlan) -> usize {
        instances(plan, &self.env)
    }

    /// Every component of `application`. Each wrong thing is reported, not only the first.
    pub(crate) fn components(
        &self,
        application: &Application,
        metrics: impl Fn(&str) -> Arc<ComponentMetrics>,
    ) -> Result<BTreeMap<String, Arc<Component>>, StartError> {
        let mut components = BTreeMap::new();
        let mut problems = Vec::new();
        for plan in &application.components {
            match self.component(plan, metrics(&plan.name), &mut problems) {
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

    fn component(
        &self,
        plan: &ComponentPlan,
        metrics: Arc<ComponentMetrics>,
        problems: &mut Vec<Problem>,
    ) -> Result<Component, StartError> {
        let bad = |reason: String| StartError::Component { file: plan.wasm.clone(), reason };
        let wasm = files::read(&plan.wasm, WASM_BYTES_MAX).map_err(|error| bad(error.to_string()))?;
        let pre = self.link(plan, &wasm, problems).map_err(bad)?;
        let stated = Member::in_component(&wasm).map_err(|why| bad(why.to_string()))?;
        problems.extend(stated.as_ref().and_then(|stated| other_name(plan, stated)));
        let secrets = self.secrets(plan, problems);
        let permissions =
            Permissions::new(plan.name.as_str().into(), stated, metrics.clone()).map_err(bad)?;
        let blueprint = Blueprint {
            name: plan.name.as_str().into(),
            instances: self.instances(plan),
            pre,
            capabilities: Arc::new(self.capabilities(plan, permissions, secrets, metrics.clone())),
            observer: self.env.observer.clone(),
            metrics,
        };
        Component::new(blueprint, &self.env.options).map_err(|error| bad(format!("{error:#}")))
    }

    fn link(
        &self,
        plan: &ComponentPlan,
        wasm: &[u8],
        problems: &mut Vec<Problem>,
    ) -> Result<InstancePre<State>, String> {
        let engine = &self.engine.wasmtime;
        let component = match &self.cache {
            Some(cache) => cache.component(engine, wasm),
            None => wasmtime::component::Component::from_binary(engine, wasm),
        };
        let component =
            component.map_err(|error| format!("is no component that can be run here: {error:#}"))?;
        problems.extend(imports::check(plan, &component));
        self.linker.instantiate_pre(&component).map_err(|error| format!("{error:#}"))
    }

    /// What the component may know. One that lacks a secret does not start, as on a lattice.
    fn secrets(&self, plan: &ComponentPlan, problems: &mut Vec<Problem>) -> BTreeMap<String, SecretString> {
        let mut secrets = BTreeMap::new();
        for SecretPlan { line, name, key } in &plan.secrets {
            match self.env.secrets.get(key) {
                Some(secret) => _ = secrets.insert(name.clone(), secret.clone()),
                None => problems.push(Problem {
                    line: Some(*line),
                    what: format!("{} needs the secret {name}, and nobody has said what {key} is", plan.name),
                    remedy: format!("start with `trellis up --secrets FILE`, and {key:?} in that file"),
                }),
            }
        }
        secrets
    }

    fn capabilities(
        &self,
        plan: &ComponentPlan,
        permissions: Permissions,
        secrets: BTreeMap<String, SecretString>,
        metrics: Arc<ComponentMetrics>,
    ) -> Capabilities {
        let buckets =
            plan.buckets.iter().map(|(link, bucket)| (link.clone(), bucket.as_str().into())).collect();
        let linked = |import: &str| plan.imports.iter().any(|other| other == import);
        Capabilities {
            clocks: capabilities::clocks::ClocksCtx { clock: self.env.clock.clone(), started: self.started },
            config: capabilities::config::ConfigCtx { values: told(plan) },
            http: capabilities::http::HttpCtx {
                outside: linked("wasi:http/outgoing-handler").then(|| self.env.outside.clone()),
                time_max: self.env.options.limits.call_time_max,
                body_bytes_max: self.env.options.limits.outside_body_bytes_max,
                metrics: metrics.clone(),
            },
            keyvalue: capabilities::keyvalue::KeyValueCtx::new(self.env.store.clone(), buckets),
            logging: capabilities::logging::LoggingCtx {
                line_bytes_max: self.env.options.log_line_bytes_max,
                metrics,
            },
            messaging: capabilities::messaging::MessagingCtx {
                broker: linked("wasmcloud:messaging/consumer").then(|| self.broker.clone()),
                waiting: Waiting::new(self.instances(plan)),
                permissions: Arc::new(permissions),
            },
            random: capabilities::random::RandomCtx { randomness: self.env.randomness.clone() },
            secrets: capabilities::secrets::SecretsCtx { values: secrets },
        }
    }
}

/// What a component is configured with: what the manifest says, and what only this host can. One that is not configured at
/// all stays so.
fn told(plan: &ComponentPlan) -> BTreeMap<String, String> {
    /// How many hops of `x-forwarded-for` are this host's own: its HTTP server adds the peer's address, which that of a
    /// lattice does not.
    const HOST_HOPS: (&str, &str) = ("host-hops", "1");
    let mut config = plan.config.clone();
    if !config.is_empty() {
        config.insert(HOST_HOPS.0.to_owned(), HOST_HOPS.1.to_owned());
    }
    config
}

fn instances(plan: &ComponentPlan, env: &Env) -> usize {
    plan.instances.unwrap_or(env.options.limits.instances_default).max(1)
}

/// A component that goes by another name than it says has would have what is another's.
fn other_name(plan: &ComponentPlan, stated: &Member) -> Option<Problem> {
    let (name, stated) = (plan.name.as_str(), stated.name);
    (name != stated).then(|| Problem {
        line: Some(plan.line),
        what: format!("{name} says in its .wasm that it is {stated}, and may do what {stated} may"),
        remedy: format!("name it {stated}, or give {name} an image of its own"),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_says_how_many_hops_are_its_own() {
        let said = |config: &[(&str, &str)]| {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let plan = ComponentPlan {
                name: "gateway".to_owned(),
                line: 1,
                wasm: "gateway.wasm".into(),
                instances: None,
                config: config.iter().map(own).collect(),
                secrets: Vec::new(),
                buckets: BTreeMap::new(),
                imports: Vec::new(),
                subscriptions: Vec::new(),
            };
            told(&plan).get("host-hops").cloned()
        };
        assert_eq!(said(&[("a", "b")]).as_deref(), Some("1"));
        assert_eq!(said(&[("host-hops", "5")]).as_deref(), Some("1"));
        assert_eq!(said(&[]), None, "a component without any config waits for one");
    }
}
