//! Lists that never grow unwieldy: ids in pages of a fixed size, newest first.
//!
//! Each partition of the source has pages of its own: an open one, the head, which new ids are added to, and full
//! ones before it, which never change again. Adding is one read and one write (two when the head is full). Reading a
//! page of the list is one read for all heads, and seldom another for full pages. The price is the same with a
//! million ids as with a hundred.
//!
//! A head may also hold what the list shows of its newest ids ([`Series`](super::Series)). So whoever reads the beginning of
//! a list has read what is in it.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use trellis_names as names;

use super::reader::Reader;
use super::writer::Writer;
use crate::contract::types::PageRequest;
use crate::descriptor::Source;
use crate::failure::Failure;
use crate::id;
use crate::problem::Problem;

/// How many ids a page holds.
pub const PAGE_LEN: usize = 64;
/// Of how many ids a head holds what the list shows. Lanes share a page of the list, so each needs few.
pub const SHOWN: usize = 4;
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const CURSOR_MAX_LEN: usize = 1024;

/// A list of the entities of one service, in the order in which they were added.
#[derive(Debug, Clone, Copy)]
pub struct Index {
    source: Source,
    name: &'static str,
}

/// One list for each entity that owns some, the comments of each post for example; or one for each owner of any kind, as the orders
/// of each buyer.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    source: Source,
    name: &'static str,
    of_anybody: bool,
}

/// One part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub ids: Vec<String>,
    /// What to ask for the next part with; none is the end.
    pub next: Option<String>,
}

/// The open page of a lane.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    page: u64,
    items: Vec<Item>,
    /// The newest [`SHOWN`] with what the list shows of them, oldest first. Some may be on the page before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shown: Vec<(Item, Box<RawValue>)>,
}

/// An id, and the sequence of the event that added it: its place among the ids of all partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item(u64, String);

/// The part of a lane that is open.
const HEAD: &str = "head";

impl PageRequest {
    /// How many are asked for at most, if so many can be had at once.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit as usize);
        }
        Err(Problem::malformed(format!("limit must be a number from 1 to {LIMIT_MAX}.")))
    }
}

/// What the list shows, by id.
pub(super) type Shown = BTreeMap<String, Box<RawValue>>;

/// The pages of one list: a lane of them for each partition that adds to it.
struct Pages {
    source: &'static str,
    name: &'static str,
    lanes: Vec<String>,
}

impl Index {
    /// A list that follows the events of a service. The name is part of its keys.
    pub const fn new(source: Source, name: &'static str) -> Self {
        Self { source, name }
    }

    /// Adds an id as the newest.
    pub fn add(&self, writer: &Writer<'_>, id: &str) -> Result<(), Failure> {
        self.change(writer, |lane| lane.add(id, None))
    }

    /// Adds an id as the newest, with what the list shows of it.
    pub(super) fn add_shown(
        &self,
        writer: &Writer<'_>,
        id: &str,
        shown: Box<RawValue>,
    ) -> Result<(), Failure> {
        self.change(writer, |lane| lane.add(id, Some(shown)))
    }

    /// Changes what the list shows of an id, where it is among the newest.
    pub(super) fn show(&self, writer: &Writer<'_>, id: &str, shown: Box<RawValue>) -> Result<(), Failure> {
        self.change(writer, |lane| lane.show(id, shown))
    }

    /// Changes the lane of the event's partition.
    fn change(
        &self,
        writer: &Writer<'_>,
        change: impl FnOnce(&OpenLane<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if writer.source != self.source.name || writer.partition >= self.source.partitions {
            let Writer { source, partition, .. } = writer;
            return Err(Failure::lasting(format!(
                "{} lists no events of partition {partition} of {source}",
                self.name
            )));
        }
        change(&OpenLane { writer, name: self.name, lane: &writer.partition.to_string() })
    }

    /// The ids that a page request asks for.
    pub fn list(&self, reader: &Reader, request: &PageRequest) -> Result<Listed, Problem> {
        Ok(self.list_shown(reader, request)?.0)
    }

    /// The ids that a page request asks for, and what the heads that were read for it show.
    pub(super) fn list_shown(
        &self,
        reader: &Reader,
        request: &PageRequest,
    ) -> Result<(Listed, Shown), Problem> {
        let lanes = (0..self.source.partitions).map(|partition| partition.to_string()).collect();
        Pages { source: self.source.name, name: self.name, lanes }.list(reader, request)
    }
}

impl Lists {
    /// Lists that follow the events of one service, of owners who are of the same family as the event's entity: so all that is
    /// added to one list comes from one partition. The name is part of their keys.
    pub const fn new(source: Source, name: &'static str) -> Self {
        Self { source, name, of_anybody: false }
    }

    /// The same of owners that any text stands for. What is added to one list comes from all partitions, so reading it costs as much
    /// as reading an [`Index`].
    pub const fn of_anybody(source: Source, name: &'static str) -> Self {
        Self { source, name, of_anybody: true }
    }

    /// Adds an id as the newest of an owner.
    pub fn add(&self, writer: &Writer<'_>, owner: &str, id: &str) -> Result<(), Failure> {
        let is_ours = writer.source == self.source.name && writer.partition < self.source.partitions;
        if is_ours && self.of_anybody {
            let lane = lane_of(owner, writer.partition);
            return OpenLane { writer, name: self.name, lane: &lane }.add(id, None);
        }
        if !is_ours || id::root(owner) != id::root(writer.entity) || !id::is_valid(owner) {
            return Err(Failure::lasting(format!(
                "{} of {owner:?} is not for events of {} in {} to write",
                self.name, writer.entity, writer.source
            )));
        }
        OpenLane { writer, name: self.name, lane: owner }.add(id, None)
    }

    /// The ids that a page request asks for, of one owner; none if it owns nothing.
    pub fn list(&self, reader: &Reader, owner: &str, request: &PageRequest) -> Result<Listed, Problem> {
        let lanes = match self.of_anybody {
            true => (0..self.source.partitions).map(|partition| lane_of(owner, partition)).collect(),
            false if id::is_valid(owner) => vec![owner.to_owned()],
            false => Vec::new(),
        };
        Ok(Pages { source: self.source.name, name: self.name, lanes }.list(reader, request)?.0)
    }
}

/// The lane of anybody in a partition. An owner may be called as no part of a key can be.
pub(super) fn lane_of(owner: &str, partition: u32) -> String {
    format!("{}-{partition}", id::derived(&[owner.as_bytes()]))
}

/// A lane, for a projection that changes it.
struct OpenLane<'a> {
    writer: &'a Writer<'a>,
    name: &'static str,
    lane: &'a str,
}

impl OpenLane<'_> {
    /// Adds an id as the newest.
    ///
    /// A full page is there before the head that no longer holds it. Dying in between is harmless: it is a copy of what the
    /// head still holds, and is written again then.
    fn add(&self, id: &str, shown: Option<Box<RawValue>>) -> Result<(), Failure> {
        let Some(mut head) = self.head()? else { return Ok(()) };
        if head.items.len() >= PAGE_LEN {
            self.writer.save_first(&self.key(&head.page.to_string()), &head.items)?;
            head.page += 1;
            head.items.clear();
        }
        let item = Item(self.writer.seq, id.to_owned());
        if let Some(shown) = shown {
            head.shown.push((item.clone(), shown));
            head.shown.drain(..head.shown.len().saturating_sub(SHOWN));
        }
        head.items.push(item);
        self.writer.save(self.key(HEAD), &head)
    }

    /// Changes what is shown of an id, if anything is.
    fn show(&self, id: &str, shown: Box<RawValue>) -> Result<(), Failure> {
        let Some(mut head) = self.head()? else { return Ok(()) };
        match head.shown.iter_mut().find(|(item, _)| item.1 == id) {
            Some(known) => known.1 = shown,
            None => return Ok(()),
        }
        self.writer.save(self.key(HEAD), &head)
    }

    /// The head as it was before this event; none if the event has changed it already.
    fn head(&self) -> Result<Option<Head>, Failure> {
        let key = self.key(HEAD);
        if self.writer.has_changed(&key) {
            return Ok(None);
        }
        let Some(head) = self.writer.before::<Head>(&key)? else { return Ok(None) };
        if head.as_ref().is_some_and(|head| head.seq >= self.writer.seq) {
            return Ok(None);
        }
        Ok(Some(head.map(|head| head.value).unwrap_or_default()))
    }

    fn key(&self, part: &str) -> String {
        names::index_key(self.writer.generation, self.writer.source, self.name, self.lane, part)
    }
}

impl Pages {
    /// The ids that a page request asks for.
    fn list(&self, reader: &Reader, request: &PageRequest) -> Result<(Listed, Shown), Problem> {
        let limit = request.limit()?;
        let cursor = match &request.after {
            Some(text) => Some(Cursor::decode(text, self.lanes.len()).ok_or_else(bad_cursor)?),
            None => None,
        };
        // A list that was begun in one generation is read on in it: it stays where it is until after the next
        // rebuild.
        let (generation, mut lanes, shown) = self.lanes(reader, cursor.as_ref())?;
        let mut ids = Vec::with_capacity(limit);
        let mut before = cursor.map_or(u64::MAX, |cursor| cursor.before);
        while ids.len() < limit {
            self.refill(reader, generation, &mut lanes, limit - ids.len(), before)?;
            let Some((seq, id)) = pop_newest(&mut lanes) else { break };
            before = seq;
            ids.push(id);
        }
        let rest: Vec<u64> = lanes.iter().map(Lane::position).collect();
        let more = rest.iter().any(|position| *position > 0);
        let next = more.then(|| Cursor { generation, before, positions: rest }.encode());
        Ok((Listed { ids, next }, shown))
    }

    /// Which generation is read, where reading begins in each partition, and what the heads show.
    fn lanes(&self, reader: &Reader, cursor: Option<&Cursor>) -> Result<(u64, Vec<Lane>, Shown), Problem> {
        let keys = |generation| self.lanes.iter().map(|lane| self.key(generation, lane, HEAD)).collect();
        let read = reader.read(cursor.map(|cursor| cursor.generation), keys)?;
        let heads = read.parse::<Head>(..)?;
        let each = heads.iter().flatten().flat_map(|head| &head.shown);
        let shown = each.map(|(item, value)| (item.1.clone(), value.clone())).collect();
        let positions = cursor.map(|cursor| cursor.positions.iter().copied().map(Some).collect());
        let positions = positions.unwrap_or_else(|| vec![None; heads.len()]);
        let before = cursor.map_or(u64::MAX, |cursor| cursor.before);
        let lanes = heads.into_iter().zip(positions).map(|(head, position)| match (head, position) {
            (None, None) | (_, Some(0)) => Ok(Lane::default()),
            (None, Some(_)) => Err(bad_cursor()),
            (Some(head), position) => Lane::new(head, position, before).ok_or_else(bad_cursor),
        });
        Ok((read.generation, lanes.collect::<Result<_, _>>()?, shown))
    }

    /// Reads on where too little is at hand to know what comes next. All partitions that may run dry are read
    /// at once, so this reads twice at the very most, however the ids are spread.
    fn refill(
        &self,
        reader: &Reader,
        generation: u64,
        lanes: &mut [Lane],
        wanted: usize,
        before: u64,
    ) -> Result<(), Problem> {
        while lanes.iter().any(Lane::is_dry) {
            let short = |lane: &Lane| lane.pages_left > 0 && lane.items.len() < wanted;
            let names = self.lanes.iter().zip(lanes.iter()).filter(|(_, lane)| short(lane));
            let keys: Vec<String> = names
                .map(|(name, lane)| self.key(generation, name, &(lane.pages_left - 1).to_string()))
                .collect();
            let pages = reader.read(Some(generation), |_| keys.clone())?.parse::<Vec<Item>>(..)?;
            for (lane, (page, key)) in
                lanes.iter_mut().filter(|lane| short(lane)).zip(pages.into_iter().zip(&keys))
            {
                let Some(page) = page else {
                    return Err(Problem::internal(format_args!("page {key} is missing")));
                };
                lane.pages_left -= 1;
                lane.extend(lane.pages_left, page, before);
                // Only a cursor that was not made here points before pages that hold nothing older than itself.
                // Following it could mean to read them all.
                if lane.items.is_empty() {
                    return Err(bad_cursor());
                }
            }
        }
        Ok(())
    }

    fn key(&self, generation: u64, lane: &str, part: &str) -> String {
        names::index_key(generation, self.source, self.name, lane, part)
    }
}

/// One lane while it is read.
#[derive(Debug, Default)]
struct Lane {
    /// What is at hand, newest first, each with the page it is on.
    items: VecDeque<(u64, Item)>,
    /// Pages below this one have not been read.
    pages_left: u64,
}

impl Lane {
    /// Begins at the head, or at a position of a cursor; none if there is no such position.
    fn new(head: Head, position: Option<u64>, before: u64) -> Option<Self> {
        let mut lane = Self::default();
        match position {
            Some(position) if position > head.page + 1 => return None,
            Some(position) if position <= head.page => lane.pages_left = position,
            _ => {
                lane.pages_left = head.page;
                let first = head.items.first().map_or(u64::MAX, |item| item.0);
                lane.extend(head.page, head.items, before);
                // What a head shows of the page before it need not be read there.
                let shown = head.shown.into_iter().map(|(item, _)| item).filter(|item| item.0 < first);
                lane.extend(head.page.saturating_sub(1), shown.collect(), before);
                if lane.items.is_empty() {
                    return None;
                }
            }
        }
        Some(lane)
    }

    /// Adds what is older than all that is at hand.
    fn extend(&mut self, page: u64, items: Vec<Item>, before: u64) {
        let before = self.items.back().map_or(before, |(_, oldest)| before.min(oldest.0));
        let older = items.into_iter().rev().filter(|item| item.0 < before);
        self.items.extend(older.map(|item| (page, item)));
    }

    fn is_dry(&self) -> bool {
        self.items.is_empty() && self.pages_left > 0
    }

    /// One more than the page on which the next item is; 0 is the end.
    fn position(&self) -> u64 {
        self.items.front().map_or(self.pages_left, |(page, _)| page + 1)
    }
}

fn pop_newest(lanes: &mut [Lane]) -> Option<(u64, String)> {
    let newest = lanes.iter_mut().max_by_key(|lane| lane.items.front().map_or(0, |(_, item)| item.0))?;
    newest.items.pop_front().map(|(_, Item(seq, id))| (seq, id))
}

fn bad_cursor() -> Problem {
    Problem::malformed("after is not a position in this list, or no longer one. Start again without it.")
}

/// Where a list goes on: everything older than `before`, looked for from these positions on.
#[derive(Debug, PartialEq, Eq)]
struct Cursor {
    generation: u64,
    before: u64,
    positions: Vec<u64>,
}

impl Cursor {
    fn encode(&self) -> String {
        let mut bytes = Vec::new();
        for number in [self.generation, self.before].iter().chain(&self.positions) {
            let mut rest = *number;
            while rest > 0x7f {
                bytes.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        BASE64.encode(bytes)
    }

    fn decode(text: &str, lanes: usize) -> Option<Self> {
        if text.len() > CURSOR_MAX_LEN {
            return None;
        }
        let mut bytes = BASE64.decode(text).ok()?.into_iter();
        let (generation, before) = (number(&mut bytes)?, number(&mut bytes)?);
        let positions = (0..lanes).map(|_| number(&mut bytes)).collect::<Option<_>>()?;
        let cursor = Self { generation, before, positions };
        // One text for one position: what does not come back the same was not made here.
        (bytes.next().is_none() && cursor.encode() == text).then_some(cursor)
    }
}

/// Seven bits of a byte at a time, least first; the eighth says that there are more.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
