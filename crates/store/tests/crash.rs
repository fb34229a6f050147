//! The store is stopped at every write and every sync of a scripted run, and opened again.
//!
//! Whatever of the unsynced bytes survives, the state must be that after some prefix of the transactions, in the order
//! in which they ran; the prefix must hold everything that was answered or seen as durable; and the store must work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use trellis_store::{Driver, Durability, OpenError, Options, Order, SimDisk, Store};

type State = BTreeMap<Bytes, Bytes>;

/// Says how many transactions a state is made of.
const COUNT_KEY: &[u8] = b"count";

/// Small enough for many segments and checkpoints in a short run.
fn options() -> Options {
    Options {
        memtable_bytes: 6 << 10,
        segment_bytes: 2 << 10,
        cache_bytes: 64 << 10,
        on_fatal: Arc::new(|_| {}),
        ..Options::default()
    }
}

/// What the run has done: the state after each transaction that ran, and how many of them must never be lost.
struct History {
    states: Vec<State>,
    durabilities: Vec<Durability>,
    kept_at_least: usize,
}

impl History {
    fn new() -> History {
        History { states: vec![State::new()], durabilities: vec![], kept_at_least: 0 }
    }

    /// Called inside the transaction, so in the order in which they run.
    fn ran(&mut self, durability: Durability, change: &Change) -> usize {
        let mut state = self.states.last().unwrap().clone();
        let number = self.states.len();
        state.insert(COUNT_KEY.into(), number.to_string().into());
        for (key, value) in &change.0 {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        self.states.push(state);
        self.durabilities.push(durability);
        number
    }

    /// Somebody has seen the first `count` transactions: what was synced among them, and all before it, must stay.
    fn seen(&mut self, count: usize) {
        let synced = (1..=count).rev().find(|n| self.durabilities[n - 1] == Durability::Synced);
        self.kept_at_least = self.kept_at_least.max(synced.unwrap_or(0));
    }
}

/// What one transaction puts and deletes.
#[derive(Clone)]
struct Change(Vec<(Bytes, Option<Bytes>)>);

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn change(&mut self, number: u64) -> Change {
        let mut change = vec![];
        // An append, now and then a large one, and a few keys that are written and deleted over and over.
        let length = if self.below(12) == 0 { 1500 } else { self.below(200) };
        let value = vec![number as u8; length as usize];
        change.push((Bytes::from(format!("S{}/{number:05}", self.below(3))), Some(value.into())));
        for _ in 0..self.below(4) {
            let key = Bytes::from(format!("K{}", self.below(10)));
            let value = Bytes::from(format!("{number}"));
            change.push((key, (self.below(3) > 0).then_some(value)));
        }
        Change(change)
    }
}

/// One run of the script on `disk`, until its end or the loss of power. Returns the disk it ended on.
async fn run(mut disk: SimDisk, crash_at: Option<u64>, seed: u64, history: &Arc<Mutex<History>>) -> SimDisk {
    let mut rng = Rng(seed);
    let mut number = 0;
    let mut changes_before = 0;
    for life in 0..3 {
        if let Some(at) = crash_at.and_then(|at| at.checked_sub(changes_before)).filter(|at| *at > 0) {
            disk.crash_at(at);
        }
        let Ok(store) = Store::open(disk.clone(), options(), Driver::tokio_task()) else { return disk };
        for _step in 0..12 {
            // Several at once, so that a batch holds more than one transaction.
            let together = 1 + rng.below(4);
            let mut writes = vec![];
            for _ in 0..together {
                number += 1;
                let durability = if rng.below(3) == 0 { Durability::Ordered } else { Durability::Synced };
                writes.push(tokio::spawn(write(
                    store.clone(),
                    durability,
                    rng.change(number),
                    history.clone(),
                )));
            }
            for write in writes {
                if tokio::time::timeout(Duration::from_secs(1), write).await.is_err() {
                    return disk;
                }
            }
            // A checkpoint or a timer may have met the loss of power.
            if disk.has_crashed() {
                return disk;
            }
            look(&store, history);
            match rng.below(12) {
                0 => tokio::time::sleep(Duration::from_millis(100)).await,
                1 if finished(store.checkpoint()).await.is_none() => return disk,
                _ => {}
            }
        }
        // One life ends in good order, the next by a kill, which leaves what the operating system has.
        if life % 2 == 0 {
            if finished(store.close()).await.is_none() {
                return disk;
            }
        } else {
            // What the kill leaves to the operating system is not durable yet.
            for _ in 0..3 {
                number += 1;
                let write = write(store.clone(), Durability::Ordered, rng.change(number), history.clone());
                if finished(write).await.is_none() || disk.has_crashed() {
                    return disk;
                }
            }
            changes_before += disk.changes();
            disk = disk.after_kill();
        }
    }
    disk
}

async fn finished(action: impl Future<Output = ()>) -> Option<()> {
    tokio::time::timeout(Duration::from_secs(1), action).await.ok()
}

async fn write(store: Store, durability: Durability, change: Change, history: Arc<Mutex<History>>) {
    let record = history.clone();
    let number = store
        .write(durability, move |tx| {
            let number = record.lock().ran(durability, &change);
            tx.put(COUNT_KEY, number.to_string());
            for (key, value) in change.0 {
                match value {
                    Some(value) => tx.put(key, value),
                    None => tx.delete(&key),
                }
            }
            number
        })
        .await;
    history.lock().seen(number);
}

/// Reads as anybody could, and holds the store to what it showed.
fn look(store: &Store, history: &Mutex<History>) {
    let mut history = history.lock();
    let count = count(&all(store));
    history.seen(count);
    assert_eq!(all(store), history.states[count], "a reader sees the state after {count} transactions");
}

fn all(store: &Store) -> State {
    store.scan(.., Order::Ascending, usize::MAX).into_iter().collect()
}

fn count(state: &State) -> usize {
    state.get(COUNT_KEY).map_or(0, |count| std::str::from_utf8(count).unwrap().parse().unwrap())
}

fn reopen(disk: &SimDisk) -> Result<Store, OpenError> {
    Store::open(disk.clone(), options(), Driver::Inline)
}

/// Opens what a crash left and compares it with the history. Returns how many transactions survived.
fn check(disk: &SimDisk, history: &History, what: &str) -> usize {
    let store = reopen(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let state = all(&store);
    let survived = count(&state);
    assert!(survived < history.states.len(), "{what}: {survived} transactions, more than ever ran");
    assert!(
        survived >= history.kept_at_least,
        "{what}: {survived} transactions survived, {} were promised",
        history.kept_at_least
    );
    assert!(state == history.states[survived], "{what}: not the state after {survived} transactions");
    survived
}

/// The store that came back is written to, stopped, and opened once more.
async fn check_usable(disk: &SimDisk, what: &str) {
    let store = reopen(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut expected = all(&store);
    for n in 0..30 {
        let (key, value) = (Bytes::from(format!("new{n}")), Bytes::from(vec![n as u8; 100]));
        expected.insert(key.clone(), value.clone());
        store.write(Durability::Synced, move |tx| tx.put(key, value)).await;
    }
    drop(store);
    let disk = disk.after_crash(0);
    let store = reopen(&disk).unwrap_or_else(|error| panic!("{what}: after going on: {error}"));
    assert!(all(&store) == expected, "{what}: after going on");
}

fn simulate<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// Stops a run at change `crash_at`, and checks every way in which that can end. `None` if the run is shorter.
fn crash_once(seed: u64, crash_at: u64) -> Option<()> {
    let history = Arc::new(Mutex::new(History::new()));
    let disk = simulate(run(SimDisk::new(seed), Some(crash_at), seed, &history));
    let history = history.lock();
    if !disk.has_crashed() {
        return None;
    }
    for luck in 0..5 {
        let luck = luck + 5 * crash_at;
        let what = format!("run {seed}, stopped at change {crash_at}, luck {luck}");
        let found = disk.after_crash(luck);
        let survived = check(&found, &history, &what);
        // To find the same again, however often, changes nothing.
        assert_eq!(check(&found.after_crash(0), &history, &what), survived, "{what}");
        if luck % 5 == crash_at % 5 {
            crash_during_recovery(&disk.after_crash(luck), &history, survived, &what);
            simulate(check_usable(&disk.after_crash(luck), &what));
        }
    }
    Some(())
}

/// Power is lost again at every change that opening makes.
fn crash_during_recovery(disk: &SimDisk, history: &History, survived: usize, what: &str) {
    for crash_at in 1.. {
        let second = disk.after_kill();
        second.crash_at(crash_at);
        let opened = reopen(&second);
        let crashed = second.has_crashed();
        drop(opened);
        if !crashed {
            return;
        }
        let what = format!("{what}, again at change {crash_at} of opening");
        assert_eq!(check(&second.after_crash(crash_at), history, &what), survived, "{what}");
    }
}

fn crash_at_every_change(seed: u64) {
    let mut changes = 0;
    while crash_once(seed, changes + 1).is_some() {
        changes += 1;
    }
    assert!(changes > 300, "the script became too short to show anything: {changes} changes");
    println!("run {seed}: stopped at each of {changes} changes");
}

#[test]
fn crash_at_every_change_of_run_1() {
    crash_at_every_change(1);
}

#[test]
fn crash_at_every_change_of_run_2() {
    crash_at_every_change(2);
}

#[test]
fn crash_at_every_change_of_run_3() {
    crash_at_every_change(3);
}

/// An unfinished start must look like none, and not like damage. It is short, so it is tried with much luck.
#[test]
fn crash_at_every_change_of_a_first_start() {
    for crash_at in 1.. {
        let disk = SimDisk::new(1);
        disk.crash_at(crash_at);
        drop(reopen(&disk));
        if !disk.has_crashed() {
            assert!(crash_at > 15, "a start makes more than {crash_at} changes");
            return;
        }
        for luck in 0..60 {
            let what = format!("first start stopped at change {crash_at}, luck {luck}");
            let found = disk.after_crash(luck);
            assert_eq!(check(&found, &History::new(), &what), 0);
            if luck < 10 {
                simulate(check_usable(&found.after_kill(), &what));
            }
        }
    }
}

#[test]
fn the_script_uses_what_it_should() {
    let history = Arc::new(Mutex::new(History::new()));
    let disk = simulate(run(SimDisk::new(1), None, 1, &history));
    let history = history.lock();
    assert_eq!(check(&disk.after_crash(0), &history, "the end of the run"), history.kept_at_least);
    let store = reopen(&disk.after_kill()).unwrap();
    assert_eq!(count(&all(&store)), history.states.len() - 1, "a kill loses nothing that was written");
}

#[test]
fn one_seed_gives_the_same_bytes() {
    let fingerprint = |seed| {
        let history = Arc::new(Mutex::new(History::new()));
        let disk = simulate(run(SimDisk::new(seed), None, seed, &history));
        (disk.fingerprint(), disk.changes())
    };
    assert_eq!(fingerprint(7), fingerprint(7));
    assert_ne!(fingerprint(7), fingerprint(8));
}
