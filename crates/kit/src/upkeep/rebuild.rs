//! Building the read models anew, and how one generation of them follows the other.
//!
//! A rebuild begins with [`begin`]: a new set of durable consumers reads all sources from their beginning into
//! the new generation, while the old one goes on being kept up to date and read. When the new consumers have
//! nothing left, [`advance`] makes the new generation the one that is read. Every step can be repeated, and is,
//! so it may stop anywhere.
//!
//! **A late handler has nowhere to write.** Generations take turns in two slots. A slot is used again when no event of the
//! generation before is with any handler, or every such handler has had to stop ([`ACK_WAIT`]).
//!
//! **A newer version** of the service leaves what an older one builds and builds its own; an older one steps back.

use std::collections::BTreeMap;

use trellis_names as names;

use super::consumers;
use super::partitions::{followed, projected};
use crate::descriptor::Descriptor;
use crate::limits::ACK_WAIT;
use crate::log;
use crate::models::generation::{Generations, change, current, note, noted, stepped_back};
use crate::models::offset;
use crate::platform::{self, Fault, Platform};

/// Begins to build the read models anew. While a rebuild is under way, this changes nothing. Returns whether one is, or was
/// done at once: where an event may still be written into the slot that comes next, it cannot begin yet.
pub(crate) fn begin(service: &Descriptor, now: Generations) -> Result<bool, Fault> {
    let now = clean_up(service, now)?;
    let mut begun = None;
    let now = change(service, now, |now| {
        begun = None;
        if now.building.is_some() || now.retired.is_some() {
            return None;
        }
        let next = now.next();
        begun = Some(next);
        Some(Generations {
            building: Some(next),
            newest: next,
            schema: service.views_schema,
            active_schema: Some(now.schema_of(now.active)),
            ..*now
        })
    })?;
    if let Some(retired) = now.retired {
        log::info(&format!(
            "an event may still be handled for generation {retired} of the read models of {}: they are built anew \
             within {ACK_WAIT:?}",
            service.name
        ));
        return Ok(false);
    }
    if let Some(next) = begun {
        log::info(&format!("{} builds generation {next} of its read models", service.name));
    }
    consumers::make(service, &now, &followed(service, BTreeMap::new())?, service.sources())?;
    advance(service, now, None)?;
    Ok(true)
}

/// Builds the read models anew if they were made by an older version of the service. Comes before their consumers: nothing
/// has been read yet of what there are no consumers for.
pub(crate) fn begin_if_older(service: &Descriptor) -> Result<Generations, Fault> {
    let now = noted(service)?;
    if now.schema == service.views_schema {
        return Ok(now);
    }
    if now.schema > service.views_schema {
        log::warn(&stepped_back(service, &now));
        return Ok(now);
    }
    let offsets = offset::load_all(now.active, &projected(service)?)?;
    let others = offset::followed()?.into_keys().any(|source| !service.projects(&source));
    if now.building.is_none() && !others && offsets.iter().all(|offset| offset.seq == 0) {
        let mine = |now: &Generations| Generations { schema: service.views_schema, ..*now };
        return change(service, now, |now| (now.schema < service.views_schema).then(|| mine(now)));
    }
    log::info(&format!(
        "read models of {} have schema {}, and now {}",
        service.name, now.schema, service.views_schema
    ));
    let now = leave_older(service, now)?;
    begin(service, now)?;
    noted(service)
}

/// Stops to build a generation that an older version of the service has begun.
fn leave_older(service: &Descriptor, now: Generations) -> Result<Generations, Fault> {
    let retired_ms = platform::current().now_ms();
    change(service, now, |now| {
        let is_older = now.building.is_some() && now.schema < service.views_schema;
        is_older.then(|| Generations {
            building: None,
            retired: now.building,
            retired_ms,
            schema: now.schema_of(now.active),
            active_schema: None,
            ..*now
        })
    })
}

/// Builds the read models anew because of what is wrong with them, unless that is under way. Returns what [`begin`] does.
pub(crate) fn begin_because(service: &Descriptor, why: &str) -> Result<bool, Fault> {
    let now = current(service)?;
    if now.building.is_some() {
        return Ok(true);
    }
    note(now)?;
    log::error(&format!("{why}; the read models of {} are built anew", service.name));
    begin(service, now)
}

/// Switches to the generation that is being built if it has caught up. `finishing` is a consumer whose last
/// message is just being finished, so that it need not be asked.
pub(crate) fn advance(service: &Descriptor, now: Generations, finishing: Option<&str>) -> Result<(), Fault> {
    let now = clean_up(service, now)?;
    let Some(next) = now.building.filter(|_| now.schema == service.views_schema) else {
        return Ok(());
    };
    for (source, partition) in projected(service)? {
        let consumer = names::consumer(service.name, next, partition);
        let is_finishing = finishing == Some(&format!("{source}/{consumer}"));
        if !is_finishing && !consumers::has_caught_up(source, &consumer)? {
            return Ok(());
        }
    }
    let retired_ms = platform::current().now_ms();
    let switched = change(service, now, |now| {
        (now.building == Some(next)).then_some(Generations {
            active: next,
            building: None,
            retired: Some(now.active),
            retired_ms,
            active_schema: None,
            ..*now
        })
    })?;
    log::info(&format!("{} reads generation {} of its read models", service.name, switched.active));
    clean_up(service, switched)?;
    Ok(())
}

/// Removes the consumers and the dead letters of the retired generation, once nobody writes into it any more. Its values stay,
/// for lists that are being read, until the next rebuild overwrites them.
fn clean_up(service: &Descriptor, now: Generations) -> Result<Generations, Fault> {
    let Some(retired) = now.retired else { return Ok(now) };
    if now.may_have_late_handlers() && consumers::is_with_handlers(service, retired)? {
        return Ok(now);
    }
    consumers::remove(service, retired)?;
    change(service, now, |now| {
        (now.retired == Some(retired)).then_some(Generations { retired: None, ..*now })
    })
}
