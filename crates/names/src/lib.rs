//! Every name that Trellis uses on the wire, in one place.

use std::fmt::Display;

use trellis_subjects::first_token;
pub use trellis_subjects::jetstream::acknowledgements;

/// Where everybody hears that somebody or something new is there.
pub const ANNOUNCE: &str = "trellis.announce";

/// Whom everything on the wire is for that only Trellis understands.
pub const TRELLIS: &str = "trellis.>";

/// How the subjects begin on which services say hello.
const HELLO: &str = "trellis.hello.";

/// How the subjects begin on which a host is told to start and stop components.
pub const HOST: &str = "trellis.host.";

/// How the subjects begin on which services get requests.
const REQUESTS: &str = "svc.";

/// How the subjects begin on which events are delivered.
const DELIVERIES: &str = "deliver.";

/// All events of all services.
pub const LOGS: &str = "log.>";

/// All dead letters.
pub const DEAD_LETTERS: &str = "dead.>";

/// All that is the own concern of services.
pub const OWN: &str = "own.>";

/// What all the services protocol of NATS asks.
pub const SERVICES: &str = "$SRV.>";

/// Where services are asked who they are.
pub const INFO: &str = "$SRV.INFO";

/// Where clients of NATS get answers, each below a prefix that may be its own.
pub const ANSWERS: &str = "_INBOX.>";

/// Where a server lets answers come from other accounts.
pub const SERVER_ANSWERS: &str = "_R_.>";

/// Where a user gets its answers, if nobody else is to listen there.
pub fn inbox(user: &str) -> String {
    format!("_INBOX.{user}")
}

/// Whether somebody waits there for an answer. A server puts a subject of its own in the place of an inbox in another account.
pub fn is_inbox(subject: &str) -> bool {
    subject.starts_with("_INBOX.") || subject.starts_with("_R_.")
}

/// Whether a subject means something to services, or to NATS: nobody publishes there who does not say what it is.
pub fn is_reserved(subject: &str) -> bool {
    const FIRST: [&str; 7] = ["log", "dead", "own", "deliver", "svc", "trellis", "wasmbus"];
    subject.starts_with('$') || FIRST.contains(&first_token(subject))
}

/// How requests to JetStream begin.
pub const JETSTREAM: &str = "$JS.API";

/// How they begin where services are kept apart: NATS itself answers on `$JS.API` in every account.
pub const JETSTREAM_OF_SERVICES: &str = "trellis.jetstream";

/// Where services that may not make streams and consumers ask for them:
/// `trellis.provision.<service>.<operation>.<stream>`, and for a consumer of it `.<consumer>`.
pub const PROVISION: &str = "trellis.provision.";

/// Where one service makes one such request.
pub fn provision_subject(service: &str, request: &str) -> String {
    format!("{PROVISION}{service}.{request}")
}

const LOG_STREAM: &str = "LOG_";
const DEAD_STREAM: &str = "DEAD_";
const OWN_STREAM: &str = "OWN_";

/// How the name of a service's private log begins, among sources: no service has a slash in its name.
pub const PRIVATE: &str = "own/";

/// The private log of a service, as a source.
pub fn private_log(service: &str) -> String {
    format!("{PRIVATE}{service}")
}

/// The stream that holds a source: the log of the service of that name, or a private log.
pub fn log_stream(source: &str) -> String {
    match source.strip_prefix(PRIVATE) {
        Some(service) => own_stream(service),
        None => format!("{LOG_STREAM}{source}"),
    }
}

/// The service whose log a stream holds.
pub fn parse_log_stream(stream: &str) -> Option<&str> {
    stream.strip_prefix(LOG_STREAM)
}

/// The service whose own a stream is.
pub fn parse_own_stream(stream: &str) -> Option<&str> {
    stream.strip_prefix(OWN_STREAM)
}

/// The service whose dead letters a stream holds.
pub fn parse_dead_stream(stream: &str) -> Option<&str> {
    stream.strip_prefix(DEAD_STREAM)
}

/// The stream that holds a key-value bucket.
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// The subjects of all keys of a bucket.
pub fn bucket_subjects(bucket: &str) -> String {
    format!("$KV.{bucket}.>")
}

/// How the subjects of all events of a source begin.
fn events_of(source: &str) -> String {
    match source.strip_prefix(PRIVATE) {
        Some(service) => format!("own.{service}"),
        None => format!("log.{source}"),
    }
}

/// The subjects of all events of a source.
pub fn log_subjects(source: &str) -> String {
    format!("{}.*.*.*", events_of(source))
}

/// All that is in a service's log, whatever it is.
pub fn log_entries(service: &str) -> String {
    format!("log.{service}.>")
}

/// The subjects of all events of one partition.
pub fn partition_subjects(source: &str, partition: u32) -> String {
    format!("{}.{partition}.*.*", events_of(source))
}

/// Whether the event with this subject is in a partition of a service's log.
pub fn is_in_partition(subject: &str, service: &str, partition: u32) -> bool {
    subject.starts_with(&format!("log.{service}.{partition}."))
}

/// The subject of one event, or of all of an entity's with `*` as the version.
pub fn event_subject(source: &str, partition: u32, entity: &str, version: impl Display) -> String {
    format!("{}.{partition}.{entity}.{version}", events_of(source))
}

/// The subjects of the first event of every entity of a source.
pub fn first_events(source: &str) -> String {
    format!("{}.*.*.1", events_of(source))
}

/// The stream that holds what a service could not handle.
pub fn dead_stream(service: &str) -> String {
    format!("{DEAD_STREAM}{service}")
}

/// The stream that holds what is the service's own concern: the changes of its generations, its attempts, and its private log.
pub fn own_stream(service: &str) -> String {
    format!("{OWN_STREAM}{service}")
}

pub fn own_subjects(service: &str) -> String {
    format!("own.{service}.>")
}

/// One change of the generations of a service's read models, or all of them with `*`.
pub fn generation_change(service: &str, change: impl Display) -> String {
    format!("own.{service}.generation.{change}")
}

/// One attempt to do what a caller asked for with a key of its own, or all of these with `*`.
pub fn attempt(service: &str, of: &str, id: &str, number: impl Display) -> String {
    format!("own.{service}.attempt.{of}.{id}.{number}")
}

pub fn dead_subjects(service: &str) -> String {
    format!("dead.{service}.>")
}

/// One dead letter: the same event always gets the same subject, so it is kept once for each generation of the read
/// models that lacks it, once for reactions, and once for timers. The generation of the purpose is its number.
pub fn dead_subject(service: &str, source: &str, seq: u64, purpose: Purpose) -> String {
    format!("dead.{service}.{source}.{seq}.{}", purpose.text())
}

/// The dead letters of a generation of the read models.
pub fn dead_subjects_of(service: &str, generation: u64) -> String {
    format!("dead.{service}.*.*.g{generation}")
}

/// Where JetStream takes a request about a stream.
pub fn api_subject(operation: &str, stream: &str) -> String {
    format!("{JETSTREAM}.{operation}.{stream}")
}

/// Where JetStream takes a request about a consumer of a stream.
pub fn consumer_api_subject(operation: &str, stream: &str, consumer: &str) -> String {
    format!("{}.{consumer}", api_subject(operation, stream))
}

/// Where a service gets the events of others. It is exact: nothing is delivered to a wildcard.
pub fn deliver_subject(service: &str) -> String {
    format!("{DELIVERIES}{service}")
}

/// Whether events are delivered there.
pub fn is_delivery(subject: &str) -> bool {
    subject.starts_with(DELIVERIES)
}

/// Where a service says what it is, each time that it has made sure of what it owns. Each has its own, so that who may
/// publish there can be nobody else.
pub fn hello_subject(service: &str) -> String {
    format!("{HELLO}{service}")
}

/// The service that speaks there.
pub fn parse_hello(subject: &str) -> Option<&str> {
    subject.strip_prefix(HELLO)
}

/// Where a service gets requests.
pub fn request_subject(service: &str) -> String {
    format!("{REQUESTS}{service}")
}

/// The service that gets requests there.
pub fn parse_request(subject: &str) -> Option<&str> {
    subject.strip_prefix(REQUESTS)
}

/// Where a service is asked whether it is there.
pub fn ping_subject(service: &str) -> String {
    format!("$SRV.PING.{service}")
}

/// Where a service is asked who it is.
pub fn info_subject(service: &str) -> String {
    format!("{INFO}.{service}")
}

/// How many names the consumers of generations take turns in. NATS has no pattern for a part of a name, so whoever writes
/// permissions lists them all. Two generations that live at the same time are never that far apart.
pub const GENERATION_NAMES: u64 = 16;

/// The number by which consumers know a generation.
pub fn generation_name(generation: u64) -> u64 {
    generation % GENERATION_NAMES
}

/// The durable consumer with which a generation of a service's read models follows one partition of a source.
pub fn consumer(service: &str, generation: u64, partition: impl Display) -> String {
    format!("{service}-g{}-{partition}", generation_name(generation))
}

/// The durable consumer with which a service reacts to one partition of a source.
pub fn reaction_consumer(service: &str, partition: impl Display) -> String {
    format!("{service}-r-{partition}")
}

/// The durable consumer in which the events of a source wait, those of all its partitions, until they are due.
pub fn timer_consumer(service: &str) -> String {
    format!("{service}-t")
}

/// What a service does with the events of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It makes read models of them. A consumer knows a generation by its [name](generation_name).
    ReadModels {
        generation: u64,
        partition: u32,
    },
    Reactions {
        partition: u32,
    },
    /// They wait until they are due.
    Timers,
}

impl Purpose {
    /// What a consumer of a service is for, as its name says.
    pub fn parse(service: &str, consumer: &str) -> Option<Self> {
        let words = consumer.strip_prefix(service)?.strip_prefix('-')?;
        if words == "t" {
            return Some(Self::Timers);
        }
        let (purpose, partition) = words.split_once('-')?;
        let partition = partition.parse().ok()?;
        Some(match purpose {
            "r" => Self::Reactions { partition },
            purpose => Self::ReadModels { generation: purpose.strip_prefix('g')?.parse().ok()?, partition },
        })
    }

    /// The subjects of the events of a source that it takes.
    pub fn subjects(self, source: &str) -> String {
        self.partition()
            .map_or_else(|| log_subjects(source), |partition| partition_subjects(source, partition))
    }

    /// The partition whose events it takes; none for those of all.
    pub fn partition(self) -> Option<u32> {
        match self {
            Self::ReadModels { partition, .. } | Self::Reactions { partition } => Some(partition),
            Self::Timers => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::ReadModels { generation, .. } => format!("g{generation}"),
            Self::Reactions { .. } => "r".to_owned(),
            Self::Timers => "t".to_owned(),
        }
    }
}

/// Generations take turns in two slots, 0 and 1.
pub fn slot(generation: u64) -> usize {
    usize::from(!generation.is_multiple_of(2))
}

/// How the keys of all documents and lists of a generation begin.
pub fn doc_keys(generation: u64) -> &'static str {
    if slot(generation) == 0 { "g0." } else { "g1." }
}

// A request makes dozens of keys. What is put together from texts costs a fraction of what is formatted.

/// The key of a document in a read model.
pub fn doc_key(generation: u64, source: &str, name: &str, id: &str) -> String {
    [doc_keys(generation), source, ".", name, ".", id].concat()
}

/// The key of a part of a list; a lane is a partition of its source, the owner of the list, or both.
pub fn index_key(generation: u64, source: &str, name: &str, lane: &str, part: &str) -> String {
    [doc_keys(generation), source, ".", name, ".", lane, ".", part].concat()
}

/// The key of how far a generation of the read models has come in one partition of a source.
pub fn offset_key(generation: u64, source: &str, partition: u32) -> String {
    let begin = if slot(generation) == 0 { "place.0." } else { "place.1." };
    [begin, source, ".", &partition.to_string()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_log_is_a_source_in_the_stream_of_what_is_a_services_own() {
        let source = private_log("accounts");
        assert_eq!(log_stream(&source), own_stream("accounts"));
        assert_eq!(event_subject(&source, 0, "x", 1), "own.accounts.0.x.1");
        assert_eq!(partition_subjects(&source, 0), "own.accounts.0.*.*");
        assert_eq!(event_subject("accounts", 0, "x", 1), "log.accounts.0.x.1");
    }

    #[test]
    fn a_consumer_knows_what_it_is_for() {
        let parse = |name: &str| Purpose::parse("my-g9-service", name);
        let models = Purpose::ReadModels { generation: 12, partition: 3 };
        assert_eq!(parse(&consumer("my-g9-service", 12, 3)), Some(models));
        assert_eq!(parse(&reaction_consumer("my-g9-service", 3)), Some(Purpose::Reactions { partition: 3 }));
        assert_eq!(parse(&timer_consumer("my-g9-service")), Some(Purpose::Timers));
        for foreign in [
            "",
            "posts-g1-3",
            "posts-t",
            "my-g9-service",
            "my-g9-service-3",
            "my-g9-service-t-3",
            "my-g9-service-gx-3",
            "my-g9-service-g1-x",
        ] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn timers_take_the_events_of_all_partitions() {
        assert_eq!(Purpose::Timers.subjects("orders"), "log.orders.*.*.*");
        assert_eq!(Purpose::Timers.subjects(&private_log("orders")), "own.orders.*.*.*");
        assert_eq!(Purpose::Reactions { partition: 3 }.subjects("orders"), "log.orders.3.*.*");
        let dead = |purpose| dead_subject("expiration", "orders", 7, purpose);
        assert_eq!(dead(Purpose::Timers), "dead.expiration.orders.7.t");
        assert_eq!(dead(Purpose::Reactions { partition: 3 }), "dead.expiration.orders.7.r");
        assert_eq!(
            dead(Purpose::ReadModels { generation: 17, partition: 3 }),
            "dead.expiration.orders.7.g17"
        );
    }
}
