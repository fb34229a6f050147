//! The routes of a service as a part of an OpenAPI 3.1 document.
//!
//! Everything in it follows from the route table, the types of the functions that it names, and what the WIT says of
//! them. A status beyond those that any such route can have is named in the documentation of its function:
//! `409 if the verdict is so already`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schemas::{Schemas, describe, set, text};
use crate::Service;
use crate::http::{Answers, Function, Route, Takes};
use crate::schema::Schema;

/// What the routes of all services refer to.
const COMMON: &str = include_str!("openapi.json");

/// Any request may be answered so, by the service or on its way there.
const ALWAYS: [&str; 9] = ["400", "401", "403", "429", "431", "500", "502", "503", "504"];
/// What is wrong with a body that is too large, whether or not it is asked for.
const OF_WRITES: [&str; 1] = ["413"];
/// What can be wrong with one that is.
const OF_BODIES: [&str; 2] = ["415", "422"];

/// `{"paths": .., "components": ..}` of the public routes that call functions.
pub(super) fn of<S: Service>() -> Value {
    let functions = || {
        let public = S::ROUTES.iter().filter(|route| route.public);
        public.filter_map(|route| Some((route, route.function.as_ref()?)))
    };
    let mut schemas = Schemas::new(S::NAME);
    for body in functions().filter_map(|(_, function)| body(function)) {
        schemas.request(body);
    }
    let mut components: Value = serde_json::from_str(COMMON).unwrap_or_default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (route, function) in functions() {
        let operation = operation::<S>(route, function, components.get("responses"), &mut schemas);
        paths.entry(route.pattern).or_default().insert(route.method.to_ascii_lowercase(), operation);
    }
    if let Some(Value::Object(common)) = components.get_mut("schemas")
        && let Value::Object(own) = schemas.into_json()
    {
        common.extend(own);
    }
    json!({ "paths": paths, "components": components })
}

fn operation<S: Service>(
    route: &Route,
    function: &Function,
    refusals: Option<&Value>,
    schemas: &mut Schemas,
) -> Value {
    let name = function.path.rsplit(':').next().unwrap_or_default().trim();
    let docs = S::FUNCTIONS.iter().find(|(known, _)| *known == name).map_or("", |(_, docs)| docs);
    let changes = route.method != "GET";
    let (status, answer) = answer(&function.answers, changes, schemas);

    let mut responses = json!({ status: answer });
    let named = text(docs);
    let named = named.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let named = named.filter(|word| refusals.is_some_and(|known| known.get(word).is_some()));
    let has_words = route.pattern.contains('{').then_some("404");
    let of_write = if changes { &OF_WRITES[..] } else { &[] };
    let of_body = if body(function).is_some() { &OF_BODIES[..] } else { &[] };
    let of_request = of_write.iter().chain(of_body).copied();
    for status in ALWAYS.into_iter().chain(has_words).chain(of_request).chain(named) {
        set(&mut responses, status, reference("responses", status));
    }

    let mut operation = json!({
        "operationId": format!("{}_{name}", S::NAME),
        "tags": [S::NAME],
        // Anyone may ask; what is allowed to whom is decided for each request.
        "security": [{}, { "key": [] }],
        "parameters": parameters(route, function, schemas),
        "responses": responses,
    });
    describe(&mut operation, docs);
    if let Some(body) = body(function) {
        let content = json!({ "application/json": { "schema": schemas.request(body) } });
        set(&mut operation, "requestBody", json!({ "required": true, "content": content }));
    }
    operation
}

fn body(function: &Function) -> Option<&'static Schema> {
    function.takes.iter().find_map(|takes| if let Takes::Body(schema) = takes { Some(*schema) } else { None })
}

fn answer(answers: &Answers, changes: bool, schemas: &mut Schemas) -> (&'static str, Value) {
    let (status, description, header, schema) = match answers {
        Answers::Ok(schema) => ("200", "It is so.", None, schema),
        Answers::Created(schema) => {
            ("201", "It is there now, or was made by this request before.", Some("Location"), schema)
        }
        Answers::Page(schema) => ("200", "A part of the list.", Some("Link"), schema),
    };
    let told = if changes { "Trellis-Position" } else { "X-Trellis-Lag" };
    let headers = ["RateLimit", "RateLimit-Policy", told].into_iter().chain(header);
    let headers: Map<String, Value> =
        headers.map(|header| (header.to_owned(), reference("headers", header))).collect();
    let content = json!({ "application/json": { "schema": schemas.answer(schema) } });
    (status, json!({ "description": description, "headers": headers, "content": content }))
}

fn parameters(route: &Route, function: &Function, schemas: &mut Schemas) -> Vec<Value> {
    let mut parameters = vec![reference("parameters", "traceparent")];
    for word in route.pattern.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}')) {
        let schema = json!({ "type": "string", "minLength": 1 });
        parameters.push(json!({ "name": word, "in": "path", "required": true, "schema": schema }));
    }
    let mut named = route.query.split('&');
    for takes in function.takes {
        match takes {
            Takes::Query(schema) => {
                let name = named.next().unwrap_or_default();
                parameters.push(json!({ "name": name, "in": "query", "schema": schemas.answer(schema) }));
            }
            Takes::Page => parameters.extend(["limit", "after"].map(|name| reference("parameters", name))),
            Takes::Word | Takes::Body(_) => {}
        }
    }
    if let Answers::Created(_) = function.answers {
        parameters.push(reference("parameters", "Idempotency-Key"));
    }
    if route.method == "GET" {
        parameters.push(reference("parameters", "Trellis-Position"));
    }
    parameters
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
