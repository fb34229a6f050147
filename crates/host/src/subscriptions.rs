//! From the broker to components: each message of a subscription becomes a call of `wasmcloud:messaging/handler`.
//!
//! A message waits in its subscription, which is bounded, until the component has a permit for another call. A request for
//! which there is one already does not go that way: it is handled where it is asked.
//!
//! When a call fails (trap, overrun, the component stopped) on a JetStream delivery, the host says so with a delayed NAK. The
//! component cannot say it any more, and without it the delivery would only come again after `ack_wait`, during which its
//! partition stands still. A stock provider cannot do this; there the delivery comes again after `ack_wait`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trellis_broker::{Broker, Message, Subject, Subscription};
use trellis_subjects::jetstream::Acknowledgement;

use crate::capabilities::messaging::to_guest;
use crate::component::{CallError, Component};
use crate::manifest::SubscriptionPlan;
use crate::permits::{Permit, Purpose};
use crate::start::StartError;

const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// The subscriptions of one running component. Dropping them ends them, and what waits in them is lost.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    consumers: JoinSet<()>,
    end: watch::Sender<bool>,
}

impl Subscriptions {
    /// Subscribes `component` as planned. The subscriptions are there when this returns.
    pub(crate) fn start(
        broker: &Broker,
        component: &Arc<Component>,
        plans: &[SubscriptionPlan],
    ) -> Result<Subscriptions, StartError> {
        let (end, ended) = watch::channel(false);
        let mut consumers = JoinSet::new();
        for plan in plans {
            let (broker, component, ended) = (broker.clone(), component.clone(), ended.clone());
            let at_once = {
                let (broker, component) = (broker.clone(), component.clone());
                move |message| at_once(&broker, &component, message)
            };
            let subscribed = broker.subscribe_at_once(&plan.subject, plan.queue.as_deref(), at_once);
            let subscription = subscribed.map_err(|error| {
                let (component, subject) = (component.name.to_string(), plan.subject.clone());
                StartError::Subscription { component, subject, reason: error.to_string() }
            })?;
            consumers.spawn(Consumer { subscription, broker, component, ended }.take());
        }
        Ok(Subscriptions { consumers, end })
    }

    /// Lets nobody find a listener any more.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
    }

    /// Waits, after [`end`](Subscriptions::end), until the component has been given every message that was here.
    pub(crate) async fn ended(&mut self) {
        while self.consumers.join_next().await.is_some() {}
    }
}

/// One subscription of a component.
struct Consumer {
    subscription: Subscription,
    broker: Broker,
    component: Arc<Component>,
    ended: watch::Receiver<bool>,
}

impl Consumer {
    /// Gives the component what has to wait, until the subscription has ended.
    async fn take(mut self) {
        loop {
            let message = tokio::select! {
                biased;
                // A sender that is gone means the same.
                _ = self.ended.wait_for(|ended| *ended) => break,
                message = self.subscription.next() => message,
            };
            let Some(message) = message else { return };
            self.give(message).await;
        }
        self.subscription.unsubscribe();
        while let Some(message) = self.subscription.next().await {
            self.give(message).await;
        }
    }

    /// Waits for a permit and handles the message with it, beside others.
    async fn give(&self, message: Message) {
        let permit = self.component.permit(purpose_of(&message)).await;
        begin(&self.broker, &self.component, permit, message);
    }
}

/// Begins to handle a request on the thread of whoever asks, if there is a permit for it. Events wait for each other.
fn at_once(broker: &Broker, component: &Arc<Component>, message: Message) -> Result<(), Message> {
    if purpose_of(&message) == Purpose::Event {
        return Err(message);
    }
    let Some(permit) = component.free_permit(Purpose::Request) else { return Err(message) };
    begin(broker, component, Ok(permit), message);
    Ok(())
}

/// Begins to handle a message where messages of its purpose are handled.
fn begin(broker: &Broker, component: &Arc<Component>, permit: Result<Permit, CallError>, message: Message) {
    let (broker, component) = (broker.clone(), component.clone());
    let on = component.runs_on(purpose_of(&message));
    on.spawn(async move { handle(&broker, &component, permit, message).await });
}

fn purpose_of(message: &Message) -> Purpose {
    Purpose::of_message(message.reply.as_ref().map(Subject::as_str))
}

async fn handle(
    broker: &Broker,
    component: &Arc<Component>,
    permit: Result<Permit, CallError>,
    message: Message,
) {
    let (subject, reply) = (message.subject.clone(), message.reply.clone());
    let delivery = reply.as_ref().and_then(Delivery::parse);
    let result = match permit {
        Ok(permit) => component.message_in(permit, to_guest(message)).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(Ok(())) => {}
        // The component knows, and has said to the stream what it wants.
        Ok(Err(error)) => tracing::warn!(component = %component.name, %subject, error, "message not handled"),
        Err(error) => {
            let event = delivery.as_ref().map(Delivery::to_string);
            tracing::error!(component = %component.name, %subject, event, %error, "message failed");
            if let (Some(delivery), Some(reply)) = (delivery, reply) {
                delivery.retry_later(broker, reply).await;
            }
        }
    }
}

/// A delivery of a stream, as the subject says on which it is acknowledged.
#[derive(Debug)]
struct Delivery {
    stream: String,
    sequence: u64,
    attempts: u64,
}

impl Delivery {
    fn parse(reply: &Subject) -> Option<Delivery> {
        let said = Acknowledgement::parse(reply.as_str())?;
        Some(Delivery { stream: said.stream.to_owned(), sequence: said.seq, attempts: said.attempt })
    }

    fn delay(&self) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(16);
        RETRY_DELAY_MIN.saturating_mul(1 << doublings).min(RETRY_DELAY_MAX)
    }

    async fn retry_later(&self, broker: &Broker, reply: Subject) {
        let nak = format!("-NAK {{\"delay\": {}}}", self.delay().as_nanos());
        if let Err(error) = broker.publish(Message::new(reply, Bytes::from(nak))).await {
            tracing::warn!(%error, event = %self, "delivery not put off: it comes again when its ack_wait is over");
        }
    }
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.stream, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_read_from_its_reply_subject() {
        let reply = Subject::new("$JS.ACK.LOG_posts.comments_3.4.17.9.1700000000000000000.2").unwrap();
        let delivery = Delivery::parse(&reply).unwrap();
        assert_eq!((delivery.to_string().as_str(), delivery.attempts), ("LOG_posts:17", 4));
        assert_eq!(delivery.delay(), Duration::from_secs(8));
        for other in ["_INBOX.abc", "$JS.ACK.a", "$JS.ACK.a.b.x.1"] {
            assert!(Delivery::parse(&Subject::new(other).unwrap()).is_none(), "{other}");
        }
    }

    #[test]
    fn the_delay_is_bounded() {
        let delivery = Delivery { stream: String::new(), sequence: 1, attempts: u64::MAX };
        assert_eq!(delivery.delay(), RETRY_DELAY_MAX);
    }
}
