//! `/openapi.json` and `/asyncapi.json`: put together from what each service says of itself.
//!
//! A service speaks only of the public routes that it has. Where two services give one name to different things, those of
//! the second get its own name before them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use trellis_kit::http::Routes;
use trellis_kit::{Problem, Response, Route, glance};

use crate::memo::Memo;
use crate::sources;
use crate::table::{self, Table};
use crate::trellis::registry::types::Parts;

/// Here a name is a path, at which services have operations side by side.
const PATHS: &str = "/paths";
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

pub fn openapi(own: Routes) -> Result<Response, Problem> {
    thread_local!(static KNOWN: Memo<Vec<Vec<u8>>, Vec<u8>> = const { Memo::new() });
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Trellis", "version": own.service.version },
        "servers": [{ "url": "/" }, { "url": "/api", "description": "The same." }],
    });
    respond(&KNOWN, |table, parts| {
        let mut merged = Merged::new(document, &[PATHS]);
        for (service, parts) in parts {
            let mut said = object(&parts.openapi);
            if let Some(Value::Object(paths)) = said.get_mut("paths") {
                keep_own(paths, service, table, own.all);
            }
            merged.take(service, said);
        }
        merged.whole()
    })
}

pub fn asyncapi(own: Routes) -> Result<Response, Problem> {
    thread_local!(static KNOWN: Memo<Vec<Vec<u8>>, Vec<u8>> = const { Memo::new() });
    let document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Trellis", "version": own.service.version },
    });
    respond(&KNOWN, |_, parts| {
        let mut merged = Merged::new(document, &["/channels", "/operations"]);
        for (service, parts) in parts {
            merged.take(service, object(&parts.asyncapi));
        }
        let mut document = merged.whole();
        leave_out_unheard(&mut document);
        document
    })
}

type Known = Memo<Vec<Vec<u8>>, Vec<u8>>;

/// Makes a document, if it is not the one that was made last.
fn respond(
    known: &'static std::thread::LocalKey<Known>,
    make: impl FnOnce(&Table, &[(&str, Parts)]) -> Value,
) -> Result<Response, Problem> {
    let seen = glance(&[(sources::REGISTRY, table::DOC, table::ID)], None, None)?;
    let stored = seen.first().and_then(Option::as_ref);
    let table = Table::of(stored)?;
    // The gateway is a service like the others here, and says hello as they do.
    let said: Vec<(&str, &str)> = table.documents().collect();
    let places: Vec<_> = said.iter().map(|(_, id)| (sources::REGISTRY, table::PARTS, *id)).collect();
    let parts = glance(&places, None, None)?;
    let bytes = stored.into_iter().chain(parts.iter().flatten()).map(|seen| seen.bytes().to_vec()).collect();
    let body = known.with(|known| {
        known.get(bytes, |_| {
            let mut told = Vec::new();
            for ((name, _), seen) in said.into_iter().zip(parts) {
                let parts = seen.map_or(Ok(None), |seen| seen.read::<Parts>())?;
                told.extend(parts.map(|parts| (name, parts)));
            }
            serde_json::to_vec(&make(&table, &told)).map_err(Problem::internal)
        })
    })?;
    Ok(Response { body: body.to_vec(), ..Response::empty(200) }.with("content-type", "application/json"))
}

/// The object that a text is; the registry takes no other texts.
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Leaves out the operations that the service does not have, or not for the public.
fn keep_own(paths: &mut Map<String, Value>, service: &str, table: &Table, own: &'static [Route]) {
    for (path, item) in paths.iter_mut() {
        let Value::Object(item) = item else { continue };
        item.retain(|key, _| {
            let is_own = || table.owner(own, &key.to_ascii_uppercase(), path) == Some(service);
            !METHODS.contains(&key.as_str()) || is_own()
        });
    }
    paths.retain(|_, item| {
        item.as_object().is_some_and(|item| METHODS.iter().any(|method| item.contains_key(*method)))
    });
}

/// A service may listen to one that is not here, or no longer tells the same: what it would hear from it is left out.
fn leave_out_unheard(document: &mut Value) {
    let channels = document.get("channels").cloned().unwrap_or_default();
    let refers = |to: Option<&Value>| {
        let reference = to.and_then(|to| to.get("$ref")).and_then(Value::as_str).unwrap_or_default();
        reference.strip_prefix("#/channels").is_some_and(|place| channels.pointer(place).is_some())
    };
    let Some(Value::Object(operations)) = document.get_mut("operations") else { return };
    operations.retain(|_, operation| {
        let mut hears_something = true;
        if let Some(Value::Array(messages)) = operation.get_mut("messages") {
            messages.retain(|message| refers(Some(message)));
            hears_something = !messages.is_empty();
        }
        hears_something && refers(operation.get("channel"))
    });
}

/// A document on its way to be whole: what it begins with, and things by their names in the sections that have things.
struct Merged {
    document: Map<String, Value>,
    sections: BTreeMap<String, Map<String, Value>>,
}

impl Merged {
    fn new(document: Value, sections: &[&str]) -> Self {
        let document = document.as_object().cloned().unwrap_or_default();
        Self {
            document,
            sections: sections.iter().map(|section| ((*section).to_owned(), Map::new())).collect(),
        }
    }

    /// Takes in what a service says.
    fn take(&mut self, service: &str, said: Map<String, Value>) {
        let mut said = Value::Object(said);
        let mut sections: Vec<String> =
            self.sections.keys().filter(|section| *section != PATHS).cloned().collect();
        sections.retain(|section| !section.starts_with("/components/"));
        if let Some(components) = said.get("components").and_then(Value::as_object) {
            sections.extend(components.keys().map(|name| format!("/components/{}", escaped(name))));
        }
        let renamed = self.renamed(service, &said, &sections);
        refer(&mut said, &renamed);
        for section in sections {
            let Some(Value::Object(things)) = said.pointer_mut(&section).map(Value::take) else { continue };
            for (name, thing) in things {
                let place = format!("{section}/{}", escaped(&name));
                let name = renamed.get(&place).cloned().unwrap_or(name);
                self.sections.entry(section.clone()).or_default().insert(name, thing);
            }
        }
        if let Some(Value::Object(paths)) = said.get_mut("paths").map(Value::take)
            && self.sections.contains_key(PATHS)
        {
            self.take_paths(paths);
        }
    }

    /// What must have another name, because another thing has its name already: the name, by the place of the thing.
    fn renamed(&self, service: &str, said: &Value, sections: &[String]) -> BTreeMap<String, String> {
        let mut renamed = BTreeMap::new();
        for section in sections {
            let (Some(known), Some(Value::Object(said))) =
                (self.sections.get(section), said.pointer(section))
            else {
                continue;
            };
            let others =
                said.iter().filter(|(name, thing)| known.get(*name).is_some_and(|known| known != *thing));
            renamed.extend(
                others.map(|(name, _)| (format!("{section}/{}", escaped(name)), format!("{service}.{name}"))),
            );
        }
        renamed
    }

    /// Adds operations to the path that they are at.
    fn take_paths(&mut self, paths: Map<String, Value>) {
        let known = self.sections.entry(PATHS.to_owned()).or_default();
        for (path, item) in paths {
            match (known.get_mut(&path), item) {
                (Some(Value::Object(known)), Value::Object(item)) => {
                    item.into_iter().for_each(|(key, value)| _ = known.entry(key).or_insert(value));
                }
                (_, item) => _ = known.insert(path, item),
            }
        }
    }

    fn whole(self) -> Value {
        let Self { mut document, sections } = self;
        let mut components = Map::new();
        for (section, things) in sections {
            match section.strip_prefix("/components/") {
                Some(name) => components.insert(unescaped(name), things.into()),
                None => document.insert(section.trim_start_matches('/').to_owned(), things.into()),
            };
        }
        if !components.is_empty() {
            document.insert("components".to_owned(), components.into());
        }
        document.into()
    }
}

/// Lets references point to where things are now.
fn refer(value: &mut Value, renamed: &BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref")
                && let Some(to) = referred(reference, renamed)
            {
                *reference = to;
            }
            object.values_mut().for_each(|value| refer(value, renamed));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| refer(value, renamed)),
        _ => {}
    }
}

fn referred(reference: &str, renamed: &BTreeMap<String, String>) -> Option<String> {
    let place = reference.strip_prefix('#')?;
    renamed.iter().find_map(|(from, name)| {
        let rest = place.strip_prefix(from.as_str())?;
        let (section, _) = from.rsplit_once('/')?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("#{section}/{}{rest}", escaped(name)))
    })
}

/// A name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
