//! What a service says of itself, to whoever asks.

mod asyncapi;
mod json;
mod openapi;
mod schemas;

use std::collections::BTreeSet;

#[cfg(test)]
pub(crate) use json::Json;

use serde_json::{Value, json};
use trellis_names as names;

use crate::http::{Route, Routes};
use crate::id;
use crate::platform::{self, Fault, Platform};

/// Answers the NATS services protocol, so that `nats micro ls` lists every service of Trellis. None is for
/// another service.
pub(crate) fn service_protocol(routes: Routes, words: &str) -> Option<Value> {
    let service = routes.service;
    // Instances come and go with each call and are all the same: the service is its one instance.
    let id = id::derived(&[service.name.as_bytes(), service.version.as_bytes()]);
    let mut words = words.split('.');
    let verb = words.next()?;
    if words.next().is_some_and(|name| name != service.name) || words.next().is_some_and(|asked| asked != id)
    {
        return None;
    }
    let mut answer = json!({ "name": service.name, "id": id, "version": service.version, "metadata": {} });
    let subject = names::request_subject(service.name);
    let endpoint = json!({ "name": "http", "subject": subject, "queue_group": service.name });
    let more = match verb {
        "PING" => json!({ "type": "io.nats.micro.v1.ping_response" }),
        "INFO" => json!({
            "type": "io.nats.micro.v1.info_response",
            "description": format!("{} of Trellis; requests are message/http", service.name),
            "metadata": { "trellis": describe(routes).to_string() },
            "endpoints": [endpoint],
        }),
        "STATS" => json!({
            "type": "io.nats.micro.v1.stats_response",
            // Nothing is remembered from call to call; the host counts.
            "started": "1970-01-01T00:00:00Z",
            "endpoints": [{
                "name": "http", "subject": subject, "queue_group": service.name, "num_requests": 0, "num_errors": 0,
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
pub(crate) fn hello(routes: Routes) -> Result<(), Fault> {
    platform::current()
        .publish(&names::hello_subject(routes.service.name), describe(routes).to_string().as_bytes())
}

/// Name, version, routes, group, log and sources, and its parts of the two documents as text.
pub(crate) fn describe(routes: Routes) -> Value {
    let service = routes.service;
    let route = |route: &Route| {
        let (public, who) = (route.is_public(), route.access.who());
        json!({ "method": route.method, "path": route.pattern, "public": public, "who": who })
    };
    let listed: Vec<Value> = routes.all.iter().map(route).collect();
    let projects: BTreeSet<_> = service.projected.iter().map(|followed| followed.source).collect();
    let reacts: BTreeSet<_> = service.told_reactions().map(|followed| followed.source).collect();
    let stream = (service.partitions > 0).then(|| names::log_stream(service.name));
    json!({
        "name": service.name, "version": service.version, "routes": listed, "group": service.group,
        "stream": stream, "partitions": service.partitions, "projects": projects, "reacts_to": reacts,
        "openapi": openapi::of(routes), "asyncapi": asyncapi::of(service),
    })
}
