//! Over all routes that `/openapi.json` names, with whatever is somebody's in their paths: who else is signed in can neither read
//! nor change it, and neither can anybody who is not. A route that comes to be is asked, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use system::{OLAF, Request, Response, Trellis, settled};
use tempfile::tempdir;

const PASSWORD: &str = "correct horse";
/// A comment with this word is held back: its author reads it, and moderators.
const HELD_BACK: &str = "An orange that nobody else reads";

fn told(answer: &Response, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.json()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn person(email: &str) -> String {
    json!({ "email": email, "password": PASSWORD }).to_string()
}

/// Somebody to whom something belongs.
struct Owner {
    email: &'static str,
    token: String,
    /// The ids of all that is theirs.
    ids: Vec<String>,
    /// What nobody else may read.
    secrets: Vec<String>,
}

impl Owner {
    fn new(trellis: &Trellis, email: &'static str) -> Self {
        let signed_up = told(&trellis.send(&Request::post("/users/signup", person(email))), 201);
        let signed_in = told(&trellis.send(&Request::post("/users/signin", person(email))), 200);
        let [first, second] = [&signed_up, &signed_in].map(|answer| text(&answer["token"]));
        let post = Request::post("/posts", r#"{"title": "Hers"}"#).by(&first);
        let post = text(&told(&trellis.send(&post), 201)["id"]);
        let comment =
            Request::post(&format!("/posts/{post}/comments"), json!({ "content": HELD_BACK }).to_string());
        let comment = text(&told(&trellis.send(&comment.by(&first)), 201)["id"]);
        let price = json!({ "amount": 1999, "currency": "EUR" });
        let offer = |by: &str| {
            let offer = json!({ "title": "Concert", "price": price }).to_string();
            text(&told(&trellis.send(&Request::post("/tickets", offer).by(by)), 201)["id"])
        };
        let (ticket, anothers) = (offer(&first), offer(OLAF));
        let order = json!({ "ticket_id": anothers, "price": price }).to_string();
        let order = text(&told(&trellis.send(&Request::post("/orders", order).by(&first)), 201)["id"]);
        let session = |token: &str| token.split('.').next().unwrap().to_owned();
        let secrets =
            [session(&first), session(&second), HELD_BACK.to_owned(), email.to_owned(), order.clone()];
        let user = text(&signed_up["current_user"]["id"]);
        let ids = vec![user, post, comment, session(&second), ticket, anothers, order];
        let secrets = secrets.into();
        Self { email, token: first, ids, secrets }
    }
}

/// All requests that the document names, with these ids in every place of the paths, and bodies as it describes them. Who signs
/// out does so last.
fn requests(document: &Value, ids: &[String]) -> Vec<Request> {
    let mut all = Vec::new();
    for (pattern, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = (!schema.is_null()).then(|| sample(document, schema, "").to_string());
            for path in paths(pattern, ids) {
                let mut request = Request::new(&method.to_uppercase(), &path);
                if let Some(body) = &body {
                    request = request.header("content-type", "application/json");
                    request.body = body.clone().into_bytes();
                }
                all.push(request);
            }
        }
    }
    all.sort_by_key(|request| request.path == "/users/signout");
    all
}

fn paths(pattern: &str, ids: &[String]) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (_, after) = rest.split_once('}').unwrap();
    let each = paths(after, ids).into_iter();
    each.flat_map(|after| ids.iter().map(move |id| format!("{before}{id}{after}"))).collect()
}

/// Something that a schema allows.
fn sample(document: &Value, schema: &Value, name: &str) -> Value {
    if let Some(pointer) = schema["$ref"].as_str() {
        return sample(document, document.pointer(&pointer[1..]).unwrap(), name);
    }
    for choice in ["anyOf", "oneOf", "enum"] {
        if let Some(first) = schema[choice].as_array().and_then(|choices| choices.first()) {
            return if choice == "enum" { first.clone() } else { sample(document, first, name) };
        }
    }
    let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
    match kind.as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().unwrap().iter();
            properties.map(|(name, schema)| (name.clone(), sample(document, schema, name))).collect()
        }
        Some("array") => json!([sample(document, &schema["items"], name)]),
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(1),
        _ if name == "email" => json!("mallory@example.org"),
        _ if name.ends_with("password") => json!(PASSWORD),
        _ => json!("changed"),
    }
}

/// How many events there are of each of these entities, in all logs.
fn events(trellis: &Trellis, ids: &[String]) -> BTreeMap<String, usize> {
    settled(trellis);
    let lines = trellis.run(&["events", "--json"]);
    let subjects = lines.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        text(&event["subject"])
    });
    let mut counts = BTreeMap::new();
    for subject in subjects {
        let entity = subject.split('.').nth(3).unwrap();
        if ids.iter().any(|id| id == entity) {
            *counts.entry(subject.split('.').nth(1).unwrap().to_owned() + " " + entity).or_default() += 1;
        }
    }
    counts
}

#[test]
fn what_is_somebodys_nobody_else_reads_or_changes() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let bob = Owner::new(&trellis, "bob@example.org");
    let ann = told(&trellis.send(&Request::post("/users/signup", person("ann@example.org"))), 201);
    let ann = text(&ann["token"]);
    let document = trellis.get("/openapi.json").json();
    let requests = requests(&document, &bob.ids);
    let before = events(&trellis, &bob.ids);
    assert!(before.len() >= 8, "{before:?}");

    for by in [Some(&ann), None] {
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        for request in &requests {
            // They say that they are Bob, too.
            let forged =
                request.clone().header("trellis-caller", &bob.ids[0]).header("trellis-roles", "admin");
            let forged = forged.header("trellis-session", &bob.secrets[0]);
            let answer = trellis.send(&match by {
                Some(token) => forged.by(token),
                None => forged,
            });
            assert!(answer.status < 500, "{request:?}: {answer:?}");
            let said = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            for secret in &bob.secrets {
                // What somebody has sent says nothing to them.
                let is_sent = request.path.contains(secret);
                assert!(is_sent || !said.contains(secret), "{secret}, for {request:?}: {said}");
            }
            *statuses.entry(answer.status).or_default() += 1;
        }
        let who = if by.is_some() { "somebody else" } else { "anybody" };
        println!("{} requests by {who}, by status: {statuses:?}", requests.len());
        assert_eq!(events(&trellis, &bob.ids), before, "{who} has changed what is Bob's");
    }

    // The same requests by Bob have their effects: so they could have had them before.
    let held_back = Request::get(&format!("/posts/{}/comments/{}", bob.ids[1], bob.ids[2]));
    assert_eq!(told(&trellis.send(&held_back.by(&bob.token)), 200)["content"], HELD_BACK);
    for request in &requests {
        let answer = trellis.send(&request.clone().by(&bob.token));
        assert!(answer.status < 500, "{request:?}: {answer:?}");
    }
    let after = events(&trellis, &bob.ids);
    let changed: Vec<&String> = before.keys().filter(|key| after[*key] > before[*key]).collect();
    println!("Bob has changed {changed:?}");
    let [user, post, _, session, ticket, anothers, _] = &bob.ids[..] else { panic!("seven") };
    let own = [
        format!("accounts {user}"),
        format!("accounts {session}"),
        format!("posts {post}"),
        format!("orders {ticket}"),
        format!("orders {anothers}"),
    ];
    assert!(own.iter().all(|own| changed.contains(&own)), "{changed:?}");
    assert_eq!(trellis.send(&Request::post("/users/signin", person(bob.email))).status, 200);
    trellis.stop();
}
