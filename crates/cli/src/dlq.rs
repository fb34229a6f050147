//! `trellis dlq`: events that a service could not handle, as it has put them aside in its stream of dead letters.
//!
//! A letter is tried again by the service itself, which reads it as it reads live events and removes it once it is handled.

use std::collections::BTreeSet;
use std::process::ExitCode;

use async_nats::Client;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trellis_names as names;

use crate::connection::{Connection, block_on};
use crate::failure::Failure;
use crate::jetstream::{JetStream, Stored, rfc3339};
use crate::orders::{Outcome, order};
use crate::replay::Role;
use crate::services;
use crate::table::Table;

#[derive(Debug, Args)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the dead letters of a service, or of all
    List {
        service: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Print dead letters, one JSON document each, with their events
    Show {
        service: String,
        /// The letters' numbers; all of them by default
        numbers: Vec<u64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Let the service try the events of its dead letters again. What it can handle now is no dead letter any more
    Replay {
        service: String,
        /// The letters' numbers; all of them by default
        numbers: Vec<u64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove dead letters for good: nobody will handle their events
    Drop {
        service: String,
        /// The letters' numbers
        #[arg(required_unless_present = "all")]
        numbers: Vec<u64>,
        /// All of the service's
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

/// A dead letter, and where it is kept.
pub(crate) struct Letter {
    pub number: u64,
    pub body: Value,
}

impl Dlq {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(async {
            match self.verb {
                Verb::List { service, connection } => list(&connection.open().await?, service).await,
                Verb::Show { service, numbers, connection } => {
                    show(&connection.open().await?, &service, &numbers).await
                }
                Verb::Replay { service, numbers, connection } => {
                    replay(&connection.open().await?, &service, &numbers).await
                }
                Verb::Drop { service, numbers, connection, .. } => {
                    remove(&connection.open().await?, &service, &numbers).await
                }
            }
        })
    }
}

async fn list(client: &Client, service: Option<String>) -> Result<ExitCode, Failure> {
    let services = match service {
        Some(service) => {
            services::check(client, &service).await?;
            BTreeSet::from([service])
        }
        None => services::known(client).await?,
    };
    let mut table = Table::new(["service", "letter", "event", "for", "since", "error"]);
    for service in &services {
        for letter in letters(client, service).await? {
            let event =
                format!("{}:{}", letter.text("source"), letter.body.get("seq").unwrap_or(&Value::Null));
            let role = letter.role(service);
            let (number, since, error) =
                (letter.number.to_string(), letter.text("time"), letter.text("error"));
            table.row([service, &number, &event, &role, since, error]);
        }
    }
    if table.is_empty() {
        println!("there are no dead letters");
    } else {
        print!("{table}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client, service: &str, numbers: &[u64]) -> Result<ExitCode, Failure> {
    for letter in chosen(client, service, numbers).await? {
        let mut shown = json!({ "service": service, "letter": letter.number });
        if let (Value::Object(shown), Value::Object(body)) = (&mut shown, letter.body) {
            shown.extend(body);
        }
        println!("{shown:#}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(client: &Client, service: &str, numbers: &[u64]) -> Result<ExitCode, Failure> {
    let letters = chosen(client, service, numbers).await?;
    if letters.is_empty() {
        println!("{service} has no dead letters");
    }
    let (mut left, mut rebuild) = (false, false);
    for Letter { number, .. } in letters {
        match order(client, service, &json!({ "replay-dead": number })).await? {
            Outcome::Handled => println!("{number}  handled"),
            Outcome::Obsolete => {
                println!("{number}  obsolete: the read models have been built anew since; removed")
            }
            Outcome::Missing => println!("{number}  gone: somebody else was quicker"),
            Outcome::Failed(why) => {
                left = true;
                println!("{number}  failed again and is kept: {why}");
            }
            Outcome::Rebuild => {
                (left, rebuild) = (true, true);
                println!("{number}  kept: read models lack it, and take events in their order only");
            }
        }
    }
    if rebuild {
        println!(
            "`trellis replay {service}` builds its read models anew, with these events if they can be handled by now"
        );
    }
    Ok(if left { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn remove(client: &Client, service: &str, numbers: &[u64]) -> Result<ExitCode, Failure> {
    for Letter { number, .. } in chosen(client, service, numbers).await? {
        JetStream::new(client).delete(&names::dead_stream(service), number).await?;
        println!("{number}  removed");
    }
    Ok(ExitCode::SUCCESS)
}

/// The letters with these numbers, or all of a service that exists.
async fn chosen(client: &Client, service: &str, numbers: &[u64]) -> Result<Vec<Letter>, Failure> {
    services::check(client, service).await?;
    let mut letters = letters(client, service).await?;
    let known: Vec<String> = letters.iter().map(|letter| letter.number.to_string()).collect();
    for number in numbers {
        if !letters.iter().any(|letter| letter.number == *number) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Failure::new(format!("{service} has no dead letter {number}; there are {known}")));
        }
    }
    letters.retain(|letter| numbers.is_empty() || numbers.contains(&letter.number));
    Ok(letters)
}

async fn letters(client: &Client, service: &str) -> Result<Vec<Letter>, Failure> {
    let (jetstream, stream) = (JetStream::new(client), names::dead_stream(service));
    let mut letters = Vec::new();
    let mut next = 1;
    while let Some(stored) = jetstream.next(&stream, &names::dead_subjects(service), next).await? {
        next = stored.seq.saturating_add(1);
        letters.push(Letter::from(stored));
    }
    Ok(letters)
}

impl Letter {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn role(&self, service: &str) -> String {
        Role::of(service, self.text("consumer")).map_or_else(|| "?".to_owned(), |role| role.to_string())
    }
}

impl From<Stored> for Letter {
    /// What is no letter is shown all the same.
    fn from(stored: Stored) -> Letter {
        let body = serde_json::from_slice(&stored.body).ok().filter(Value::is_object);
        let unreadable = || {
            let text = String::from_utf8_lossy(&stored.body);
            json!({ "error": "this letter cannot be read", "time": rfc3339(stored.time), "text": text })
        };
        Letter { number: stored.seq, body: body.unwrap_or_else(unreadable) }
    }
}
