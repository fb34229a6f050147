//! A subscription of this process.

use std::sync::Weak;

use tokio::sync::mpsc;

use crate::bus::Bus;
use crate::{Message, Pattern};

/// Receives what matches its pattern, in order. Its queue is bounded: publishers wait for room, for a while. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) bus: Weak<Bus>,
    pub(crate) pattern: Pattern,
    pub(crate) id: u64,
    pub(crate) messages: mpsc::Receiver<Message>,
}

impl Subscription {
    /// The next message; nothing once the broker is closed, or the subscription ended, and the queue is empty.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// A message that is here already.
    pub fn try_next(&mut self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Takes no more messages: from now on nobody listens here. What is here already can still be had; behind it,
    /// [`next`](Subscription::next) finds the end.
    pub fn unsubscribe(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.routes.remove(&self.pattern, self.id);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}
