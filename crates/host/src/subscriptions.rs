//! From the broker to components: each message of a subscription becomes a call of `wasmcloud:messaging/handler`.
//!
//! As many messages of a component are under way as it has instances; the rest waits in the subscription, which is bounded.
//!
//! When a call fails (trap, overrun, no free instance) on a JetStream delivery, the host says so with a delayed NAK. The
//! component cannot say it any more, and without it the delivery would only come again after `ack_wait`, during which its
//! partition stands still. A stock provider cannot do this; there the delivery comes again after `ack_wait`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trellis_broker::{Broker, Message, Subject, Subscription};

use crate::app::StartError;
use crate::capabilities::messaging::to_guest;
use crate::component::Component;
use crate::manifest::SubscriptionPlan;

const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// Subscribes `component` as planned. The subscriptions are there when this returns.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    broker: &Broker,
    component: &Arc<Component>,
    plans: &[SubscriptionPlan],
) -> Result<(), StartError> {
    let under_way = Arc::new(Semaphore::new(component.instances()));
    for plan in plans {
        let subscription = broker.subscribe(&plan.subject, plan.queue.as_deref()).map_err(|error| {
            let (component, subject) = (component.name.to_string(), plan.subject.clone());
            StartError::Subscription { component, subject, reason: error.to_string() }
        })?;
        tasks.spawn(consume(subscription, broker.clone(), component.clone(), under_way.clone()));
    }
    Ok(())
}

async fn consume(
    mut subscription: Subscription,
    broker: Broker,
    component: Arc<Component>,
    under_way: Arc<Semaphore>,
) {
    while let Some(message) = subscription.next().await {
        let Ok(permit) = under_way.clone().acquire_owned().await else { return };
        let (broker, component) = (broker.clone(), component.clone());
        tokio::spawn(async move {
            handle(&broker, &component, message).await;
            drop(permit);
        });
    }
}

async fn handle(broker: &Broker, component: &Arc<Component>, message: Message) {
    let (subject, reply) = (message.subject.clone(), message.reply.clone());
    let delivery = reply.as_ref().and_then(Delivery::parse);
    match component.message(to_guest(message)).await {
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

/// What the reply subject of a JetStream delivery says about it.
#[derive(Debug)]
struct Delivery {
    stream: String,
    sequence: u64,
    attempts: u32,
}

impl Delivery {
    fn parse(reply: &Subject) -> Option<Delivery> {
        let mut tokens = reply.as_str().strip_prefix("$JS.ACK.")?.split('.');
        let stream = tokens.next()?.to_owned();
        let _consumer = tokens.next()?;
        let attempts = tokens.next()?.parse().ok()?;
        let sequence = tokens.next()?.parse().ok()?;
        Some(Delivery { stream, sequence, attempts })
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
        let delivery = Delivery { stream: String::new(), sequence: 1, attempts: u32::MAX };
        assert_eq!(delivery.delay(), RETRY_DELAY_MAX);
    }
}
