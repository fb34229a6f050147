//! What people want to be called, as accounts tell it. What they wrote, offer or buy has their ids alone: so somebody who is called
//! otherwise from now on is that everywhere, with one event. Reading costs one call more where there is anybody.

use std::collections::BTreeMap;

use trellis_kit::{Docs, Failure, Problem, Reader, Recorded, Writer, id};

use crate::sources;
use crate::trellis::accounts::events::UserEvent;
use crate::trellis::accounts::types::User;

const NAMES: Docs<Option<String>> = Docs::new(sources::ACCOUNTS, "name");

pub fn follow(event: &Recorded<UserEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match &event.data {
        UserEvent::SignedUp(User { display_name, .. }) => NAMES.put(writer, &event.entity, display_name),
        UserEvent::Renamed(name) => NAMES.put(writer, &event.entity, &Some(name.clone())),
        UserEvent::SessionsEnded(_)
        | UserEvent::RolesSet(_)
        | UserEvent::Blocked(_)
        | UserEvent::Unblocked => Ok(()),
    }
}

/// Names by the ids of people. Whoever calls with an API key has none here.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Reads those of all these people.
    pub fn of<'a>(views: &Reader, people: impl IntoIterator<Item = &'a String>) -> Result<Self, Problem> {
        let mut ids: Vec<String> =
            people.into_iter().filter(|person| id::is_valid(person)).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let names = NAMES.get_each(views, &ids)?;
        Ok(Self(ids.into_iter().zip(names).filter_map(|(id, name)| Some((id, name.flatten()?))).collect()))
    }

    pub fn get(&self, person: &str) -> Option<String> {
        self.0.get(person).cloned()
    }
}
