//! What a service says of its routes and events, for the documents of the whole.

use serde_json::{Value, json};

use super::*;
use crate::describe;

fn documents() -> (Value, Value) {
    let about = describe::describe(Notes::routes());
    let part = |name: &str| serde_json::from_str(about[name].as_str().unwrap()).unwrap();
    (part("openapi"), part("asyncapi"))
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

#[test]
fn the_public_functions_are_paths() {
    let (document, _) = documents();
    let methods = |path: &str| {
        let path = document["paths"][path].as_object();
        path.map(|path| path.keys().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(methods("/notes"), Some(vec!["get", "post"]));
    assert_eq!(methods("/notes/{id}"), Some(vec!["put"]), "reading one is the service's own");
    assert_eq!(methods("/whoami"), None, "nothing is known of a closure");
}

/// What the document lets through is not refused as malformed.
#[test]
fn a_parameter_that_is_text_says_which() {
    let (document, _) = documents();
    let shared = &document["components"]["parameters"];
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    let own = operations.flat_map(|(_, operation)| operation["parameters"].as_array().unwrap());
    for parameter in shared.as_object().unwrap().values().chain(own.filter(|one| one["in"].is_string())) {
        let schema = &parameter["schema"];
        // Whatever is no trace begins a new one.
        let takes_any_text =
            schema["type"] == "string" && schema["pattern"].is_null() && schema["enum"].is_null();
        assert_eq!(takes_any_text, parameter["name"] == "traceparent", "{parameter}");
    }
    let pattern = |name: &str| shared[name]["schema"]["pattern"].as_str().unwrap();
    assert_eq!(pattern("after"), "^[A-Za-z0-9_-]{4,1024}$");
    let one = "[A-Za-z0-9_-]{1,128}:[0-9]{1,9}:[0-9]{1,18}";
    assert_eq!(pattern("Trellis-Position"), format!("^({one}(,{one}){{0,15}})?$"));
    let longest = vec![format!("{}:999999999:999999999999999999", "s".repeat(128)); 16].join(",");
    assert!(crate::position::parse(&longest).is_ok() && crate::position::parse("a:0:0").is_ok());
}

#[test]
fn an_operation_says_what_its_function_takes_and_answers() {
    let (document, _) = documents();
    let create = &document["paths"]["/notes"]["post"];
    assert_eq!(create["operationId"], "notes_create");
    assert_eq!(
        create["requestBody"]["content"]["application/json"]["schema"],
        reference("schemas", "notes.NewNote")
    );
    let created = &create["responses"]["201"];
    assert_eq!(created["content"]["application/json"]["schema"], reference("schemas", "notes.Note"));
    assert_eq!(created["headers"]["Location"], reference("headers", "Location"));

    let list = &document["paths"]["/notes"]["get"];
    let listed = &list["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(*listed, json!({ "type": "array", "items": reference("schemas", "notes.Note") }));
    assert!(list["parameters"].as_array().unwrap().contains(&reference("parameters", "after")), "{list}");

    let edit = &document["paths"]["/notes/{id}"]["put"];
    assert_eq!(edit["description"], "Changes a note: 409 if that contradicts what is.");
    let statuses: Vec<&str> = edit["responses"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "200 400 401 403 404 409 413 415 422 429 431 500 502 503 504";
    assert_eq!(statuses.join(" "), expected);
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": {
        "type": "string", "minLength": 1, "pattern": r"^[^/\\\u0000-\u001f\u007f-\u009f]+$",
    } });
    assert!(edit["parameters"].as_array().unwrap().contains(&id), "{edit}");

    let color = &document["paths"]["/color"]["get"]["parameters"];
    let parameter = json!({ "name": "color", "in": "query", "schema": reference("schemas", "notes.Color") });
    assert!(color.as_array().unwrap().contains(&parameter), "{color}");
}

#[test]
fn what_is_sent_is_closed_and_what_is_answered_may_grow() {
    let (document, _) = documents();
    let schemas = &document["components"]["schemas"];
    let optional = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let tags = json!({ "type": "array", "items": reference("schemas", "notes.Tag") });
    let new_note = json!({
        "type": "object",
        "properties": { "text": { "type": "string", "description": "What it says." }, "tags": optional(tags) },
        "required": ["text"],
        "additionalProperties": false,
    });
    assert_eq!(schemas["notes.NewNote"], new_note);
    assert_eq!(schemas["notes.Tag"]["additionalProperties"], false, "a part of what is sent");
    assert_eq!(schemas["notes.Note"].get("additionalProperties"), None);
    let version = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    assert_eq!(schemas["notes.Note"]["properties"]["version"], version);
    assert_eq!(schemas["notes.Color"], json!({ "type": "string", "enum": ["red", "dark_blue"] }));
}

#[test]
fn the_log_is_a_channel_and_each_kind_of_event_a_message() {
    let (_, document) = documents();
    let channel = &document["channels"]["notes"];
    assert_eq!(channel["address"], "log.notes.{partition}.{entity}.{version}");
    let kinds: Vec<&str> = channel["messages"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(kinds, ["note.closed.v3", "note.edited.v3", "note.written.v3"]);

    let edited = &document["components"]["messages"]["notes.note.edited.v3"]["payload"]["allOf"];
    assert_eq!(edited[0], reference("schemas", "Event"));
    assert_eq!(edited[1]["properties"]["type"], json!({ "const": "note.edited.v3" }));
    assert_eq!(edited[1]["properties"]["data"], json!({ "type": "string" }));
    assert_eq!(edited[1]["properties"]["state"], reference("schemas", "notes.Note"));
    let closed = &document["components"]["messages"]["notes.note.closed.v3"]["payload"]["allOf"][1];
    assert_eq!(closed["properties"].get("data"), None);

    let operations = document["operations"].as_object().unwrap();
    let said: Vec<_> =
        operations.iter().map(|(name, operation)| format!("{name} {}", operation["action"])).collect();
    let expected =
        [r#"notes.follows.notes "receive""#, r#"notes.heeds.notes "receive""#, r#"notes.tells "send""#];
    assert_eq!(said, expected);
    assert_eq!(operations["notes.heeds.notes"]["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn the_text_is_json_whatever_is_in_it() {
    let mut json = describe::Json::default();
    json.object(|json| {
        json.name("a\"b").list(|json| {
            json.text("\\ \n {");
            json.text("[");
            json.object(|_| {});
            json.list(|_| {});
            json.raw("1");
        });
        json.name("c").reference(&["x", "y"]);
    });
    let parsed: Value = serde_json::from_str(&json.finish()).unwrap();
    assert_eq!(parsed, json!({ "a\"b": ["\\ \n {", "[", {}, [], 1], "c": { "$ref": "#/x/y" } }));
}

/// What is stored is what the document says, in so far as the two share names.
#[test]
fn a_stored_event_has_what_its_message_requires() {
    let (_, document) = documents();
    write(&anonymous(), new("a")).unwrap();
    let stored = platform().stored("LOG_notes").remove(0);
    let event: Value = serde_json::from_slice(&stored.body).unwrap();
    let payload = &document["components"]["messages"]["notes.note.written.v3"]["payload"]["allOf"];
    let envelope = &document["components"]["schemas"]["Event"];
    for schema in [envelope, &payload[1]] {
        for name in schema["required"].as_array().unwrap() {
            assert!(event.get(name.as_str().unwrap()).is_some(), "{name} in {event}");
        }
    }
    for (name, value) in event.as_object().unwrap() {
        let known = [&envelope["properties"], &payload[1]["properties"]].map(|known| known.get(name));
        let known = known.into_iter().flatten().next();
        let known = known.unwrap_or_else(|| panic!("{name} of {event} is not in the document"));
        assert!(known.get("const").is_none_or(|only| only == value), "{name} of {event} is not {known}");
    }
}

#[test]
#[should_panic(expected = "each word in braces")]
fn a_pattern_that_lacks_what_its_function_takes_is_refused() {
    let function = crate::http::function::ok("get", &Notes::get);
    crate::http::Route::to(
        "GET",
        "/notes",
        crate::http::Access::Anyone,
        |_| Ok(Response::empty(204)),
        function,
    );
}
