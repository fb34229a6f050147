//! How far read models have come, and how far a caller wants them to be.
//!
//! A write is answered with the place of its event: `Trellis-Position: posts:3:1041` is event 1041 of the log of
//! posts, in partition 3. A read that brings this back, as a header or as `?position=`, waits until the read
//! models have that event, for at most [`PATIENCE`], and is answered with what there is then. So whoever has
//! written reads it, though nobody else waits. Every answer out of read models says in `X-Trellis-Lag` how many
//! events they are behind.
//!
//! For this, each (source, partition) notes in one small document how far it has come: its [`Place`]. A place that
//! has not been noted for [`FRESH`] says nothing about what has happened since: the server is asked then, by one
//! answer in that time, and what it said is [noted](Backlogs) for the others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::delivery::Delivery;
use crate::generation::{self, Generations};
use crate::platform::{self, Entry, Fault, Platform};
use crate::{Problem, Service, id, jetstream, log, names, time};

/// The header that a write is answered with, and the read that should see it brings back.
pub(crate) const HEADER: &str = "trellis-position";
/// The same in a query, for a page that a browser is sent to.
pub(crate) const QUERY: &str = "position";
/// How many events the read models that answered had not yet seen.
pub(crate) const LAG_HEADER: &str = "x-trellis-lag";

/// How long a read waits for the position that it wants.
pub const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);
/// The most positions that one request may bring.
const WANTED_MAX: usize = 16;
/// The document that lists what the read models follow.
const SOURCES_KEY: &str = "sources";
/// The document of [`Backlogs`].
const BACKLOGS_KEY: &str = "backlogs";
/// How long what is known of a backlog is good enough.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// An event's place in the log of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    service: String,
    partition: u32,
    seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.service, self.partition, self.seq)
    }
}

impl FromStr for Position {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad =
            || Problem::malformed("A position is <service>:<partition>:<number>, as a write was answered.");
        let mut words = text.trim().split(':');
        let (Some(service), Some(partition), Some(seq), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        if !id::is_valid(service) {
            return Err(bad());
        }
        let (partition, seq) = (partition.parse().map_err(|_| bad())?, seq.parse().map_err(|_| bad())?);
        Ok(Self { service: service.to_owned(), partition, seq })
    }
}

impl Position {
    /// Whether the log has such an event. Anybody can name any position, and none is waited for that nobody was answered.
    fn is_stored(&self) -> bool {
        match jetstream::get(&names::log_stream(&self.service), self.seq) {
            Ok(event) => event
                .is_some_and(|event| names::is_in_partition(&event.subject, &self.service, self.partition)),
            // Whoever was answered must not suffer for a server that is busy.
            Err(_) => true,
        }
    }
}

/// Reads positions that are divided by commas.
pub(crate) fn parse(text: &str) -> Result<Vec<Position>, Problem> {
    if text.split(',').count() > WANTED_MAX {
        return Err(Problem::malformed(format!("A request may bring {WANTED_MAX} positions.")));
    }
    text.split(',').map(str::parse).collect()
}

/// What a request brings and what it is told, beside its route's own business.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The places of what it wrote, or found written already.
    wrote: BTreeMap<(&'static str, u32), u64>,
    /// How far behind the read models were that it was answered from.
    pub lag: Option<u64>,
}

impl Told {
    /// The value of the header for what was written.
    pub fn position(&self) -> Option<String> {
        let positions = self.wrote.iter().map(|((service, partition), seq)| {
            Position { service: (*service).to_owned(), partition: *partition, seq: *seq }.to_string()
        });
        let text = positions.collect::<Vec<_>>().join(",");
        (!text.is_empty()).then_some(text)
    }
}

/// An instance serves one request at a time, and this is about the one that it serves now.
#[derive(Debug, Default)]
struct Scope {
    service: &'static str,
    wanted: Vec<Position>,
    /// What it is answered from, once that has been asked for.
    reached: Option<Rc<Places>>,
    told: Told,
}

thread_local!(static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) });

/// Begins a request. What it wants of sources that this service does not follow will never come here.
pub(crate) fn begin<S: Service>(mut wanted: Vec<Position>) {
    wanted.retain(|position| S::PROJECTIONS.iter().any(|line| line.source == position.service));
    SCOPE.set(Some(Scope { service: S::NAME, wanted, ..Scope::default() }));
}

/// Ends a request, and says what it is to be told.
pub(crate) fn end() -> Told {
    SCOPE.take().unwrap_or_default().told
}

/// Remembers for the answer what has been written.
pub(crate) fn wrote<S: Service>(entity: &str, seq: u64) {
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = scope {
            let place = scope.told.wrote.entry((S::NAME, id::partition(entity, S::PARTITIONS))).or_default();
            *place = seq.max(*place);
        }
    });
}

/// Adds what this request has written to what it wants.
pub(crate) fn want_mine() {
    SCOPE.with_borrow_mut(|scope| {
        let Some(scope) = scope else { return };
        let mine = scope.told.wrote.iter().map(|((service, partition), seq)| Position {
            service: (*service).to_owned(),
            partition: *partition,
            seq: *seq,
        });
        scope.wanted.extend(mine);
        scope.reached = None;
    });
}

/// The read models, once they have what the request wants or have been waited for long enough.
pub(crate) fn reached() -> Result<Rc<Places>, Fault> {
    let scope = SCOPE.with_borrow_mut(|scope| {
        let scope = scope.as_mut()?;
        Some((scope.service, scope.reached.clone(), std::mem::take(&mut scope.wanted)))
    });
    let Some((service, reached, wanted)) = scope else { return Places::load() };
    if let Some(places) = reached {
        return Ok(places);
    }
    let platform = platform::current();
    let deadline = platform.elapsed() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    let mut places = Places::load()?;
    let mut missing = wanted;
    missing.retain(|position| !places.have(position) && position.is_stored());
    while !missing.is_empty() && platform.elapsed() < deadline {
        platform.pause(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        places = Places::load()?;
        missing.retain(|position| !places.have(position));
    }
    let lag = places.lag(service);
    SCOPE.with_borrow_mut(|scope| {
        if let Some(scope) = scope {
            scope.told.lag = Some(lag);
            scope.reached = Some(Rc::clone(&places));
        }
    });
    Ok(places)
}

/// How far one partition of a source has come in one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    #[serde(rename = "g")]
    generation: u64,
    /// The last event that is done with.
    pub seq: u64,
    /// How many more there were when this was noted.
    pub behind: u64,
    /// When this was noted.
    time: String,
    /// With which delivery of its consumer; not known of a place that a version before this one has noted.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    watched: Vec<Watched>,
}

/// A key that an earlier attempt may still write: its write had no answer, or whoever makes it is held up. That would put an
/// older value over a newer one, which is seen by its sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub key: String,
    pub seq: u64,
    until_ms: u64,
}

/// How long a key is watched.
const WATCH: Duration = Duration::from_secs(5 * 60);
/// The most keys of a partition that are watched; the newest count.
const WATCHED_MAX: usize = 64;

impl Place {
    /// The generations and, for the same price, the place in a partition of the one that consumers know by this name.
    pub fn load(source: &str, partition: u32, name: u64) -> Result<(Generations, Option<Self>), Fault> {
        let keys = [generation::KEY.to_owned(), names::place_key(name, source, partition)];
        let [generations, place] = exactly(platform::current().get_many(&keys)?)?;
        let generations = Generations::parse(generations)?;
        let Some(generation) = generations.named(name) else { return Ok((generations, None)) };
        let place = parse_place(place, generation)?.unwrap_or(Self { generation, ..Self::default() });
        Ok((generations, Some(place)))
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the place of an event before this one was noted and is not there any more: what was noted with it may be
    /// lost, too.
    pub fn went_back_before(&self, event: &Delivery<'_>) -> bool {
        // The delivery with which the event before was done.
        let before = event.nth.saturating_sub(event.attempt);
        if self.time.is_empty() { before > 0 } else { self.nth.is_some_and(|nth| nth < before) }
    }

    /// That the event, which changed these keys, is done with. Events come in order, unless a lost consumer was made anew and
    /// begins from the start: the place does not go back then.
    pub fn passed<'a>(
        &self,
        event: &Delivery<'_>,
        changed: impl Iterator<Item = &'a String>,
    ) -> Result<Entry, Fault> {
        let watched = self.watch(event, changed);
        self.entry(
            event,
            Self { seq: self.seq.max(event.seq), behind: event.behind, watched, ..Self::default() },
        )
    }

    /// That an event and those behind it have to wait.
    pub fn stuck(&self, event: &Delivery<'_>) -> Result<Entry, Fault> {
        let watched = self.watched.clone();
        let behind = event.behind.saturating_add(1);
        self.entry(event, Self { seq: self.seq, behind, watched, ..Self::default() })
    }

    fn entry(&self, event: &Delivery<'_>, place: Self) -> Result<Entry, Fault> {
        let time = time::rfc3339(platform::current().now_ms());
        let place = Self { generation: self.generation, time, nth: Some(event.nth), ..place };
        let bytes = serde_json::to_vec(&place).map_err(|error| Fault::new(error.to_string()))?;
        Ok((names::place_key(self.generation, event.source, event.partition), bytes))
    }

    /// What is to be watched once the event is done with. What is changed for the first time has nobody behind it.
    fn watch<'a>(&self, event: &Delivery<'_>, changed: impl Iterator<Item = &'a String>) -> Vec<Watched> {
        let now_ms = platform::current().now_ms();
        let until_ms = now_ms.saturating_add(u64::try_from(WATCH.as_millis()).unwrap_or(u64::MAX));
        let mut watched: Vec<Watched> = self.watched().cloned().collect();
        for key in changed {
            match watched.iter_mut().find(|watched| watched.key == *key) {
                Some(watched) => watched.seq = event.seq,
                None if event.attempt > 1 => {
                    watched.push(Watched { key: key.clone(), seq: event.seq, until_ms });
                }
                None => {}
            }
        }
        let surplus = watched.len().saturating_sub(WATCHED_MAX);
        watched.split_off(surplus)
    }

    /// The keys that are still watched.
    pub fn watched(&self) -> impl Iterator<Item = &Watched> {
        let now_ms = platform::current().now_ms();
        self.watched.iter().filter(move |watched| watched.until_ms > now_ms)
    }
}

/// How far a generation has come in each of these partitions, as the bucket says.
pub(crate) fn places(generation: u64, partitions: &[(&'static str, u32)]) -> Result<Vec<Place>, Fault> {
    let keys = partitions.iter().map(|(source, partition)| names::place_key(generation, source, *partition));
    let values = platform::current().get_many(&keys.collect::<Vec<_>>())?;
    values.into_iter().map(|value| Ok(parse_place(value, generation)?.unwrap_or_default())).collect()
}

/// Notes what the read models follow, so that their places are found without asking anybody.
pub(crate) fn follow(partitions: &[(&'static str, u32)]) -> Result<(), Fault> {
    let mut sources: BTreeMap<&str, u32> = BTreeMap::new();
    for (source, partition) in partitions {
        let count = sources.entry(source).or_default();
        *count = (*count).max(partition + 1);
    }
    let bytes = serde_json::to_vec(&sources).map_err(|error| Fault::new(error.to_string()))?;
    platform::current().set(SOURCES_KEY, &bytes)
}

/// How far the generation that is read has come, as the bucket says. An instance makes sense of it once for as long as the
/// bucket says the same.
#[derive(Debug)]
pub(crate) struct Places {
    pub generation: u64,
    followed: Vec<Followed>,
    backlogs: Backlogs,
    said: Said,
}

/// One partition of a source.
#[derive(Debug)]
struct Followed {
    source: String,
    partition: u32,
    place: Place,
}

impl Followed {
    /// By which the backlogs know it.
    fn name(&self) -> String {
        [&self.source, ":", &self.partition.to_string()].concat()
    }
}

/// What was read: [`SAID_FIRST`], and then the place of each partition.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    keys: Vec<String>,
    values: Vec<Option<Vec<u8>>>,
}

const SAID_FIRST: [&str; 3] = [BACKLOGS_KEY, generation::KEY, SOURCES_KEY];

impl Said {
    fn value(&self, at: usize) -> Option<Vec<u8>> {
        self.values.get(at).cloned().flatten()
    }

    fn backlogs(&self) -> Result<Backlogs, Fault> {
        parse_or_default(BACKLOGS_KEY, self.value(0))
    }

    fn generation(&self) -> Result<u64, Fault> {
        Ok(Generations::parse(self.value(1))?.active)
    }

    fn partitions(&self) -> Result<Vec<(String, u32)>, Fault> {
        let sources: BTreeMap<String, u32> = parse_or_default(SOURCES_KEY, self.value(2))?;
        let each = sources.into_iter();
        Ok(each
            .flat_map(|(source, count)| (0..count).map(move |partition| (source.clone(), partition)))
            .collect())
    }

    /// Whether all is the same but the backlogs, which are not what anything is answered from.
    fn is_like(&self, other: &Self) -> bool {
        self.keys == other.keys && self.values.get(1..) == other.values.get(1..)
    }
}

impl Places {
    /// Reads until what was read is all there is to read: which generation answers, and what it follows, may be others
    /// than whoever asked last was told.
    fn load() -> Result<Rc<Self>, Fault> {
        thread_local!(static KNOWN: RefCell<Option<Rc<Places>>> = const { RefCell::new(None) });
        let known = KNOWN.take();
        let first = || SAID_FIRST.map(str::to_owned).to_vec();
        let mut keys = known.as_ref().map_or_else(first, |known| known.said.keys.clone());
        let places = loop {
            let said = Said { values: platform::current().get_many(&keys)?, keys };
            if let Some(known) = known.as_ref().filter(|known| known.said == said) {
                break Rc::clone(known);
            }
            let (generation, partitions) = (said.generation()?, said.partitions()?);
            let of_places =
                partitions.iter().map(|(source, partition)| names::place_key(generation, source, *partition));
            keys = first().into_iter().chain(of_places).collect();
            if keys == said.keys {
                break Rc::new(Self::of(said, generation, partitions)?);
            }
        };
        KNOWN.set(Some(Rc::clone(&places)));
        Ok(places)
    }

    fn of(said: Said, generation: u64, partitions: Vec<(String, u32)>) -> Result<Self, Fault> {
        let mut backlogs = said.backlogs()?;
        if backlogs.generation != generation {
            backlogs = Backlogs { generation, ..Backlogs::default() };
        }
        let followed = partitions.into_iter().zip(SAID_FIRST.len()..).map(|((source, partition), at)| {
            let place = parse_place(said.value(at), generation)?.unwrap_or_default();
            Ok(Followed { source, partition, place })
        });
        Ok(Self { generation, followed: followed.collect::<Result<_, Fault>>()?, backlogs, said })
    }

    fn have(&self, wanted: &Position) -> bool {
        let mut followed = self.followed.iter();
        followed.any(|of| {
            of.source == wanted.service && of.partition == wanted.partition && of.place.seq >= wanted.seq
        })
    }

    /// Whether what is answered from these is what would be answered from those.
    pub fn answer_like(&self, others: &Self) -> bool {
        self.said.is_like(&others.said)
    }

    /// How many events the read models are behind. What cannot be found out is what was noted last.
    fn lag(&self, service: &str) -> u64 {
        let now_ms = platform::current().now_ms();
        let fresh_ms = u64::try_from(FRESH.as_millis()).unwrap_or(u64::MAX);
        let long_ago = time::rfc3339(now_ms.saturating_sub(fresh_ms));
        let (resting, moving): (Vec<_>, Vec<_>) =
            self.followed.iter().partition(|of| time::is_older(&of.place.time, &long_ago));
        let known_until = self.backlogs.asked_ms.saturating_add(fresh_ms);
        // A clock that was set back must not make what was noted last for ever.
        let is_known = (self.backlogs.asked_ms..known_until).contains(&now_ms);
        let asked = (!resting.is_empty() && !is_known).then(|| self.ask(service, now_ms, &resting));
        let waiting = &asked.as_ref().unwrap_or(&self.backlogs).waiting;
        let at_rest = |of: &&Followed| waiting.get(&of.name()).copied().unwrap_or(of.place.behind);
        resting.iter().map(at_rest).sum::<u64>() + moving.iter().map(|of| of.place.behind).sum::<u64>()
    }

    /// Asks the server about the partitions in which nothing moves.
    fn ask(&self, service: &str, now_ms: u64, resting: &[&Followed]) -> Backlogs {
        let mut backlogs = Backlogs { asked_ms: now_ms, ..self.backlogs.clone() };
        // Noted before it is done, so that of many who come at once one asks.
        note(&backlogs);
        for of in resting {
            let consumer = names::consumer(service, self.generation, of.partition);
            if let Ok(Some(progress)) = jetstream::progress(&names::log_stream(&of.source), &consumer) {
                backlogs.waiting.insert(of.name(), progress.backlog);
            }
        }
        note(&backlogs);
        backlogs
    }
}

/// What the server said when it was asked how much waits for the partitions in which nothing moves. Whoever answers
/// a request may note it: it is about the same things at about the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Backlogs {
    generation: u64,
    asked_ms: u64,
    /// By the name of the partition.
    waiting: BTreeMap<String, u64>,
}

/// What is not noted is asked for once more.
fn note(backlogs: &Backlogs) {
    let bytes = serde_json::to_vec(backlogs).unwrap_or_default();
    if let Err(fault) = platform::current().set(BACKLOGS_KEY, &bytes) {
        log::warn(&format!("the backlogs are not noted: {fault}"));
    }
}

/// What another generation left in the same slot is not there.
fn parse_place(bytes: Option<Vec<u8>>, generation: u64) -> Result<Option<Place>, Fault> {
    let Some(bytes) = bytes else { return Ok(None) };
    let place: Place = serde_json::from_slice(&bytes).map_err(|error| broken("a place", &error))?;
    Ok((place.generation == generation).then_some(place))
}

fn parse_or_default<T: DeserializeOwned + Default>(key: &str, value: Option<Vec<u8>>) -> Result<T, Fault> {
    let Some(bytes) = value else { return Ok(T::default()) };
    serde_json::from_slice(&bytes).map_err(|error| broken(key, &error))
}

fn exactly<const N: usize>(values: Vec<Option<Vec<u8>>>) -> Result<[Option<Vec<u8>>; N], Fault> {
    values.try_into().map_err(|_| Fault::new("asked for some keys, answered for another number"))
}

fn broken(key: &str, error: &serde_json::Error) -> Fault {
    Fault::new(format!("the value of {key} cannot be read: {error}"))
}
