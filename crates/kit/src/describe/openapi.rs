//! The routes of a service as a part of an OpenAPI 3.1 document.
//!
//! Everything in it follows from the route table, the types of the functions that it names, and what the WIT says of
//! them. A status beyond those that any such route can have is named in the documentation of its function:
//! `409 if the verdict is so already`.

use std::collections::BTreeSet;

use super::json::{Json, running};
use super::schemas::{Schemas, describe};
use crate::http::{Access, Answers, Function, Route, Routes, Takes};
use crate::schema::Schema;

/// What the routes of all services refer to, but for the refusals. Schemas come last in it.
const COMMON: &str = include_str!("openapi.json");
const END_OF_SCHEMAS: &str = "}}";

/// The refusals: which status, when it can be, what it means, and a header that comes with it.
const REFUSALS: [(&str, When, &str, &str); 15] = [
    ("400", When::Always, "The request is malformed.", ""),
    ("401", When::Always, "Who calls is not known.", "WWW-Authenticate"),
    ("402", When::Named, "It was not paid.", ""),
    ("403", When::Always, "This caller may not do that.", ""),
    ("404", When::InPath, "There is no such thing, or this caller may not know of it.", ""),
    ("409", When::Named, "What is asked for contradicts what is.", ""),
    ("413", When::Changing, "More than will be read or stored.", ""),
    ("415", When::WithBody, "The body is not JSON.", ""),
    ("422", When::WithBody, "A field, or the use of an Idempotency-Key, is not acceptable.", ""),
    ("429", When::Always, "Too many requests.", "Retry-After"),
    ("431", When::Always, "More header than will be read.", ""),
    ("500", When::Always, "A mistake of the service; it is in its log.", ""),
    ("502", When::Always, "The service gave an answer that makes no sense.", ""),
    ("503", When::Always, "Not now. What was sent with an Idempotency-Key can be sent again.", "Retry-After"),
    ("504", When::Always, "The service took too long. It may have done what was asked.", ""),
];

/// When a refusal can be the answer, by the service or on the way there; also when the documentation names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// A word of the path stands for something.
    InPath,
    Changing,
    WithBody,
    Named,
}

/// `{"paths": .., "components": ..}` of the public routes that call functions.
pub(super) fn of(routes: Routes) -> String {
    let service = routes.service;
    let functions = || {
        let public = routes.all.iter().filter(|route| route.is_public());
        public.filter_map(|route| Some((route, route.function.as_ref()?)))
    };
    let mut schemas = Schemas::new(service.name);
    functions().filter_map(|(_, function)| body(function)).for_each(|body| schemas.is_sent(body));
    let mut json = Json::default();
    let patterns: BTreeSet<&str> = functions().map(|(route, _)| route.pattern).collect();
    json.object(|json| {
        json.name("paths").object(|json| {
            for pattern in patterns {
                json.name(pattern).object(|json| {
                    for (route, function) in functions().filter(|(route, _)| route.pattern == pattern) {
                        json.name(&route.method.to_ascii_lowercase());
                        operation(json, service.name, service.functions, route, function, &mut schemas);
                    }
                });
            }
        });
        json.name("components").object(|json| {
            json.name("responses").object(refusals);
            // The members of the one object become members of the other.
            let common = COMMON.trim().strip_suffix(END_OF_SCHEMAS).unwrap_or_default();
            json.raw(common.strip_prefix('{').unwrap_or_default());
            schemas.write_named(json);
            json.end_of_raw();
        });
    });
    json.finish()
}

fn operation(
    json: &mut Json,
    service: &str,
    documented: &[(&str, &str)],
    route: &Route,
    function: &Function,
    schemas: &mut Schemas,
) {
    let name = function.path.rsplit(':').next().unwrap_or_default().trim();
    let docs = documented.iter().find(|(known, _)| *known == name).map_or("", |(_, docs)| docs);
    json.object(|json| {
        json.name("operationId").text(&format!("{service}_{name}"));
        json.name("tags").list(|json| json.text(service));
        describe(json, docs);
        // Where anyone may ask, an answer may still depend on who does.
        let has_role = matches!(route.access, Access::Role(_));
        json.name("security").raw(if has_role { r#"[{"key":[]}]"# } else { r#"[{},{"key":[]}]"# });
        json.name("parameters").list(|json| parameters(json, route, function, schemas));
        if let Some(body) = body(function) {
            json.name("requestBody").object(|json| {
                json.name("required").raw("true");
                content(json, body, schemas);
            });
        }
        json.name("responses").object(|json| {
            answer(json, route, &function.answers, schemas);
            let docs = running(docs);
            for (status, when, ..) in REFUSALS {
                let is_named = || docs.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == status);
                let can_be = match when {
                    When::Always => true,
                    When::InPath => route.pattern.contains('{'),
                    When::Changing => route.method != "GET",
                    When::WithBody => body(function).is_some(),
                    When::Named => false,
                };
                if can_be || is_named() {
                    json.name(status).reference(&["components", "responses", status]);
                }
            }
        });
    });
}

fn body(function: &Function) -> Option<&'static Schema> {
    function.takes.iter().find_map(|takes| if let Takes::Body(schema) = takes { Some(*schema) } else { None })
}

fn answer(json: &mut Json, route: &Route, answers: &Answers, schemas: &mut Schemas) {
    let (status, description, header, schema) = match answers {
        Answers::Ok(schema) => ("200", "It is so.", "", Some(schema)),
        Answers::Created(schema) => {
            ("201", "It is there now, or was made by this request before.", "Location", Some(schema))
        }
        Answers::Awaited(schema) => {
            for answers in [Answers::Created(schema), Answers::Accepted(schema)] {
                answer(json, route, &answers, schemas);
            }
            return;
        }
        Answers::Accepted(schema) => {
            ("202", "It will be done, or was asked for by this request before.", "Location", Some(schema))
        }
        Answers::Made(schema) => ("201", "It is there now.", "", Some(schema)),
        Answers::Done => ("204", "It is so.", "", None),
        Answers::Page(schema) => ("200", "A part of the list.", "Link", Some(schema)),
    };
    let told = if route.method == "GET" { "X-Trellis-Lag" } else { "Trellis-Position" };
    json.name(status).object(|json| {
        json.name("description").text(description);
        headers(json, &[told, header]);
        if let Some(schema) = schema {
            content(json, schema, schemas);
        }
    });
}

fn headers(json: &mut Json, more: &[&str]) {
    json.name("headers").object(|json| {
        for header in ["RateLimit", "RateLimit-Policy"].iter().chain(more).filter(|name| !name.is_empty()) {
            json.name(header).reference(&["components", "headers", header]);
        }
    });
}

fn content(json: &mut Json, schema: &'static Schema, schemas: &mut Schemas) {
    json.name("content").object(|json| {
        json.name("application/json").object(|json| schemas.write(json.name("schema"), schema));
    });
}

/// What can stand for a word of a path: no slash, and nothing that is no text.
const SEGMENT: &str =
    r#"{"type":"string","minLength":1,"pattern":"^[^/\\\\\\u0000-\\u001f\\u007f-\\u009f]+$"}"#;

/// What can stand in a query.
const TEXT: &str = r#"{"type":"string","pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}"#;

fn parameters(json: &mut Json, route: &Route, function: &Function, schemas: &mut Schemas) {
    let shared = |json: &mut Json, name| json.reference(&["components", "parameters", name]);
    shared(json, "traceparent");
    for word in route.pattern.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}')) {
        json.object(|json| {
            json.name("name").text(word);
            json.name("in").text("path");
            json.name("required").raw("true");
            json.name("schema").raw(SEGMENT);
        });
    }
    let mut named = route.query.split('&');
    for takes in function.takes {
        match takes {
            Takes::Query(schema) => match (named.next().unwrap_or_default(), &function.answers) {
                (name @ "wait", Answers::Awaited(_)) => shared(json, name),
                (name, _) => json.object(|json| {
                    json.name("name").text(name);
                    json.name("in").text("query");
                    match schema {
                        Schema::Text => json.name("schema").raw(TEXT),
                        other => schemas.write(json.name("schema"), other),
                    }
                }),
            },
            Takes::Page => ["limit", "after"].into_iter().for_each(|name| shared(json, name)),
            Takes::Word | Takes::Body(_) => {}
        }
    }
    if let Answers::Created(_) | Answers::Accepted(_) | Answers::Awaited(_) = function.answers {
        shared(json, "Idempotency-Key");
    }
    if route.method == "GET" {
        shared(json, "Trellis-Position");
    }
}

fn refusals(json: &mut Json) {
    for (status, _, description, header) in REFUSALS {
        json.name(status).object(|json| {
            json.name("description").text(description);
            headers(json, &[header]);
            let problem =
                r##"{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}}"##;
            json.name("content").raw(problem);
        });
    }
}
