//! What an event costs a NATS server that has a subject for each.
//!
//! ```sh
//! cargo xtask bench subjects
//! ```
//!
//! A log as a service has it is filled up, event by event, each acknowledged; at every step the server is asked how much memory
//! it holds and how much is on disk. Then it is started again, and at last all events are removed that have been followed by
//! newer ones of their entity.

mod client;
mod server;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::json;

use crate::client::Client;
use crate::server::Server;

const PARTITIONS: u64 = 8;

#[derive(Parser)]
#[command(name = "subjects", about = "What an event costs a NATS server that has a subject for each")]
struct Arguments {
    /// How many events to store
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// How many of them are of the same entity
    #[arg(long, default_value_t = 10)]
    versions: u64,
    /// The size of an event
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// How many steps there are on the way
    #[arg(long, default_value_t = 10)]
    steps: u64,
    /// How many events of the oldest are removed at the end, unless they are their entity's newest
    #[arg(long, default_value_t = 1_000_000)]
    removed: u64,
    /// Over how many streams they are spread
    #[arg(long, default_value_t = 1)]
    streams: u64,
    /// Whether an answer is given when the event is on disk, rather than on its way there
    #[arg(long)]
    sync: bool,
}

impl Arguments {
    fn entities(&self) -> u64 {
        (self.events / self.versions).max(1)
    }

    /// The subject of the event with a number: all entities have their first version before any has its second.
    fn subject(&self, event: u64) -> String {
        let (entity, version) = (event % self.entities(), event / self.entities() + 1);
        // As long as the ids that services make, which begin with the time.
        let id = format!("01M7{:022}", entity * 7_919);
        format!("log.bench{}.{}.{id}.{version}", entity % self.streams, entity % PARTITIONS)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.streams > 0 && arguments.versions > 0, "--streams and --versions are at least 1");
    let mut server = Server::start(arguments.sync)?;
    let mut client = server.connect()?;
    for number in 0..arguments.streams {
        let created = client.request(
            &format!("$JS.API.STREAM.CREATE.LOG_bench{number}"),
            &json!({
                "name": format!("LOG_bench{number}"), "subjects": [format!("log.bench{number}.*.*.*")],
                "storage": "file", "discard": "new", "discard_new_per_subject": true,
                "max_msgs_per_subject": 1, "num_replicas": 1,
            }),
        )?;
        ensure!(created.get("error").is_none(), "the stream is refused: {created}");
    }

    let before = server.resident()?;
    println!("nats-server {} with an empty log: {} MB resident", server.version()?, before / MB);
    println!("{:>12} {:>10} {:>14} {:>10} {:>10}", "events", "resident", "bytes/event", "disk", "events/s");
    let body = vec![b'e'; arguments.bytes];
    let mut stored = 0;
    for step in 1..=arguments.steps {
        let (until, started) = (arguments.events * step / arguments.steps, Instant::now());
        client.publish_all((stored..until).map(|event| arguments.subject(event)), &body)?;
        let rate = (until - stored) as f64 / started.elapsed().as_secs_f64();
        stored = until;
        report(&server, before, stored, Some(rate))?;
    }

    let refused = client.request(&arguments.subject(stored - 1), &json!({}))?;
    ensure!(refused.get("error").is_some(), "a version that is there was stored again: {refused}");

    let mut client = start_again(&mut server, client)?;
    report(&server, before, stored, None)?;
    let refused = client.request(&arguments.subject(0), &json!({}))?;
    ensure!(refused.get("error").is_some(), "a version that is there was stored again: {refused}");

    let superseded = stored.saturating_sub(arguments.entities());
    // Of the first stream.
    let removed = arguments.removed.min(superseded / arguments.streams);
    if removed == 0 {
        return Ok(());
    }
    let started = Instant::now();
    let subject = "$JS.API.STREAM.MSG.DELETE.LOG_bench0";
    let requests = (1..=removed).map(|seq| json!({ "seq": seq, "no_erase": true }).to_string());
    client.request_all(subject, requests)?;
    let rate = removed as f64 / started.elapsed().as_secs_f64();
    println!("the oldest {removed} removed, each followed by a newer of its entity");
    report(&server, before, stored - removed, Some(rate))?;
    let mut client = start_again(&mut server, client)?;
    report(&server, before, stored - removed, None)?;
    let taken = client.request(&arguments.subject(0), &json!({}))?;
    ensure!(taken.get("seq").is_some(), "a removed version was refused: {taken}");
    println!("a version that was removed can be stored again: only time keeps a late writer from it");
    Ok(())
}

/// What a server has read from its disk is all that it needs: what it had for those who wrote is gone.
fn start_again(server: &mut Server, client: Client) -> Result<Client> {
    drop(client);
    let took = server.restart()?;
    println!("started again, ready after {:.1} s", took.as_secs_f64());
    server.connect()
}

const MB: u64 = 1 << 20;

fn report(server: &Server, before: u64, events: u64, rate: Option<f64>) -> Result<()> {
    let (resident, disk) = (server.resident()?, server.disk()?);
    let each = resident.saturating_sub(before) / events.max(1);
    let rate = rate.map_or_else(String::new, |rate| format!("{rate:.0}"));
    println!("{events:>12} {:>7} MB {each:>14} {:>7} MB {rate:>10}", resident / MB, disk / MB);
    Ok(())
}
