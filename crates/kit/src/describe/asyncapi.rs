//! What a service tells and what it listens to, as a part of an AsyncAPI 3.0 document.

use std::collections::BTreeSet;

use super::json::Json;
use super::schemas::{Schemas, describe};
use crate::descriptor::{Descriptor, Entity, Followed};
use crate::eventlog::event::kind;
use crate::schema::{Part, Schema};

/// What every event has in common.
const EVENT: &str = include_str!("asyncapi.json");

/// `{"channels": .., "operations": .., "components": ..}`: the service's log with its events, which it sends, and from
/// the logs of others what it receives.
pub(super) fn of(service: &'static Descriptor) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.name("channels").object(|json| {
            if service.partitions > 0 {
                channel(json.name(service.name), service.name, service.entities);
            }
        });
        json.name("operations").object(|json| {
            if service.partitions > 0 {
                let told = service.entities.iter().flat_map(kinds_of).collect();
                let what = ("send", "Appends what happens to its log.");
                operation(json.name(&format!("{}.tells", service.name)), service.name, what, told);
            }
            receive(
                json,
                &format!("{}.follows", service.name),
                "Keeps its read models.",
                service.projected.iter(),
            );
            receive(
                json,
                &format!("{}.heeds", service.name),
                "Does something about it.",
                service.told_reactions(),
            );
        });
        json.name("components").object(|json| components(json, service.name, service.entities));
    });
    json.finish()
}

fn channel(json: &mut Json, service: &str, entities: &[Entity]) {
    json.object(|json| {
        json.name("address").text(&format!("log.{service}.{{partition}}.{{entity}}.{{version}}"));
        json.name("description").text("A log. An event is stored once at each address, and delivered at least once.");
        json.name("parameters").raw(
            r#"{"partition":{"description":"Events of one partition are delivered in order."},"entity":{"description":"The id of what it happened to."},"version":{"description":"Which event of the entity it is, from 1."}}"#,
        );
        json.name("messages").object(|json| {
            for kind in entities.iter().flat_map(kinds_of) {
                json.name(&kind).reference(&["components", "messages", &format!("{service}.{kind}")]);
            }
        });
    });
}

fn components(json: &mut Json, service: &'static str, entities: &'static [Entity]) {
    let mut schemas = Schemas::new(service);
    json.name("messages").object(|json| {
        for entity in entities {
            for case in cases(entity.events) {
                let kind = kind(entity.of, case.name, entity.schema);
                json.name(&format!("{service}.{kind}"));
                message(json, service, &kind, case, entity, &mut schemas);
            }
        }
    });
    json.name("schemas").object(|json| {
        json.name("Event").raw(EVENT.trim());
        schemas.write_named(json);
    });
}

fn message(
    json: &mut Json,
    service: &str,
    kind: &str,
    case: &'static Part,
    entity: &Entity,
    schemas: &mut Schemas,
) {
    json.object(|json| {
        json.name("name").text(kind);
        json.name("title").text(&format!("{} {}", entity.of, case.name.replace('_', " ")));
        describe(json, case.docs);
        json.name("contentType").text("application/cloudevents+json");
        json.name("payload").object(|json| {
            json.name("allOf").list(|json| {
                json.reference(&["components", "schemas", "Event"]);
                json.object(|json| {
                    json.name("type").text("object");
                    json.name("properties").object(|json| {
                        json.name("type").object(|json| json.name("const").text(kind));
                        json.name("source").object(|json| json.name("const").text(&format!("/{service}")));
                        schemas.write(json.name("state"), entity.state);
                        if let Some(of) = case.of {
                            schemas.write(json.name("data"), of);
                        }
                    });
                    let data = if case.of.is_some() { r#","data""# } else { "" };
                    json.name("required").raw(&format!(r#"["type","source","state"{data}]"#));
                });
            });
        });
    });
}

/// One operation for each source.
fn receive(
    json: &mut Json,
    operations: &str,
    what: &str,
    lines: impl Iterator<Item = &'static Followed> + Clone,
) {
    let sources: BTreeSet<&str> = lines.clone().map(|followed| followed.source).collect();
    for source in sources {
        let mut kinds: Vec<String> = Vec::new();
        for followed in lines.clone().filter(|followed| followed.source == source) {
            let all = cases(followed.events).iter().map(|case| kind(followed.of, case.name, followed.schema));
            let new: Vec<String> = all.filter(|kind| !kinds.contains(kind)).collect();
            kinds.extend(new);
        }
        operation(json.name(&format!("{operations}.{source}")), source, ("receive", what), kinds);
    }
}

fn operation(json: &mut Json, source: &str, (action, what): (&str, &str), kinds: Vec<String>) {
    json.object(|json| {
        json.name("action").text(action);
        json.name("description").text(what);
        json.name("channel").reference(&["channels", source]);
        json.name("messages").list(|json| {
            kinds.iter().for_each(|kind| json.reference(&["channels", source, "messages", kind]));
        });
    });
}

fn kinds_of(entity: &Entity) -> impl Iterator<Item = String> {
    let Entity { of, schema, events, .. } = *entity;
    cases(events).iter().map(move |case| kind(of, case.name, schema))
}

fn cases(events: &'static Schema) -> &'static [Part] {
    if let Schema::Named(named) = events { named.parts } else { &[] }
}
