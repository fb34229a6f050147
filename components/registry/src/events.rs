//! What services have told, read in their logs: names, times and ids, and nothing of what was said. Private logs are not read.
//!
//! Nothing is kept of it. A list reads one event for each that it shows. A trace may be anywhere, and there is no index of
//! traces: so some events of each log are looked at, and the answer says which.

use std::time::Duration;

use trellis_kit::services::{ListedEvent as Told, Looked, Others};
use trellis_kit::time::since_1970;
use trellis_kit::{PageRequest, Problem};

use crate::error::RegistryError;
use crate::trellis::registry::types::{EventPage, ListedEvent, Look, Trace};

/// How many events of a log are looked at for a trace.
const LOOKED_AT: u64 = 100;
/// How long that may take, for all logs: whoever asks waits.
const LOOK_TIME: Duration = Duration::from_millis(1500);
/// How many events of a trace are told.
const TRACE_LEN_MAX: usize = 100;

/// How a cursor begins: it is text, and no number that somebody makes up.
const CURSOR: &str = "seq-";

pub fn list(others: Others, service: &str, page: &PageRequest) -> Result<EventPage, Problem> {
    let before = page.after.as_deref().map(|after| sequence(after).ok_or(RegistryError::WrongCursor));
    let (events, next) = others.events(service, before.transpose()?, page.limit()?)?;
    let items = events.into_iter().map(|event| listed(service, event)).collect();
    Ok(EventPage { items, next: next.map(|seq| format!("{CURSOR}{seq}")) })
}

fn sequence(cursor: &str) -> Option<u64> {
    cursor.strip_prefix(CURSOR)?.parse().ok()
}

pub fn find_trace(
    others: Others,
    id: String,
    services: Vec<String>,
    around: Option<&str>,
) -> Result<Trace, Problem> {
    if id.len() != 32 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(RegistryError::WrongTrace.into());
    }
    let around = around.map(|time| since_1970(time).ok_or(RegistryError::WrongTime)).transpose()?;
    let (mut events, mut looks) = (Vec::new(), Vec::new());
    for Looked { service, events: seen, is_all } in
        others.look_through(services, around, LOOKED_AT, LOOK_TIME)?
    {
        looks.push(Look {
            events: u32::try_from(seen.len()).unwrap_or(u32::MAX),
            since: seen.first().map(|event| event.time.clone()),
            until: seen.last().map(|event| event.time.clone()),
            complete: is_all,
            service: service.clone(),
        });
        let of_trace = seen.into_iter().filter(|event| event.trace.as_ref() == Some(&id));
        events.extend(of_trace.map(|event| listed(&service, event)));
    }
    events.sort_by(|one, other| (&one.time, &one.id).cmp(&(&other.time, &other.id)));
    let more = u32::try_from(events.len().saturating_sub(TRACE_LEN_MAX)).unwrap_or(u32::MAX);
    events.truncate(TRACE_LEN_MAX);
    Ok(Trace { id, events, more, looks })
}

fn listed(service: &str, event: Told) -> ListedEvent {
    let Told { seq, id, kind, entity, version, time, trace, causation } = event;
    ListedEvent { service: service.to_owned(), seq, id, kind, entity, version, time, trace, causation }
}
