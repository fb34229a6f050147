//! The two documents of the running application, read by those who know their standards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use system::{Trellis, eventually, wrong_in_asyncapi, wrong_in_openapi};
use tempfile::tempdir;

/// The document, once every one of these services is in it.
#[track_caller]
fn document(trellis: &Trellis, path: &str, is_whole: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{path} is whole"), || {
        let answer = trellis.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json")),
            "{answer:?}"
        );
        Some(answer.json()).filter(&is_whole)
    })
}

/// The references in a part of a document that lead nowhere.
fn dangling<'d>(part: &'d Value, document: &Value) -> Vec<&'d str> {
    let within = |parts: &mut dyn Iterator<Item = &'d Value>| {
        parts.flat_map(|part| dangling(part, document)).collect::<Vec<_>>()
    };
    match part {
        Value::Object(members) => {
            let mut found = within(&mut members.values());
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.filter(|place| document.pointer(place.trim_start_matches('#')).is_none()));
            found
        }
        Value::Array(items) => within(&mut items.iter()),
        _ => Vec::new(),
    }
}

#[test]
fn openapi_is_valid_and_a_broken_one_would_be_seen() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let operations = [
        ("/posts", "get", "query_feed"),
        ("/posts", "post", "posts_create"),
        ("/posts/{id}", "get", "query_get"),
        ("/posts/{id}", "put", "posts_retitle"),
        ("/posts/{id}/comments", "post", "comments_create"),
        ("/moderation/{comment}", "post", "moderation_overturn"),
        ("/registry", "get", "registry_list"),
        ("/gateway/policy", "put", "gateway_set_policy"),
    ];
    let has = |document: &Value, (path, method, id): (&str, &str, &str)| {
        document["paths"][path][method]["operationId"] == id
    };
    let document =
        document(&trellis, "/openapi.json", |document| operations.iter().all(|row| has(document, *row)));
    assert_eq!(wrong_in_openapi(&document), None);

    let mut broken = document.clone();
    broken["paths"]["/posts"]["post"]["responses"]["201"] = json!({ "headers": 5 });
    let said = wrong_in_openapi(&broken).expect("a response that is none is seen");
    assert!(said.contains("responses"), "{said}");
    // It does not look where references within schemas lead.
    assert_eq!(dangling(&document, &document), [""; 0]);
    let mut broken = document;
    broken["components"]["schemas"].as_object_mut().unwrap().remove("posts.NewPost");
    assert_eq!(dangling(&broken, &broken), ["#/components/schemas/posts.NewPost"]);
    trellis.stop();
}

#[test]
fn asyncapi_is_valid_and_a_broken_one_would_be_seen() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let operations = [
        "posts.tells",
        "comments.tells",
        "comments.heeds.moderation",
        "query.follows.posts",
        "moderation.heeds.comments",
        "query.follows.comments",
        "gateway.follows.registry",
    ];
    let has = |document: &Value, name: &str| document["operations"][name].is_object();
    let document =
        document(&trellis, "/asyncapi.json", |document| operations.iter().all(|name| has(document, name)));
    assert_eq!(wrong_in_asyncapi(&document), None);

    let mut broken = document.clone();
    broken["operations"]["posts.tells"]["action"] = json!("shout");
    let said = wrong_in_asyncapi(&broken).expect("an action that is none is seen");
    assert!(said.contains("posts.tells"), "{said}");
    let mut broken = document;
    broken["operations"]["query.follows.posts"]["channel"] = json!({ "$ref": "#/channels/nothing" });
    wrong_in_asyncapi(&broken).expect("a reference to nothing is seen");
    trellis.stop();
}
