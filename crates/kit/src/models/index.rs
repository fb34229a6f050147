//! Lists that never grow unwieldy: ids in pages of a fixed size, newest first.
//!
//! Each partition of the source has pages of its own: an open one, the head, which new ids are added to, and full
//! ones before it, which never change again. Adding is one read and one write (two when the head is full). Reading a
//! page of the list is one read for all heads, and seldom another for full pages. The price is the same with a
//! million ids as with a hundred.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
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
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const CURSOR_MAX_LEN: usize = 1024;

/// A list of the entities of one service, in the order in which they were added.
#[derive(Debug, Clone, Copy)]
pub struct Index {
    source: Source,
    name: &'static str,
}

/// One list for each entity that owns some, the comments of each post for example.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    source: Source,
    name: &'static str,
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
}

/// An id, and the sequence of the event that added it: its place among the ids of all partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item(u64, String);

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
        if writer.source != self.source.name || writer.partition >= self.source.partitions {
            let Writer { source, partition, .. } = writer;
            return Err(Failure::lasting(format!(
                "{} lists no events of partition {partition} of {source}",
                self.name
            )));
        }
        add(writer, self.name, &writer.partition.to_string(), id)
    }

    /// The ids that a page request asks for.
    pub fn list(&self, reader: &Reader, request: &PageRequest) -> Result<Listed, Problem> {
        let lanes = (0..self.source.partitions).map(|partition| partition.to_string()).collect();
        Pages { source: self.source.name, name: self.name, lanes }.list(reader, request)
    }
}

impl Lists {
    /// Lists that follow the events of one service. The name is part of their keys.
    pub const fn new(source: Source, name: &'static str) -> Self {
        Self { source, name }
    }

    /// Adds an id as the newest of an owner, who is of the same family as the event's entity: so all that is added
    /// to one list comes from one partition.
    pub fn add(&self, writer: &Writer<'_>, owner: &str, id: &str) -> Result<(), Failure> {
        if writer.source != self.source.name
            || id::root(owner) != id::root(writer.entity)
            || !id::is_valid(owner)
        {
            return Err(Failure::lasting(format!(
                "{} of {owner:?} is not for events of {} in {} to write",
                self.name, writer.entity, writer.source
            )));
        }
        add(writer, self.name, owner, id)
    }

    /// The ids that a page request asks for, of one owner; none if it owns nothing.
    pub fn list(&self, reader: &Reader, owner: &str, request: &PageRequest) -> Result<Listed, Problem> {
        let lanes = if id::is_valid(owner) { vec![owner.to_owned()] } else { Vec::new() };
        Pages { source: self.source.name, name: self.name, lanes }.list(reader, request)
    }
}

/// Adds an id to a lane as the newest.
///
/// A full page is there before the head that no longer holds it. Dying in between is harmless: it is a copy of what the
/// head still holds, and is written again then.
fn add(writer: &Writer<'_>, name: &str, lane: &str, id: &str) -> Result<(), Failure> {
    let key = |part: &str| names::index_key(writer.generation, writer.source, name, lane, part);
    if writer.has_changed(&key("head")) {
        return Ok(());
    }
    let Some(head) = writer.before::<Head>(&key("head"))? else { return Ok(()) };
    if head.as_ref().is_some_and(|head| head.seq >= writer.seq) {
        return Ok(());
    }
    let mut head = head.map(|head| head.value).unwrap_or_default();
    if head.items.len() >= PAGE_LEN {
        writer.save_first(&key(&head.page.to_string()), &head.items)?;
        head = Head { page: head.page + 1, items: Vec::new() };
    }
    head.items.push(Item(writer.seq, id.to_owned()));
    writer.save(key("head"), &head)
}

impl Pages {
    /// The ids that a page request asks for.
    fn list(&self, reader: &Reader, request: &PageRequest) -> Result<Listed, Problem> {
        let limit = request.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::malformed(format!("limit must be a number from 1 to {LIMIT_MAX}.")));
        }
        let cursor = match &request.after {
            Some(text) => Some(Cursor::decode(text, self.lanes.len()).ok_or_else(bad_cursor)?),
            None => None,
        };
        // A list that was begun in one generation is read on in it: it stays where it is until after the next
        // rebuild.
        let (generation, mut lanes) = self.lanes(reader, cursor.as_ref())?;
        let limit = limit as usize;
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
        Ok(Listed { ids, next })
    }

    /// Which generation is read, and where reading begins in each partition.
    fn lanes(&self, reader: &Reader, cursor: Option<&Cursor>) -> Result<(u64, Vec<Lane>), Problem> {
        let keys = |generation| self.lanes.iter().map(|lane| self.key(generation, lane, "head")).collect();
        let read = reader.read(cursor.map(|cursor| cursor.generation), keys)?;
        let heads = read.parse::<Head>(..)?;
        let positions = cursor.map(|cursor| cursor.positions.iter().copied().map(Some).collect());
        let positions = positions.unwrap_or_else(|| vec![None; heads.len()]);
        let before = cursor.map_or(u64::MAX, |cursor| cursor.before);
        let lanes = heads.into_iter().zip(positions).map(|(head, position)| match (head, position) {
            (None, None) | (_, Some(0)) => Ok(Lane::default()),
            (None, Some(_)) => Err(bad_cursor()),
            (Some(head), position) => Lane::new(head, position, before).ok_or_else(bad_cursor),
        });
        Ok((read.generation, lanes.collect::<Result<_, _>>()?))
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
                lane.extend(head.page, head.items, before);
                if lane.items.is_empty() {
                    return None;
                }
            }
        }
        Some(lane)
    }

    fn extend(&mut self, page: u64, items: Vec<Item>, before: u64) {
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
