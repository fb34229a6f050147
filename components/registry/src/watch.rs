//! Services that have stopped listening.

use std::time::Duration;

use trellis_kit::services::{Listening, Others};
use trellis_kit::{Cx, Failure, log};

use crate::catalogue::{CATALOGUE, THE_CATALOGUE};
use crate::trellis::registry::events::ServiceEvent;
use crate::trellis::registry::types::{Presence, Service as Registered};

/// How long a service may be missing before it is gone.
const GRACE: Duration = Duration::from_secs(20);
/// How long one look may ask around. Whoever was not asked is asked in one of the next.
const LOOK_TIME: Duration = Duration::from_secs(6);

/// Asks every service that is known whether it listens. Only silence where nobody listens means anything: who is
/// busy or late is there.
pub fn look(others: Others) -> Result<(), Failure> {
    let cx = Cx::nobody();
    let catalogue = CATALOGUE.get(&cx.views()?, THE_CATALOGUE)?.unwrap_or_default();
    let names = catalogue.services.into_iter().map(|entry| entry.name).collect();
    for (name, listening) in others.ask_around(names, LOOK_TIME) {
        if listening == Listening::Nobody {
            note_absent(&cx, &name)?;
        }
    }
    Ok(())
}

fn note_absent(cx: &Cx, name: &str) -> Result<(), Failure> {
    cx.update(name, |service: &Registered| {
        let is_over = service.since <= cx.ago(GRACE);
        Ok(match service.presence {
            Presence::Present => {
                log::warn(&format!("{name} is missing: nobody listens on its name"));
                Some(ServiceEvent::Missing(cx.now()))
            }
            Presence::Missing if is_over => {
                log::warn(&format!("{name} is gone: its routes are free"));
                Some(ServiceEvent::Gone(cx.now()))
            }
            Presence::Missing | Presence::Gone => None,
        })
    })?;
    Ok(())
}
