//! JSON Schema (2020-12) of the types that routes and events carry.

use super::json::{Json, running};
use crate::schema::{Named, Part, Schema, Shape};

/// The types that a document refers to by their names.
#[derive(Debug)]
pub(super) struct Schemas {
    service: &'static str,
    /// Those that callers send: objects that may have no other fields.
    sent: Vec<&'static Named>,
    named: Vec<&'static Named>,
}

impl Schemas {
    pub fn new(service: &'static str) -> Self {
        Self { service, sent: Vec::new(), named: Vec::new() }
    }

    /// Notes what callers send, before anything is written.
    pub fn is_sent(&mut self, schema: &'static Schema) {
        collect(&mut self.sent, schema);
    }

    /// Writes a schema in which names stand for what has one, here and for [`Self::write_named`] later.
    pub fn write(&mut self, json: &mut Json, schema: &'static Schema) {
        collect(&mut self.named, schema);
        self.inline(json, schema);
    }

    /// Writes, as members of an object, what the names stand for.
    pub fn write_named(&self, json: &mut Json) {
        for named in &self.named {
            json.name(&self.name(named)).object(|json| {
                describe(json, named.docs);
                match named.shape {
                    Shape::Record => self.record(json, named),
                    Shape::Words => {
                        json.name("type").text("string");
                        json.name("enum")
                            .list(|json| named.parts.iter().for_each(|part| json.text(part.name)));
                    }
                    Shape::Variant => json.name("oneOf").list(|json| {
                        named.parts.iter().for_each(|part| self.case(json, named, part));
                    }),
                }
            });
        }
    }

    fn inline(&self, json: &mut Json, schema: &'static Schema) {
        json.object(|json| self.members(json, schema));
    }

    fn members(&self, json: &mut Json, schema: &'static Schema) {
        match schema {
            Schema::Nothing => json.raw(r#""type":"null""#),
            Schema::Flag => json.raw(r#""type":"boolean""#),
            Schema::Text => json.raw(r#""type":"string""#),
            Schema::Character => json.raw(r#""type":"string","minLength":1,"maxLength":1"#),
            Schema::Timestamp => json.raw(r#""type":"string","format":"date-time""#),
            Schema::Whole(least, greatest) => {
                json.raw(&format!(r#""type":"integer","minimum":{least},"maximum":{greatest}"#));
            }
            Schema::Number => json.raw(r#""type":"number""#),
            Schema::Optional(schema) => json.name("anyOf").list(|json| {
                self.inline(json, schema);
                json.raw(r#"{"type":"null"}"#);
            }),
            Schema::List(schema) => {
                json.name("type").text("array");
                self.inline(json.name("items"), schema);
            }
            Schema::Map(schema) => {
                json.name("type").text("object");
                self.inline(json.name("additionalProperties"), schema);
            }
            Schema::Named(named) => {
                json.name("$ref").text(&format!("#/components/schemas/{}", self.name(named)));
            }
        }
    }

    /// Unique among all services: `posts.Post`, and `query.comments.ReadComment` for what is another's.
    fn name(&self, named: &Named) -> String {
        let package = named.module.split("::").skip_while(|word| *word != "trellis").nth(1);
        let package = package.unwrap_or_default().replace('_', "-");
        if package.is_empty() || package == self.service {
            return format!("{}.{}", self.service, named.name);
        }
        format!("{}.{package}.{}", self.service, named.name)
    }

    fn record(&self, json: &mut Json, named: &Named) {
        json.name("type").text("object");
        json.name("properties").object(|json| {
            for part in named.parts {
                let Some(of) = part.of else { continue };
                json.name(part.name).object(|json| {
                    describe(json, part.docs);
                    self.members(json, of);
                });
            }
        });
        let required = |part: &&Part| !matches!(part.of, Some(Schema::Optional(_)));
        json.name("required")
            .list(|json| named.parts.iter().filter(required).for_each(|part| json.text(part.name)));
        self.close(json, named);
    }

    fn case(&self, json: &mut Json, named: &Named, part: &Part) {
        json.object(|json| {
            describe(json, part.docs);
            json.name("type").text("object");
            json.name("properties").object(|json| {
                json.name("type").object(|json| json.name("const").text(part.name));
                if let Some(of) = part.of {
                    self.inline(json.name("data"), of);
                }
            });
            let data = if part.of.is_some() { r#","data""# } else { "" };
            json.name("required").raw(&format!(r#"["type"{data}]"#));
            self.close(json, named);
        });
    }

    fn close(&self, json: &mut Json, named: &Named) {
        if self.sent.iter().any(|sent| is_same(sent, named)) {
            json.name("additionalProperties").raw("false");
        }
    }
}

/// Notes every type with a name that the schema leads to.
fn collect(known: &mut Vec<&'static Named>, schema: &'static Schema) {
    match schema {
        Schema::Optional(schema) | Schema::List(schema) | Schema::Map(schema) => collect(known, schema),
        Schema::Named(named) if !known.iter().any(|known| is_same(known, named)) => {
            known.push(named);
            named.parts.iter().filter_map(|part| part.of).for_each(|of| collect(known, of));
        }
        _ => {}
    }
}

fn is_same(one: &Named, other: &Named) -> bool {
    (one.name, one.module) == (other.name, other.module)
}

/// Adds what the WIT says of something.
pub(super) fn describe(json: &mut Json, docs: &str) {
    if !docs.is_empty() {
        json.name("description").text(&running(docs));
    }
}
