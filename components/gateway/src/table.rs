//! Which service answers what: a table that follows from what the registry tells.
//!
//! A route belongs to the service that registered first, until that is gone. One that is missing keeps its routes, and
//! whoever asks is told that nobody answers.

use std::collections::BTreeMap;
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

/// The services that are not gone, and their public routes: who came first is first.
#[derive(Debug, Default, PartialEq, Wire)]
pub struct Table {
    pub services: Vec<Known>,
}

#[derive(Debug, PartialEq, Wire)]
pub struct Known {
    pub name: String,
    pub routes: Vec<Line>,
}

#[derive(Debug, PartialEq, Wire)]
pub struct Line {
    pub method: String,
    pub path: String,
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

impl Table {
    fn put(&mut self, description: &Description) {
        let public = description.routes.iter().filter(|route| route.public);
        let line = |route: &crate::trellis::registry::types::Route| Line {
            method: route.method.clone(),
            path: route.path.clone(),
        };
        let routes = public.map(line).collect();
        match self.services.iter_mut().find(|known| known.name == description.name) {
            Some(known) => known.routes = routes,
            None => self.services.push(Known { name: description.name.clone(), routes }),
        }
    }
}

/// The table as it is asked: the patterns, those that say more of a path before those that say less.
#[derive(Debug)]
pub struct Routes {
    patterns: Vec<Pattern>,
    /// The services whose routes these are, but for the gateway itself.
    pub services: Vec<String>,
}

#[derive(Debug)]
struct Pattern {
    words: Vec<Word>,
    /// Who answers which method.
    services: BTreeMap<String, String>,
}

/// A word that is given comes before one that may be any.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Given(String),
    Any,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t> {
    Service(&'t str),
    /// The path is there, but not for this method: these are.
    Methods(String),
    Nothing,
}

impl Routes {
    /// What follows from a table as it is stored. The gateway's own routes are there before any other.
    pub fn of(table: Option<&Glimpse>) -> Result<Rc<Self>, Problem> {
        thread_local!(static KNOWN: Memo<Option<Vec<u8>>, Routes> = const { Memo::new() });
        let bytes = table.map(|table| table.bytes().to_vec());
        KNOWN.with(|known| {
            known.get(bytes, |_| {
                let table = table.map_or(Ok(None), Glimpse::read::<Table>)?;
                Ok(Self::new(&table.unwrap_or_default()))
            })
        })
    }

    fn new(table: &Table) -> Self {
        let own = Gateway::ROUTES.iter().map(|route| (Gateway::NAME, route.method, route.pattern));
        let others = table.services.iter().filter(|known| known.name != Gateway::NAME);
        let told = others.clone().flat_map(|known| {
            known
                .routes
                .iter()
                .map(move |line| (known.name.as_str(), line.method.as_str(), line.path.as_str()))
        });
        let mut by_shape: BTreeMap<Vec<Word>, BTreeMap<String, String>> = BTreeMap::new();
        for (service, method, path) in own.chain(told) {
            let services = by_shape.entry(words(path)).or_default();
            services.entry(method.to_owned()).or_insert_with(|| service.to_owned());
        }
        let patterns = by_shape.into_iter().map(|(words, services)| Pattern { words, services });
        Self { patterns: patterns.collect(), services: others.map(|known| known.name.clone()).collect() }
    }

    /// Who answers. HEAD is answered by whoever answers GET. A path belongs to the pattern that says most of it,
    /// whatever the method: whoever says `/queue` does not mean `/{id}`.
    pub fn find(&self, method: &str, path: &Path) -> Found<'_> {
        let method = if method == "HEAD" { "GET" } else { method };
        let Some(pattern) = self.patterns.iter().find(|pattern| pattern.is_for(path)) else {
            return Found::Nothing;
        };
        if let Some(service) = pattern.services.get(method) {
            return Found::Service(service);
        }
        let mut methods: Vec<&str> = pattern.services.keys().map(String::as_str).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        Found::Methods(methods.join(", "))
    }

    /// Whose route this is, for a path as it stands in a route table.
    pub fn owner(&self, method: &str, path: &str) -> Option<&str> {
        let words = words(path);
        let pattern = self.patterns.iter().find(|pattern| pattern.words == words)?;
        pattern.services.get(method).map(String::as_str)
    }
}

impl Pattern {
    fn is_for(&self, path: &Path) -> bool {
        let fits = |(word, segment): (&Word, &String)| match word {
            Word::Given(word) => word == segment,
            Word::Any => true,
        };
        self.words.len() == path.segments.len() && self.words.iter().zip(&path.segments).all(fits)
    }
}

fn words(path: &str) -> Vec<Word> {
    let word = |word: &str| if http::is_any(word) { Word::Any } else { Word::Given(word.to_owned()) };
    http::words(path).map(word).collect()
}

/// Whether there is anybody to pass requests on to.
pub fn knows_services() -> Result<bool, Problem> {
    let seen = trellis_kit::glance(&[(SOURCE, DOC, ID)])?;
    let routes = Routes::of(seen.first().and_then(Option::as_ref))?;
    Ok(!routes.services.is_empty())
}
