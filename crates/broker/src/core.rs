//! The heart of the broker: where a message goes that someone published.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use trellis_store::Store;
use trellis_subjects::jetstream;

use crate::clock::{self, Clock, Moment};
use crate::jetstream::{Answer, Entry, JetStream, Status, Stream};
use crate::routes::Routes;
use crate::server::Memory;
use crate::{Headers, Message, PublishError, RequestError, Settings, Subject};

/// Replies to requests of this process go to subjects under here, one for each request.
pub(crate) const INBOX: &str = "_INBOX.trellis.";

pub(crate) struct Core {
    me: Weak<Core>,
    pub routes: Routes,
    pub jetstream: JetStream,
    pub settings: Settings,
    clock: Arc<dyn Clock>,
    /// Who waits at which inbox. Only ever looked up, never listed.
    inboxes: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    next_inbox: AtomicU64,
    pub next_connection: AtomicU64,
    pub connections: AtomicU64,
    pub memory: Arc<Memory>,
    /// Messages that were dropped because a subscriber had no room for too long.
    dropped: AtomicU64,
    closed: watch::Sender<bool>,
    is_closed: AtomicBool,
}

/// Where a published message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// Nobody listens there.
    NoInterest,
}

/// What remains to be done for a message.
pub(crate) enum Routed {
    Done(Fate),
    /// It goes to a stream.
    Append(Work),
    /// It asks the API.
    Call(Work),
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Fate, PublishError>> + Send>>;

impl Core {
    pub fn new(store: Store, clock: Arc<dyn Clock>, settings: Settings) -> Arc<Core> {
        Arc::new_cyclic(|me| Core {
            me: me.clone(),
            routes: Routes::new(settings.subscriptions_max),
            jetstream: JetStream::new(store),
            memory: Arc::new(Memory::new(&settings)),
            settings,
            clock,
            inboxes: Mutex::default(),
            next_inbox: AtomicU64::new(1),
            next_connection: AtomicU64::new(1),
            connections: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            closed: watch::Sender::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// The date, in nanoseconds since 1970.
    pub fn now(&self) -> i64 {
        clock::unix_nanos(self.clock.now())
    }

    pub fn moment(&self) -> Moment {
        Moment { date: self.now(), at: Instant::now() }
    }

    pub fn server_id(&self) -> &'static str {
        "TRELLIS"
    }

    /// Runs a task for as long as the broker is open.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut closed = self.closed.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => {}
                () = task => {}
            }
        });
    }

    /// Runs a task to its end, whether or not whoever asks goes on waiting for it. Nothing, if the broker closes before.
    pub async fn finish<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, result) = oneshot::channel();
        self.spawn(async move {
            // Whoever asked may have given up since: the task is done all the same.
            let _ = sender.send(task.await);
        });
        result.await.ok()
    }

    /// Resolves once the broker is closed.
    pub async fn until_closed(&self) {
        // The sender lives as long as `self`, so this only ends when the broker is closed.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Stops all tasks. What is not synced yet is left to whoever can wait for it.
    pub fn close(&self) {
        if !self.is_closed.swap(true, Ordering::AcqRel) {
            self.closed.send_replace(true);
            self.jetstream.stop(self);
            self.routes.clear();
            self.inboxes.lock().clear();
        }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn check_size(&self, headers: Option<&Headers>, payload: &Bytes) -> Result<(), PublishError> {
        let len = payload.len() + headers.map_or(0, |headers| headers.as_bytes().len());
        let max = self.settings.payload_len_max;
        if len > max { Err(PublishError::TooLarge { len, max }) } else { Ok(()) }
    }

    /// Sends a message where it belongs, and waits until it is there.
    pub async fn publish(&self, message: Message, origin: Option<u64>) -> Result<Fate, PublishError> {
        match self.route(message, origin).await? {
            Routed::Done(fate) => Ok(fate),
            Routed::Append(work) | Routed::Call(work) => work.await,
        }
    }

    /// Sends a message where it belongs: to a consumer, a waiting request, subscribers. What takes a sync or a look at the
    /// store, such as an append or a request to the API, is handed back as work. It starts when first polled.
    pub async fn route(&self, message: Message, origin: Option<u64>) -> Result<Routed, PublishError> {
        self.check_size(message.headers.as_ref(), &message.payload)?;
        let subject = message.subject.as_str();
        if let Some(inbox) = self.inbox(subject) {
            // Whoever asked may have given up since; then nobody misses the answer.
            let _ = inbox.send(message);
            return Ok(Routed::Done(Fate::Taken));
        }
        let targets = self.routes.targets(subject, origin);
        let mut fate = Fate::NoInterest;
        let mut sent = Ok(());
        if !targets.is_empty() {
            sent = self.deliver(&targets, &message).await;
            fate = Fate::Taken;
        }
        if jetstream::is_acknowledgement(message.subject.as_str())
            && self.jetstream.acknowledge(self, &message)
        {
            fate = Fate::Taken;
        }
        let Some(core) = self.me.upgrade() else { return Ok(Routed::Done(fate)) };
        if jetstream::is_request(message.subject.as_str()) {
            return Ok(Routed::Call(Box::pin(async move { Ok(core.ask_jetstream(&message, fate).await) })));
        }
        match self.jetstream.capturing(message.subject.as_str()) {
            Some(stream) => Ok(Routed::Append(Box::pin(async move { core.append(&stream, message).await }))),
            None => sent.map(|()| Routed::Done(fate)),
        }
    }

    async fn append(&self, stream: &Arc<Stream>, message: Message) -> Result<Fate, PublishError> {
        let Message { subject, reply, headers, payload } = message;
        let appended = self.jetstream.append(self, stream, Entry::new(subject, headers, payload)).await;
        if let (Some(reply), Some(answer)) = (&reply, JetStream::append_answer(stream, &appended)) {
            self.send(reply, Message::new(reply.clone(), answer)).await;
        }
        match appended {
            Ok(_) => Ok(Fate::Taken),
            Err(error) => {
                let description = error.description.into_owned();
                Err(PublishError::Refused { err_code: error.err_code, description })
            }
        }
    }

    async fn deliver(&self, targets: &crate::routes::Targets, message: &Message) -> Result<(), PublishError> {
        let sent = self.routes.deliver(targets, message, self.settings.publish_wait).await;
        if let Err(PublishError::NoRoom { missed, .. }) = &sent {
            self.dropped.fetch_add(u64::try_from(*missed).unwrap_or(1), Ordering::Relaxed);
            tracing::warn!(subject = %message.subject, missed, "slow subscribers: message dropped for them");
        }
        sent
    }

    async fn ask_jetstream(self: &Arc<Core>, message: &Message, fate: Fate) -> Fate {
        match self.jetstream.api(self, message, message.reply.as_ref()).await {
            Answer::Message { headers, payload } => {
                if let Some(reply) = &message.reply {
                    let answer = Message { subject: reply.clone(), reply: None, headers, payload };
                    self.send(reply, answer).await;
                }
                Fate::Taken
            }
            Answer::Later => Fate::Taken,
            Answer::Nobody => fate,
        }
    }

    /// Asks and waits for one answer.
    pub async fn request(
        &self,
        subject: Subject,
        headers: Option<Headers>,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Message, RequestError> {
        self.check_size(headers.as_ref(), &payload)?;
        let message = Message { subject, reply: None, headers, payload };
        let subject = message.subject.clone();
        match tokio::time::timeout(patience, self.request_without_limit(message)).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Timeout { subject: subject.to_string(), waited: patience }),
        }
    }

    /// JetStream answers right here, without an inbox, unless someone else listens on the subject too.
    async fn request_without_limit(&self, mut message: Message) -> Result<Message, RequestError> {
        let subject = message.subject.clone();
        if !self.routes.has_interest(subject.as_str()) {
            if let Some(stream) = self.jetstream.capturing(subject.as_str()) {
                let entry = Entry::new(message.subject, message.headers, message.payload);
                let appended = self.jetstream.append(self, &stream, entry).await;
                return match JetStream::append_answer(&stream, &appended) {
                    Some(answer) => Ok(Message::new(subject, answer)),
                    None => std::future::pending().await,
                };
            }
            let waits = subject.as_str().starts_with("$JS.API.CONSUMER.MSG.NEXT.");
            if jetstream::is_request(subject.as_str()) && !waits {
                return self.ask_directly(message).await;
            }
        }
        let (inbox, answer) = Inbox::open(self);
        message.reply = Some(inbox.subject.clone());
        match self.publish(message, None).await {
            Ok(Fate::Taken) | Err(PublishError::Refused { .. }) => {}
            Ok(Fate::NoInterest) => return Err(RequestError::NoResponders { subject: subject.to_string() }),
            Err(error) => return Err(error.into()),
        }
        answer.await.map_err(|_| RequestError::NoResponders { subject: subject.to_string() })
    }

    async fn ask_directly(&self, message: Message) -> Result<Message, RequestError> {
        let nobody = || RequestError::NoResponders { subject: message.subject.to_string() };
        let core = self.me.upgrade().ok_or_else(nobody)?;
        match self.jetstream.api(&core, &message, None).await {
            Answer::Message { headers, payload } => {
                Ok(Message { subject: message.subject.clone(), reply: None, headers, payload })
            }
            Answer::Later | Answer::Nobody => Err(nobody()),
        }
    }

    fn inbox(&self, subject: &str) -> Option<oneshot::Sender<Message>> {
        let number = subject.strip_prefix(INBOX)?.parse().ok()?;
        self.inboxes.lock().remove(&number)
    }

    pub fn has_inbox(&self, subject: &Subject) -> bool {
        let number = subject.as_str().strip_prefix(INBOX).and_then(|number| number.parse().ok());
        number.is_some_and(|number: u64| self.inboxes.lock().contains_key(&number))
    }

    pub fn is_listened_to(&self, subject: &Subject) -> bool {
        self.has_inbox(subject) || self.routes.has_interest(subject.as_str())
    }

    /// Sends an answer, waiting for room where it must.
    async fn send(&self, to: &Subject, message: Message) {
        if let Some(inbox) = self.inbox(to.as_str()) {
            let _ = inbox.send(message);
            return;
        }
        let targets = self.routes.targets(to.as_str(), None);
        // A subscriber that has no room for too long is counted and logged; the sender of an answer cannot help it.
        let _ = self.deliver(&targets, &message).await;
    }

    /// Sends an answer without waiting here.
    pub fn send_soon(&self, to: &Subject, message: Message) {
        let Some(core) = self.me.upgrade() else { return };
        if self.has_inbox(to) || self.routes.offer_all(to.as_str(), &message) {
            if let Some(inbox) = self.inbox(to.as_str()) {
                let _ = inbox.send(message);
            }
            return;
        }
        let to = to.clone();
        tokio::spawn(async move { core.send(&to, message).await });
    }

    pub fn send_statuses(&self, statuses: Vec<Status>) {
        for status in statuses {
            let message = status.into_message();
            self.send_soon(&message.subject.clone(), message);
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("routes", &self.routes)
            .field("jetstream", &self.jetstream)
            .finish_non_exhaustive()
    }
}

/// A place for one answer, closed when dropped.
struct Inbox<'a> {
    core: &'a Core,
    number: u64,
    subject: Subject,
}

impl Inbox<'_> {
    fn open(core: &Core) -> (Inbox<'_>, oneshot::Receiver<Message>) {
        let number = core.next_inbox.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        core.inboxes.lock().insert(number, sender);
        (Inbox { core, number, subject: Subject::inbox(INBOX, number) }, answer)
    }
}

impl Drop for Inbox<'_> {
    fn drop(&mut self) {
        self.core.inboxes.lock().remove(&self.number);
    }
}
