//! What flows: how much a service has told, and how much of that others have yet to hear.

use trellis_kit::Problem;
use trellis_kit::services::{self, ConsumerState, StreamState};

use crate::trellis::registry::types::{Consumer, Flow};
use crate::{Registered, Registry};

pub fn of(service: Registered) -> Result<Flow, Problem> {
    let Registered { name, description, presence, .. } = service;
    let log = match description.stream {
        Some(_) => services::stream::<Registry>(&name)?.unwrap_or_default(),
        None => StreamState::default(),
    };
    let dead_letters = services::dead_letters::<Registry>(&name)?;
    let consumers = log.consumers.into_iter().map(|consumer| {
        let ConsumerState { name, service, waiting, under_way, redelivered } = consumer;
        Consumer { name, service, waiting, under_way, redelivered }
    });
    Ok(Flow {
        service: name,
        presence,
        stream: description.stream,
        events: log.events,
        lately: log.lately,
        bytes: log.bytes,
        dead_letters,
        consumers: consumers.collect(),
    })
}
