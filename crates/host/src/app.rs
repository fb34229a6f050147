//! A running application: the components of a manifest, linked as it says, with one broker and one store between them.
//!
//! Components can be stopped, started and scaled while it runs. One such change is made at a time, and after each the services
//! are told to look around.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio::time::Instant;
use trellis_broker::{Broker, Message, Subject};
use trellis_names::{ANNOUNCE, HOST};

use crate::bodies::Bodies;
use crate::call::Body;
use crate::capabilities::messaging::BrokerMessage;
use crate::component::{CallError, Component};
use crate::control::{Answer, Change, Command, ComponentStatus, ControlError};
use crate::env::Env;
use crate::maker::Maker;
use crate::manifest::{Application, ComponentPlan, ManifestError, Problem};
use crate::metrics::{self, ComponentMetrics};
use crate::start::StartError;
use crate::subscriptions::Subscriptions;

/// How often services are told that it is time to provision and describe themselves, so that whatever was lost or failed is
/// repaired.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);

/// What a stopped component has been given already may take so long: as long as a call.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// A handle on a running application; clones share it.
#[derive(Clone)]
pub struct App {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    members: RwLock<BTreeMap<String, Member>>,
    maker: Maker,
    bodies: Bodies,
    /// Locked by whoever stops, starts or scales a component.
    changes: tokio::sync::Mutex<Changes>,
    tasks: Mutex<JoinSet<()>>,
}

enum Changes {
    Welcome,
    /// The application is being stopped, or has been.
    Over,
}

/// A component of the application, running or not.
struct Member {
    /// The manifest that it comes from.
    file: PathBuf,
    plan: ComponentPlan,
    metrics: Arc<ComponentMetrics>,
    running: Option<Running>,
}

struct Running {
    component: Arc<Component>,
    subscriptions: Subscriptions,
}

impl App {
    /// Starts every component of `application` and announces that it is there.
    pub async fn start(application: &Application, env: Env) -> Result<App, StartError> {
        let broker = Broker::open(env.store.clone(), env.clock.clone()).await?;
        let maker = Maker::new(application, env, broker.clone())?;
        let mut components = maker.components(application, |_| Arc::default())?;
        let mut members = BTreeMap::new();
        let mut to_provision = Vec::new();
        for plan in &application.components {
            let Some(component) = components.remove(&plan.name) else { continue };
            to_provision.push((plan, component.clone()));
            members.insert(plan.name.clone(), Member::run(&broker, component, plan, &application.file)?);
        }
        // Every component is there to be asked before the first of them provisions itself.
        for (plan, component) in to_provision {
            provision(plan, &component).await;
        }
        let inner = Arc::new(Inner {
            members: RwLock::new(members),
            bodies: Bodies::new(maker.env().options.limits.request_bodies_bytes_max),
            maker,
            changes: tokio::sync::Mutex::new(Changes::Welcome),
            tasks: Mutex::default(),
        });
        let app = App { inner };
        let mut tasks = app.inner.tasks.lock();
        tasks.spawn(announce_often(broker));
        tasks.spawn(app.serve_control()?);
        drop(tasks);
        Ok(app)
    }

    /// Gives `request` to a component, as its HTTP server would, and returns what it answers.
    pub async fn http(&self, component: &str, request: Request<Bytes>) -> Result<Response<Body>, CallError> {
        let running = match self.inner.members.read().get(component) {
            Some(member) => member.running.as_ref().map(|running| running.component.clone()),
            None => return Err(CallError::Request(format!("there is no component {component}"))),
        };
        match running {
            Some(component) => component.http(request).await,
            None => Err(CallError::Stopped { component: component.into() }),
        }
    }

    pub fn broker(&self) -> &Broker {
        self.inner.maker.broker()
    }

    /// The memory that bodies of requests may take.
    pub(crate) fn bodies(&self) -> &Bodies {
        &self.inner.bodies
    }

    /// How many bytes of it are taken.
    pub fn request_bodies_bytes(&self) -> usize {
        self.inner.bodies.bytes()
    }

    pub fn env(&self) -> &Env {
        self.inner.maker.env()
    }

    /// All components, by name.
    pub fn components(&self) -> Vec<ComponentStatus> {
        self.inner.members.read().iter().map(|(name, member)| self.status(name, member)).collect()
    }

    fn status(&self, name: &str, member: &Member) -> ComponentStatus {
        ComponentStatus {
            name: name.to_owned(),
            running: member.running.is_some(),
            instances: self.inner.maker.instances(&member.plan),
        }
    }

    /// Counters in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let members = self.inner.members.read();
        metrics::render(members.iter().map(|(name, member)| (name.as_str(), &*member.metrics)))
    }

    /// Does what is asked for.
    pub async fn control(&self, command: Command) -> Result<Answer, ControlError> {
        let change = match command {
            Command::List {} => return Ok(Answer::Components(self.components())),
            Command::Stop { component } => self.stop_component(&component, STOP_TIME_MAX).await,
            Command::Start { component, manifest } => {
                self.start_component(&component, manifest.as_deref()).await
            }
            Command::Scale { component, instances } => self.scale_component(&component, instances).await,
        };
        Ok(match change? {
            Change::Made(status) => Answer::Changed(status),
            Change::None(status) => Answer::Unchanged(status),
        })
    }

    /// Subscribes to what is asked for by messages, and returns what answers for as long as there is the application.
    fn serve_control(&self) -> Result<impl Future<Output = ()> + Send + use<>, StartError> {
        let subject = format!("{HOST}*");
        let mut requests = self.broker().subscribe(&subject, None).map_err(|error| {
            StartError::Subscription { component: "the host".to_owned(), subject, reason: error.to_string() }
        })?;
        let inner = Arc::downgrade(&self.inner);
        Ok(async move {
            while let Some(request) = requests.next().await {
                let Some(inner) = inner.upgrade() else { return };
                let app = App { inner };
                tokio::spawn(async move { app.answer(request).await });
            }
        })
    }

    async fn answer(&self, request: Message) {
        let answer = match Command::parse(&request.subject, &request.payload) {
            Ok(command) => {
                self.control(command).await.unwrap_or_else(|error| Answer::Refused(error.to_string()))
            }
            Err(error) => Answer::Refused(error),
        };
        let Some(reply) = request.reply else { return };
        // Names, numbers and texts always serialize.
        let body = Bytes::from(serde_json::to_vec(&answer).unwrap_or_default());
        if let Err(error) = self.broker().publish(Message::new(reply, body)).await {
            tracing::warn!(%error, subject = %request.subject, "answer not delivered");
        }
    }

    /// Stops a component: nobody finds it from now on, and what it was given already is finished, `within` at most.
    pub async fn stop_component(&self, name: &str, within: Duration) -> Result<Change, ControlError> {
        let _alone = self.change().await?;
        let Some(running) = self.member(name, |member| member.running.take())? else {
            return Ok(Change::None(self.member(name, |member| self.status(name, member))?));
        };
        if !running.stop(Instant::now() + within).await {
            tracing::warn!(
                component = name,
                "stopped; calls that had not ended are cut off at their deadline"
            );
        }
        self.changed(name).await
    }

    /// Starts a component that is stopped, or one from a manifest of its own that is not part of the application yet. Its
    /// file is read anew, and it provisions itself before this returns.
    pub async fn start_component(&self, name: &str, manifest: Option<&Path>) -> Result<Change, ControlError> {
        let _alone = self.change().await?;
        let is_running = self.member(name, |member| member.running.is_some()).unwrap_or(false);
        let application = match manifest {
            Some(_) if is_running => return Err(ControlError::Runs(name.to_owned())),
            Some(file) => {
                self.alone(name, in_place(|| Application::read(file)).map_err(StartError::from)?)?
            }
            None if is_running => {
                return Ok(Change::None(self.member(name, |member| self.status(name, member))?));
            }
            None => self.member(name, |member| Application {
                name: name.to_owned(),
                file: member.file.clone(),
                components: vec![member.plan.clone()],
                http: Vec::new(),
            })?,
        };
        let Some(plan) = application.components.first() else { return Err(self.unknown(name)) };
        self.check_room(name, self.inner.maker.instances(plan))?;
        let metrics = self
            .member(name, |member| member.metrics.clone())
            .unwrap_or_else(|_: ControlError| Arc::default());
        let made = in_place(|| self.inner.maker.components(&application, |_| metrics.clone()))?;
        let Some(component) = made.into_values().next() else { return Err(self.unknown(name)) };
        let member = Member::run(self.broker(), component.clone(), plan, &application.file)?;
        self.inner.members.write().insert(name.to_owned(), member);
        provision(plan, &component).await;
        self.changed(name).await
    }

    /// Lets `instances` calls of a component run at once.
    pub async fn scale_component(&self, name: &str, instances: usize) -> Result<Change, ControlError> {
        let _alone = self.change().await?;
        if instances == 0 {
            return Err(ControlError::Zero(name.to_owned()));
        }
        let component = self
            .member(name, |member| member.running.as_ref().map(|running| running.component.clone()))?
            .ok_or_else(|| ControlError::Stopped(name.to_owned()))?;
        if component.instances() == instances {
            return Ok(Change::None(self.member(name, |member| self.status(name, member))?));
        }
        self.check_room(name, instances)?;
        component.scale(instances).await;
        self.member(name, |member| member.plan.instances = Some(instances))?;
        self.changed(name).await
    }

    /// Takes no more messages and calls, and waits for those that run, `within` at most. Says whether all ended by themselves.
    pub async fn stop(&self, within: Duration) -> bool {
        let mut changes = self.inner.changes.lock().await;
        *changes = Changes::Over;
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock());
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let deadline = Instant::now() + within;
        let all: Vec<Running> = {
            let mut members = self.inner.members.write();
            members.values_mut().filter_map(|member| member.running.take()).collect()
        };
        all.iter().for_each(|running| running.subscriptions.end());
        let mut all_ended = true;
        for running in all {
            all_ended &= running.stop(deadline).await;
        }
        self.broker().close().await;
        all_ended
    }

    /// One change at a time.
    async fn change(&self) -> Result<tokio::sync::MutexGuard<'_, Changes>, ControlError> {
        let changes = self.inner.changes.lock().await;
        match *changes {
            Changes::Welcome => Ok(changes),
            Changes::Over => Err(ControlError::Stopping),
        }
    }

    /// What `look` finds at a component, or makes of it.
    fn member<T>(&self, name: &str, look: impl FnOnce(&mut Member) -> T) -> Result<T, ControlError> {
        if let Some(member) = self.inner.members.write().get_mut(name) {
            return Ok(look(member));
        }
        Err(self.unknown(name))
    }

    fn unknown(&self, name: &str) -> ControlError {
        let known: Vec<String> = self.inner.members.read().keys().cloned().collect();
        ControlError::Unknown { name: name.to_owned(), known: known.join(", ") }
    }

    /// The part of a manifest that makes one component run beside those that are here.
    fn alone(&self, name: &str, mut application: Application) -> Result<Application, ControlError> {
        let refused = |line: usize, what: String, remedy: &str| {
            let problems = vec![Problem { line: Some(line), what, remedy: remedy.to_owned() }];
            StartError::from(ManifestError { file: application.file.clone(), problems })
        };
        let Some(plan) = application.components.iter().find(|plan| plan.name == name) else {
            let names = application.components.iter().map(|plan| plan.name.as_str());
            let known = names.collect::<Vec<_>>().join(", ");
            return Err(ControlError::NotInManifest {
                file: application.file.clone(),
                name: name.to_owned(),
                known,
            });
        };
        if let Some(http) = application.http.iter().find(|http| http.component == name) {
            let what =
                format!("{name} would answer HTTP on {}, which is opened at the start only", http.address);
            let remedy = "remove the link: requests reach the component as messages, through the gateway";
            return Err(refused(http.line, what, remedy).into());
        }
        let members = self.inner.members.read();
        let others = members.iter().filter(|(other, _)| *other != name);
        let of_others =
            others.flat_map(|(other, member)| member.plan.buckets.values().map(move |b| (other, b)));
        for (other, bucket) in of_others {
            if plan.buckets.values().any(|own| own == bucket) {
                let what = format!("{name} would use the bucket {bucket}, which is that of {other}");
                return Err(refused(plan.line, what, "give it a bucket of its own").into());
            }
        }
        drop(members);
        application.components.retain(|plan| plan.name == name);
        application.http.clear();
        Ok(application)
    }

    /// Whether a component can have so many instances, beside what the others have.
    fn check_room(&self, name: &str, instances: usize) -> Result<(), ControlError> {
        let members = self.inner.members.read();
        let others = members.iter().filter(|(other, _)| *other != name);
        let running = others.filter_map(|(_, member)| member.running.as_ref());
        let taken: usize = running.map(|running| running.component.instances()).sum();
        let free = self.inner.maker.room().saturating_sub(taken);
        if instances > free {
            return Err(ControlError::NoRoom { name: name.to_owned(), instances, free });
        }
        Ok(())
    }

    /// Tells everybody what has become of a component.
    async fn changed(&self, name: &str) -> Result<Change, ControlError> {
        let status = self.member(name, |member| self.status(name, member))?;
        // Names and numbers always serialize.
        let news = serde_json::to_vec(&status).unwrap_or_default();
        announce(self.broker(), news.into()).await;
        Ok(Change::Made(status))
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("components", &self.components()).finish_non_exhaustive()
    }
}

impl Member {
    fn run(
        broker: &Broker,
        component: Arc<Component>,
        plan: &ComponentPlan,
        file: &Path,
    ) -> Result<Member, StartError> {
        let subscriptions = Subscriptions::start(broker, &component, &plan.subscriptions)?;
        let metrics = component.metrics.clone();
        let running = Some(Running { component, subscriptions });
        Ok(Member { file: file.to_owned(), plan: plan.clone(), metrics, running })
    }
}

impl Running {
    /// Takes no more messages, and waits for what runs. Says whether all ended in time.
    async fn stop(mut self, deadline: Instant) -> bool {
        self.subscriptions.end();
        // In vain if it takes too long: what still waits is then refused.
        let _ = tokio::time::timeout_at(deadline, self.subscriptions.ended()).await;
        let in_time = self.component.drain(deadline.saturating_duration_since(Instant::now())).await;
        self.subscriptions.ended().await;
        in_time
    }
}

/// Lets a component that listens to announcements provision itself before anybody else asks it for something. What it finds
/// missing because another was not there yet, it finds when the announcement is repeated.
async fn provision(plan: &ComponentPlan, component: &Arc<Component>) {
    if !plan.subscriptions.iter().any(|plan| plan.subject == ANNOUNCE) {
        return;
    }
    let message = BrokerMessage { subject: ANNOUNCE.to_owned(), body: Vec::new(), reply_to: None };
    match component.message(message).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(component = plan.name, error, "not provisioned yet; this is repeated")
        }
        Err(error) => tracing::error!(component = plan.name, %error, "not provisioned; this is repeated"),
    }
}

async fn announce(broker: &Broker, news: Bytes) {
    let Ok(subject) = Subject::new(ANNOUNCE) else { return };
    if let Err(error) = broker.publish(Message::new(subject, news)).await {
        tracing::warn!(%error, "announcement not delivered to all; it is repeated");
    }
}

async fn announce_often(broker: Broker) {
    loop {
        announce(&broker, Bytes::new()).await;
        tokio::time::sleep(ANNOUNCE_EVERY).await;
    }
}

/// Reads files and compiles. On a runtime of many threads, others take over meanwhile what this one would have done.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
