//! `wasmcloud:messaging`: publishing and asking through the host's own broker, and being called with messages.
//!
//! ```yaml
//! - name: messaging
//!   type: capability
//!   properties: { image: ghcr.io/wasmcloud/messaging-nats:0.27.0 }
//!   traits:
//!     - type: link
//!       properties:
//!         namespace: wasmcloud
//!         package: messaging
//!         interfaces: [handler]
//!         target: { name: posts }
//!         source:
//!           config:
//!             - name: posts-subscriptions
//!               properties: { subscriptions: "deliver.posts|posts,svc.posts|posts,trellis.announce" }
//! ```
//!
//! The interface has no headers: what a message carries in them is not seen by components.

use std::sync::Arc;
use std::time::Duration;

use trellis_broker::{Broker, Message, Subject};
use wasmtime::component::{HasData, Linker};

use crate::observe::Probe;
use crate::permissions::{Permissions, Sent};
use crate::waiting::Waiting;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/messaging",
        inline: "
            package trellis:host;
            world messaging {
                import wasmcloud:messaging/consumer@0.2.0;
                export wasmcloud:messaging/handler@0.2.0;
            }
        ",
        world: "trellis:host/messaging",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}
pub(crate) use generated::exports::wasmcloud::messaging::handler;
use generated::wasmcloud::messaging::consumer;
pub(crate) use generated::wasmcloud::messaging::types::BrokerMessage;

/// A component may ask to wait this long; more is taken as this.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const BODY_BYTES_MAX: usize = 1 << 20;

/// The broker, if the component has a link to it, and what it may do there, and how many of its requests wait for whom.
#[derive(Clone)]
pub(crate) struct MessagingCtx {
    pub(crate) broker: Option<Broker>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) permissions: Arc<Permissions>,
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    consumer::add_to_linker::<T, Messaging>(linker, view)
}

struct Messaging;

impl HasData for Messaging {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a MessagingCtx,
    /// Where the message that is being handled asks to be answered.
    pub(crate) answering: Option<&'a str>,
    pub(crate) probe: &'a Probe,
}

impl View<'_> {
    fn broker(&self) -> Result<&Broker, String> {
        self.ctx.broker.as_ref().ok_or_else(|| "no link to a messaging capability".to_owned())
    }

    async fn ask(&self, subject: &str, body: Vec<u8>, timeout: Duration) -> Result<BrokerMessage, String> {
        let subject = checked(subject, &body)?;
        let sent = Sent { subject: &subject, reply: None, body: &body, answering: self.answering };
        self.ctx.permissions.check(&sent)?;
        let _entered = self.ctx.waiting.enter(subject.as_str()).await?;
        let reply = self.broker()?.request(subject, None, body, timeout.min(TIMEOUT_MAX)).await;
        reply.map(to_guest).map_err(|error| error.to_string())
    }

    async fn send(&self, message: BrokerMessage) -> Result<(), String> {
        let BrokerMessage { subject, body, reply_to } = message;
        let subject = checked(&subject, &body)?;
        let reply = reply_to.map(|reply| checked(&reply, &[])).transpose()?;
        let sent = Sent { subject: &subject, reply: reply.as_ref(), body: &body, answering: self.answering };
        self.ctx.permissions.check(&sent)?;
        let message = Message { subject, reply, headers: None, payload: body.into() };
        self.broker()?.publish(message).await.map_err(|error| error.to_string())
    }
}

fn checked(subject: &str, body: &[u8]) -> Result<Subject, String> {
    if body.len() > BODY_BYTES_MAX {
        return Err(format!("a message has at most {BODY_BYTES_MAX} bytes, this one has {}", body.len()));
    }
    Subject::new(subject).map_err(|error| error.to_string())
}

/// A message as the interface has it.
pub(crate) fn to_guest(message: Message) -> BrokerMessage {
    BrokerMessage {
        subject: message.subject.to_string(),
        body: message.payload.to_vec(),
        reply_to: message.reply.map(|reply| reply.to_string()),
    }
}

impl consumer::Host for View<'_> {
    async fn request(
        &mut self,
        subject: String,
        body: Vec<u8>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<BrokerMessage, String>> {
        self.probe.enter("messaging.request", |f| _ = f.add(&subject).add(&body)).await?;
        let result = self.ask(&subject, body, Duration::from_millis(u64::from(timeout_ms))).await;
        self.probe.leave("messaging.request", |f| match &result {
            Ok(reply) => _ = f.add(&reply.subject).add(&reply.body),
            Err(error) => _ = f.add(error),
        })?;
        Ok(result)
    }

    async fn publish(&mut self, message: BrokerMessage) -> wasmtime::Result<Result<(), String>> {
        self.probe.enter("messaging.publish", |f| _ = f.add(&message.subject).add(&message.body)).await?;
        let result = self.send(message).await;
        self.probe.leave("messaging.publish", |f| _ = f.add(format!("{result:?}")))?;
        Ok(result)
    }
}
