//! Which service answers what: a table that follows from what the registry tells.
//!
//! Every request looks through it, and an instance that was made anew reads it first: so the routes of a service are kept as
//! one text, and nothing is built from it.
//!
//! A route belongs to the service that registered first, until that is gone. One that is missing keeps its routes, and
//! whoever asks is told that nobody answers.

use std::borrow::Cow;
use std::rc::Rc;

use trellis_kit::event::Old;
use trellis_kit::http::{self, Path};
use trellis_kit::{Docs, Event, Failure, Glimpse, Problem, Recorded, Route, Wire, Writer, id};

use crate::memo::Memo;
use crate::sources;
use crate::trellis::registry::events::{DocumentsEvent, ServiceEvent};
use crate::trellis::registry::types::{Outline, Parts, Route as Announced};

pub const DOC: &str = "table";
/// The id of the one table.
pub const ID: &str = "all";
const TABLE: Docs<Table> = Docs::of_one_partition(sources::REGISTRY, DOC);

/// Parts of the two documents, by the id that services name.
pub const PARTS: &str = "parts";
const PARTS_OF: Docs<Parts> = Docs::of_one_partition(sources::REGISTRY, PARTS);

/// The services that are not gone, the gateway among them: who came first is first.
#[derive(Debug, Default, PartialEq, Wire)]
pub struct Table {
    services: Vec<Known>,
}

#[derive(Debug, PartialEq, Wire)]
struct Known {
    name: String,
    /// Its public routes, and for whom each is: `GET /posts anyone;POST /posts anyone`.
    routes: String,
    /// The id of its parts of the two documents.
    documents: String,
}

impl Event for ServiceEvent {
    const OF: &str = "service";
    const SCHEMA: u32 = 2;

    /// Version 1 had the documents in it, which each service says again, and counted no news. Nobody here reads the state.
    fn upcast(old: &mut Old) -> Result<(), String> {
        let Some(sighting) = old.data.as_object_mut() else { return Ok(()) };
        sighting.insert("news".to_owned(), 0.into());
        let description = sighting.get_mut("description").and_then(|description| description.as_object_mut());
        let description = description.ok_or("there is no description")?;
        let mut text = |key: &str| description.remove(key).and_then(|text| Some(text.as_str()?.to_owned()));
        let both = text("openapi").zip(text("asyncapi")).ok_or("there are no documents")?;
        let hash = id::sha256(&format!("{}\n{}", both.0, both.1));
        description.insert("documents".to_owned(), format!("documents-{hash}").into());
        Ok(())
    }
}

/// Keeps what documents say.
pub fn keep(event: &Recorded<DocumentsEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let DocumentsEvent::Noted(parts) = &event.data;
    PARTS_OF.put(writer, &event.entity, parts)
}

pub fn follow(event: &Recorded<ServiceEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let description = match &event.data {
        ServiceEvent::Registered(to) | ServiceEvent::Changed(to) => Some(&to.description),
        ServiceEvent::Missing(_) => return Ok(()),
        ServiceEvent::Gone(_) => None,
    };
    TABLE.update(writer, ID, |table| {
        let mut table = table.unwrap_or_default();
        match description {
            Some(description) => table.put(description),
            None => table.services.retain(|known| known.name != event.entity),
        }
        Some(table)
    })
}

#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t> {
    /// With whom it lets in by this route, if it says so.
    Service(&'t str, Option<Cow<'t, str>>),
    /// The path is there, but not for this method: these are.
    Methods(String),
    Nothing,
}

/// A route that somebody has.
#[derive(Debug, Clone)]
struct Line<'t> {
    service: &'t str,
    method: &'t str,
    pattern: &'t str,
    who: Option<Cow<'t, str>>,
}

impl Table {
    /// The table as it is stored.
    pub fn of(stored: Option<&Glimpse>) -> Result<Rc<Self>, Problem> {
        thread_local!(static KNOWN: Memo<Option<Vec<u8>>, Table> = const { Memo::new() });
        let bytes = stored.map(|table| table.bytes().to_vec());
        KNOWN.with(|known| {
            known.get(bytes, |_| Ok(stored.map_or(Ok(None), Glimpse::read)?.unwrap_or_default()))
        })
    }

    fn put(&mut self, description: &Outline) {
        let public = description.routes.iter().filter(|route| route.public);
        let line = |route: &Announced| match &route.who {
            Some(who) => format!("{} {} {who}", route.method, route.path),
            None => format!("{} {}", route.method, route.path),
        };
        let lines: Vec<String> = public.map(line).collect();
        let known = Known {
            name: description.name.clone(),
            routes: lines.join(";"),
            documents: description.documents.clone(),
        };
        match self.services.iter_mut().find(|other| other.name == known.name) {
            Some(before) => *before = known,
            None => self.services.push(known),
        }
    }

    /// The services, the gateway before the others, with the ids of their documents.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = |known: &&Known| known.name == sources::GATEWAY.name;
        let others = self.services.iter().filter(move |known| !own(known));
        let all = self.services.iter().filter(own).chain(others);
        all.map(|known| (known.name.as_str(), known.documents.as_str()))
    }

    /// The services whose routes these are, but for the gateway itself.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|known| known.name.as_str()).filter(|name| *name != sources::GATEWAY.name)
    }

    /// All routes, those of who came first before the others. `own` are the gateway's, which are there before any
    /// other.
    fn lines(&self, own: &'static [Route]) -> impl Iterator<Item = Line<'_>> {
        let own = own.iter().map(|route| Line {
            service: sources::GATEWAY.name,
            method: route.method,
            pattern: route.pattern,
            who: route.access.who(),
        });
        let others = self.services.iter().filter(|known| known.name != sources::GATEWAY.name);
        own.chain(others.flat_map(|known| {
            known.routes.split(';').filter_map(|line| {
                let mut words = line.split(' ');
                let (method, pattern) = (words.next()?, words.next()?);
                Some(Line { service: &known.name, method, pattern, who: words.next().map(Cow::Borrowed) })
            })
        }))
    }

    /// Who answers. HEAD is answered by whoever answers GET. Within a service, a path belongs to the pattern that says most
    /// of it, whatever the method. Between services the method counts first: whoever announces a method at `/posts/1` takes
    /// no other method there from who has `/posts/{id}`.
    pub fn find(&self, own: &'static [Route], method: &str, path: &Path) -> Found<'_> {
        let method = if method == "HEAD" { "GET" } else { method };
        let fitting = self.lines(own).filter_map(|line| Some((path.nearness(line.pattern)?, line)));
        let fitting: Vec<(u64, Line<'_>)> = fitting.collect();
        let is_its_nearest = |(nearness, line): &&(u64, Line<'_>)| {
            !fitting.iter().any(|(other, of)| of.service == line.service && other > nearness)
        };
        let here = || fitting.iter().filter(is_its_nearest);
        // Of those that say the same of it, the one that was there first: the last of what is equal wins, so from behind.
        let candidates = here().filter(|(_, line)| line.method == method).rev();
        if let Some((_, line)) = candidates.max_by_key(|(nearness, _)| *nearness) {
            return Found::Service(line.service, line.who.clone());
        }
        if fitting.is_empty() {
            return Found::Nothing;
        }
        Found::Methods(http::allowed(here().map(|(_, line)| line.method)))
    }

    /// Whose route this is, for a path as it stands in a route table.
    pub fn owner(&self, own: &'static [Route], method: &str, pattern: &str) -> Option<&str> {
        let shape = http::shape(pattern);
        let mut lines = self.lines(own).filter(|line| line.method == method);
        lines.find(|line| http::shape(line.pattern) == shape).map(|line| line.service)
    }
}

/// Whether there is anybody to pass requests on to.
pub fn knows_services() -> Result<bool, Problem> {
    let seen = trellis_kit::glance(&[(sources::REGISTRY, DOC, ID)], None, None)?;
    let table = Table::of(seen.first().and_then(Option::as_ref))?;
    Ok(table.others().next().is_some())
}
