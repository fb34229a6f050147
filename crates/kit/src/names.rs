//! Every name that Trellis uses on the wire, in one place.

use std::fmt::Display;

/// Where everybody hears that somebody or something new is there.
pub const ANNOUNCE: &str = "trellis.announce";

/// The stream that holds a service's log.
pub fn log_stream(service: &str) -> String {
    format!("LOG_{service}")
}

/// The subjects of all events of a service.
pub fn log_subjects(service: &str) -> String {
    format!("log.{service}.*.*.*")
}

/// The subjects of all events of one partition.
pub fn partition_subjects(service: &str, partition: u32) -> String {
    format!("log.{service}.{partition}.*.*")
}

/// The subject of one event, or of all of an entity's with `*` as the version.
pub fn event_subject(service: &str, partition: u32, entity: &str, version: impl Display) -> String {
    format!("log.{service}.{partition}.{entity}.{version}")
}

/// The stream that holds what a service could not handle.
pub fn dead_stream(service: &str) -> String {
    format!("DEAD_{service}")
}

pub fn dead_subjects(service: &str) -> String {
    format!("dead.{service}.>")
}

/// One dead letter: the same event always gets the same subject, so it is kept once.
pub fn dead_subject(service: &str, source: &str, seq: u64) -> String {
    format!("dead.{service}.{source}.{seq}")
}

/// Where a service gets the events of others. It is exact: nothing is delivered to a wildcard.
pub fn deliver_subject(service: &str) -> String {
    format!("deliver.{service}")
}

/// Where a service gets requests.
pub fn request_subject(service: &str) -> String {
    format!("svc.{service}")
}

/// The durable consumer with which a generation of a service's read models follows one partition of a source.
pub fn consumer(service: &str, generation: u64, partition: u32) -> String {
    format!("{service}-g{generation}-{partition}")
}

/// The generation that a consumer's name speaks of.
pub fn consumer_generation(name: &str) -> Option<u64> {
    let (rest, _partition) = name.rsplit_once('-')?;
    rest.rsplit_once("-g")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_knows_its_generation() {
        assert_eq!(consumer_generation(&consumer("my-g9-service", 12, 3)), Some(12));
        for foreign in ["", "posts", "posts-3", "posts-g-3", "posts-gx-3"] {
            assert_eq!(consumer_generation(foreign), None, "{foreign}");
        }
    }
}
