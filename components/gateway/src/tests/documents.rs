//! The two documents, put together from what services say.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn says(name: &str, routes: &[&str], openapi: &Json, asyncapi: &Json) {
    let parts = Parts { openapi: openapi.to_string(), asyncapi: asyncapi.to_string() };
    let documents = id_of(&parts);
    let description = Outline { documents: documents.clone(), ..description(name, routes) };
    told(name, ServiceEvent::Registered(sighting(description)));
    given::<Documents>(&documents, [DocumentsEvent::Noted(parts)]);
    settle::<Gateway>();
}

fn operation(schema: &str) -> Json {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "responses": { "200": { "content": { "application/json": { "schema": schema } } } } })
}

fn schema_of(document: &Json, path: &str, method: &str) -> String {
    let schema =
        &document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
    schema.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn without_any_service_the_documents_are_valid() {
    let document: Json = json(&get("/openapi.json"));
    assert_eq!((&document["openapi"], &document["paths"]), (&"3.1.0".into(), &json!({})));
    assert_eq!(document["servers"][1]["url"], "/api");
    let document: Json = json(&get("/asyncapi.json"));
    assert_eq!((&document["asyncapi"], &document["channels"]), (&"3.0.0".into(), &json!({})));
}

#[test]
fn paths_are_put_together_from_their_owners() {
    let (string, problem) = (json!({ "type": "string" }), json!({ "type": "object" }));
    let one = json!({
        "paths": {
            "/posts": { "get": operation("Post"), "post": operation("Post"), "summary": "Posts" },
            "/own": { "get": operation("Post") },
        },
        "components": { "schemas": { "Post": string, "Problem": problem } },
    });
    let list = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Post" } });
    let two = json!({
        "paths": {
            "/posts": { "get": operation("Post"), "post": operation("List") },
            "/posts/{id}": { "get": operation("Problem") },
            "/unsaid": { "get": operation("Post") },
        },
        "components": {
            "schemas": { "Post": { "type": "object" }, "List": list, "Problem": problem },
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
    });
    says("one", &["POST /posts", "own GET /own"], &one, &json!({}));
    says("two", &["GET /posts", "GET /posts/{id}", "POST /posts"], &two, &json!({}));
    let document: Json = json(&get("/openapi.json"));
    let paths: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        BTreeSet::from(["/posts", "/posts/{id}"]),
        "what is not public, or nobody's route, is not shown"
    );
    assert_eq!(schema_of(&document, "/posts", "post"), "Post");
    assert_eq!(schema_of(&document, "/posts", "get"), "two.Post", "another thing of the same name");
    assert_eq!(schema_of(&document, "/posts/{id}", "get"), "Problem", "the same thing is there once");
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        (&schemas["Post"]["type"], &schemas["two.Post"]["type"]),
        (&"string".into(), &"object".into())
    );
    assert_eq!(schemas["List"]["items"]["$ref"], "#/components/schemas/two.Post");
    assert_eq!(schemas.as_object().unwrap().len(), 4);
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
}

#[test]
fn channels_are_put_together() {
    let says_of = |name: &str, title: &str| {
        json!({
            "channels": { format!("log/{name}"): { "address": name }, "hello": { "title": title } },
            "operations": { format!("{name}.heard"): { "channel": { "$ref": "#/channels/hello" } } },
            "components": { "messages": { name: {} } },
        })
    };
    says("one", &[], &json!({}), &says_of("one", "One"));
    says("two", &[], &json!({}), &says_of("two", "Two"));
    let document: Json = json(&get("/asyncapi.json"));
    let names: BTreeSet<&str> =
        document["channels"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["hello", "log/one", "log/two", "two.hello"]));
    assert_eq!(document["operations"]["one.heard"]["channel"]["$ref"], "#/channels/hello");
    assert_eq!(document["operations"]["two.heard"]["channel"]["$ref"], "#/channels/two.hello");
    assert_eq!(document["components"]["messages"].as_object().unwrap().len(), 2);
}

#[test]
fn an_event_without_a_channel_is_not_in_the_document() {
    let channel = json!({ "messages": { "post.created.v1": {}, "post.retitled.v1": {} } });
    let heard = |kinds: &[&str]| {
        let messages =
            kinds.iter().map(|kind| json!({ "$ref": format!("#/channels/posts/messages/{kind}") }));
        let channel = json!({ "$ref": "#/channels/posts" });
        json!({ "channel": channel, "messages": messages.collect::<Vec<_>>() })
    };
    let listens = json!({ "operations": {
        "query.follows.posts": heard(&["post.created.v1", "post.lost.v1"]),
        "query.heeds.posts": heard(&["post.lost.v1"]),
    } });
    says("query", &[], &json!({}), &listens);
    let operations = || json::<Json>(&get("/asyncapi.json"))["operations"].clone();
    assert_eq!(operations(), json!({}), "there are no posts");
    says("posts", &[], &json!({}), &json!({ "channels": { "posts": channel } }));
    assert_eq!(operations(), json!({ "query.follows.posts": heard(&["post.created.v1"]) }));
}

#[test]
fn they_change_with_the_services() {
    let said = json!({ "paths": { "/blog": { "get": {} } } });
    says("blog", &["GET /blog"], &said, &json!({}));
    let paths = || -> usize {
        let document: Json = json(&get("/openapi.json"));
        document["paths"].as_object().unwrap().len()
    };
    assert_eq!((paths(), paths()), (1, 1));
    told("blog", ServiceEvent::Gone(String::new()));
    assert_eq!(paths(), 0);
    says(
        "blog",
        &["GET /blog"],
        &json!({ "paths": { "/blog": 5, "/x": [] }, "components": [] }),
        &json!({ "channels": 5 }),
    );
    assert_eq!((paths(), get("/asyncapi.json").status), (0, 200), "nonsense is left out");
}
