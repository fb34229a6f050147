//! What services say in documents. They are long and seldom change, so they are kept once, and are known by their hash.

use serde_json::{Map, Value};
use trellis_kit::{Cx, Docs, Failure, Problem, Reader, Recorded, Writer, id};

use crate::error::RegistryError;
use crate::sources;
use crate::trellis::registry::events::DocumentsEvent;
use crate::trellis::registry::types::{Description, Documents, Outline, Parts};

/// The parts of the two documents, by their id.
const PARTS: Docs<Parts> = Docs::new(sources::REGISTRY, "parts");

pub fn follow(event: &Recorded<DocumentsEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let DocumentsEvent::Noted(parts) = &event.data;
    PARTS.put(writer, &event.entity, parts)
}

/// What a service says, and its documents apart from that.
pub fn apart(said: Description) -> (Outline, Parts) {
    let Description {
        name,
        version,
        routes,
        group,
        stream,
        partitions,
        projects,
        reacts_to,
        openapi,
        asyncapi,
    } = said;
    let documents = id_of(&openapi, &asyncapi);
    let outline =
        Outline { name, version, routes, group, stream, partitions, projects, reacts_to, documents };
    (outline, Parts { openapi, asyncapi })
}

/// Both together again. Documents are noted after the service that says them, and again if they never were.
pub fn whole(views: &Reader, outline: Outline) -> Result<Description, Problem> {
    let Outline { name, version, routes, group, stream, partitions, projects, reacts_to, documents } =
        outline;
    let parts = PARTS.get(views, &documents)?;
    let Parts { openapi, asyncapi } = parts.ok_or_else(|| RegistryError::NoDocumentsYet(name.clone()))?;
    Ok(Description {
        name,
        version,
        routes,
        group,
        stream,
        partitions,
        projects,
        reacts_to,
        openapi,
        asyncapi,
    })
}

/// Notes documents that are new.
pub fn note(cx: &Cx, id: &str, parts: &Parts) -> Result<(), Problem> {
    cx.execute(id, |known: Option<&Documents>| {
        Ok(known.is_none().then(|| DocumentsEvent::Noted(parts.clone())))
    })?;
    Ok(())
}

/// Names the documents of an old description, instead of having them in it.
pub fn name(holder: &mut Map<String, Value>) -> Result<(), String> {
    let description = holder.get_mut("description").and_then(Value::as_object_mut);
    let description = description.ok_or("there is no description")?;
    let mut text = |key: &str| match description.remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("{key} is no text")),
    };
    let documents = id_of(&text("openapi")?, &text("asyncapi")?);
    description.insert("documents".to_owned(), documents.into());
    Ok(())
}

/// Longer than a name of a service may be: the two share a log.
pub fn id_of(openapi: &str, asyncapi: &str) -> String {
    format!("documents-{}", id::sha256(&format!("{openapi}\n{asyncapi}")))
}
