//! Which service answers what: a table that follows from what the registry tells.
//!
//! Every request looks through it, and an instance that was made anew reads it first: so the routes of a service are kept as
//! one text, and nothing is built from it.
//!
//! A route belongs to the service that registered first, until that is gone. One that is missing keeps its routes, and
//! whoever asks is told that nobody answers.

use std::rc::Rc;

use trellis_kit::http::{self, Path};
use trellis_kit::{Docs, Failure, Glimpse, Problem, Recorded, Service, Wire, Writer};

use crate::Gateway;
use crate::memo::Memo;
use crate::trellis::registry::events::ServiceEvent;
use crate::trellis::registry::types::Description;

pub const SOURCE: &str = "registry";
pub const DOC: &str = "table";
/// The id of the one table.
pub const ID: &str = "all";
const TABLE: Docs<Table> = Docs::of_one_partition(SOURCE, DOC);

/// What each service says of its part in the two documents.
pub const PARTS: &str = "parts";
const PARTS_OF: Docs<Parts> = Docs::of_one_partition(SOURCE, PARTS);

/// The services that are not gone, the gateway among them: who came first is first.
#[derive(Debug, Default, PartialEq, Wire)]
pub struct Table {
    services: Vec<Known>,
}

#[derive(Debug, PartialEq, Wire)]
struct Known {
    name: String,
    /// Its public routes, `GET /posts;POST /posts`.
    routes: String,
}

#[derive(Debug, PartialEq, Wire)]
pub struct Parts {
    pub openapi: String,
    pub asyncapi: String,
}

pub fn follow(event: &Recorded<ServiceEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let description = match &event.data {
        ServiceEvent::Registered(to) | ServiceEvent::Changed(to) => Some(&to.description),
        ServiceEvent::Missing(_) => return Ok(()),
        ServiceEvent::Gone(_) => None,
    };
    if let Some(Description { openapi, asyncapi, .. }) = description {
        let parts = Parts { openapi: openapi.clone(), asyncapi: asyncapi.clone() };
        PARTS_OF.put(writer, &event.entity, &parts)?;
    }
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
    Service(&'t str),
    /// The path is there, but not for this method: these are.
    Methods(String),
    Nothing,
}

/// A route that somebody has.
#[derive(Debug, Clone, Copy)]
struct Line<'t> {
    service: &'t str,
    method: &'t str,
    pattern: &'t str,
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

    fn put(&mut self, description: &Description) {
        let public = description.routes.iter().filter(|route| route.public);
        let lines: Vec<String> = public.map(|route| format!("{} {}", route.method, route.path)).collect();
        let routes = lines.join(";");
        match self.services.iter_mut().find(|known| known.name == description.name) {
            Some(known) => known.routes = routes,
            None => self.services.push(Known { name: description.name.clone(), routes }),
        }
    }

    /// The services whose routes these are, but for the gateway itself.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|known| known.name.as_str()).filter(|name| *name != Gateway::NAME)
    }

    /// All routes, those of who came first before the others. The gateway's own are there before any other.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let own = Gateway::ROUTES.iter();
        let own =
            own.map(|route| Line { service: Gateway::NAME, method: route.method, pattern: route.pattern });
        let others = self.services.iter().filter(|known| known.name != Gateway::NAME);
        own.chain(others.flat_map(|known| {
            known.routes.split(';').filter_map(|line| {
                let (method, pattern) = line.split_once(' ')?;
                Some(Line { service: &known.name, method, pattern })
            })
        }))
    }

    /// Who answers. HEAD is answered by whoever answers GET. A path belongs to the pattern that says most of it,
    /// whatever the method.
    pub fn find(&self, method: &str, path: &Path) -> Found<'_> {
        let method = if method == "HEAD" { "GET" } else { method };
        let here = path.nearest(self.lines(), |line| line.pattern);
        if let Some(line) = here.iter().find(|line| line.method == method) {
            return Found::Service(line.service);
        }
        if here.is_empty() {
            return Found::Nothing;
        }
        Found::Methods(http::allowed(here.iter().map(|line| line.method)))
    }

    /// Whose route this is, for a path as it stands in a route table.
    pub fn owner(&self, method: &str, pattern: &str) -> Option<&str> {
        let shape = http::shape(pattern);
        let mut lines = self.lines().filter(|line| line.method == method);
        lines.find(|line| http::shape(line.pattern) == shape).map(|line| line.service)
    }
}

/// Whether there is anybody to pass requests on to.
pub fn knows_services() -> Result<bool, Problem> {
    let seen = trellis_kit::glance(&[(SOURCE, DOC, ID)])?;
    let table = Table::of(seen.first().and_then(Option::as_ref))?;
    Ok(table.others().next().is_some())
}
