//! What flows: how much a service has told, and how much of that others have yet to hear.

use trellis_kit::Problem;
use trellis_kit::services::{ConsumerState, Others, StreamState};

use crate::trellis::registry::types::{Consumer, Flow, Service as Registered};

pub fn of(others: Others, service: Registered) -> Result<Flow, Problem> {
    let Registered { name, description, presence, .. } = service;
    let log = match description.stream {
        Some(_) => others.stream(&name)?.unwrap_or_default(),
        None => StreamState::default(),
    };
    let dead_letters = others.dead_letters(&name)?;
    let consumers = log.consumers.into_iter().map(|consumer| {
        let ConsumerState { name, service, waiting, under_way, redelivered, not_due } = consumer;
        Consumer { name, service, waiting, under_way, redelivered, not_due }
    });
    Ok(Flow {
        service: name,
        group: description.group,
        presence,
        stream: description.stream,
        events: log.events,
        lately: log.lately,
        bytes: log.bytes,
        dead_letters,
        consumers: consumers.collect(),
    })
}
