//! A consumer: who gets a stream's messages, which of them, and what was acknowledged.
//!
//! Its state lives in memory; what a restart needs is recorded through the `Keeper`. **Delivery counts never go back in
//! a way that lets one message kill the process for ever.** A repetition is synced before it is handed out. So is any
//! delivery while no acknowledgement since the broker opened is known to have survived. So every run of a process that
//! keeps dying either makes durable progress, or durably counts an attempt on the message that kills it. All other
//! deliveries, and all acknowledgements, cost no sync of their own.

mod ack;
mod delivery;
mod pulls;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use trellis_store::{Durability, Transaction};
use trellis_subjects::jetstream::Acknowledgement;

use super::answer::Outcome;
use super::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use super::keeper::Keeper;
use super::records::{Position, Stored, Tail, Unacked};
use super::stream::Stream;
use super::{date, errors, keys, tally};
use crate::bus::Bus;
use crate::clock::Moment;
use crate::{Message, Pattern, Subject};
pub(crate) use delivery::End;
use pulls::Pulls;
use state::State;

/// How long an ephemeral consumer lives without anybody listening, unless it says otherwise.
const EPHEMERAL_INACTIVE_NANOS: i64 = 5_000_000_000;

#[derive(Debug)]
pub(crate) struct Consumer {
    pub name: Arc<str>,
    pub id: u64,
    pub created: i64,
    pub stream: Arc<Stream>,
    bus: Arc<Bus>,
    keeper: Arc<Keeper>,
    inner: Mutex<Inner>,
    /// Told whenever there may be something to do.
    wake: Arc<Notify>,
    stopped: AtomicBool,
    /// The batch that holds the first acknowledgement since the broker opened; 0 before.
    first_ack_batch: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    state: State,
    filters: Vec<Pattern>,
    pulls: Pulls,
    /// When somebody last listened or asked.
    last_active: Instant,
    /// When something was last sent, for idle heartbeats.
    last_sent: Instant,
    /// What happened to the stream up to the news of this number was there when its backlog was counted.
    counted_news: u64,
}

/// What a walk along the index has found to lie ahead in a filling, up to its then last message.
struct Walked {
    data: u64,
    ahead: u64,
    last: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ConsumerInfo {
    stream_name: String,
    name: String,
    created: String,
    config: ConsumerConfig,
    delivered: Sequences,
    ack_floor: Sequences,
    num_ack_pending: usize,
    num_redelivered: usize,
    num_waiting: usize,
    num_pending: u64,
    #[serde(skip_serializing_if = "super::config::is_false")]
    push_bound: bool,
    ts: String,
}

#[derive(Debug, Serialize)]
struct Sequences {
    consumer_seq: u64,
    stream_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_active: Option<String>,
}

impl Consumer {
    pub fn new(
        stream: &Arc<Stream>,
        bus: &Arc<Bus>,
        keeper: &Arc<Keeper>,
        name: &str,
        id: u64,
        created: i64,
        config: ConsumerConfig,
    ) -> Consumer {
        let filters = config.filters();
        let position = Position { next_delivery: 1, next_seq: 1, ..Position::default() };
        Consumer {
            name: name.into(),
            id,
            created,
            stream: stream.clone(),
            bus: bus.clone(),
            keeper: keeper.clone(),
            inner: Mutex::new(Inner {
                state: State::new(config, position),
                filters,
                pulls: Pulls::default(),
                last_active: Instant::now(),
                last_sent: Instant::now(),
                counted_news: 0,
            }),
            wake: Arc::default(),
            stopped: AtomicBool::new(false),
            first_ack_batch: AtomicU64::new(0),
        }
    }

    pub fn config(&self) -> Arc<ConsumerConfig> {
        self.inner.lock().state.config.clone()
    }

    pub fn position(&self) -> Position {
        self.inner.lock().state.position
    }

    /// Where a new consumer starts, by its delivery policy.
    pub async fn choose_start(&self) {
        let config = self.config();
        let filters = config.filters();
        let tail = self.stream.visible_tail();
        let mut start = match config.deliver_policy {
            DeliverPolicy::All => tail.first_seq,
            DeliverPolicy::LastPerSubject => self.first_of_last(&filters).await.unwrap_or(tail.last_seq),
            DeliverPolicy::New => tail.last_seq + 1,
            DeliverPolicy::ByStartSequence => config.opt_start_seq,
            DeliverPolicy::ByStartTime => self.stream.first_since(config.opt_start_time.unwrap_or_default()),
            DeliverPolicy::Last => {
                let mut newest = 0;
                for filter in &filters {
                    newest = newest.max(self.newest(filter, tail.last_seq).await);
                }
                newest
            }
        };
        let fixed = config.deliver_policy == DeliverPolicy::ByStartSequence;
        if tail.first_seq == 0 && !fixed {
            start = 1;
        } else if start > tail.last_seq && !fixed {
            start = tail.last_seq + 1;
        } else if start < tail.first_seq {
            start = tail.first_seq;
        }
        let start = start.max(1);
        let mut inner = self.inner.lock();
        let position = &mut inner.state.position;
        position.next_seq = start;
        position.delivered_seq = start - 1;
        position.floor_seq = start - 1;
        if config.deliver_policy == DeliverPolicy::LastPerSubject {
            position.only_last_until = tail.last_seq;
        }
    }

    /// The oldest message that is the last of its subject.
    async fn first_of_last(&self, filters: &[Pattern]) -> Option<u64> {
        let mut first: Option<u64> = None;
        for filter in filters {
            let mut visit = |entry: u64| first = Some(first.map_or(entry, |first| first.min(entry)));
            self.stream.for_each_subject(filter, |_, entry| visit(entry.last)).await;
        }
        first
    }

    async fn newest(&self, filter: &Pattern, last_seq: u64) -> u64 {
        if filter.as_str() == ">" { last_seq } else { self.stream.newest(filter).await.unwrap_or(0) }
    }

    /// Goes on at a sequence, or where nothing is acknowledged yet, as if nothing had been delivered. Answers with the sequence.
    /// The caller has to enrol it again.
    pub fn reset(&self, wanted: u64) -> Outcome<u64> {
        let mut inner = self.inner.lock();
        let state = &mut inner.state;
        let config = state.config.clone();
        let not_before = |first: u64, what: &str| {
            if wanted < first { Err(errors::invalid_reset(what)) } else { Ok(wanted) }
        };
        let seq = match config.deliver_policy {
            _ if wanted == 0 => state.position.floor_seq + 1,
            DeliverPolicy::All => wanted,
            DeliverPolicy::ByStartSequence => not_before(config.opt_start_seq, "below start seq")?,
            DeliverPolicy::ByStartTime => {
                let first = self.stream.first_since(config.opt_start_time.unwrap_or_default());
                not_before(first, "below start time")?
            }
            _ => return Err(errors::invalid_reset("not allowed")),
        };
        state.reset(seq);
        self.save(state);
        Ok(seq)
    }

    /// Takes up where a stored consumer stopped.
    pub fn restore(&self, position: Position, unacked: Vec<(u64, Unacked)>, now: Moment) {
        let mut inner = self.inner.lock();
        inner.state.position = position;
        for (seq, stored) in unacked {
            inner.state.restore(seq, stored, now);
        }
    }

    /// Counts what lies ahead, and lets whoever tells news know the filters by which to tell them. Both are one transaction,
    /// between two changes of the stream: nothing is counted twice, and nothing is missed.
    pub async fn enrol(self: &Arc<Self>, join: impl FnOnce(&[Pattern]) + Send + 'static) {
        let filters = self.inner.lock().filters.clone();
        let walked =
            if self.is_counted_by_tallies(&filters) { None } else { Some(self.walk(&filters).await) };
        let me = self.clone();
        let write = self.stream.store.write(Durability::Ordered, move |tx| {
            let tail = me.stream.tail.lock().clone();
            let (mut ahead, counted_to) = match walked {
                None => (me.tallied(tx, &tail, &filters), tail.last_seq),
                Some(walked) if walked.data == tail.data => (walked.ahead, walked.last),
                // The stream was emptied since.
                Some(_) => (0, tail.first_seq.saturating_sub(1)),
            };
            // What came since the walk: a handful.
            for seq in counted_to + 1..=tail.last_seq {
                let value = tx.get(&keys::message(tail.data, seq));
                let subject = value.as_deref().and_then(Stored::peek_subject).unwrap_or_default();
                ahead += u64::from(filters.iter().any(|filter| filter.matches(subject)));
            }
            let mut inner = me.inner.lock();
            inner.state.set_ahead(ahead, tail.last_seq);
            inner.state.look_again();
            inner.counted_news = me.stream.newest_news();
            drop(inner);
            join(&filters);
        });
        write.await;
        self.wake.notify_one();
    }

    /// Whether what lies ahead is found in a few steps. Not if a stream has to be walked that is as long as it likes, which
    /// must not happen inside a transaction.
    fn is_counted_by_tallies(&self, filters: &[Pattern]) -> bool {
        let position = self.position();
        let in_the_midst_of_last =
            position.next_seq <= position.only_last_until && position.next_delivery > 1;
        filters.iter().all(tally::answers) && !in_the_midst_of_last
    }

    fn tallied(&self, tx: &Transaction<'_>, tail: &Tail, filters: &[Pattern]) -> u64 {
        let position = self.position();
        let only_last = position.next_seq <= position.only_last_until;
        let count = |filter| match only_last {
            true => tally::subjects(tx, tail.data, filter),
            false => tally::messages(tx, tail.data, filter, position.next_seq, tail.last_seq),
        };
        filters.iter().map(count).sum()
    }

    /// Counts by the index.
    async fn walk(&self, filters: &[Pattern]) -> Walked {
        let (position, data) = (self.position(), self.stream.data());
        let (from, last) = (position.next_seq, self.stream.visible_tail().last_seq);
        if from > position.only_last_until {
            return Walked { data, ahead: self.stream.count(filters, from, last).await, last };
        }
        let mut ahead = 0;
        for filter in filters {
            self.stream.for_each_subject(filter, |_, entry| ahead += u64::from(entry.last >= from)).await;
        }
        Walked { data, ahead, last }
    }

    /// Takes a changed configuration over. The caller has checked it and holds no lock of this consumer. Answers with the
    /// filters that it had, if it has others now: then it has to enrol again.
    pub fn reconfigure(&self, config: ConsumerConfig) -> Option<Vec<Pattern>> {
        let (old, filters) = (self.config().filters(), config.filters());
        let others = old != filters;
        self.unwatch();
        {
            let mut inner = self.inner.lock();
            inner.filters = filters;
            inner.state.config = Arc::new(config);
            if others {
                inner.state.count_anew();
            }
        }
        self.watch();
        self.wake.notify_one();
        others.then_some(old)
    }

    /// Whether it knows what lies ahead: not while its filters change.
    pub fn is_counted(&self) -> bool {
        self.inner.lock().state.is_counted()
    }

    /// Asks to be woken when someone starts to listen.
    pub fn watch(&self) {
        let config = self.config();
        if config.is_push() {
            self.bus.routes.watch(&config.deliver_subject, &self.wake);
        }
    }

    fn unwatch(&self) {
        let config = self.config();
        if config.is_push() {
            self.bus.routes.unwatch(&config.deliver_subject, &self.wake);
        }
    }

    /// Ends the task. What waits for messages is told so, if the consumer is gone for good.
    pub fn stop(&self, farewell: Option<&str>) {
        self.stopped.store(true, Ordering::Release);
        self.unwatch();
        self.wake.notify_one();
        if let Some(description) = farewell {
            let statuses = self.inner.lock().pulls.end(description);
            pulls::send(&self.bus, statuses);
        }
    }

    /// A matching message is visible.
    pub fn appended(&self, seq: u64) {
        if self.inner.lock().state.appended(seq) {
            self.wake.notify_one();
        }
    }

    /// A matching message is gone, by the news of this number.
    pub fn removed(&self, seq: u64, number: u64) {
        let mut inner = self.inner.lock();
        let counted = number <= inner.counted_news;
        if inner.state.removed(seq, counted) {
            self.wake.notify_one();
        }
    }

    /// Everything before a sequence is gone, by the news of this number.
    pub fn emptied(&self, first_seq: u64, number: u64) {
        let mut inner = self.inner.lock();
        let counted = number <= inner.counted_news;
        inner.state.emptied(first_seq, counted);
        self.wake.notify_one();
    }

    pub fn info(&self, now: i64, full: bool) -> ConsumerInfo {
        let mut inner = self.inner.lock();
        let statuses = inner.pulls.tidy(Instant::now(), false, |reply| self.bus.is_listened_to(reply));
        let state = &inner.state;
        let config = &state.config;
        let position = state.position;
        let when = |nanos: i64| (nanos > 0).then(|| date::format(nanos));
        let group = (!config.deliver_group.is_empty()).then_some(config.deliver_group.as_str());
        let info = ConsumerInfo {
            stream_name: self.stream.name.to_string(),
            name: self.name.to_string(),
            created: date::format(self.created),
            config: if full { config.with_server_metadata() } else { ConsumerConfig::clone(config) },
            delivered: Sequences {
                consumer_seq: position.next_delivery - 1,
                stream_seq: position.delivered_seq,
                last_active: when(position.last_delivered),
            },
            ack_floor: Sequences {
                consumer_seq: position.floor_delivery,
                stream_seq: position.floor_seq,
                last_active: when(position.last_acked),
            },
            num_ack_pending: state.unacked_count(),
            num_redelivered: state.redelivered_count(),
            num_waiting: inner.pulls.len(),
            num_pending: state.ahead(),
            push_bound: config.is_push() && self.bus.routes.has_listener(&config.deliver_subject, group),
            ts: date::format(now),
        };
        drop(inner);
        pulls::send(&self.bus, statuses);
        info
    }

    /// Records what changed. Answers with the batch that holds it.
    fn save(&self, state: &mut State) -> Option<u64> {
        let touched = state.take_touched();
        // What a deleted consumer's task still does must not be written after the deletion.
        if !state.config.is_durable() || self.is_stopped() {
            return None;
        }
        let (stream, consumer) = (self.stream.id, self.id);
        let unacked = touched.into_iter().map(|(seq, unacked)| {
            (keys::unacked(stream, consumer, seq), unacked.map(|unacked| unacked.encode()))
        });
        let position = (keys::position(stream, consumer), Some(state.position.encode()));
        Some(self.keeper.record(unacked.chain([position])))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// The subject on which a delivery is acknowledged. It carries what a receiver may want to know.
fn ack_subject(consumer: &Consumer, delivery: &state::Delivery, date: i64) -> Option<Subject> {
    let says = Acknowledgement {
        domain: None,
        stream: &consumer.stream.name,
        consumer: &consumer.name,
        attempt: delivery.attempt.into(),
        seq: delivery.seq,
        nth: delivery.delivery,
        date,
        behind: delivery.ahead,
    };
    Subject::new(says.to_string()).ok()
}

/// A stored message as it is delivered.
fn outgoing(stored: Stored, reply: Option<Subject>, headers_only: bool) -> Option<Message> {
    let subject = Subject::new(&stored.subject).ok()?;
    if !headers_only {
        return Some(Message { subject, reply, headers: stored.headers, payload: stored.payload });
    }
    let headers =
        stored.headers.unwrap_or_default().with("Nats-Msg-Size", &stored.payload.len().to_string()).ok();
    Some(Message { subject, reply, headers, payload: bytes::Bytes::new() })
}

/// Whether a consumer that must not lose deliveries over a restart keeps any.
fn tracks_acks(config: &ConsumerConfig) -> bool {
    config.ack_policy != AckPolicy::None && config.is_durable()
}
