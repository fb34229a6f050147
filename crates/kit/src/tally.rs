//! How often somebody has done something lately, counted over all instances.
//!
//! Time is divided into windows. Whoever counts has a slot by hash, and a slot has a counter that only ever counts up;
//! what it was when a window began is noted in a document of that window. So nothing is deleted, and there are never more
//! keys than slots have. Two who share a slot share its count, which is rare among so many slots. The hash has a key that
//! chance made when somebody counted here for the first time, and that is in the bucket: nobody outside can choose a name
//! that shares the slot of another. Those who cannot be told apart have one name, [`ANYBODY`], which nobody chose: its slot is
//! no secret.
//!
//! **A large limit is counted by samples.** One in so many is counted, drawn by chance, and stands for all of them; the
//! others only look. So callers that come thick and fast seldom meet at a counter, and most of them cost one call. What a
//! caller is said to have used is right to within a tenth of the limit or so. A limit below 512 is counted exactly.
//!
//! Whoever begins a window reads the counter, looks again for the note, and writes it before counting: so whoever sees a
//! count of this window sees the note of it, too. However many count at once, no two of them get the same number, and
//! never more get one up to an exact limit than the limit allows.
//!
//! Where a server has no counter of its own, a provider counts by comparing, and gives up where too many count in one slot.
//! Then this is tried again, and at last the caller stands where those before stood: who is far below a limit is let
//! through uncounted, which the log says, and who is beyond it is not.

use std::cell::{OnceCell, RefCell};
use std::time::Duration;

use crate::platform::{self, Fault, Platform};
use crate::time::back_off;
use crate::{id, log};

const SLOTS: u32 = 1 << 14;
/// Where the key of the hash is.
const KEY: &str = "tally.key";
/// For how long an instance remembers it.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// How often counting is tried. A provider that does not try again itself gives up whenever somebody else was faster.
const TRIES: u32 = 10;
/// How many are counted of a limit that is large.
const SAMPLES: u64 = 256;

/// The name of all who cannot be told apart.
pub const ANYBODY: &str = "anybody";

/// Counts one thing that callers do.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    name: &'static str,
    window: Duration,
}

/// Where a caller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How often in this window, this time included.
    pub used: u64,
    /// How long until the next window.
    pub left: Duration,
}

/// One time that somebody does it.
#[derive(Debug)]
pub struct Turn<'a> {
    tally: Tally,
    who: &'a str,
    limit: u64,
    now_ms: u64,
    seen: OnceCell<Seen>,
}

/// What the keys of a slot held.
#[derive(Debug, Clone, Default)]
struct Seen {
    note: Option<Vec<u8>>,
    counter: Option<Vec<u8>>,
}

impl Tally {
    /// The name is part of its keys.
    pub const fn new(name: &'static str, window: Duration) -> Self {
        Self { name, window }
    }

    /// Counts this time, too, for a limit of so many in a window. The price is two calls, or seldom more than one where the limit
    /// is large, and three more for the first in a window. An instance asks for the key besides, once a minute, unless
    /// [`ANYBODY`] is counted.
    pub fn count(&self, who: &str, limit: u64) -> Result<Count, Fault> {
        self.turn(who, limit).count()
    }

    /// One time that is yet to be counted. [`glance`](crate::glance) reads for it along with documents: then counting costs one
    /// call less.
    pub fn turn<'a>(&self, who: &'a str, limit: u64) -> Turn<'a> {
        Turn { tally: *self, who, limit, now_ms: platform::current().now_ms(), seen: OnceCell::new() }
    }
}

impl Turn<'_> {
    /// What can be read for it by now: what its slot holds, or else the key that says which slot it has.
    pub(crate) fn keys(&self) -> Vec<String> {
        match slot_name(self.who) {
            Some(name) => self.keys_of(&name).into(),
            None => vec![KEY.to_owned()],
        }
    }

    /// Remembers what was found there.
    pub(crate) fn learn(&self, found: Vec<Option<Vec<u8>>>) {
        let is_key = found.len() == 1;
        let mut found = found.into_iter();
        let first = found.next().flatten();
        if is_key {
            learn(first);
        } else {
            self.seen.get_or_init(|| Seen { note: first, counter: found.next().flatten() });
        }
    }

    pub fn count(&self) -> Result<Count, Fault> {
        let platform = platform::current();
        let name = match slot_name(self.who) {
            Some(name) => name,
            None => keyed(&new_key()?, self.who),
        };
        let [note, slot] = self.keys_of(&name);
        let (window, window_ms) = (self.window(), self.window_ms());
        let stands_for = (self.limit / SAMPLES).max(1);
        let is_counted = stands_for == 1 || platform.random().is_multiple_of(stands_for);
        let seen = match self.seen.get() {
            Some(seen) => seen.clone(),
            None if is_counted => Seen { note: platform.get(&note)?, counter: None },
            None => {
                let mut found = platform.get_many(&[note.clone(), slot.clone()])?.into_iter();
                Seen { note: found.next().flatten(), counter: found.next().flatten() }
            }
        };
        let base = match noted(seen.note, window) {
            Some(base) => base,
            None => begin(&slot, &note, window)?,
        };
        let counter = if is_counted { up(&slot)? } else { number(&slot, seen.counter)? };
        let used = counter.saturating_sub(base).saturating_mul(stands_for);
        let left = Duration::from_millis((window + 1) * window_ms - self.now_ms);
        Ok(Count { used, left })
    }

    /// The keys of the note and of the counter. Notes take turns in two keys: one that is written late never covers that of the
    /// window after.
    fn keys_of(&self, name: &str) -> [String; 2] {
        let slot = format!("tally.{}.{}", self.tally.name, id::partition(name, SLOTS));
        [format!("{slot}.{}", self.window() % 2), slot]
    }

    fn window(&self) -> u64 {
        self.now_ms / self.window_ms()
    }

    fn window_ms(&self) -> u64 {
        self.tally.window.as_millis().max(1) as u64
    }
}

/// Counts up. What cannot be counted is one more than was counted before.
fn up(slot: &str) -> Result<u64, Fault> {
    let platform = platform::current();
    for attempt in 0..TRIES {
        match platform.increment(slot) {
            Ok(count) => return Ok(count),
            Err(fault) if attempt + 1 == TRIES => log::warn(&format!("a request is not counted: {fault}")),
            Err(_) => back_off(attempt),
        }
    }
    Ok(counted(slot)?.saturating_add(1))
}

fn counted(slot: &str) -> Result<u64, Fault> {
    number(slot, platform::current().get(slot)?)
}

/// What a counter is; nobody has counted where there is none. Providers write it as decimal digits, or as eight bytes of
/// which the first is 0: no counter comes so far that it is not.
fn number(slot: &str, counter: Option<Vec<u8>>) -> Result<u64, Fault> {
    let Some(bytes) = counter else { return Ok(0) };
    let number = match <[u8; 8]>::try_from(bytes.as_slice()) {
        Ok(binary @ [0, ..]) => Some(u64::from_be_bytes(binary)),
        _ => std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()),
    };
    number.ok_or_else(|| Fault::new(format!("{slot} is no counter")))
}

/// What the counter is at the beginning of a window, and notes it if nobody has meanwhile.
fn begin(slot: &str, note: &str, window: u64) -> Result<u64, Fault> {
    let platform = platform::current();
    let base = counted(slot)?;
    if let Some(noted) = noted(platform.get(note)?, window) {
        return Ok(noted);
    }
    platform.set(note, format!("{window} {base}").as_bytes())?;
    Ok(base)
}

/// What the counter was when this window began, if the note says so.
fn noted(note: Option<Vec<u8>>, window: u64) -> Option<u64> {
    let note = String::from_utf8(note?).ok()?;
    let (of, base) = note.split_once(' ')?;
    (of.parse() == Ok(window)).then(|| base.parse().ok()).flatten()
}

/// What a slot follows from; none if that takes the key, and this instance does not know it.
fn slot_name(who: &str) -> Option<String> {
    if who == ANYBODY { Some(who.to_owned()) } else { Some(keyed(&known_key()?, who)) }
}

/// The keyed hash of a name, whatever is in it.
fn keyed(key: &[u8], who: &str) -> String {
    id::hex(&id::digest(&[key, who.as_bytes()]))
}

// The key of the hash, and when this instance learned it.
thread_local!(static KNOWN: RefCell<Option<(Duration, Vec<u8>)>> = const { RefCell::new(None) });

/// Two who begin at once make two keys, of which one stays: whoever remembers the other looks again in a while.
fn known_key() -> Option<Vec<u8>> {
    let now = platform::current().elapsed();
    KNOWN.with_borrow(|known| {
        let (since, key) = known.as_ref()?;
        (now.saturating_sub(*since) < KNOWN_FOR).then(|| key.clone())
    })
}

/// Remembers what was found there, if anything was.
fn learn(key: Option<Vec<u8>>) {
    if let Some(key) = key {
        KNOWN.set(Some((platform::current().elapsed(), key)));
    }
}

/// Makes the key of this deployment, unless there is one. Of those who first count somebody, several may make one at once, and
/// count in slots of their own for a minute; so a service has it made before anybody asks, in
/// [`look_around`](crate::Service::look_around).
pub fn make_key() -> Result<(), Fault> {
    new_key().map(drop)
}

/// The key of this deployment, made by whoever needs it first. It is remembered.
fn new_key() -> Result<Vec<u8>, Fault> {
    let platform = platform::current();
    let key = match platform.get(KEY)? {
        Some(key) => key,
        None => {
            let chance = format!("{:016x}{:016x}", platform.random(), platform.random());
            platform.set(KEY, chance.as_bytes())?;
            platform.get(KEY)?.unwrap_or(chance.into_bytes())
        }
    };
    learn(Some(key.clone()));
    Ok(key)
}

/// As in an instance that was made anew.
#[cfg(test)]
pub(crate) fn forget() {
    KNOWN.set(None);
}
