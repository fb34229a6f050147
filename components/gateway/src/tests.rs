//! What the gateway promises, with services that do as they are told.

mod accounts;
mod callers;
mod documents;
mod forwarding;
mod limits;
mod pages;
mod policies;
mod refusals;
mod routing;
mod sessions;

use trellis_kit::testing::{Json, given, json, message, parse, platform, play, settle, start};

use super::*;
use crate::trellis::registry::events::{DocumentsEvent, ServiceEvent};
use crate::trellis::registry::types::{
    Documents, Outline, Parts, Presence, Route as Told, Service as Registered, Sighting,
};

play! {
    /// The service that tells of services.
    Registry: sources::REGISTRY {
        Registered.name by ServiceEvent: |before, event| {
            let presence = match event {
                ServiceEvent::Registered(to) | ServiceEvent::Changed(to) => {
                    return Some(Registered {
                        name: to.description.name.clone(),
                        description: to.description.clone(),
                        presence: Presence::Present,
                        since: to.at.clone(),
                        news: to.news,
                        news_since: to.at.clone(),
                        version: before.map_or(1, |before| before.version + 1),
                    });
                }
                ServiceEvent::Missing(_) => Presence::Missing,
                ServiceEvent::Gone(_) => Presence::Gone,
            };
            before.map(|before| Registered { presence, version: before.version + 1, ..before })
        },
        Documents.id by DocumentsEvent: |_before, event| {
            let DocumentsEvent::Noted(parts) = event;
            Some(Documents { id: id_of(parts), version: 1 })
        },
    }
}

fn id_of(Parts { openapi, asyncapi }: &Parts) -> String {
    format!("documents-{}", trellis_kit::id::sha256(&format!("{openapi}\n{asyncapi}")))
}

/// Routes as `"GET /posts"`, which are for anyone. One that begins with `own` is not public, one with `role:<name>` for that role,
/// and of one with `undeclared` its service does not say for whom it is.
fn description(name: &str, routes: &[&str]) -> Outline {
    let route = |route: &&str| {
        let words: Vec<&str> = route.split(' ').collect();
        let (access, method, path) = match words[..] {
            [access, method, path] => (access, method, path),
            [method, path] => ("anyone", method, path),
            _ => panic!("{route} is no route"),
        };
        let who = (!matches!(access, "own" | "undeclared")).then(|| access.to_owned());
        Told { method: method.to_owned(), path: path.to_owned(), public: access != "own", who }
    };
    Outline {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        routes: routes.iter().map(route).collect(),
        stream: None,
        group: None,
        partitions: 0,
        projects: Vec::new(),
        reacts_to: Vec::new(),
        documents: "documents-none".to_owned(),
    }
}

/// The registry tells that something has happened to a service, and the gateway hears it.
fn told(name: &str, event: ServiceEvent) {
    given::<Registered>(name, [event]);
    start::<Gateway>();
    settle::<Gateway>();
}

fn sighting(description: Outline) -> Sighting {
    Sighting { description, at: "2026-01-01T00:00:00.000Z".to_owned(), news: 1 }
}

fn registered(name: &str, routes: &[&str]) {
    told(name, ServiceEvent::Registered(sighting(description(name, routes))));
}

/// A service with these routes, that answers with its name.
fn serves(name: &str, routes: &[&str]) {
    registered(name, routes);
    answers(name, format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()));
}

fn answers(name: &str, answer: impl Into<Vec<u8>>) {
    let answer = answer.into();
    platform().listen(&format!("svc.{name}"), move |request| {
        let head_only = request.starts_with(b"HEAD ");
        let end =
            answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
        Some(if head_only { answer[..end].to_vec() } else { answer.clone() })
    });
}

/// What the services were asked since the last time this was asked.
fn asked() -> Vec<String> {
    let exchanges = platform().take_exchanges().into_iter();
    let to_services = exchanges.filter(|exchange| exchange.subject.starts_with("svc."));
    to_services.map(|exchange| String::from_utf8_lossy(&exchange.request).into_owned()).collect()
}

fn send(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
    trellis_kit::testing::request::<Gateway>(method, target, headers, body)
}

fn get(target: &str) -> Response {
    send("GET", target, &[], "")
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

/// A refusal as RFC 9457 has it, with a trace.
#[track_caller]
fn assert_problem(response: &Response, status: u16) -> Json {
    assert_eq!(response.status, status, "{response:?} {}", text(response));
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{response:?}");
    let problem: Json = json(response);
    assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32, "{problem}");
    problem
}

/// `printf s3cret | sha256sum` and so on.
const KEYS: [(&str, &str, &[&str]); 3] = [
    ("s3cret", "mia", &["moderator"]),
    ("opensesame", "olaf", &["operator", "moderator"]),
    ("plain", "pat", &[]),
];

fn configure_keys() {
    let keys: serde_json::Map<String, Json> = KEYS
        .iter()
        .map(|(key, name, roles)| {
            (trellis_kit::id::sha256(key), serde_json::json!({ "name": name, "roles": roles }))
        })
        .collect();
    platform().configure("api-keys", &Json::from(keys).to_string());
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}
