//! Messages on their way to whoever listens in this process or on a connection, and the time and the tasks of the broker.
//! Of streams nothing is known here.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::clock::{self, Clock, Moment};
use crate::routes::{Routes, Targets};
use crate::{Headers, Message, PublishError, Settings, Subject};

/// Replies to requests of this process go to subjects under here, one for each request.
pub(crate) const INBOX: &str = "_INBOX.trellis.";

pub(crate) struct Bus {
    pub routes: Routes,
    pub settings: Settings,
    clock: Arc<dyn Clock>,
    /// Who waits at which inbox. Only ever looked up, never listed.
    inboxes: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    next_inbox: AtomicU64,
    /// Messages that were dropped because a subscriber had no room for too long.
    dropped: AtomicU64,
    closed: watch::Sender<bool>,
    is_closed: AtomicBool,
}

impl Bus {
    pub fn new(clock: Arc<dyn Clock>, settings: Settings) -> Bus {
        Bus {
            routes: Routes::new(settings.subscriptions_max),
            settings,
            clock,
            inboxes: Mutex::default(),
            next_inbox: AtomicU64::new(1),
            dropped: AtomicU64::new(0),
            closed: watch::Sender::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// The date, in nanoseconds since 1970.
    pub fn now(&self) -> i64 {
        clock::unix_nanos(self.clock.now())
    }

    pub fn moment(&self) -> Moment {
        Moment { date: self.now(), at: Instant::now() }
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

    /// Stops all tasks, and ends what listens and waits.
    pub fn close(&self) {
        if !self.is_closed.swap(true, Ordering::AcqRel) {
            self.closed.send_replace(true);
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

    /// Sends a message to those who listen, waiting for room where it must.
    pub async fn deliver(&self, targets: &Targets, message: &Message) -> Result<(), PublishError> {
        let sent = self.routes.deliver(targets, message, self.settings.publish_wait).await;
        if let Err(PublishError::NoRoom { missed, .. }) = &sent {
            self.dropped.fetch_add(u64::try_from(*missed).unwrap_or(1), Ordering::Relaxed);
            tracing::warn!(subject = %message.subject, missed, "slow subscribers: message dropped for them");
        }
        sent
    }

    /// Takes whoever waits at an inbox for the one answer.
    pub fn inbox(&self, subject: &str) -> Option<oneshot::Sender<Message>> {
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
    pub async fn send(&self, to: &Subject, message: Message) {
        if let Some(inbox) = self.inbox(to.as_str()) {
            let _ = inbox.send(message);
            return;
        }
        let targets = self.routes.targets(to.as_str(), None);
        // A subscriber that has no room for too long is counted and logged; the sender of an answer cannot help it.
        let _ = self.deliver(&targets, &message).await;
    }

    /// Sends an answer without waiting here.
    pub fn send_soon(self: &Arc<Bus>, to: &Subject, message: Message) {
        if self.has_inbox(to) || self.routes.offer_all(to.as_str(), &message) {
            if let Some(inbox) = self.inbox(to.as_str()) {
                let _ = inbox.send(message);
            }
            return;
        }
        let (bus, to) = (self.clone(), to.clone());
        tokio::spawn(async move { bus.send(&to, message).await });
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// A place for one answer, closed when dropped.
pub(crate) struct Inbox<'a> {
    bus: &'a Bus,
    number: u64,
    pub subject: Subject,
}

impl Inbox<'_> {
    pub fn open(bus: &Bus) -> (Inbox<'_>, oneshot::Receiver<Message>) {
        let number = bus.next_inbox.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        bus.inboxes.lock().insert(number, sender);
        (Inbox { bus, number, subject: Subject::inbox(INBOX, number) }, answer)
    }
}

impl Drop for Inbox<'_> {
    fn drop(&mut self) {
        self.bus.inboxes.lock().remove(&self.number);
    }
}
