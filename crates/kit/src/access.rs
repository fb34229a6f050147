//! What a service touches on NATS: the subjects on which its user must be allowed to publish, and no other. What a request
//! for a stream or a consumer says is for [`guard`](crate::guard) to judge.
//!
//! They follow from what the service says of itself as a [`Service`], and from the names by which the kit makes its
//! requests, so that whoever writes permissions down need not know either.

use std::collections::{BTreeMap, BTreeSet};

use crate::jetstream::operation;
use crate::{Asks, Service, names};

/// A service, among all of the application.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    partitions: u32,
    asks: Asks,
    watches: bool,
    /// Whether it makes streams and consumers for the others.
    pub provisions: bool,
    projects: fn() -> BTreeSet<&'static str>,
    reacts_to: fn() -> BTreeSet<&'static str>,
}

impl Member {
    pub fn of<S: Service>() -> Self {
        Self {
            name: S::NAME,
            partitions: S::PARTITIONS,
            asks: S::ASKS,
            watches: S::WATCHES,
            provisions: S::PROVISIONS,
            projects: || S::PROJECTIONS.iter().map(|line| line.source).collect(),
            reacts_to: || S::REACTIONS.iter().map(|line| line.source).collect(),
        }
    }

    /// On what it publishes and sends requests, apart from what its bucket takes.
    pub fn publishes(&self, all: &[Self]) -> BTreeSet<String> {
        let mut subjects = BTreeSet::from([names::hello_subject(self.name), names::ANSWERS.to_owned()]);
        let partitions: BTreeMap<_, _> = all.iter().map(|member| (member.name, member.partitions)).collect();
        let of = |source: &str| 0..partitions.get(source).copied().unwrap_or_default();
        if self.partitions > 0 {
            subjects.insert(names::ANNOUNCE.to_owned());
            subjects.insert(names::log_subjects(self.name));
            subjects.extend(own_stream(&names::log_stream(self.name)));
        }
        let (projects, reacts_to) = ((self.projects)(), (self.reacts_to)());
        if !(projects.is_empty() && reacts_to.is_empty()) {
            let dead = names::dead_stream(self.name);
            subjects.insert(names::dead_subjects(self.name));
            let removes = [operation::MESSAGE_DELETE, operation::STREAM_PURGE];
            subjects.extend(removes.map(|operation| names::api_subject(operation, &dead)));
            subjects.extend(own_stream(&dead));
            subjects.insert(names::generation_change(self.name, '*'));
            subjects.extend(own_stream(&names::own_stream(self.name)));
        }
        for source in projects.union(&reacts_to) {
            let log = names::log_stream(source);
            subjects.extend(read_stream(&log));
            subjects.insert(names::api_subject(operation::CONSUMER_LIST, &log));
        }
        for source in projects {
            let generations = 0..names::GENERATION_NAMES;
            for (partition, generation) in of(source).flat_map(|p| generations.clone().map(move |g| (p, g))) {
                subjects.extend(consumer(source, &names::consumer(self.name, generation, partition)));
            }
        }
        for source in reacts_to {
            for partition in of(source) {
                subjects.extend(consumer(source, &names::reaction_consumer(self.name, partition)));
            }
        }
        for other in all.iter().filter(|other| self.asks.include(other.name)) {
            subjects.insert(names::request_subject(other.name));
        }
        if self.watches {
            subjects.extend(all.iter().flat_map(watched));
        }
        subjects
    }
}

/// A stream that it makes itself. What is in a log it can neither change nor remove.
fn own_stream(stream: &str) -> impl Iterator<Item = String> {
    let creates = names::api_subject(operation::STREAM_CREATE, stream);
    read_stream(stream).into_iter().chain([creates])
}

fn read_stream(stream: &str) -> [String; 2] {
    [operation::STREAM_INFO, operation::MESSAGE_GET].map(|operation| names::api_subject(operation, stream))
}

fn consumer(source: &str, consumer: &str) -> impl Iterator<Item = String> {
    let stream = names::log_stream(source);
    let operations = [operation::CONSUMER_CREATE, operation::CONSUMER_INFO, operation::CONSUMER_DELETE];
    let api = operations.map(|operation| names::consumer_api_subject(operation, &stream, consumer));
    api.into_iter().chain(names::acknowledgements(&stream, consumer))
}

fn watched(other: &Member) -> Vec<String> {
    let log = names::log_stream(other.name);
    let mut subjects = vec![
        names::ping_subject(other.name),
        names::api_subject(operation::STREAM_INFO, &names::dead_stream(other.name)),
        names::api_subject(operation::CONSUMER_LIST, &log),
    ];
    subjects.extend(read_stream(&log));
    subjects
}
