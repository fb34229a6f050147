//! What receivers say about their deliveries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use trellis_subjects::jetstream::Acknowledgement;

use super::Consumer;
use super::pulls;
use crate::jetstream::duration;
use crate::jetstream::json::read_leniently;
use crate::{Message, Subject};

#[derive(Debug, serde::Deserialize)]
struct NakOptions {
    #[serde(default)]
    delay: i64,
}

impl Consumer {
    /// Handles one acknowledgement. Whoever wants to know that it was heard gave a reply subject.
    pub fn acknowledge(self: &Arc<Self>, of: &Acknowledgement<'_>, message: &Message) {
        let payload = message.payload.as_ref();
        let now = self.bus.moment();
        let mut heard = true;
        let mut settled = false;
        let mut next: Option<&[u8]> = None;
        {
            let mut inner = self.inner.lock();
            let was_full = inner.state.is_full();
            let state = &mut inner.state;
            if payload.is_empty() || payload == b"+ACK" || payload == b"+OK" {
                heard = state.acked(of.seq, of.nth, now);
                settled = true;
            } else if let Some(request) = payload.strip_prefix(b"+NXT") {
                settled = state.acked(of.seq, of.nth, now);
                next = Some(request);
            } else if let Some(options) = payload.strip_prefix(b"-NAK") {
                state.nacked(of.seq, of.nth, delay(options), now);
            } else if payload == b"+WPI" {
                state.in_progress(of.seq, now);
            } else if payload.starts_with(b"+TERM") {
                heard = state.acked(of.seq, of.nth, now);
                settled = true;
            } else {
                tracing::debug!(consumer = %self.name, "acknowledgement of an unknown kind ignored");
            }
            if let Some(batch) = self.save(state)
                && settled
            {
                let _ = self.first_ack_batch.compare_exchange(0, batch, Ordering::AcqRel, Ordering::Acquire);
            }
            // Most acknowledgements change nothing for the task: it only cares for room, and for changed times.
            if was_full || !settled {
                self.wake.notify_one();
            }
        }
        match (&message.reply, next) {
            (Some(reply), Some(request)) => self.pull(reply.clone(), request),
            (Some(reply), None) if heard => {
                self.bus.send_soon(reply, Message::new(reply.clone(), bytes::Bytes::new()));
            }
            _ => {}
        }
    }

    /// Takes in a request for messages.
    pub fn pull(self: &Arc<Self>, reply: Subject, payload: &[u8]) {
        let refused = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            inner.last_active = Instant::now();
            let queued = u64::try_from(inner.state.queued_count()).unwrap_or(u64::MAX);
            let available = inner.state.ahead().saturating_add(queued);
            let config = inner.state.config.clone();
            inner.pulls.add(&config, reply, payload, available, Instant::now())
        };
        match refused {
            Ok(()) => self.wake.notify_one(),
            Err(status) => pulls::send(&self.bus, status),
        }
    }
}

/// The delay that a `-NAK` asks for: JSON with nanoseconds, or a duration in Go's words. What cannot be read is no delay.
fn delay(options: &[u8]) -> Option<i64> {
    let options = options.trim_ascii();
    match options.first()? {
        b'{' => read_leniently::<NakOptions>(options).ok().map(|options| options.delay),
        _ => duration::parse(std::str::from_utf8(options).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        assert_eq!(delay(b""), None);
        assert_eq!(delay(br#" {"delay": 1500000000}"#), Some(1_500_000_000));
        assert_eq!(delay(b" 1m1.5s"), Some(61_500_000_000));
        assert_eq!(delay(b" 250ms"), Some(250_000_000));
        assert_eq!(delay(b" soon"), None);
        assert_eq!(delay(b" {bad"), None);
        assert_eq!(delay(b"\xff"), None);
    }
}
