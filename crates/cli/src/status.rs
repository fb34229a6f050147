//! `trellis status`: whether all is well, and where not.
//!
//! Everything is asked over NATS: services for what they are and whether they keep up (`GET /readyz`), and the server
//! for streams and consumers. The embedded host, if there is one, is asked for components that are stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use async_nats::jetstream::consumer::Info as Consumer;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;
use trellis_host::control::{Answer, Command, ComponentStatus};
use trellis_names as names;

use crate::connection::{Connection, block_on};
use crate::control;
use crate::dlq::Letter;
use crate::failure::{ATTENTION, Failure};
use crate::jetstream::{JetStream, backlog, partitions};
use crate::replay::Role;
use crate::services;
use crate::table::Table;

/// How long a service may take to say whether it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One JSON document for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// All that is reported.
#[derive(Debug, Default, Serialize)]
struct Report {
    services: Vec<Service>,
    logs: Vec<Log>,
    consumers: Vec<Following>,
    dead_letters: Vec<Dead>,
    /// What needs somebody's attention, in words. Empty when all is well.
    attention: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Service {
    name: String,
    version: Option<String>,
    state: State,
    /// How many of its calls run at once, where the embedded host says so.
    instances: Option<usize>,
    /// Why it is not ready.
    why: Option<String>,
    /// Whose events its read models follow, and to whose it reacts, if it says anything.
    #[serde(skip)]
    follows: Option<[Vec<String>; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ready,
    Unready,
    Stopped,
    /// It does not answer, and nobody says that it is stopped.
    Silent,
}

#[derive(Debug, Serialize)]
struct Log {
    service: String,
    events: u64,
    bytes: u64,
    partitions: Option<u32>,
    last_sequence: u64,
}

/// What one service does with the events of one log, over all partitions.
#[derive(Debug, Serialize)]
struct Following {
    service: String,
    source: String,
    role: String,
    partitions: u32,
    backlog: u64,
    /// Events that wait until they are due, as far as anybody knows who does not ask the service.
    waiting: u64,
    redelivered: u64,
    /// How long the oldest event that is not handled has been there.
    oldest_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Dead {
    service: String,
    count: u64,
    last_time: String,
    last_error: String,
}

impl Status {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let report = block_on(async { report(&self.connection.open().await?).await })?;
        if self.json {
            let json = serde_json::to_string_pretty(&report);
            println!("{}", json.map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?);
        } else {
            report.print();
        }
        Ok(if report.attention.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(ATTENTION) })
    }
}

async fn report(client: &Client) -> Result<Report, Failure> {
    let jetstream = JetStream::new(client);
    let mut report = Report::default();
    let streams = jetstream.streams().await?;
    for stream in &streams {
        if let Some(service) = names::parse_own_stream(&stream.config.name) {
            let source = names::private_log(service);
            report.consumers.extend(following(&jetstream, &source, &stream.config.name).await?);
        }
        let Some(service) = names::parse_log_stream(&stream.config.name) else { continue };
        report.logs.push(Log {
            service: service.to_owned(),
            events: stream.state.messages,
            bytes: stream.state.bytes,
            partitions: partitions(stream),
            last_sequence: stream.state.last_sequence,
        });
        report.consumers.extend(following(&jetstream, service, &stream.config.name).await?);
    }
    for stream in &streams {
        let Some(service) =
            names::parse_dead_stream(&stream.config.name).filter(|_| stream.state.messages > 0)
        else {
            continue;
        };
        let newest =
            jetstream.newest(&stream.config.name, &names::dead_subjects(service)).await?.map(Letter::from);
        let text = |key| newest.as_ref().map(|letter| letter.text(key).to_owned()).unwrap_or_default();
        report.dead_letters.push(Dead {
            service: service.to_owned(),
            count: stream.state.messages,
            last_time: text("time"),
            last_error: text("error"),
        });
    }
    report.services = states(client, &report).await?;
    report.attention = report.attention();
    Ok(report)
}

/// What follows a log, with the partitions of one role taken together.
async fn following(jetstream: &JetStream, source: &str, stream: &str) -> Result<Vec<Following>, Failure> {
    let mut all: BTreeMap<(String, Role), Following> = BTreeMap::new();
    for consumer in jetstream.consumers(stream).await? {
        let Some(service) = &consumer.config.deliver_group else { continue };
        let Some(role) = Role::of(service, &consumer.name) else { continue };
        let following = all.entry((service.clone(), role)).or_insert_with(|| Following {
            service: service.clone(),
            source: source.to_owned(),
            role: role.to_string(),
            partitions: 0,
            backlog: 0,
            waiting: 0,
            redelivered: 0,
            oldest_seconds: None,
        });
        if role == Role::Timers {
            // They come again and again to be asked, and are old when they are due. Those that are late make the service unready.
            following.waiting += backlog(&consumer);
            continue;
        }
        following.partitions += 1;
        following.backlog += backlog(&consumer);
        following.redelivered += consumer.num_redelivered as u64;
        let oldest = oldest_seconds(jetstream, stream, &consumer).await?;
        following.oldest_seconds = following.oldest_seconds.max(oldest);
    }
    Ok(all.into_values().collect())
}

/// How long, by the server's clock, the oldest event has been there that a consumer has not handled.
async fn oldest_seconds(
    jetstream: &JetStream,
    stream: &str,
    consumer: &Consumer,
) -> Result<Option<u64>, Failure> {
    if backlog(consumer) == 0 {
        return Ok(None);
    }
    let from = consumer.ack_floor.stream_sequence.saturating_add(1);
    let Some(oldest) = jetstream.next(stream, &consumer.config.filter_subject, from).await? else {
        return Ok(None);
    };
    let waits = jetstream.now(consumer).await? - oldest.time;
    Ok(Some(u64::try_from(waits.whole_seconds()).unwrap_or_default()))
}

/// The state of every service that answers, that the host knows, or that has left something in a stream.
async fn states(client: &Client, report: &Report) -> Result<Vec<Service>, Failure> {
    let hosted = hosted(client).await?;
    let mut described = services::all(client).await?;
    let known = hosted.keys().chain(report.logs.iter().map(|log| &log.service));
    let known = known.chain(report.consumers.iter().map(|following| &following.service));
    let names: BTreeSet<String> = known.chain(described.keys()).cloned().collect();
    // Who was too slow for the question to all is asked once more.
    let late = names.iter().filter(|name| !described.contains_key(*name));
    let late = late
        .filter(|name| hosted.get(*name).is_none_or(|component| component.running))
        .map(|name| async move { Some((name.clone(), services::one(client, name).await?)) });
    let late = join_all(late).await;
    described.extend(late.into_iter().flatten());
    let states = names.iter().map(|name| async {
        let component = hosted.get(name);
        let description = described.get(name);
        let (state, why) = match (description, component) {
            (_, Some(component)) if !component.running => (State::Stopped, None),
            (Some(_), _) => readiness(client, name).await,
            (None, _) => (State::Silent, Some("it does not answer on $SRV.INFO".to_owned())),
        };
        Service {
            name: name.clone(),
            version: description.map(|description| description.version.clone()),
            state,
            instances: component.map(|component| component.instances),
            why,
            follows: description.map(|of| [of.projects.clone(), of.reacts_to.clone()]),
        }
    });
    Ok(join_all(states).await)
}

/// The components of the embedded host, if there is one.
async fn hosted(client: &Client) -> Result<BTreeMap<String, ComponentStatus>, Failure> {
    let (subject, body) = Command::List {}.message();
    match client.request(subject, body.into()).await {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(BTreeMap::new()),
        Err(error) => Err(Failure::new(format!("no answer from the host: {error}"))),
        Ok(answer) => match control::parse(&answer.payload)? {
            Answer::Components(all) => {
                Ok(all.into_iter().map(|component| (component.name.clone(), component)).collect())
            }
            Answer::Refused(why) => Err(Failure::new(why)),
            Answer::Changed(_) | Answer::Unchanged(_) => Ok(BTreeMap::new()),
        },
    }
}

/// What a service says when it is asked whether it keeps up.
async fn readiness(client: &Client, name: &str) -> (State, Option<String>) {
    let request = "GET /readyz HTTP/1.1\r\nhost: trellis\r\n\r\n";
    let answer = timeout(READY_PATIENCE, client.request(names::request_subject(name), request.into())).await;
    let answer = match answer {
        Ok(Ok(answer)) => answer.payload,
        Ok(Err(error)) => return (State::Unready, Some(format!("it does not answer requests: {error}"))),
        Err(_) => return (State::Unready, Some(format!("no answer to a request within {READY_PATIENCE:?}"))),
    };
    let text = String::from_utf8_lossy(&answer);
    if text.starts_with("HTTP/1.1 200 ") {
        return (State::Ready, None);
    }
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let detail = serde_json::from_str::<Value>(body).ok();
    let detail = detail.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let line = text.lines().next().unwrap_or_default();
    (State::Unready, Some(detail.unwrap_or(line).to_owned()))
}

impl Report {
    fn attention(&self) -> Vec<String> {
        let services = self.services.iter().filter_map(|Service { name, state, why, .. }| match state {
            State::Ready => None,
            State::Stopped => Some(format!("{name} is stopped: `trellis start {name}`")),
            State::Silent => Some(format!("{name} does not answer: does it run?")),
            State::Unready => {
                Some(format!("{name} is not ready: {}", why.as_deref().unwrap_or("it says so")))
            }
        });
        let dead = self.dead_letters.iter().map(|Dead { service, count, .. }| {
            format!("{service} has {count} dead letters: `trellis dlq list {service}`")
        });
        services.chain(dead).chain(self.waiting_for_another_version()).collect()
    }

    /// Events that the version which runs does nothing with, though another one did.
    fn waiting_for_another_version(&self) -> impl Iterator<Item = String> {
        let reacts = [Role::Reactions, Role::Timers].map(|role| role.to_string());
        // What a service does about its private log, it tells nobody.
        let told = self.consumers.iter().filter(|of| !of.source.starts_with(names::PRIVATE));
        let waits = told.map(|of| (of, of.backlog + of.waiting)).filter(|(_, waits)| *waits > 0);
        waits.filter_map(move |(Following { service, source, role, .. }, waits)| {
            let follower = self.services.iter().find(|of| of.name == *service)?;
            let [projects, reacts_to] = follower.follows.as_ref()?;
            let (sources, does) =
                if reacts.contains(role) { (reacts_to, "reacts to") } else { (projects, "follows") };
            (!sources.contains(source)).then(|| {
                format!(
                    "{waits} events of {source} wait for a version of {service} that {does} them: run that, or \
                     `trellis forget {service} {source}`"
                )
            })
        })
    }

    fn print(&self) {
        let mut table = Table::new(["service", "version", "state", "at once"]);
        for Service { name, version, state, instances, .. } in &self.services {
            let instances = instances.map_or_else(|| "-".to_owned(), |instances| instances.to_string());
            table.row([name, version.as_deref().unwrap_or("-"), state.text(), &instances]);
        }
        print!("{table}");
        let mut table = Table::new(["log", "events", "size", "partitions"]);
        for Log { service, events, bytes, partitions, .. } in &self.logs {
            let partitions = partitions.map_or_else(|| "?".to_owned(), |partitions| partitions.to_string());
            table.row([service, &events.to_string(), &size(*bytes), &partitions]);
        }
        print!("\n{table}");
        let mut table =
            Table::new(["consumer", "of", "for", "backlog", "not due", "redelivered", "oldest waits"]);
        for Following { service, source, role, backlog, waiting, redelivered, oldest_seconds, .. } in
            &self.consumers
        {
            let oldest = oldest_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
            let [backlog, waiting, redelivered] =
                [backlog, waiting, redelivered].map(|count| count.to_string());
            table.row([service, source, role, &backlog, &waiting, &redelivered, &oldest]);
        }
        print!("\n{table}");
        let mut table = Table::new(["dead letters", "count", "newest", "error"]);
        for Dead { service, count, last_time, last_error } in &self.dead_letters {
            table.row([service, &count.to_string(), last_time, last_error]);
        }
        if !table.is_empty() {
            print!("\n{table}");
        }
        println!();
        match &self.attention[..] {
            [] => println!("all is well"),
            attention => attention.iter().for_each(|line| println!("attention: {line}")),
        }
    }
}

impl State {
    fn text(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Unready => "unready",
            State::Stopped => "stopped",
            State::Silent => "silent",
        }
    }
}

/// Bytes, for people.
fn size(bytes: u64) -> String {
    let (mut whole, mut rest, mut units) = (bytes, 0, ["B", "KiB", "MiB", "GiB", "TiB"].into_iter());
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024, whole / 1024, larger);
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{} {unit}", rest * 10 / 1024) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_another_version_needs_attention() {
        let service = |name: &str, follows: [&[&str]; 2]| Service {
            name: name.to_owned(),
            version: None,
            state: State::Ready,
            instances: None,
            why: None,
            follows: Some(follows.map(|sources| sources.iter().map(|source| (*source).to_owned()).collect())),
        };
        let following = |source: &str, role: Role, backlog| Following {
            service: "query".to_owned(),
            source: source.to_owned(),
            role: role.to_string(),
            partitions: 8,
            backlog: if role == Role::Timers { 0 } else { backlog },
            waiting: if role == Role::Timers { backlog } else { 0 },
            redelivered: 0,
            oldest_seconds: None,
        };
        let models = Role::ReadModels { generation: 1 };
        let report = Report {
            services: vec![service("query", [&["posts"], &["comments"]])],
            logs: Vec::new(),
            consumers: vec![
                following("posts", models, 9),
                following("comments", Role::Reactions, 9),
                following("likes", models, 2),
                following("likes", Role::Reactions, 0),
                following("posts", Role::Reactions, 3),
                following("comments", Role::Timers, 9),
                following("likes", Role::Timers, 4),
            ],
            dead_letters: Vec::new(),
            attention: Vec::new(),
        };
        let end = "run that, or `trellis forget query";
        assert_eq!(
            report.attention(),
            [
                format!("2 events of likes wait for a version of query that follows them: {end} likes`"),
                format!("3 events of posts wait for a version of query that reacts to them: {end} posts`"),
                format!("4 events of likes wait for a version of query that reacts to them: {end} likes`"),
            ]
        );
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
