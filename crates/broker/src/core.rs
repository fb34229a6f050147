//! The heart of the broker: where a message goes that someone published.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use trellis_store::Store;
use trellis_subjects::jetstream;

use crate::bus::{Bus, Inbox};
use crate::clock::Clock;
use crate::jetstream::{Answer, Entry, Followed, JetStream};
use crate::memory::Memory;
use crate::{Headers, Message, PublishError, RequestError, Settings, Subject};

pub(crate) struct Core {
    pub bus: Arc<Bus>,
    pub jetstream: Arc<JetStream>,
    pub memory: Arc<Memory>,
    pub next_connection: AtomicU64,
    pub connections: AtomicU64,
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
        let memory = Arc::new(Memory::new(&settings));
        let bus = Arc::new(Bus::new(clock, settings));
        let jetstream = Arc::new(JetStream::new(store, bus.clone()));
        let (next_connection, connections) = (AtomicU64::new(1), AtomicU64::new(0));
        Arc::new(Core { bus, jetstream, memory, next_connection, connections })
    }

    /// Stops all tasks. What is not synced yet is left to whoever can wait for it.
    pub fn close(&self) {
        self.bus.close();
        self.jetstream.stop();
    }

    /// Sends a message where it belongs, and waits until it is there.
    pub async fn publish(
        self: &Arc<Core>,
        message: Message,
        origin: Option<u64>,
    ) -> Result<Fate, PublishError> {
        match self.route(message, origin).await? {
            Routed::Done(fate) => Ok(fate),
            Routed::Append(work) | Routed::Call(work) => work.await,
        }
    }

    /// Sends a message where it belongs: to a consumer, a waiting request, subscribers. What takes a sync or a look at the
    /// store, such as an append or a request to the API, is handed back as work. It starts when first polled.
    pub async fn route(
        self: &Arc<Core>,
        message: Message,
        origin: Option<u64>,
    ) -> Result<Routed, PublishError> {
        self.bus.check_size(message.headers.as_ref(), &message.payload)?;
        let subject = message.subject.as_str();
        if let Some(inbox) = self.bus.inbox(subject) {
            // Whoever asked may have given up since; then nobody misses the answer.
            let _ = inbox.send(message);
            return Ok(Routed::Done(Fate::Taken));
        }
        let targets = self.bus.routes.targets(subject, origin);
        let mut fate = Fate::NoInterest;
        let mut sent = Ok(());
        if !targets.is_empty() {
            sent = self.bus.deliver(&targets, &message).await;
            fate = Fate::Taken;
        }
        if jetstream::is_acknowledgement(message.subject.as_str()) && self.jetstream.acknowledge(&message) {
            fate = Fate::Taken;
        }
        let core = self.clone();
        if jetstream::is_request(message.subject.as_str()) {
            return Ok(Routed::Call(Box::pin(async move { Ok(core.ask_jetstream(&message, fate).await) })));
        }
        match self.jetstream.capturing(message.subject.as_str()) {
            Some(stream) => Ok(Routed::Append(Box::pin(async move { core.append(&stream, message).await }))),
            None => sent.map(|()| Routed::Done(fate)),
        }
    }

    async fn append(&self, stream: &Arc<Followed>, message: Message) -> Result<Fate, PublishError> {
        let Message { subject, reply, headers, payload } = message;
        let appended = self.jetstream.append(stream, Entry::new(subject, headers, payload)).await;
        if let (Some(reply), Some(answer)) = (&reply, JetStream::append_answer(stream, &appended)) {
            self.bus.send(reply, Message::new(reply.clone(), answer)).await;
        }
        match appended {
            Ok(_) => Ok(Fate::Taken),
            Err(error) => {
                let description = error.description.into_owned();
                Err(PublishError::Refused { err_code: error.err_code, description })
            }
        }
    }

    async fn ask_jetstream(&self, message: &Message, fate: Fate) -> Fate {
        match self.jetstream.api(message, message.reply.as_ref()).await {
            Answer::Message { headers, payload } => {
                if let Some(reply) = &message.reply {
                    let answer = Message { subject: reply.clone(), reply: None, headers, payload };
                    self.bus.send(reply, answer).await;
                }
                Fate::Taken
            }
            Answer::Later => Fate::Taken,
            Answer::Nobody => fate,
        }
    }

    /// Asks and waits for one answer.
    pub async fn request(
        self: &Arc<Core>,
        subject: Subject,
        headers: Option<Headers>,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Message, RequestError> {
        self.bus.check_size(headers.as_ref(), &payload)?;
        let message = Message { subject, reply: None, headers, payload };
        let subject = message.subject.clone();
        match tokio::time::timeout(patience, self.request_without_limit(message)).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Timeout { subject: subject.to_string(), waited: patience }),
        }
    }

    /// JetStream answers right here, without an inbox, unless someone else listens on the subject too.
    async fn request_without_limit(self: &Arc<Core>, mut message: Message) -> Result<Message, RequestError> {
        let subject = message.subject.clone();
        if !self.bus.routes.has_interest(subject.as_str()) {
            if let Some(stream) = self.jetstream.capturing(subject.as_str()) {
                let entry = Entry::new(message.subject, message.headers, message.payload);
                let appended = self.jetstream.append(&stream, entry).await;
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
        let (inbox, answer) = Inbox::open(&self.bus);
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
        match self.jetstream.api(&message, None).await {
            Answer::Message { headers, payload } => {
                Ok(Message { subject: message.subject.clone(), reply: None, headers, payload })
            }
            Answer::Later | Answer::Nobody => Err(nobody()),
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("bus", &self.bus)
            .field("jetstream", &self.jetstream)
            .finish_non_exhaustive()
    }
}
