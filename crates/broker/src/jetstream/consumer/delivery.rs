//! A consumer's task: looks for the next message and for someone to take it, hands it out, waits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::pulls::{self, Pull, Status};
use super::state::Candidate;
use super::{Consumer, EPHEMERAL_INACTIVE_NANOS, ack_subject, outgoing, tracks_acks};
use crate::Subject;
use crate::jetstream::records::Stored;
use crate::routes::Targets;

/// After so many deliveries in a row other tasks get their turn.
const DELIVERIES_PER_TURN: u32 = 64;

/// Why the task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    /// Nobody has listened for too long.
    Inactive,
}

/// What the task does next.
enum Step {
    Deliver(Candidate),
    Look(u64),
    WaitUntil(Option<Instant>),
    /// Nobody has listened for too long.
    Expire,
}

/// Where a delivery goes, and the request that it answers, if any.
struct Taker {
    to: Subject,
    pull: Option<Pull>,
}

impl Consumer {
    /// Delivers until the consumer is stopped, or nobody has listened for too long.
    pub async fn run(&self) -> End {
        let mut deliveries = 0;
        while !self.is_stopped() {
            match self.step() {
                Step::Deliver(candidate) => self.deliver(candidate).await,
                Step::Look(from) => self.look(from).await,
                Step::WaitUntil(until) => self.wait(until).await,
                Step::Expire => return End::Inactive,
            }
            deliveries += 1;
            if deliveries % DELIVERIES_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        End::Stopped
    }

    /// Brings everything that depends on time up to date, and decides.
    fn step(&self) -> Step {
        let moment = self.bus.moment();
        let now = moment.at;
        let mut statuses = Vec::new();
        let step = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            inner.state.expire(moment);
            self.save(&mut inner.state);
            let config = inner.state.config.clone();
            let group = (!config.deliver_group.is_empty()).then_some(config.deliver_group.as_str());
            statuses.extend(inner.pulls.tidy(now, false, |reply| self.bus.is_listened_to(reply)));
            let active = if config.is_push() {
                self.bus.routes.has_listener(&config.deliver_subject, group)
            } else {
                !inner.pulls.is_empty()
            };
            if active {
                inner.last_active = now;
            }
            let candidate = if active { inner.state.candidate() } else { Candidate::Nothing };
            match candidate {
                Candidate::Again(_) | Candidate::New(_) => Step::Deliver(candidate),
                Candidate::LookFrom(seq) => Step::Look(seq),
                Candidate::Nothing | Candidate::Full => {
                    let dry = candidate == Candidate::Nothing;
                    statuses.extend(inner.pulls.tidy(now, dry, |reply| self.bus.is_listened_to(reply)));
                    statuses.extend(self.heartbeats(inner, active, now));
                    self.next_event(inner, active, now)
                }
            }
        };
        pulls::send(&self.bus, statuses);
        step
    }

    fn heartbeats(&self, inner: &mut super::Inner, active: bool, now: Instant) -> Vec<Status> {
        let position = inner.state.position;
        let mut to = inner.pulls.heartbeats(now);
        if let Some(every) = heartbeat(inner)
            && active
            && now >= inner.last_sent + every
        {
            inner.last_sent = now;
            to.extend(Subject::new(&inner.state.config.deliver_subject).ok());
        }
        let (delivery, seq) = (position.next_delivery - 1, position.next_seq - 1);
        to.iter().map(|reply| pulls::idle_heartbeat(reply, delivery, seq)).collect()
    }

    fn next_event(&self, inner: &super::Inner, active: bool, now: Instant) -> Step {
        let redelivery = inner.state.next_due();
        let heartbeat = heartbeat(inner).filter(|_| active).map(|every| inner.last_sent + every);
        let inactive = inactive_threshold(inner).filter(|_| !active).map(|after| inner.last_active + after);
        if inactive.is_some_and(|at| at <= now) {
            return Step::Expire;
        }
        let events = [redelivery, heartbeat, inactive, inner.pulls.next_event()];
        Step::WaitUntil(events.into_iter().flatten().min())
    }

    async fn wait(&self, until: Option<Instant>) {
        let time = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.wake.notified() => {}
            () = time => {}
        }
    }

    /// Looks through the stream for the next message.
    async fn look(&self, from: u64) {
        let (filters, only_last_until) = {
            let inner = self.inner.lock();
            (inner.filters.clone(), inner.state.position.only_last_until)
        };
        let mut from = from;
        loop {
            let Some((seq, value)) = self.stream.next(&filters, from).await else {
                return self.inner.lock().state.found_nothing();
            };
            let Some(stored) = Stored::decode(&value) else {
                tracing::error!(stream = %self.stream.name, seq, "stored message cannot be read; skipped");
                return self.inner.lock().state.skip(Candidate::New(seq));
            };
            if seq > only_last_until || self.stream.is_last_of_subject(&stored.subject, seq) {
                return self.hand_out(seq, false, stored).await;
            }
            from = seq + 1;
        }
    }

    async fn deliver(&self, candidate: Candidate) {
        let (seq, again) = match candidate {
            Candidate::Again(seq) => (seq, true),
            Candidate::New(seq) => (seq, false),
            _ => return,
        };
        match self.stream.message(seq) {
            Some(stored) => self.hand_out(seq, again, stored).await,
            None => {
                let mut inner = self.inner.lock();
                inner.state.skip(candidate);
                self.save(&mut inner.state);
            }
        }
    }

    /// Finds a taker with room, records the delivery, and only then lets the message go.
    async fn hand_out(&self, seq: u64, again: bool, stored: Stored) {
        let date = stored.date;
        let headers_len = stored.headers.as_ref().map_or(0, |headers| headers.as_bytes().len());
        let body_len = stored.subject.len() + headers_len + stored.payload.len();
        let Some((taker, targets)) = self.find_taker(seq, again, body_len, date) else { return };
        let reservation = tokio::select! {
            biased;
            reservation = self.bus.routes.reserve(&targets) => reservation,
            // Something changed: what is best done now is decided anew.
            () = self.wake.notified() => return,
        };
        if reservation.is_empty() && !self.bus.has_inbox(&taker.to) {
            return self.lost_taker(&taker);
        }
        let Some((message, sync, after)) = self.record(seq, again, stored, &taker, body_len) else {
            return;
        };
        if sync {
            self.keeper.sync().await;
        }
        if reservation.is_empty() {
            self.bus.send_soon(&taker.to, message);
        } else {
            reservation.send(&message);
        }
        pulls::send(&self.bus, after);
    }

    fn find_taker(&self, seq: u64, again: bool, body_len: usize, date: i64) -> Option<(Taker, Targets)> {
        let mut statuses = Vec::new();
        let taker = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            if inner.state.config.is_push() {
                let to = Subject::new(&inner.state.config.deliver_subject).ok()?;
                Some(Taker { to, pull: None })
            } else {
                let reply = ack_subject(self, &inner.state.preview(seq, again), date)?;
                let size = i64::try_from(body_len + reply.as_str().len()).unwrap_or(i64::MAX);
                let pull = inner.pulls.choose(size, &mut statuses);
                pull.map(|pull| Taker { to: pull.reply.clone(), pull: Some(pull) })
            }
        };
        pulls::send(&self.bus, statuses);
        let taker = taker?;
        let targets = self.bus.routes.targets(taker.to.as_str(), None);
        Some((taker, targets))
    }

    fn lost_taker(&self, taker: &Taker) {
        if let Some(pull) = &taker.pull {
            self.inner.lock().pulls.drop(pull);
        }
    }

    /// Counts the delivery. Answers with the message, whether it must be synced first, and a status to send after it.
    fn record(
        &self,
        seq: u64,
        again: bool,
        stored: Stored,
        taker: &Taker,
        body_len: usize,
    ) -> Option<(crate::Message, bool, Option<Status>)> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let now = Instant::now();
        let reply = ack_subject(self, &inner.state.preview(seq, again), stored.date)?;
        let mut after = None;
        if let Some(pull) = &taker.pull {
            let size = i64::try_from(body_len + reply.as_str().len()).unwrap_or(i64::MAX);
            after = inner.pulls.count(pull, size, now)?;
        }
        let delivery = inner.state.deliver(seq, again, self.bus.moment())?;
        inner.last_sent = now;
        self.save(&mut inner.state);
        let sync = tracks_acks(&inner.state.config) && (delivery.attempt > 1 || self.is_on_probation());
        let message = outgoing(stored, Some(reply), inner.state.config.headers_only)?;
        Some((message, sync, after))
    }

    /// Whether no acknowledgement since the broker opened is known to have survived.
    fn is_on_probation(&self) -> bool {
        match self.first_ack_batch.load(Ordering::Acquire) {
            0 => true,
            batch => !self.keeper.is_synced(batch),
        }
    }
}

fn heartbeat(inner: &super::Inner) -> Option<Duration> {
    let nanos = u64::try_from(inner.state.config.idle_heartbeat).ok()?;
    (inner.state.config.is_push() && nanos > 0).then(|| Duration::from_nanos(nanos))
}

fn inactive_threshold(inner: &super::Inner) -> Option<Duration> {
    let config = &inner.state.config;
    let nanos = match config.inactive_threshold {
        0 if config.is_durable() => return None,
        0 => EPHEMERAL_INACTIVE_NANOS,
        nanos => nanos,
    };
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}
