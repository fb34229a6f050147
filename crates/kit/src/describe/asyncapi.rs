//! What a service tells and what it listens to, as a part of an AsyncAPI 3.0 document.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::schemas::{Schemas, describe, set, text};
use crate::event::{Followed, kind};
use crate::schema::{Part, Schema};
use crate::{Entity, Service};

/// What every event has in common.
const EVENT: &str = include_str!("asyncapi.json");

/// `{"channels": .., "operations": .., "components": ..}`: the service's log with its events, which it sends, and from
/// the logs of others what it receives.
pub(super) fn of<S: Service>() -> Value {
    let mut schemas = Schemas::new(S::NAME);
    let (mut messages, mut in_channel, mut sent) = (json!({}), json!({}), Vec::new());
    for entity in S::ENTITIES {
        let state = schemas.answer(entity.state);
        for case in cases(entity.events) {
            let kind = kind(entity.of, case.name, entity.schema);
            let name = format!("{}.{kind}", S::NAME);
            set(&mut messages, &name, message::<S>(&kind, case, &state, entity, &mut schemas));
            set(&mut in_channel, &kind, json!({ "$ref": format!("#/components/messages/{name}") }));
            sent.push(in_log(S::NAME, &kind));
        }
    }
    let (mut channels, mut operations) = (json!({}), json!({}));
    if S::PARTITIONS > 0 {
        set(&mut channels, S::NAME, channel(S::NAME, in_channel));
        let what = "Appends what happens to its log.";
        set(&mut operations, &format!("{}.tells", S::NAME), operation("send", S::NAME, what, sent));
    }
    let projected = S::PROJECTIONS.iter().map(|line| (line.source, line.events));
    receive(&mut operations, S::NAME, "follows", "Keeps its read models.", projected);
    let heeded = S::REACTIONS.iter().map(|line| (line.source, line.events));
    receive(&mut operations, S::NAME, "heeds", "Does something about it.", heeded);
    let mut components = json!({ "messages": messages });
    let mut schemas = schemas.into_json();
    set(&mut schemas, "Event", serde_json::from_str(EVENT).unwrap_or_default());
    set(&mut components, "schemas", schemas);
    json!({ "channels": channels, "operations": operations, "components": components })
}

fn channel(service: &str, messages: Value) -> Value {
    json!({
        "address": format!("log.{service}.{{partition}}.{{entity}}.{{version}}"),
        "description": format!("The log of {service}. An event is stored once at each address, and delivered at least once."),
        "parameters": {
            "partition": { "description": "Events of one partition are delivered in order." },
            "entity": { "description": "The id of what it happened to." },
            "version": { "description": "Which event of the entity it is, from 1." },
        },
        "messages": messages,
    })
}

fn message<S: Service>(
    kind: &str,
    case: &Part,
    state: &Value,
    entity: &Entity,
    schemas: &mut Schemas,
) -> Value {
    let mut properties = json!({
        "type": { "const": kind },
        "source": { "const": format!("/{}", S::NAME) },
        "state": state,
    });
    let mut required = vec!["type", "source", "state"];
    if let Some(of) = case.of {
        set(&mut properties, "data", schemas.answer(of));
        required.push("data");
    }
    let mut message = json!({
        "name": kind,
        "title": format!("{} {}", entity.of, case.name.replace('_', " ")),
        "contentType": "application/cloudevents+json",
        "payload": {
            "allOf": [
                { "$ref": "#/components/schemas/Event" },
                { "type": "object", "properties": properties, "required": required },
            ],
        },
    });
    describe(&mut message, case.docs);
    message
}

/// One operation for each source.
fn receive(
    operations: &mut Value,
    service: &str,
    verb: &str,
    what: &str,
    lines: impl Iterator<Item = (&'static str, Followed)> + Clone,
) {
    let sources: BTreeSet<&str> = lines.clone().map(|(source, _)| source).collect();
    for source in sources {
        let mut kinds = BTreeSet::new();
        for (_, followed) in lines.clone().filter(|(of, _)| *of == source) {
            kinds.extend(
                cases(followed.events).iter().map(|case| kind(followed.of, case.name, followed.schema)),
            );
        }
        let messages = kinds.iter().map(|kind| in_log(source, kind)).collect();
        set(operations, &format!("{service}.{verb}.{source}"), operation("receive", source, what, messages));
    }
}

fn operation(action: &str, source: &str, what: &str, messages: Vec<Value>) -> Value {
    let channel = json!({ "$ref": format!("#/channels/{source}") });
    json!({ "action": action, "channel": channel, "description": text(what), "messages": messages })
}

fn in_log(service: &str, kind: &str) -> Value {
    json!({ "$ref": format!("#/channels/{service}/messages/{kind}") })
}

fn cases(events: &'static Schema) -> &'static [Part] {
    if let Schema::Named(named) = events { named.parts } else { &[] }
}
