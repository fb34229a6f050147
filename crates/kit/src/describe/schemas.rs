//! JSON Schema (2020-12) of the types that routes and events carry.

use serde_json::{Map, Value, json};

use crate::schema::{Named, Part, Schema, Shape};

/// The schemas that a document refers to, by name.
#[derive(Debug)]
pub(super) struct Schemas {
    service: &'static str,
    named: Map<String, Value>,
}

impl Schemas {
    pub fn new(service: &'static str) -> Self {
        Self { service, named: Map::new() }
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.named)
    }

    /// Of what a caller sends: an object that may have no other fields. To be asked for before [`Self::answer`].
    pub fn request(&mut self, schema: &'static Schema) -> Value {
        self.of(schema, true)
    }

    /// Of what a caller gets, which may have more fields one day.
    pub fn answer(&mut self, schema: &'static Schema) -> Value {
        self.of(schema, false)
    }

    fn of(&mut self, schema: &'static Schema, closed: bool) -> Value {
        match schema {
            Schema::Nothing => json!({ "type": "null" }),
            Schema::Flag => json!({ "type": "boolean" }),
            Schema::Text => json!({ "type": "string" }),
            Schema::Character => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
            Schema::Timestamp => json!({ "type": "string", "format": "date-time" }),
            Schema::Whole(least, greatest) => {
                json!({ "type": "integer", "minimum": least, "maximum": greatest })
            }
            Schema::Number => json!({ "type": "number" }),
            Schema::Optional(schema) => json!({ "anyOf": [self.of(schema, closed), { "type": "null" }] }),
            Schema::List(schema) => json!({ "type": "array", "items": self.of(schema, closed) }),
            Schema::Map(schema) => {
                json!({ "type": "object", "additionalProperties": self.of(schema, closed) })
            }
            Schema::Named(named) => json!({ "$ref": self.reference(named, closed) }),
        }
    }

    fn reference(&mut self, named: &'static Named, closed: bool) -> String {
        let name = self.name(named);
        if !self.named.contains_key(&name) {
            // It is known while its parts are looked at; WIT has no circles, but who knows what is derived by hand.
            self.named.insert(name.clone(), Value::Null);
            let mut schema = match named.shape {
                Shape::Record => self.record(named.parts, closed),
                Shape::Words => words(named.parts),
                Shape::Variant => self.variant(named.parts, closed),
            };
            describe(&mut schema, named.docs);
            self.named.insert(name.clone(), schema);
        }
        format!("#/components/schemas/{name}")
    }

    /// Unique among all services: `posts.Post`, and `query.comments.ReadComment` for what is another's.
    fn name(&self, named: &Named) -> String {
        let package = named.module.split("::").skip_while(|word| *word != "trellis").nth(1);
        let package = package.map(|package| package.replace('_', "-"));
        match package {
            Some(package) if package != self.service => format!("{}.{package}.{}", self.service, named.name),
            _ => format!("{}.{}", self.service, named.name),
        }
    }

    fn record(&mut self, parts: &'static [Part], closed: bool) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for part in parts {
            let Some(of) = part.of else { continue };
            let mut property = self.of(of, closed);
            describe(&mut property, part.docs);
            properties.insert(part.name.to_owned(), property);
            if !matches!(of, Schema::Optional(_)) {
                required.push(part.name);
            }
        }
        let mut schema = json!({ "type": "object", "properties": properties, "required": required });
        if closed {
            set(&mut schema, "additionalProperties", Value::Bool(false));
        }
        schema
    }

    fn variant(&mut self, parts: &'static [Part], closed: bool) -> Value {
        let cases = parts.iter().map(|part| {
            let mut properties = json!({ "type": { "const": part.name } });
            let mut required = vec!["type"];
            if let Some(of) = part.of {
                set(&mut properties, "data", self.of(of, closed));
                required.push("data");
            }
            let mut case = json!({ "type": "object", "properties": properties, "required": required });
            describe(&mut case, part.docs);
            if closed {
                set(&mut case, "additionalProperties", Value::Bool(false));
            }
            case
        });
        json!({ "oneOf": cases.collect::<Vec<_>>() })
    }
}

fn words(parts: &'static [Part]) -> Value {
    let words: Vec<&str> = parts.iter().map(|part| part.name).collect();
    json!({ "type": "string", "enum": words })
}

/// Adds what the WIT says of something.
pub(super) fn describe(schema: &mut Value, docs: &str) {
    let text = text(docs);
    if !text.is_empty() {
        set(schema, "description", text.into());
    }
}

/// Documentation as running text.
pub(super) fn text(docs: &str) -> String {
    docs.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
