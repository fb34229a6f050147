//! How many events wait for the read models, as the server says. It is asked by one answer in [`FRESH`], and what it said is
//! noted for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trellis_names::{self as names, Purpose};

use crate::platform::{self, Fault, Platform};
use crate::time::millis;
use crate::{document, jetstream, log};

/// Where they are noted.
pub(crate) const KEY: &str = "backlogs";
/// How long what is known of a backlog is good enough.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// What the server said when it was asked. Whoever answers a request may note it: it is about the same things at about the
/// same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backlogs {
    generation: u64,
    asked_ms: u64,
    /// By the name of the partition.
    waiting: BTreeMap<String, u64>,
}

impl Backlogs {
    /// Reads the value of [`KEY`].
    pub fn parse(value: Option<Vec<u8>>) -> Result<Self, Fault> {
        value.map_or_else(|| Ok(Self::default()), |bytes| document::read(KEY, &bytes))
    }

    /// What is noted of a generation.
    #[must_use]
    pub fn of_generation(self, generation: u64) -> Self {
        if self.generation == generation { self } else { Self { generation, ..Self::default() } }
    }

    /// What was said less than [`FRESH`] ago, or else what is said now about the partitions of these sources. What cannot be
    /// found out is what was noted last.
    #[must_use]
    pub fn fresh<'a>(&self, service: &str, sources: impl IntoIterator<Item = &'a str>) -> Self {
        let now_ms = platform::current().now_ms();
        // A clock that was set back must not make what was noted last for ever.
        if (self.asked_ms..self.asked_ms.saturating_add(millis(FRESH))).contains(&now_ms) {
            return self.clone();
        }
        let mut backlogs = Self { asked_ms: now_ms, ..self.clone() };
        // Noted before it is done, so that of many who come at once one asks.
        backlogs.note();
        for source in sources.into_iter().collect::<BTreeSet<_>>() {
            let consumers = jetstream::consumers(&names::log_stream(source)).unwrap_or_default();
            for consumer in consumers {
                if let Some(Purpose::ReadModels { generation, partition }) =
                    Purpose::parse(service, &consumer.name)
                    && generation == names::generation_name(self.generation)
                {
                    backlogs.waiting.insert(partition_name(source, partition), consumer.progress.backlog);
                }
            }
        }
        backlogs.note();
        backlogs
    }

    /// How many wait in a partition, if that is known.
    pub fn of(&self, source: &str, partition: u32) -> Option<u64> {
        self.waiting.get(&partition_name(source, partition)).copied()
    }

    pub fn total(&self) -> u64 {
        self.waiting.values().sum()
    }

    /// What is not noted is asked for once more.
    fn note(&self) {
        if let Err(fault) = document::save(KEY, self) {
            log::warn(&format!("the backlogs are not noted: {fault}"));
        }
    }
}

fn partition_name(source: &str, partition: u32) -> String {
    [source, ":", &partition.to_string()].concat()
}
