//! Who listens to what, and how a message gets to them: to every plain subscriber, and to one member of each queue group.
//!
//! A group's members take turns; one without room is passed over while another has some. The order only depends on the
//! order of subscriptions and messages, so that a run can be repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::select_all;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::subject_map::SubjectMap;
use crate::{Message, Pattern, PublishError, SubscribeError};

const QUEUE_NAME_LEN_MAX: usize = 255;

/// The table of subscriptions.
#[derive(Debug)]
pub(crate) struct Routes {
    table: RwLock<SubjectMap<Arc<Route>>>,
    watchers: Mutex<BTreeMap<String, Vec<Arc<Notify>>>>,
    next_id: AtomicU64,
    turns: AtomicU64,
    routes_max: usize,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Route {
    id: u64,
    /// The connection it belongs to; 0 is this process.
    owner: u64,
    pattern: Pattern,
    queue: Option<Arc<str>>,
    sink: Sink,
    /// When its last turn in a queue group was.
    last_turn: AtomicU64,
}

/// Where a route ends.
#[derive(Debug)]
pub(crate) enum Sink {
    Local(LocalSink),
    Remote(Arc<dyn RemoteSink>),
}

/// A subscription of this process.
pub(crate) struct LocalSink {
    pub queue: mpsc::Sender<Message>,
    pub at_once: Option<AtOnce>,
}

/// Takes a message right where it is published, or gives it back if it has to wait in the queue.
pub(crate) type AtOnce = Box<dyn Fn(Message) -> Result<(), Message> + Send + Sync>;

/// A subscription of a connected client.
pub(crate) trait RemoteSink: Send + Sync + fmt::Debug {
    /// Hands over a message. A client that does not keep up is the connection's to deal with.
    fn offer(&self, message: &Message) -> Offer;
    /// Whether the client keeps up well enough to be sent more by a consumer, which can wait.
    fn has_room(&self) -> bool;
    /// Waits until there is room, or the client is gone.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Sent,
    /// Sent, and the subscription is used up.
    SentLast,
    Full,
    Gone,
}

/// Everyone who gets a message.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    plain: Vec<Arc<Route>>,
    groups: BTreeMap<Arc<str>, Vec<Arc<Route>>>,
}

/// Room for one message at every target.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    routes: &'a Routes,
    reserved: Vec<Reserved>,
}

#[derive(Debug)]
enum Reserved {
    Local(mpsc::OwnedPermit<Message>),
    Remote(Arc<Route>),
}

impl Route {
    fn has_room(&self) -> bool {
        match &self.sink {
            Sink::Local(sink) => sink.queue.capacity() > 0,
            Sink::Remote(_) => true,
        }
    }
}

impl LocalSink {
    fn offer(&self, mut message: Message) -> Offer {
        // What waits already comes first.
        let none_waits = self.queue.capacity() == self.queue.max_capacity();
        if let Some(at_once) = self.at_once.as_ref().filter(|_| none_waits) {
            match at_once(message) {
                Ok(()) => return Offer::Sent,
                Err(back) => message = back,
            }
        }
        match self.queue.try_send(message) {
            Ok(()) => Offer::Sent,
            Err(mpsc::error::TrySendError::Full(_)) => Offer::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Offer::Gone,
        }
    }
}

impl fmt::Debug for LocalSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSink").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Targets {
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }
}

impl Routes {
    pub fn new(routes_max: usize) -> Routes {
        Routes {
            table: RwLock::default(),
            watchers: Mutex::default(),
            next_id: AtomicU64::new(1),
            turns: AtomicU64::new(1),
            routes_max,
        }
    }

    pub fn add(
        &self,
        pattern: &Pattern,
        queue: Option<&str>,
        owner: u64,
        sink: Sink,
    ) -> Result<u64, SubscribeError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let route = Route {
            id,
            owner,
            pattern: pattern.clone(),
            queue: queue.map(Arc::from),
            sink,
            last_turn: AtomicU64::new(0),
        };
        {
            let mut table = self.table.write();
            if table.len() >= self.routes_max {
                return Err(SubscribeError::TooMany(self.routes_max));
            }
            table.insert(pattern.as_str(), Arc::new(route));
        }
        self.tell_watchers(pattern);
        Ok(id)
    }

    pub fn remove(&self, pattern: &Pattern, id: u64) {
        self.table.write().remove(pattern.as_str(), |route| route.id == id);
        self.tell_watchers(pattern);
    }

    /// Who gets a message on this subject, except `without`, a connection that does not want its own.
    pub fn targets(&self, subject: &str, without: Option<u64>) -> Targets {
        let mut targets = Targets::default();
        self.table.read().for_each_match(subject, |route| {
            if without == Some(route.owner) {
                return;
            }
            match &route.queue {
                None => targets.plain.push(route.clone()),
                Some(queue) => targets.groups.entry(queue.clone()).or_default().push(route.clone()),
            }
        });
        targets
    }

    pub fn has_interest(&self, subject: &str) -> bool {
        let mut found = false;
        self.table.read().for_each_match(subject, |_| found = true);
        found
    }

    /// Whether someone listens to exactly this subject: alone, or in the given group.
    pub fn has_listener(&self, subject: &str, queue: Option<&str>) -> bool {
        self.table.read().exactly(subject).iter().any(|route| route.queue.as_deref() == queue)
    }

    /// From now on, `watcher` is told when someone starts or stops listening to exactly this subject.
    pub fn watch(&self, subject: &str, watcher: &Arc<Notify>) {
        self.watchers.lock().entry(subject.to_owned()).or_default().push(watcher.clone());
    }

    pub fn unwatch(&self, subject: &str, watcher: &Arc<Notify>) {
        let mut watchers = self.watchers.lock();
        if let Some(of_subject) = watchers.get_mut(subject) {
            of_subject.retain(|other| !Arc::ptr_eq(other, watcher));
            if of_subject.is_empty() {
                watchers.remove(subject);
            }
        }
    }

    fn tell_watchers(&self, pattern: &Pattern) {
        for watcher in self.watchers.lock().get(pattern.as_str()).into_iter().flatten() {
            watcher.notify_one();
        }
    }

    /// Hands a message to all targets. Those without room are waited for, all together at most `patience`.
    pub async fn deliver(
        &self,
        targets: &Targets,
        message: &Message,
        patience: Duration,
    ) -> Result<(), PublishError> {
        let mut waiting: Vec<&[Arc<Route>]> = Vec::new();
        for route in &targets.plain {
            if self.offer(route, message) == Offer::Full {
                waiting.push(std::slice::from_ref(route));
            }
        }
        for members in targets.groups.values() {
            if self.offer_to_one(members, message) == Offer::Full {
                waiting.push(members);
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + patience;
        let mut missed = 0;
        for members in waiting {
            match timeout_at(deadline, self.reserve_at_one(members)).await {
                Ok(Some(reserved)) => self.put(reserved, message),
                Ok(None) => {}
                Err(_) => missed += 1,
            }
        }
        if missed == 0 {
            return Ok(());
        }
        Err(PublishError::NoRoom { subject: message.subject.to_string(), missed, waited: patience })
    }

    /// Hands a message to all targets of a subject if none of them needs waiting for. Answers whether that was so; if not,
    /// nobody got it.
    pub fn offer_all(&self, subject: &str, message: &Message) -> bool {
        let targets = self.targets(subject, None);
        if !targets.plain.iter().chain(targets.groups.values().flatten()).all(|route| route.has_room()) {
            return false;
        }
        for route in &targets.plain {
            self.offer(route, message);
        }
        for members in targets.groups.values() {
            self.offer_to_one(members, message);
        }
        true
    }

    pub fn clear(&self) {
        *self.table.write() = SubjectMap::default();
        self.watchers.lock().clear();
    }

    /// Waits for room at all targets. Targets that go away meanwhile are left out.
    pub async fn reserve(&self, targets: &Targets) -> Reservation<'_> {
        let mut reserved = Vec::with_capacity(targets.plain.len() + targets.groups.len());
        for route in &targets.plain {
            reserved.extend(self.reserve_at_one(std::slice::from_ref(route)).await);
        }
        for members in targets.groups.values() {
            reserved.extend(self.reserve_at_one(members).await);
        }
        Reservation { routes: self, reserved }
    }

    fn offer(&self, route: &Arc<Route>, message: &Message) -> Offer {
        let offer = match &route.sink {
            Sink::Local(sink) => sink.offer(message.clone()),
            Sink::Remote(sink) => sink.offer(message),
        };
        if offer == Offer::SentLast {
            self.remove(&route.pattern, route.id);
        }
        offer
    }

    fn offer_to_one(&self, members: &[Arc<Route>], message: &Message) -> Offer {
        let mut answer = Offer::Gone;
        for route in in_turn(members) {
            match self.offer(route, message) {
                Offer::Sent | Offer::SentLast => {
                    self.took_turn(route);
                    return Offer::Sent;
                }
                Offer::Full => answer = Offer::Full,
                Offer::Gone => {}
            }
        }
        answer
    }

    /// The first member that has room or gets some; none, if all are gone.
    async fn reserve_at_one(&self, members: &[Arc<Route>]) -> Option<Reserved> {
        let mut waiting = Vec::new();
        for route in in_turn(members) {
            match &route.sink {
                Sink::Local(sink) => match sink.queue.clone().try_reserve_owned() {
                    Ok(permit) => {
                        self.took_turn(route);
                        return Some(Reserved::Local(permit));
                    }
                    Err(mpsc::error::TrySendError::Full(_)) => waiting.push(route.clone()),
                    Err(mpsc::error::TrySendError::Closed(_)) => {}
                },
                Sink::Remote(sink) if sink.has_room() => {
                    self.took_turn(route);
                    return Some(Reserved::Remote(route.clone()));
                }
                Sink::Remote(_) => waiting.push(route.clone()),
            }
        }
        let mut room: Vec<_> = waiting.into_iter().map(|route| Box::pin(reserve_at(route))).collect();
        while !room.is_empty() {
            let (reserved, _, rest) = select_all(room).await;
            if reserved.is_some() {
                return reserved;
            }
            room = rest;
        }
        None
    }

    fn put(&self, reserved: Reserved, message: &Message) {
        match reserved {
            Reserved::Local(permit) => {
                permit.send(message.clone());
            }
            Reserved::Remote(route) => {
                self.offer(&route, message);
            }
        }
    }

    fn took_turn(&self, route: &Route) {
        route.last_turn.store(self.turns.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Reservation<'_> {
    pub fn is_empty(&self) -> bool {
        self.reserved.is_empty()
    }

    pub fn send(self, message: &Message) {
        for reserved in self.reserved {
            self.routes.put(reserved, message);
        }
    }
}

/// Whether a queue group may have this name.
pub(crate) fn check_queue(queue: &str) -> Result<(), SubscribeError> {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    let well_formed = !queue.is_empty() && queue.len() <= QUEUE_NAME_LEN_MAX && !queue.contains(bad);
    if well_formed { Ok(()) } else { Err(SubscribeError::Queue(queue.to_owned())) }
}

/// Members in the order of whose turn it is.
fn in_turn(members: &[Arc<Route>]) -> impl Iterator<Item = &Arc<Route>> {
    let mut order: Vec<_> = members.iter().collect();
    if order.len() > 1 {
        order.sort_by_key(|route| route.last_turn.load(Ordering::Relaxed));
    }
    order.into_iter()
}

async fn reserve_at(route: Arc<Route>) -> Option<Reserved> {
    match &route.sink {
        Sink::Local(sink) => sink.queue.clone().reserve_owned().await.ok().map(Reserved::Local),
        Sink::Remote(sink) => {
            sink.room().await;
            Some(Reserved::Remote(route.clone()))
        }
    }
}
