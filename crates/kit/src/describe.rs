//! What a service says of itself, to whoever asks.

mod asyncapi;
mod json;
mod openapi;
mod schemas;

use std::collections::BTreeSet;

#[cfg(test)]
pub(crate) use json::Json;

use serde_json::{Value, json};

use crate::platform::{self, Fault, Platform};
use crate::{Route, Service, id, names};

/// Answers the NATS services protocol, so that `nats micro ls` lists every service of Trellis. None is for
/// another service.
pub(crate) fn service_protocol<S: Service>(words: &str) -> Option<Value> {
    // Instances come and go with each call and are all the same: the service is its one instance.
    let id = id::derived(&[S::NAME.as_bytes(), S::VERSION.as_bytes()]);
    let mut words = words.split('.');
    let verb = words.next()?;
    if words.next().is_some_and(|name| name != S::NAME) || words.next().is_some_and(|asked| asked != id) {
        return None;
    }
    let mut answer = json!({ "name": S::NAME, "id": id, "version": S::VERSION, "metadata": {} });
    let subject = names::request_subject(S::NAME);
    let endpoint = json!({ "name": "http", "subject": subject, "queue_group": S::NAME });
    let more = match verb {
        "PING" => json!({ "type": "io.nats.micro.v1.ping_response" }),
        "INFO" => json!({
            "type": "io.nats.micro.v1.info_response",
            "description": format!("{} of Trellis; requests are message/http", S::NAME),
            "metadata": { "trellis": service::<S>().to_string() },
            "endpoints": [endpoint],
        }),
        "STATS" => json!({
            "type": "io.nats.micro.v1.stats_response",
            // Nothing is remembered from call to call; the host counts.
            "started": "1970-01-01T00:00:00Z",
            "endpoints": [{
                "name": "http", "subject": subject, "queue_group": S::NAME, "num_requests": 0, "num_errors": 0,
                "last_error": "", "processing_time": 0, "average_processing_time": 0,
            }],
        }),
        _ => return None,
    };
    if let (Value::Object(answer), Value::Object(more)) = (&mut answer, more) {
        answer.extend(more);
    }
    Some(answer)
}

/// Tells everybody who listens.
pub(crate) fn hello<S: Service>() -> Result<(), Fault> {
    platform::current().publish(&names::hello_subject(S::NAME), service::<S>().to_string().as_bytes())
}

/// Name, version, routes, log and sources, and its parts of the two documents as text.
pub(crate) fn service<S: Service>() -> Value {
    let route =
        |route: &Route| json!({ "method": route.method, "path": route.pattern, "public": route.public });
    let routes: Vec<Value> = S::ROUTES.iter().map(route).collect();
    let projects: BTreeSet<_> = S::PROJECTIONS.iter().map(|line| line.source).collect();
    let reacts: BTreeSet<_> = S::REACTIONS.iter().map(|line| line.source).collect();
    let stream = (S::PARTITIONS > 0).then(|| names::log_stream(S::NAME));
    json!({
        "name": S::NAME, "version": S::VERSION, "routes": routes,
        "stream": stream, "partitions": S::PARTITIONS, "projects": projects, "reacts_to": reacts,
        "openapi": openapi::of::<S>(), "asyncapi": asyncapi::of::<S>(),
    })
}
