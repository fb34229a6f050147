//! NATS-shaped messaging inside one process: subjects with wildcards, queue groups, requests with answers, and the part of
//! JetStream that durable event logs need, kept in a `trellis_store::Store`.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use trellis_broker::{Broker, Message, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::open(trellis_store::Store::in_memory(), Arc::new(SystemClock)).await?;
//! let mut greetings = broker.subscribe("greet.*", None)?;
//! broker.publish(Message::new("greet.joe".try_into()?, "hello")).await?;
//! assert_eq!(greetings.next().await.expect("a message").payload, "hello");
//!
//! // JetStream is requests, as on a NATS server.
//! let config = r#"{"name":"LOG","subjects":["log.>"]}"#;
//! let second = Duration::from_secs(1);
//! broker.request("$JS.API.STREAM.CREATE.LOG", None, config, second).await?;
//! let appended = broker.request("log.a", None, "durable", second).await?;
//! assert_eq!(appended.payload, r#"{"stream":"LOG","seq":1}"#);
//! # Ok(())
//! # }
//! ```
//!
//! Answers of the API are those of nats-server 2.15, texts and codes included; a transcript test holds them equal. A setting
//! that nats-server has and this broker has not is refused by name.

mod bus;
mod clock;
mod core;
mod error;
mod jetstream;
mod memory;
mod message;
mod routes;
mod server;
mod settings;
mod subject_map;
mod subscription;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use trellis_store::Store;

pub use clock::{Clock, SystemClock, TokioClock};
pub use error::{Error, PublishError, RequestError, SubscribeError};
pub use message::{Headers, HeadersError, Message};
pub use settings::Settings;
pub use subscription::Subscription;
pub use trellis_subjects::{Pattern, SUBJECT_LEN_MAX, SUBJECT_TOKENS_MAX, Subject, SubjectError};

use crate::bus::INBOX;
use crate::core::{Core, Fate};
use crate::routes::{AtOnce, LocalSink, Sink, check_queue};

/// The broker. Clones share it; it closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Broker {
    core: Arc<Core>,
    _owner: Arc<Owner>,
}

/// Closes the broker when no handle is left. Tasks hold the core, never this.
#[derive(Debug)]
struct Owner(Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the connections of all clients have of the memory that their messages may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Of messages that are being read, without those that fit into the buffer that every connection has.
    pub reading: usize,
    /// Of messages that are not yet where they go.
    pub publishing: usize,
    /// Of what waits to be written.
    pub outgoing: usize,
}

impl Broker {
    /// What is on its way between clients and this broker.
    pub fn in_flight(&self) -> InFlight {
        let memory = &self.core.memory;
        InFlight {
            reading: memory.reading.bytes(),
            publishing: memory.publishing.bytes(),
            outgoing: memory.outgoing.bytes(),
        }
    }

    /// Whether answers to requests of this process are taken there: their subjects can be guessed.
    pub fn is_own_inbox(subject: &Subject) -> bool {
        subject.as_str().starts_with(INBOX)
    }

    /// Opens the broker on what the store holds of it, and starts to deliver.
    pub async fn open(store: Store, clock: Arc<dyn Clock>) -> Result<Broker, Error> {
        Broker::open_with(store, clock, Settings::default()).await
    }

    pub async fn open_with(store: Store, clock: Arc<dyn Clock>, settings: Settings) -> Result<Broker, Error> {
        let core = Core::new(store, clock, settings);
        let broker = Broker { core: core.clone(), _owner: Arc::new(Owner(core.clone())) };
        core.jetstream.open().await?;
        Ok(broker)
    }

    /// Publishes. For a subject that a stream captures, this returns when the message is durable.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.core.publish(message, None).await.map(|_: Fate| ())
    }

    /// Asks, and waits for the first answer.
    pub async fn request<S>(
        &self,
        subject: S,
        headers: Option<Headers>,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Message, RequestError>
    where
        S: TryInto<Subject>,
        RequestError: From<S::Error>,
    {
        self.core.request(subject.try_into()?, headers, payload.into(), timeout).await
    }

    /// Listens. Members of one queue group share the messages. Dropping the subscription ends it.
    pub fn subscribe(
        &self,
        pattern: impl AsRef<str>,
        queue: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        self.subscribe_with(pattern, queue, self.core.bus.settings.subscription_queue_len)
    }

    /// Listens with a queue of a given length.
    pub fn subscribe_with(
        &self,
        pattern: impl AsRef<str>,
        queue: Option<&str>,
        queue_len: usize,
    ) -> Result<Subscription, SubscribeError> {
        self.listen(pattern, queue, queue_len, None)
    }

    /// Listens, and is asked first: what `at_once` takes, on the thread of whoever publishes it, does not pass through the
    /// queue. It gives back what has to wait, and is not asked while something waits. It must not block, nor publish.
    pub fn subscribe_at_once(
        &self,
        pattern: impl AsRef<str>,
        queue: Option<&str>,
        at_once: impl Fn(Message) -> Result<(), Message> + Send + Sync + 'static,
    ) -> Result<Subscription, SubscribeError> {
        self.listen(pattern, queue, self.core.bus.settings.subscription_queue_len, Some(Box::new(at_once)))
    }

    fn listen(
        &self,
        pattern: impl AsRef<str>,
        group: Option<&str>,
        queue_len: usize,
        at_once: Option<AtOnce>,
    ) -> Result<Subscription, SubscribeError> {
        let pattern = Pattern::new(pattern)?;
        if let Some(group) = group {
            check_queue(group)?;
        }
        let (queue, messages) = mpsc::channel(queue_len.max(1));
        let id = self.core.bus.routes.add(&pattern, group, 0, Sink::Local(LocalSink { queue, at_once }))?;
        Ok(Subscription { bus: Arc::downgrade(&self.core.bus), pattern, id, messages })
    }

    /// How many messages were dropped since the start because a subscriber had no room for too long.
    pub fn dropped_messages(&self) -> u64 {
        self.core.bus.dropped()
    }

    /// Serves ordinary NATS clients until `shutdown` resolves; then their connections are closed.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        server::serve(&self.core, listener, shutdown).await
    }

    /// Stops delivering, and returns when everything that consumers did is durable. Subscriptions end.
    pub async fn close(&self) {
        self.core.close();
        self.core.jetstream.keeper.sync().await;
    }
}
