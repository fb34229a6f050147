//! What passes between accounts, and nothing else does.
//!
//! Within one account a request may ask for its answer on any subject, and NATS checks nobody's permissions there: what
//! a service reads would be appended to the log of another. So each service has an account of its own, in which an
//! answer reaches nobody but itself. What it may publish is taken from there one subject after the other.

use std::collections::BTreeSet;

use trellis_kit::access::Member;
use trellis_kit::guard;
use trellis_names::{self as names, JETSTREAM_OF_SERVICES};
use trellis_subjects::jetstream::{ACKNOWLEDGEMENTS, API};
use trellis_subjects::matches;

use crate::manifest::Manifest;

/// What hosts tell: a service hears of it that it was linked, and that time passes.
const LATTICE_EVENTS: &str = "wasmbus.evt.*.*";
/// What JetStream says itself when there is a new stream.
const NEW_STREAM: &str = "$JS.EVENT.ADVISORY.STREAM.CREATED";

/// What a service that provisions asks of JetStream for all others.
pub const PROVISIONING: [&str; 4] =
    ["STREAM.CREATE.*", "CONSUMER.CREATE.*.*", "CONSUMER.DELETE.*.*", "CONSUMER.RESET.*.*"];

/// Whose an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    System,
    /// wadm, hosts, providers and `wash`.
    Lattice,
    /// All streams but buckets, and whoever looks after them.
    Application,
    Service(&'static str),
    Bucket(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// What is said there reaches whoever imports it.
    Stream,
    /// What whoever imports it says reaches those who listen there; they can answer.
    Service,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub way: Way,
    pub from: Party,
    /// In the account of the other.
    pub subject: String,
    /// In the account of who imports it.
    pub local: String,
}

impl Party {
    /// The name of its key, its credentials and its account.
    pub fn name(self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Lattice => "lattice".to_owned(),
            Self::Application => "application".to_owned(),
            Self::Service(name) => name.to_owned(),
            Self::Bucket(name) => format!("{name}-bucket"),
        }
    }
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }
}

/// What others may import of an account. Whoever does is written down in [`imports`]; all are ours.
pub fn exports(party: Party, manifest: &Manifest) -> Vec<(Way, String)> {
    match party {
        Party::System | Party::Bucket(_) => Vec::new(),
        Party::Lattice => vec![(Way::Stream, LATTICE_EVENTS.to_owned())],
        Party::Application => {
            let told = [names::SERVICES, names::TRELLIS].map(str::to_owned);
            let streams = [names::deliver_subject("*"), names::request_subject("*")]
                .into_iter()
                .chain(told)
                .chain([format!("{NEW_STREAM}.*")]);
            let jetstream = [API, ACKNOWLEDGEMENTS].map(|begin| format!("{begin}>"));
            let services = [names::LOGS, names::DEAD_LETTERS, names::OWN]
                .map(str::to_owned)
                .into_iter()
                .chain(jetstream)
                .chain([names::ANSWERS.to_owned()]);
            let streams = streams.map(|subject| (Way::Stream, subject));
            streams.chain(services.map(|subject| (Way::Service, subject))).collect()
        }
        Party::Service(name) => {
            let heard = heard(name, manifest).into_iter().filter(|subject| is_asked_for(subject));
            heard.map(|subject| (Way::Service, subject)).collect()
        }
    }
}

/// What a service has of other accounts: what it is subscribed to, and where what it says goes.
pub fn imports(
    member: &Member,
    all: &[Member],
    manifest: &Manifest,
    says: &BTreeSet<String>,
) -> BTreeSet<Import> {
    let mut imports = BTreeSet::new();
    for subject in heard(member.name, manifest) {
        if matches(LATTICE_EVENTS, &subject) {
            imports.insert(Import::new(Way::Stream, Party::Lattice, LATTICE_EVENTS));
            continue;
        }
        if subject == names::ANNOUNCE {
            imports.extend(all.iter().map(|other| of_new_log(other.name)));
        }
        imports.insert(Import::new(Way::Stream, Party::Application, &subject));
    }
    for subject in says {
        imports.extend(where_it_goes(member, all, manifest, subject));
    }
    if member.provisions {
        imports.extend(PROVISIONING.map(of_jetstream));
    }
    imports
}

fn where_it_goes(member: &Member, all: &[Member], manifest: &Manifest, subject: &str) -> Vec<Import> {
    let application = |subject: &str| vec![Import::new(Way::Service, Party::Application, subject)];
    if let Some(request) = subject.strip_prefix(API) {
        let request = any_consumer(request, request.starts_with("CONSUMER.").then_some(3));
        if !guard::concerns(&request) {
            return vec![of_jetstream(&request)];
        }
        if member.provisions {
            return Vec::new();
        }
        let guards = all.iter().filter(|other| other.provisions);
        return guards.map(|guard| of_guard(guard.name, member.name, &request)).collect();
    }
    if let Some(acknowledged) = subject.strip_prefix(ACKNOWLEDGEMENTS) {
        // Whose consumer it is, is left to the permissions of the user: NATS takes no such subject for an answer.
        let consumer = if acknowledged.starts_with("*.") { 3 } else { 1 };
        return application(&format!("{ACKNOWLEDGEMENTS}{}", any_consumer(acknowledged, Some(consumer))));
    }
    if [names::LOGS, names::DEAD_LETTERS, names::OWN, names::ANSWERS].iter().any(|all| matches(all, subject))
    {
        return application(subject);
    }
    let hears = |other: &&Member| {
        heard(other.name, manifest).iter().any(|of| is_asked_for(of) && matches(of, subject))
    };
    let subscribers = all.iter().filter(|other| other.name != member.name).filter(hears);
    subscribers.map(|other| Import::new(Way::Service, Party::Service(other.name), subject)).collect()
}

/// Requests to JetStream begin otherwise in a service's account.
fn of_jetstream(request: &str) -> Import {
    Import {
        subject: format!("{API}{request}"),
        local: format!("{JETSTREAM_OF_SERVICES}.{request}"),
        ..Import::new(Way::Service, Party::Application, "")
    }
}

/// What NATS cannot judge goes to who can, on a subject that says who asks.
fn of_guard(guard: &'static str, service: &str, request: &str) -> Import {
    Import {
        subject: names::provision_subject(service, request),
        local: format!("{JETSTREAM_OF_SERVICES}.{request}"),
        ..Import::new(Way::Service, Party::Service(guard), "")
    }
}

/// A subject in which the word with this number, which names a consumer, is any.
fn any_consumer(subject: &str, number: Option<usize>) -> String {
    let words = subject.split('.').enumerate();
    let words: Vec<&str> = words.map(|(at, word)| if Some(at) == number { "*" } else { word }).collect();
    words.join(".")
}

/// That there is a new log is told by the server. What a service announces stays in its account: accounts cannot listen to
/// each other in a circle, and nobody is told by it to build anything anew.
fn of_new_log(service: &str) -> Import {
    Import {
        subject: format!("{NEW_STREAM}.{}", names::log_stream(service)),
        local: names::ANNOUNCE.to_owned(),
        ..Import::new(Way::Stream, Party::Application, "")
    }
}

/// What a service is subscribed to, without queue groups.
fn heard(service: &str, manifest: &Manifest) -> BTreeSet<String> {
    let subscriptions = manifest.links(service).subscriptions;
    subscriptions.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Whether other services may say it; the rest is what streams deliver and what is told to everybody.
fn is_asked_for(subject: &str) -> bool {
    subject != names::ANNOUNCE && !names::is_delivery(subject) && !matches(LATTICE_EVENTS, subject)
}

impl Import {
    /// Under the same name as in the other account.
    fn new(way: Way, from: Party, subject: &str) -> Self {
        Self { way, from, subject: subject.to_owned(), local: subject.to_owned() }
    }
}
