//! What a consumer remembers, as plain data: no tasks, no clock, no store. Everything here happens under the consumer's lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::clock::Moment;
use crate::jetstream::consumer_config::{AckPolicy, ConsumerConfig};
use crate::jetstream::records::{Position, Unacked};

/// How many sequences a consumer that keeps up is told ahead of delivering them. Beyond that it reads the stream instead.
const AHEAD_MAX: usize = 1_024;
/// How many given-up messages are counted in `num_redelivered`.
const GIVEN_UP_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct State {
    pub config: Arc<ConsumerConfig>,
    pub position: Position,
    unacked: BTreeMap<u64, Waiting>,
    due: BTreeSet<(Instant, u64)>,
    redeliver: VecDeque<u64>,
    /// Messages that were delivered often enough and are neither acknowledged nor gone: the newest `GIVEN_UP_MAX`.
    given_up: BTreeSet<u64>,
    reading: Reading,
    /// How many messages match and were not delivered; those after `counted_to` are not counted in yet.
    ahead_count: u64,
    counted_to: u64,
    /// What lies ahead is known. Until then nothing is delivered.
    counted: bool,
    /// It was reset since a candidate was chosen: that one counts no more.
    was_reset: bool,
    /// Sequences whose stored form is out of date.
    touched: Vec<u64>,
    /// A removed message counts as acknowledged; when that was is filled in with the next look at the date.
    acked_by_removal: bool,
}

/// How a consumer learns of the next message.
#[derive(Debug)]
enum Reading {
    /// It has looked at the whole stream, and is told of what is new.
    Live(VecDeque<u64>),
    /// It looks through the stream. `missed` says that something came while it looked.
    CatchingUp { missed: bool },
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    stored: Unacked,
    /// When its time comes.
    due: Instant,
    /// On the redelivery queue, so not waiting for its time.
    queued: bool,
    /// Whoever had it asked for it later, rather than having it still.
    put_off: bool,
}

impl Waiting {
    /// What is left of it after a restart: who had it then has it no more, so that it is due at once.
    fn for_the_next_life(&self) -> Unacked {
        let due = if self.put_off { self.stored.due } else { i64::MIN };
        Unacked { due, ..self.stored }
    }
}

/// The message to deliver next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    Again(u64),
    New(u64),
    /// The stream must be looked through from here.
    LookFrom(u64),
    Nothing,
    /// Too many deliveries are not acknowledged, or what lies ahead is not counted yet.
    Full,
}

/// The numbers that a delivery carries in its reply subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub seq: u64,
    pub attempt: u32,
    pub delivery: u64,
    pub ahead: u64,
}

impl State {
    pub fn new(config: ConsumerConfig, position: Position) -> State {
        State {
            config: Arc::new(config),
            position,
            unacked: BTreeMap::new(),
            due: BTreeSet::new(),
            redeliver: VecDeque::new(),
            given_up: BTreeSet::new(),
            reading: Reading::CatchingUp { missed: false },
            ahead_count: 0,
            counted_to: 0,
            counted: false,
            was_reset: false,
            touched: Vec::new(),
            acked_by_removal: false,
        }
    }

    /// Takes back a delivery that was stored. What is left of its wait goes by the date, which may have jumped since: it is
    /// no longer than the whole.
    ///
    /// Versions before this one could store a delivery without the position behind it. Nobody could acknowledge it then, and
    /// everything behind it waited for ever.
    pub fn restore(&mut self, seq: u64, stored: Unacked, now: Moment) {
        let position = &mut self.position;
        position.next_seq = position.next_seq.max(seq + 1);
        position.next_delivery = position.next_delivery.max(stored.delivery + 1);
        position.delivered_seq = position.delivered_seq.max(seq);
        let left = stored.due.saturating_sub(now.date).clamp(0, stored.wait.max(0));
        let due = now.after(left);
        let stored = Unacked { due: now.date.saturating_add(left), ..stored };
        self.unacked.insert(seq, Waiting { stored, due, queued: false, put_off: true });
        self.due.insert((due, seq));
        self.touched.push(seq);
    }

    /// Everything that matches up to a sequence has been counted.
    pub fn set_ahead(&mut self, count: u64, counted_to: u64) {
        self.ahead_count = count;
        self.counted_to = counted_to;
        self.counted = true;
    }

    /// Goes on at a sequence, as if nothing had been delivered. What lies ahead must be counted again.
    pub fn reset(&mut self, seq: u64) {
        let unacked: Vec<u64> = self.unacked.keys().copied().collect();
        for seq in unacked {
            self.forget(seq);
        }
        self.given_up.clear();
        self.acked_by_removal = false;
        self.position = Position {
            next_delivery: 1,
            next_seq: seq,
            delivered_seq: seq - 1,
            floor_seq: seq - 1,
            only_last_until: self.position.only_last_until,
            ..Position::default()
        };
        self.was_reset = true;
        self.look_again();
        self.count_anew();
    }

    /// What matches is about to change: what lies ahead must be counted again.
    pub fn count_anew(&mut self) {
        self.counted = false;
    }

    pub fn is_counted(&self) -> bool {
        self.counted
    }

    pub fn ahead(&self) -> u64 {
        self.ahead_count
    }

    pub fn unacked_count(&self) -> usize {
        self.unacked.len()
    }

    pub fn queued_count(&self) -> usize {
        self.redeliver.len()
    }

    pub fn is_unacked(&self, seq: u64) -> bool {
        self.unacked.contains_key(&seq)
    }

    pub fn redelivered_count(&self) -> usize {
        if self.config.max_deliver == 1 {
            return 0;
        }
        self.unacked.values().filter(|waiting| waiting.stored.attempts > 1).count() + self.given_up.len()
    }

    /// What to store for sequences that changed since the last call.
    pub fn take_touched(&mut self) -> Vec<(u64, Option<Unacked>)> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().map(|seq| (seq, self.unacked.get(&seq).map(Waiting::for_the_next_life))).collect()
    }

    /// A matching message is visible. Answers whether there may be something to do.
    pub fn appended(&mut self, seq: u64) -> bool {
        if seq > self.counted_to {
            self.counted_to = seq;
            self.ahead_count += u64::from(seq >= self.position.next_seq);
        }
        match &mut self.reading {
            Reading::Live(ahead) if ahead.len() < AHEAD_MAX => ahead.push_back(seq),
            reading => *reading = Reading::CatchingUp { missed: true },
        }
        !self.is_full()
    }

    /// A matching message is gone from the stream, and perhaps was when what lies ahead was counted. Answers whether there
    /// may be something to do.
    pub fn removed(&mut self, seq: u64, counted: bool) -> bool {
        if seq >= self.position.next_seq {
            if seq <= self.counted_to && !counted {
                self.ahead_count = self.ahead_count.saturating_sub(1);
            }
            return false;
        }
        let known = self.is_unacked(seq);
        self.ack_one(seq);
        self.acked_by_removal |= known;
        known
    }

    /// Everything before `first_seq` is gone from the stream, and perhaps was when what lies ahead was counted.
    pub fn emptied(&mut self, first_seq: u64, counted: bool) {
        let position = &mut self.position;
        position.next_seq = position.next_seq.max(first_seq);
        let gone: Vec<u64> = self.unacked.range(..first_seq).map(|(seq, _)| *seq).collect();
        self.acked_by_removal |= !gone.is_empty();
        for seq in gone {
            self.forget(seq);
        }
        self.given_up = self.given_up.split_off(&first_seq);
        let position = &mut self.position;
        position.delivered_seq = position.next_seq - 1;
        if self.unacked.is_empty() {
            position.floor_delivery = position.next_delivery - 1;
            position.floor_seq = position.next_seq - 1;
        }
        if !counted {
            self.ahead_count = 0;
            self.counted_to = first_seq.saturating_sub(1);
        }
        self.look_again();
    }

    /// Forgets what it was told: the stream must be looked through again.
    pub fn look_again(&mut self) {
        self.reading = Reading::CatchingUp { missed: true };
    }

    pub fn candidate(&mut self) -> Candidate {
        self.was_reset = false;
        if !self.counted {
            return Candidate::Full;
        }
        if let Some(seq) = self.redeliver.front() {
            return Candidate::Again(*seq);
        }
        if self.is_full() {
            return Candidate::Full;
        }
        let next_seq = self.position.next_seq;
        match &mut self.reading {
            Reading::Live(ahead) => {
                while ahead.front().is_some_and(|seq| *seq < next_seq) {
                    ahead.pop_front();
                }
                ahead.front().map_or(Candidate::Nothing, |seq| Candidate::New(*seq))
            }
            Reading::CatchingUp { missed } => {
                *missed = false;
                Candidate::LookFrom(next_seq)
            }
        }
    }

    /// Nothing was found from `from` to the end. If nothing came meanwhile, the consumer has caught up.
    pub fn found_nothing(&mut self) {
        if matches!(self.reading, Reading::CatchingUp { missed: false }) {
            self.reading = Reading::Live(VecDeque::new());
        }
    }

    /// Records that a candidate is handed out. Nothing, if it was overtaken by an acknowledgement, a purge, a reset or new filters.
    pub fn deliver(&mut self, seq: u64, again: bool, now: Moment) -> Option<Delivery> {
        if !self.counted || self.was_reset {
            return None;
        }
        let attempt = if again { self.take_again(seq)? } else { self.take_new(seq)? };
        let delivery = self.position.next_delivery;
        self.position.next_delivery += 1;
        self.position.delivered_seq = self.position.delivered_seq.max(seq);
        self.position.last_delivered = now.date;
        if self.config.ack_policy == AckPolicy::None {
            self.position.floor_delivery = delivery;
            self.position.floor_seq = seq;
        } else {
            let wait = self.config.ack_wait_of_attempt(attempt);
            let due = now.after(wait);
            let first = self.unacked.get(&seq).map_or(delivery, |waiting| waiting.stored.delivery);
            let date = now.date.saturating_add(wait);
            let stored = Unacked { delivery: first, attempts: attempt, due: date, wait };
            self.unacked.insert(seq, Waiting { stored, due, queued: false, put_off: false });
            self.due.insert((due, seq));
            self.touched.push(seq);
        }
        Some(Delivery { seq, attempt, delivery, ahead: self.ahead_count })
    }

    /// What `deliver` would answer.
    pub fn preview(&self, seq: u64, again: bool) -> Delivery {
        let counted = !again && seq <= self.counted_to;
        let attempts = self.unacked.get(&seq).map_or(0, |waiting| waiting.stored.attempts);
        Delivery {
            seq,
            attempt: if again { attempts.saturating_add(1) } else { 1 },
            delivery: self.position.next_delivery,
            ahead: self.ahead_count.saturating_sub(u64::from(counted)),
        }
    }

    fn take_again(&mut self, seq: u64) -> Option<u32> {
        if self.redeliver.front() != Some(&seq) {
            return None;
        }
        self.redeliver.pop_front();
        let waiting = self.unacked.get(&seq)?;
        Some(waiting.stored.attempts.saturating_add(1))
    }

    fn take_new(&mut self, seq: u64) -> Option<u32> {
        if seq < self.position.next_seq || self.is_full() {
            return None;
        }
        self.position.next_seq = seq + 1;
        if seq <= self.counted_to {
            self.ahead_count = self.ahead_count.saturating_sub(1);
        } else {
            self.counted_to = seq;
        }
        if let Reading::Live(ahead) = &mut self.reading
            && ahead.front() == Some(&seq)
        {
            ahead.pop_front();
        }
        Some(1)
    }

    /// The candidate's message is not in the stream any more.
    pub fn skip(&mut self, candidate: Candidate) {
        if self.was_reset {
            return;
        }
        match candidate {
            Candidate::Again(seq) => {
                self.redeliver.retain(|other| *other != seq);
                self.ack_one(seq);
            }
            Candidate::New(seq) if seq >= self.position.next_seq => self.position.next_seq = seq + 1,
            _ => {}
        }
    }

    /// Brings up to date what depends on time: queues what was not acknowledged in time, oldest first. What has been delivered often enough is given up on.
    pub fn expire(&mut self, now: Moment) {
        if std::mem::take(&mut self.acked_by_removal) {
            self.position.last_acked = now.date;
        }
        let mut late = BTreeSet::new();
        while let Some((due, seq)) = self.due.first().copied().filter(|(due, _)| *due <= now.at) {
            self.due.remove(&(due, seq));
            late.insert(seq);
        }
        for seq in late {
            self.queue(seq);
        }
    }

    /// When `expire` has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn queue(&mut self, seq: u64) {
        let Some(waiting) = self.unacked.get_mut(&seq).filter(|waiting| !waiting.queued) else { return };
        self.due.remove(&(waiting.due, seq));
        let attempts = i64::from(waiting.stored.attempts);
        if self.config.max_deliver > 0 && attempts >= self.config.max_deliver {
            // As on nats-server, the floors move on with the next acknowledgement.
            self.forget(seq);
            self.given_up.insert(seq);
            if self.given_up.len() > GIVEN_UP_MAX {
                self.given_up.pop_first();
            }
        } else {
            waiting.queued = true;
            self.redeliver.push_back(seq);
        }
    }

    /// `+ACK` and `+TERM`. Answers whether the sender may be told that it was heard.
    pub fn acked(&mut self, seq: u64, delivery: u64, now: Moment) -> bool {
        if seq >= self.position.next_seq {
            return false;
        }
        match self.config.ack_policy {
            AckPolicy::None => return false,
            AckPolicy::Explicit => self.ack_one(seq),
            AckPolicy::All => self.ack_all(seq, delivery),
        }
        self.position.last_acked = now.date;
        true
    }

    fn ack_one(&mut self, seq: u64) {
        self.given_up.remove(&seq);
        if let Some(delivery) = self.forget(seq) {
            self.move_floor(delivery, seq);
        }
    }

    fn ack_all(&mut self, seq: u64, delivery: u64) {
        if delivery <= self.position.floor_delivery || seq <= self.position.floor_seq {
            return;
        }
        self.position.floor_delivery = delivery;
        self.position.floor_seq = seq;
        let done: Vec<u64> = self.unacked.range(..=seq).map(|(seq, _)| *seq).collect();
        for seq in done {
            self.forget(seq);
        }
        self.given_up = self.given_up.split_off(&(seq + 1));
    }

    /// `-NAK`: again at once, or after a delay.
    pub fn nacked(&mut self, seq: u64, delivery: u64, delay: Option<i64>, now: Moment) {
        let in_range = delivery > self.position.floor_delivery && delivery < self.position.next_delivery;
        if !in_range || !self.is_unacked(seq) {
            return;
        }
        match delay {
            Some(delay) => self.wait(seq, delay.max(0), now, true),
            None => self.queue(seq),
        }
    }

    /// `+WPI`: the time for this attempt starts anew.
    pub fn in_progress(&mut self, seq: u64, now: Moment) {
        if let Some(waiting) = self.unacked.get(&seq).filter(|waiting| !waiting.queued) {
            let wait = self.config.ack_wait_of_attempt(waiting.stored.attempts);
            self.wait(seq, wait, now, false);
        }
    }

    fn wait(&mut self, seq: u64, wait: i64, now: Moment, put_off: bool) {
        let due = now.after(wait);
        self.redeliver.retain(|other| *other != seq);
        if let Some(waiting) = self.unacked.get_mut(&seq) {
            self.due.remove(&(waiting.due, seq));
            waiting.queued = false;
            waiting.put_off = put_off;
            waiting.due = due;
            waiting.stored.due = now.date.saturating_add(wait);
            waiting.stored.wait = wait;
            self.due.insert((due, seq));
            self.touched.push(seq);
        }
    }

    /// Stops waiting for a message. Answers with its first delivery.
    fn forget(&mut self, seq: u64) -> Option<u64> {
        let waiting = self.unacked.remove(&seq)?;
        self.due.remove(&(waiting.due, seq));
        if waiting.queued {
            self.redeliver.retain(|other| *other != seq);
        }
        self.touched.push(seq);
        Some(waiting.stored.delivery)
    }

    /// The floors are the ends of the unbroken run of acknowledged deliveries.
    fn move_floor(&mut self, delivery: u64, seq: u64) {
        let position = &mut self.position;
        if self.unacked.is_empty() {
            position.floor_delivery = position.next_delivery - 1;
            position.floor_seq = position.delivered_seq;
        } else if delivery == position.floor_delivery + 1 {
            position.floor_delivery = delivery;
            position.floor_seq = seq;
            if let Some((next, waiting)) = self.unacked.range(seq + 1..).next() {
                position.floor_delivery = waiting.stored.delivery - 1;
                position.floor_seq = next - 1;
            }
        }
    }

    pub fn is_full(&self) -> bool {
        let most = usize::try_from(self.config.max_ack_pending).unwrap_or(usize::MAX);
        most > 0 && self.unacked.len() >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_that_was_stored_without_its_position_can_be_acknowledged() {
        let now = Moment { at: Instant::now(), date: 1 };
        let config = r#"{"durable_name": "d", "ack_policy": "explicit", "max_ack_pending": 1}"#;
        let config = ConsumerConfig::parse_stored(config.as_bytes()).unwrap();
        let mut state = State::new(config, Position { next_delivery: 5, next_seq: 5, ..Position::default() });
        state.restore(5, Unacked { delivery: 5, attempts: 1, due: 0, wait: 1_000 }, now);
        state.set_ahead(0, 5);
        state.expire(now);
        assert_eq!(state.candidate(), Candidate::Again(5));
        let delivery = state.deliver(5, true, now).unwrap();
        assert_eq!((delivery.attempt, delivery.delivery), (2, 6));
        assert!(state.acked(5, delivery.delivery, now));
        assert_eq!((state.unacked_count(), state.candidate()), (0, Candidate::LookFrom(6)));
    }
}
