//! The kit as a service sees it, with every failure that a platform can have.

mod access;
mod ask;
mod batch;
mod building;
mod client;
mod dead;
mod delivery;
mod describe;
mod execute;
mod generation;
mod guard;
mod history;
mod http;
mod index;
mod late;
mod lookup;
mod message;
mod once;
mod outgoing;
mod position;
mod private;
mod readiness;
mod remembered;
mod series;
mod service;
mod shares;
mod tally;
mod timer;
mod versions;
mod wide;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trellis_names as names;

use crate::delivery::Term;
use crate::event::Old;
use crate::eventlog::Envelope;
use crate::platform::{Entry, Platform};
use crate::testing::{anonymous, platform};
use crate::{
    Aggregate, Asks, Cx, Described, Docs, Entity, Event, Failure, Index, Lists, PageRequest, Problem,
    Projections, Reaction, Reactions, Recorded, Response, Route, Service, Shares, Source, Wire, Writer,
    projections, reactions, routes,
};

/// A service with one of everything. The text of a note says what it does to those who handle it.
#[derive(Debug)]
pub struct Notes;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Note {
    pub id: String,
    pub text: String,
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct NewNote {
    /// What it says.
    pub text: String,
    pub tags: Option<Vec<Tag>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Tag {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct NotePage {
    pub items: Vec<Note>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum NoteEvent {
    Written(Note),
    Edited(String),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Wire)]
pub enum Color {
    Red,
    DarkBlue,
}

/// Its log.
pub const SOURCE: Source = Source::new(Notes::NAME, Notes::PARTITIONS);
pub const NOTES: Docs<Note> = Docs::new(SOURCE, "note");
pub const EDITS: Docs<u64> = Docs::new(SOURCE, "edits");
pub const FEED: Index = Index::new(SOURCE, "feed");

impl Service for Notes {
    const NAME: &str = "notes";
    const VERSION: &str = "1.2.3";
    const PARTITIONS: u32 = 2;
    const ROUTES: &[Route] = routes! {
        POST "/notes" => created(Self::create),
        GET "/notes" => page(Self::list),
        own GET "/notes/{id}" => ok(Self::get),
        PUT "/notes/{id}" => ok(Self::edit),
        GET "/notes/newest" => |_| Ok(Response::empty(204)),
        GET "/" => |_| Ok(Response::empty(204)),
        GET "/whoami" => |r| r.ok(Ok(r.cx().caller.clone())),
        GET "/color?color" => ok(Self::color),
        GET "/roles" => |r| r.ok(Ok(r.cx().roles.clone())),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<Note>()];
    const FUNCTIONS: &[(&str, &str)] = &[("edit", "Changes a note:\n409 if that contradicts what is.")];
    const PROJECTIONS: Projections = projections! { SOURCE => follow };
    const REACTIONS: Reactions = reactions! { SOURCE => echo };

    fn look_around() -> Result<(), Failure> {
        Ok(platform().publish("looked.around", b"")?)
    }

    fn hear(subject: &str, body: &[u8]) -> Result<(), Failure> {
        match subject {
            "heard.by.notes" => Ok(platform().publish("heard", body)?),
            _ => Err(Failure::lasting("unheard of")),
        }
    }
}

impl Notes {
    fn create(cx: &Cx, new: NewNote) -> Result<Note, Problem> {
        write(cx, new)
    }

    fn list(cx: &Cx, page: PageRequest) -> Result<NotePage, Problem> {
        let views = cx.views()?;
        let listed = FEED.list(&views, &page)?;
        Ok(NotePage { items: NOTES.get_many(&views, &listed.ids)?, next: listed.next })
    }

    fn get(cx: &Cx, id: String) -> Result<Note, Problem> {
        cx.load(&id)
    }

    fn edit(cx: &Cx, id: String, to: NewNote) -> Result<Note, Problem> {
        edit(cx, &id, &to.text)
    }

    fn color(_: &Cx, color: Option<Color>) -> Result<Option<Color>, Problem> {
        Ok(color)
    }
}

impl Event for NoteEvent {
    const OF: &str = "note";
    const SCHEMA: u32 = 3;

    /// Version 1 called the text `body`; version 2 counted from 0.
    fn upcast(old: &mut Old) -> Result<(), String> {
        let parts =
            if old.case == "written" { vec![&mut old.data, &mut old.state] } else { vec![&mut old.state] };
        for part in parts.into_iter().filter_map(|part| part.as_object_mut()) {
            match old.schema {
                1 => {
                    let body = part.remove("body").ok_or("a version 1 without a body")?;
                    part.insert("text".to_owned(), body);
                }
                2 => {
                    let version =
                        part.get("version").and_then(serde_json::Value::as_u64).ok_or("no version")?;
                    part.insert("version".to_owned(), (version + 1).into());
                }
                _ => return Err("from the future".to_owned()),
            }
        }
        Ok(())
    }
}

impl Aggregate for Note {
    type Service = Notes;
    type Event = NoteEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &NoteEvent) -> Option<Self> {
        match (before, event) {
            (None, NoteEvent::Written(note)) => Some(note.clone()),
            (Some(note), NoteEvent::Edited(text)) => {
                Some(Self { text: text.clone(), version: note.version + 1, ..note })
            }
            (Some(note), NoteEvent::Closed) => Some(Self { version: note.version + 1, ..note }),
            _ => None,
        }
    }
}

pub fn new(text: &str) -> NewNote {
    NewNote { text: text.to_owned(), tags: None }
}

pub fn write(cx: &Cx, new: NewNote) -> Result<Note, Problem> {
    cx.create(&new, |id| NoteEvent::Written(Note { id, text: new.text.clone(), version: 1 }))
}

pub fn edit(cx: &Cx, id: &str, text: &str) -> Result<Note, Problem> {
    cx.update(id, |note: &Note| {
        let changes = note.text != text;
        Ok(changes.then(|| NoteEvent::Edited(text.to_owned())))
    })
}

fn follow(event: &Recorded<NoteEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let note: Note = event.state()?;
    match note.text.as_str() {
        "poison" => return Err(Failure::passing("this note is poison")),
        // Twice, for a projection runs twice.
        "slow" => platform().advance(Duration::from_millis(7_500)),
        _ => {}
    }
    NOTES.put(writer, &note.id, &note)?;
    match event.data {
        NoteEvent::Written(_) => FEED.add(writer, &note.id),
        NoteEvent::Edited(_) | NoteEvent::Closed => {
            EDITS.update(writer, &note.id, |edits| Some(edits.unwrap_or_default() + 1))
        }
    }
}

/// Writes an answer to every note that asks for one.
fn echo(event: &Recorded<NoteEvent>, reaction: &Reaction) -> Result<(), Failure> {
    if let NoteEvent::Written(note) = &event.data
        && ["echo?", "refused"].contains(&note.text.as_str())
    {
        if note.text == "refused" && crate::config::text("accept")?.as_deref() != Some("yes") {
            return Err(Failure::lasting("such notes are refused"));
        }
        reaction.create::<Note>(&note.id, |id| {
            NoteEvent::Written(Note { id, text: format!("echo of {}", note.id), version: 1 })
        })?;
    }
    Ok(())
}

/// The same bytes, but for up to four that are changed, gone or new.
pub fn mangled(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=platform().random() % 4 {
        let place = (platform().random() % bytes.len() as u64) as usize;
        match platform().random() % 3 {
            0 => bytes[place] = platform().random() as u8,
            1 => drop(bytes.remove(place)),
            _ => bytes.insert(place, platform().random() as u8),
        }
    }
    bytes
}

/// What stands for the offset of an event where only documents matter.
pub fn no_offset() -> Entry {
    ("place".to_owned(), Vec::new())
}

/// A call that can be repeated.
pub fn with_key(key: &str) -> Cx {
    anonymous().with_key(key)
}

/// Takes away whatever there is.
pub fn lose_everything() {
    for stream in ["LOG_notes", "DEAD_notes", "OWN_notes"] {
        platform().lose_stream(stream);
    }
    platform().forget_bucket();
}

/// The stored events, oldest first.
pub fn stored() -> Vec<Envelope> {
    let messages = platform().stored(&names::log_stream(Notes::NAME));
    messages.iter().map(|message| Envelope::parse(&message.body).unwrap()).collect()
}

/// The dead letters, oldest first.
pub fn dead() -> Vec<serde_json::Value> {
    let messages = platform().stored(&names::dead_stream(Notes::NAME));
    messages.iter().map(|message| serde_json::from_slice(&message.body).unwrap()).collect()
}

/// Stores bytes as the first event of an entity, past everything that would refuse them.
pub fn store_raw(entity: &str, body: &[u8]) {
    let partition = crate::id::partition(entity, Notes::PARTITIONS);
    platform().store("LOG_notes", &names::event_subject("notes", partition, entity, 1), body);
}

/// What read models hold, without the marks of who wrote it.
pub fn values() -> BTreeMap<String, serde_json::Value> {
    let values = platform().bucket().into_iter().filter(|(key, _)| key.starts_with('g') && key.contains('.'));
    values
        .map(|(key, bytes)| {
            let kept: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            (key[3..].to_owned(), kept["v"].clone())
        })
        .collect()
}
