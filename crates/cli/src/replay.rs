//! `trellis replay`: the read models of a service, built anew from the logs while the old ones go on answering.
//!
//! The service is told by an announcement and does the work itself. It makes durable consumers of a new generation
//! beside those of the old one, and removes the old ones when the new one is read. Both are seen from outside: that is
//! how the command knows.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use async_nats::Client;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};
use trellis_names::{self as names, Purpose};

use crate::connection::{Connection, block_on};
use crate::failure::Failure;
use crate::jetstream::{JetStream, backlog};
use crate::services;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An announcement may be lost with the instance that took it: it is repeated until it shows.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// A service that has not begun by then will not. After another rebuild it may have to wait for events that are being handled.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The service
    service: String,
    /// Do not wait until the new read models are read
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What is left to do in each generation of a service's read models, by the names that consumers have for them.
type Generations = BTreeMap<u64, u64>;

/// Those that live at once are never half as far apart as there are names.
fn is_newer(name: u64, than: u64) -> bool {
    const NAMES: u64 = names::GENERATION_NAMES;
    let ahead = (name + NAMES - than % NAMES) % NAMES;
    (1..NAMES / 2).contains(&ahead)
}

fn oldest(generations: &Generations) -> Option<u64> {
    generations.keys().copied().reduce(|oldest, name| if is_newer(oldest, name) { name } else { oldest })
}

fn newest(generations: &Generations) -> Option<(u64, u64)> {
    let each = generations.iter().map(|(name, left)| (*name, *left));
    each.reduce(|newest, of| if is_newer(of.0, newest.0) { of } else { newest })
}

impl Replay {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.replay())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn replay(self) -> Result<(), Failure> {
        let client = self.connection.open().await?;
        let service = &self.service;
        services::check(&client, service).await?;
        let Some(description) = services::one(&client, service).await else {
            return Err(Failure::new(format!(
                "{service} does not answer; `trellis start {service}`, then try again"
            )));
        };
        if description.projects.is_empty() {
            return Err(Failure::new(format!(
                "{service} has no read models: there is nothing to build anew"
            )));
        }
        let before = oldest(&generations(&client, service).await?).unwrap_or_default();
        announce(&client, service).await?;
        if self.no_wait {
            println!("{service}  is told to build its read models anew");
            return Ok(());
        }
        let generation = wait(&client, service, before).await?;
        println!("{service}  reads generation {generation} of its read models");
        Ok(())
    }
}

/// Waits until a newer generation is the only one.
async fn wait(client: &Client, service: &str, before: u64) -> Result<u64, Failure> {
    let begun = Instant::now();
    let mut announced = begun;
    let mut progress = Progress::new(service);
    loop {
        let now = generations(client, service).await?;
        match newest(&now) {
            Some((newest, _)) if now.len() == 1 && is_newer(newest, before) => {
                progress.end();
                return Ok(newest);
            }
            Some((newest, left)) if is_newer(newest, before) => progress.show(left),
            _ if begun.elapsed() >= BEGIN_TIME_MAX => {
                return Err(Failure::new(format!(
                    "{service} has not begun within {BEGIN_TIME_MAX:?}; see its log, and `trellis status`"
                )));
            }
            _ if announced.elapsed() >= ANNOUNCE_EVERY => {
                announced = Instant::now();
                announce(client, service).await?;
            }
            _ => {}
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn announce(client: &Client, service: &str) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(format!("cannot tell {service}: {error}"));
    let news = json!({ "replay": service }).to_string();
    client.publish(names::ANNOUNCE, news.into()).await.map_err(|error| failed(&error))?;
    client.flush().await.map_err(|error| failed(&error))
}

/// The generations that a service's consumers are of, and how many events each has left.
async fn generations(client: &Client, service: &str) -> Result<Generations, Failure> {
    let jetstream = JetStream::new(client);
    let mut generations = Generations::new();
    for stream in jetstream.streams().await? {
        if names::parse_log_stream(&stream.config.name).is_none() {
            continue;
        }
        for consumer in jetstream.consumers(&stream.config.name).await? {
            if let Some(Role::ReadModels { generation }) = Role::of(service, &consumer.name) {
                *generations.entry(generation).or_default() += backlog(&consumer);
            }
        }
    }
    Ok(generations)
}

/// What a service's consumer is for, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Reactions,
    Timers,
    ReadModels { generation: u64 },
}

impl Role {
    pub(crate) fn of(service: &str, consumer: &str) -> Option<Role> {
        Some(match Purpose::parse(service, consumer)? {
            Purpose::ReadModels { generation, .. } => Role::ReadModels { generation },
            Purpose::Reactions { .. } => Role::Reactions,
            Purpose::Timers => Role::Timers,
        })
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Role::Reactions => f.write_str("reactions"),
            Role::Timers => f.write_str("timers"),
            Role::ReadModels { generation } => write!(f, "read models {generation}"),
        }
    }
}

/// How many events are left, on standard error: one line that changes where somebody watches, else one line for each look
/// at which much has changed.
struct Progress<'a> {
    service: &'a str,
    shown: Option<u64>,
}

impl Progress<'_> {
    fn new(service: &str) -> Progress<'_> {
        Progress { service, shown: None }
    }

    fn show(&mut self, left: u64) {
        let mut out = std::io::stderr();
        let is_terminal = out.is_terminal();
        let worth_a_line = self.shown.is_none_or(|shown| left <= shown / 2);
        if self.shown != Some(left) && (is_terminal || worth_a_line) {
            let (start, end) = if is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
            // Who closes standard error does not want to know.
            let _ = write!(out, "{start}{}  {left} events to go{end}", self.service);
            let _ = out.flush();
            self.shown = Some(left);
        }
    }

    fn end(&self) {
        let mut out = std::io::stderr();
        if self.shown.is_some() && out.is_terminal() {
            let _ = write!(out, "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Generations, Role, is_newer, newest, oldest};

    #[test]
    fn names_of_generations_come_round() {
        assert!(is_newer(2, 1) && !is_newer(1, 2) && !is_newer(1, 1));
        assert!(is_newer(0, 15) && is_newer(1, 15) && !is_newer(15, 0));
        let generations = Generations::from([(0, 7), (14, 1), (15, 2)]);
        assert_eq!((oldest(&generations), newest(&generations)), (Some(14), Some((0, 7))));
    }

    #[test]
    fn a_consumers_name_says_what_it_is_for() {
        assert_eq!(Role::of("my-g1-x", "my-g1-x-g12-3"), Some(Role::ReadModels { generation: 12 }));
        assert_eq!(Role::of("posts", "posts-r-7"), Some(Role::Reactions));
        assert_eq!(Role::of("posts", "posts-t"), Some(Role::Timers));
        for other in
            ["", "posts", "posts-r", "posts-r-x", "posts-g-1", "posts-gx-1", "postsx-r-1", "query-g1-1"]
        {
            assert_eq!(Role::of("posts", other), None, "{other}");
        }
    }
}
