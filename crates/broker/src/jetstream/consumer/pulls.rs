//! The requests that wait for a pull consumer's messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::jetstream::consumer_config::ConsumerConfig;
use crate::jetstream::duration;
use crate::jetstream::json::read_leniently;
use crate::{Headers, Message, Subject};

/// What a client sends to get messages. Other fields are ignored, as nats-server does.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    expires: i64,
    batch: i64,
    max_bytes: i64,
    no_wait: bool,
    idle_heartbeat: i64,
    min_pending: i64,
    min_ack_pending: i64,
    id: String,
    priority: i64,
}

/// One waiting request.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    id: u64,
    pub reply: Subject,
    left: i64,
    delivered: u64,
    bytes_left: i64,
    no_wait: bool,
    expires: Option<Instant>,
    heartbeat: Option<Duration>,
    next_heartbeat: Option<Instant>,
}

/// A message without payload that tells a client how its request fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub reply: Subject,
    pub headers: Headers,
}

/// All waiting requests of a consumer, in the order of whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    waiting: VecDeque<Pull>,
    next_id: u64,
}

impl Status {
    fn new(reply: &Subject, code: u16, description: &str) -> Status {
        Status { reply: reply.clone(), headers: Headers::status(code, description) }
    }

    fn with_rest(pull: &Pull, code: u16, description: &str) -> Status {
        let headers = Headers::status(code, description);
        let headers = headers
            .clone()
            .with("Nats-Pending-Messages", &pull.left.to_string())
            .and_then(|headers| headers.with("Nats-Pending-Bytes", &pull.bytes_left.to_string()))
            .unwrap_or(headers);
        Status { reply: pull.reply.clone(), headers }
    }
}

/// Sends statuses to those whom they are for, without waiting.
pub(crate) fn send(bus: &Arc<Bus>, statuses: impl IntoIterator<Item = Status>) {
    for Status { reply, headers } in statuses {
        let message =
            Message { subject: reply.clone(), reply: None, headers: Some(headers), payload: Bytes::new() };
        bus.send_soon(&reply, message);
    }
}

/// The status that tells a listener that all is well while nothing comes.
pub(crate) fn idle_heartbeat(reply: &Subject, delivery: u64, seq: u64) -> Status {
    let headers = Headers::status(100, "Idle Heartbeat");
    let headers = headers
        .clone()
        .with("Nats-Last-Consumer", &delivery.to_string())
        .and_then(|headers| headers.with("Nats-Last-Stream", &seq.to_string()))
        .unwrap_or(headers);
    Status { reply: reply.clone(), headers }
}

impl Pulls {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a request in, or answers why not. `available` counts the messages that could be delivered now.
    pub fn add(
        &mut self,
        config: &ConsumerConfig,
        reply: Subject,
        payload: &[u8],
        available: u64,
        now: Instant,
    ) -> Result<(), Option<Status>> {
        let refuse = |code, reason: &str| Err(Some(Status::new(&reply, code, reason)));
        if config.is_push() {
            return refuse(409, "Consumer is push based");
        }
        let wanted = match parse(payload) {
            Ok(wanted) => wanted,
            Err(reason) => return refuse(400, &format!("Bad Request - {reason}")),
        };
        if config.max_batch > 0 && wanted.batch > config.max_batch {
            return refuse(409, &format!("Exceeded MaxRequestBatch of {}", config.max_batch));
        }
        if config.max_expires > 0 && wanted.expires > config.max_expires {
            return refuse(
                409,
                &format!("Exceeded MaxRequestExpires of {}", duration::format(config.max_expires)),
            );
        }
        if config.max_bytes > 0 && wanted.max_bytes > config.max_bytes {
            return refuse(409, &format!("Exceeded MaxRequestMaxBytes of {}", config.max_bytes));
        }
        if wanted.min_pending != 0 || wanted.min_ack_pending != 0 {
            return refuse(400, "Bad Request - Not a Overflow Priority consumer");
        }
        if !wanted.id.is_empty() {
            return refuse(400, "Bad Request - Not a Pinned Client Priority consumer");
        }
        if !(0..=9).contains(&wanted.priority) {
            return refuse(400, "Bad Request - Priority must be between 0 and 9");
        }
        if wanted.no_wait {
            if available == 0 && wanted.expires == 0 {
                return refuse(404, "No Messages");
            }
            let asked: i64 = self.waiting.iter().map(|pull| pull.left).sum();
            if available > 0 && i64::try_from(available).unwrap_or(i64::MAX) < asked {
                return refuse(408, "Requests Pending");
            }
        }
        if self.waiting.len() >= usize::try_from(config.max_waiting).unwrap_or(usize::MAX) {
            // A client with heartbeats would ask again at once; without an answer it waits for one.
            return if wanted.idle_heartbeat == 0 { refuse(409, "Exceeded MaxWaiting") } else { Err(None) };
        }
        self.next_id += 1;
        let heartbeat = nanos(wanted.idle_heartbeat);
        self.waiting.push_back(Pull {
            id: self.next_id,
            reply,
            left: wanted.batch,
            delivered: 0,
            bytes_left: wanted.max_bytes.max(0),
            no_wait: wanted.no_wait,
            expires: nanos(wanted.expires).map(|after| now + after),
            heartbeat,
            next_heartbeat: heartbeat.map(|after| now + after),
        });
        Ok(())
    }

    /// Drops what has expired or is not listened to any more, and sends heartbeats. `dry` says that there is nothing to deliver.
    pub fn tidy(&mut self, now: Instant, dry: bool, listened_to: impl Fn(&Subject) -> bool) -> Vec<Status> {
        let mut statuses = Vec::new();
        self.waiting.retain_mut(|pull| {
            if pull.expires.is_some_and(|expires| expires <= now) {
                statuses.push(Status::with_rest(pull, 408, "Request Timeout"));
                return false;
            }
            if dry && pull.no_wait && (pull.expires.is_none() || pull.delivered > 0) {
                statuses.push(Status::new(&pull.reply, 404, "No Messages"));
                return false;
            }
            listened_to(&pull.reply)
        });
        statuses
    }

    /// Requests whose heartbeat is due.
    pub fn heartbeats(&mut self, now: Instant) -> Vec<Subject> {
        let mut due = Vec::new();
        for pull in &mut self.waiting {
            if pull.next_heartbeat.is_some_and(|at| at <= now) {
                pull.next_heartbeat = pull.heartbeat.map(|every| now + every);
                due.push(pull.reply.clone());
            }
        }
        due
    }

    pub fn next_event(&self) -> Option<Instant> {
        self.waiting.iter().flat_map(|pull| [pull.expires, pull.next_heartbeat]).flatten().min()
    }

    /// The request whose turn it is and that has room for a message of `size` bytes. Those without room are turned away.
    pub fn choose(&mut self, size: i64, statuses: &mut Vec<Status>) -> Option<Pull> {
        loop {
            let pull = self.waiting.front()?;
            if pull.bytes_left == 0 || size <= pull.bytes_left {
                return Some(pull.clone());
            }
            statuses.push(Status::with_rest(pull, 409, "Message Size Exceeds MaxBytes"));
            self.waiting.pop_front();
        }
    }

    /// Counts a message of `size` bytes against a chosen request, and puts it last. Nothing, if it is gone; otherwise
    /// perhaps a status to send after the message.
    pub fn count(&mut self, chosen: &Pull, size: i64, now: Instant) -> Option<Option<Status>> {
        let position = self.waiting.iter().position(|pull| pull.id == chosen.id)?;
        let mut pull = self.waiting.remove(position)?;
        pull.delivered += 1;
        pull.left -= 1;
        if pull.bytes_left > 0 {
            pull.bytes_left -= size;
            if pull.bytes_left == 0 {
                pull.left = 0;
            }
        }
        if pull.left > 0 {
            pull.next_heartbeat = pull.heartbeat.map(|every| now + every);
            self.waiting.push_back(pull);
            return Some(None);
        }
        let done = pull.bytes_left > 0;
        Some(done.then(|| Status::with_rest(&pull, 409, "Batch Completed")))
    }

    /// Turns a chosen request away whose listener is gone.
    pub fn drop(&mut self, chosen: &Pull) {
        self.waiting.retain(|pull| pull.id != chosen.id);
    }

    /// Ends all requests: the consumer is deleted.
    pub fn end(&mut self, description: &str) -> Vec<Status> {
        self.waiting.drain(..).map(|pull| Status::new(&pull.reply, 409, description)).collect()
    }
}

fn parse(payload: &[u8]) -> Result<Wanted, String> {
    let text = payload.trim_ascii();
    let one = Wanted { batch: 1, ..Wanted::default() };
    if text.first() != Some(&b'{') {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        return Ok(Wanted { batch: number.unwrap_or(1), ..one });
    }
    let wanted: Wanted = read_leniently(text).map_err(|error| error.to_string())?;
    if wanted.idle_heartbeat > 0 && wanted.idle_heartbeat.saturating_mul(2) > wanted.expires {
        return Err("heartbeat value too large".to_owned());
    }
    Ok(wanted)
}

fn nanos(value: i64) -> Option<Duration> {
    u64::try_from(value).ok().filter(|value| *value > 0).map(Duration::from_nanos)
}
