//! What a service touches on NATS: the subjects on which its user must be allowed to publish, and no other. What a request
//! for a stream or a consumer says is for [`guard`] to judge.
//!
//! They follow from what the service says of itself as a [`Service`](crate::Service), and from the names by which the kit makes its
//! requests, so that whoever writes permissions down need not know either.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use trellis_names as names;
use wasmparser::{BinaryReaderError, Parser, Payload};

use crate::descriptor::Described;
use crate::guard;
use crate::jetstream::operation;
use crate::statement::Statement;

/// The section of a component in which it says what it is.
pub const SECTION: &str = "trellis:service";

/// Among those whom a service asks: anybody.
const ANYBODY: &str = "*";
/// In the place of a name that [`Member::patterns`] leaves open.
const ANY_NAME: &str = "*";
/// In the place of the number of a partition.
const ANY_NUMBER: &str = "#";

/// A name, of which serde does not know that it is a reference: it would take it from what is read.
type Name = &'static str;

/// A service, among all of the application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    #[serde(deserialize_with = "name")]
    pub name: Name,
    // What an older kit did not write yet is not so.
    #[serde(default)]
    partitions: u32,
    #[serde(default)]
    asks: BTreeSet<String>,
    #[serde(default)]
    watches: bool,
    /// Whether it makes streams and consumers for the others.
    #[serde(default)]
    pub provisions: bool,
    /// Whether it keeps what nobody else may read.
    #[serde(default)]
    private: bool,
    #[serde(default)]
    projects: BTreeSet<String>,
    #[serde(default)]
    reacts_to: BTreeSet<String>,
    #[serde(default)]
    times: BTreeSet<String>,
    #[serde(default)]
    reads: BTreeSet<String>,
}

/// Why what a component says of itself cannot be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error("it is no component: {0}")]
    Wasm(#[from] BinaryReaderError),
    #[error("what it says of itself, in {SECTION}, cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("what it says of itself, in {SECTION}, names {0:?}, which is no name of a service")]
    Name(String),
    #[error("it says twice what it is, in {SECTION}")]
    Twice,
}

/// The names and numbers that a permission has in it beside those of the service itself.
struct Others<'a> {
    asked: Vec<&'a str>,
    watched: Vec<&'a str>,
    /// Those that have a log.
    logs: Vec<&'a str>,
    partitions: &'a dyn Fn(&str) -> Vec<String>,
}

impl Member {
    pub fn of<S: Described>() -> Self {
        Self::read(Statement::of(S::DESCRIPTOR).text())
            .unwrap_or_else(|error| panic!("{}: {error}", S::DESCRIPTOR.name))
    }

    /// Reads what a component says of itself. It is as good as its author: every name in it is a name and nothing else.
    pub fn read(statement: &[u8]) -> Result<Self, Unreadable> {
        let member: Self = serde_json::from_slice(statement)?;
        let asked = member.asks.iter().filter(|name| *name != ANYBODY);
        let private_log = names::private_log(member.name);
        let reacts = member.reacts_to.union(&member.times).filter(|source| **source != private_log);
        for name in asked.chain(&member.projects).chain(reacts).chain(&member.reads) {
            if !is_name(name) {
                return Err(Unreadable::Name(name.clone()));
            }
        }
        Ok(member)
    }

    /// What the file of a component says it is, if anything.
    pub fn in_component(wasm: &[u8]) -> Result<Option<Self>, Unreadable> {
        let mut found = None;
        for payload in Parser::new(0).parse_all(wasm) {
            let Payload::CustomSection(section) = payload? else { continue };
            if section.name() == SECTION && found.replace(Self::read(section.data())?).is_some() {
                return Err(Unreadable::Twice);
            }
        }
        Ok(found)
    }

    /// On what it publishes and sends requests, apart from what its bucket takes.
    pub fn publishes(&self, all: &[Self]) -> BTreeSet<String> {
        let private_log = names::private_log(self.name);
        let mut partitions: BTreeMap<&str, u32> =
            all.iter().map(|member| (member.name, member.partitions)).collect();
        partitions.insert(&private_log, 1);
        let names = || all.iter().map(|member| member.name);
        let asked = |name: &&str| self.asks.contains(*name) || self.asks.contains(ANYBODY);
        self.subjects(&Others {
            asked: names().filter(asked).collect(),
            watched: names().collect(),
            logs: all.iter().filter(|member| member.partitions > 0).map(|member| member.name).collect(),
            partitions: &|source| {
                (0..partitions.get(source).copied().unwrap_or_default()).map(|p| p.to_string()).collect()
            },
        })
    }

    /// The same, whoever else there is now or later: `*` is a token or a part of one, `#` a number in a token, and `>` all
    /// tokens that follow.
    pub fn patterns(&self) -> BTreeSet<String> {
        self.subjects(&Others {
            asked: self.asks.iter().map(String::as_str).collect(),
            watched: vec![ANY_NAME],
            logs: vec![ANY_NAME],
            partitions: &|_| vec![ANY_NUMBER.to_owned()],
        })
    }

    /// Whether a request to JetStream is one that it may make: its subject only says what a stream or a consumer is to be called,
    /// and what that takes in and where it delivers is in the body.
    pub fn may_ask(&self, subject: &str, body: &[u8]) -> Result<(), String> {
        let request = subject.strip_prefix(names::JETSTREAM).and_then(|request| request.strip_prefix('.'));
        match request.filter(|request| guard::concerns(request)) {
            Some(request) => guard::allow(self.name, request, body).map(|_| ()),
            None => Ok(()),
        }
    }

    fn subjects(&self, others: &Others<'_>) -> BTreeSet<String> {
        let mut subjects = BTreeSet::from([names::hello_subject(self.name), names::ANSWERS.to_owned()]);
        if self.partitions > 0 {
            subjects.insert(names::ANNOUNCE.to_owned());
            subjects.insert(names::log_subjects(self.name));
            subjects.extend(own_stream(&names::log_stream(self.name)));
        }
        let followed: BTreeSet<_> =
            [&self.projects, &self.reacts_to, &self.times].into_iter().flatten().collect();
        let follows = !followed.is_empty();
        let keeps = self.partitions > 0 || self.private;
        if follows || keeps {
            subjects.extend(own_stream(&names::own_stream(self.name)));
        }
        if keeps {
            subjects.insert(names::attempt(self.name, "*", "*", '*'));
        }
        if self.private {
            subjects.insert(names::log_subjects(&names::private_log(self.name)));
        }
        if follows {
            let dead = names::dead_stream(self.name);
            subjects.insert(names::dead_subjects(self.name));
            let removes = [operation::MESSAGE_DELETE, operation::STREAM_PURGE];
            subjects.extend(removes.map(|operation| names::api_subject(operation, &dead)));
            subjects.extend(own_stream(&dead));
            subjects.insert(names::generation_change(self.name, '*'));
        }
        for source in followed {
            let log = names::log_stream(source);
            subjects.extend(read_stream(&log));
            subjects.insert(names::api_subject(operation::CONSUMER_LIST, &log));
        }
        let looks_in = self.reads.iter().map(|source| names::log_stream(source));
        subjects.extend(looks_in.map(|log| names::api_subject(operation::MESSAGE_GET, &log)));
        // What only another version of it followed, it forgets: its read models by itself, and the rest once it is told to.
        for source in &others.logs {
            let log = names::log_stream(source);
            subjects.insert(names::api_subject(operation::CONSUMER_LIST, &log));
            let timer = names::timer_consumer(self.name);
            subjects.insert(names::consumer_api_subject(operation::CONSUMER_DELETE, &log, &timer));
            for partition in (others.partitions)(source) {
                let of_models = (0..names::GENERATION_NAMES)
                    .map(|generation| names::consumer(self.name, generation, &partition));
                let own = of_models.chain([names::reaction_consumer(self.name, &partition)]);
                subjects.extend(
                    own.map(|own| names::consumer_api_subject(operation::CONSUMER_DELETE, &log, &own)),
                );
            }
        }
        for source in &self.projects {
            for partition in (others.partitions)(source) {
                for generation in 0..names::GENERATION_NAMES {
                    let name = names::consumer(self.name, generation, &partition);
                    let log = names::log_stream(source);
                    subjects.insert(names::consumer_api_subject(operation::CONSUMER_RESET, &log, &name));
                    subjects.extend(consumer(source, &name));
                }
            }
        }
        for source in &self.reacts_to {
            for partition in (others.partitions)(source) {
                subjects.extend(consumer(source, &names::reaction_consumer(self.name, partition)));
            }
        }
        for source in &self.times {
            let (log, timer) = (names::log_stream(source), names::timer_consumer(self.name));
            subjects.insert(names::consumer_api_subject(operation::CONSUMER_RESET, &log, &timer));
            subjects.extend(consumer(source, &timer));
        }
        subjects.extend(others.asked.iter().map(|name| names::request_subject(name)));
        if self.watches {
            subjects.extend(others.watched.iter().flat_map(|name| watched(name)));
        }
        subjects
    }
}

/// There are few services, and their names are kept for as long as the process lives.
fn name<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(from)?;
    if is_name(&name) {
        Ok(name.leak())
    } else {
        Err(D::Error::custom(format!("{name:?} is no name of a service")))
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
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

fn watched(other: &str) -> Vec<String> {
    let log = names::log_stream(other);
    let mut subjects = vec![
        names::ping_subject(other),
        names::api_subject(operation::STREAM_INFO, &names::dead_stream(other)),
        names::api_subject(operation::CONSUMER_LIST, &log),
    ];
    subjects.extend(read_stream(&log));
    subjects
}
