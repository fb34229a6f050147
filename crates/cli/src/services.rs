//! Which services there are, and what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};
use trellis_names as names;

use crate::failure::Failure;
use crate::jetstream::JetStream;

/// How long services have for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// When nobody has answered for so long, all have who will.
const QUIET: Duration = Duration::from_millis(300);

/// What a service says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Description {
    pub version: String,
    #[serde(default)]
    pub projects: Vec<String>,
    #[serde(default)]
    pub reacts_to: Vec<String>,
}

#[derive(Deserialize)]
struct Info {
    name: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// Asks all services at once, and listens for a while.
pub(crate) async fn all(client: &Client) -> Result<BTreeMap<String, Description>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(format!("cannot ask for services: {error}"));
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
    let asked = client.publish_with_reply(names::INFO, inbox, "".into()).await;
    asked.map_err(|error| failed(&error))?;
    let deadline = Instant::now() + PATIENCE;
    let mut services = BTreeMap::new();
    while let Ok(Some(answer)) =
        timeout_at(deadline.min(Instant::now() + quiet(&services)), answers.next()).await
    {
        if answer.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
            break;
        }
        services.extend(parse(&answer.payload));
    }
    Ok(services)
}

/// The first answer may take its time.
fn quiet(heard: &BTreeMap<String, Description>) -> Duration {
    if heard.is_empty() { PATIENCE } else { QUIET }
}

/// Asks one service. Nothing if nobody answers.
pub(crate) async fn one(client: &Client, name: &str) -> Option<Description> {
    let answer = timeout(PATIENCE, client.request(names::info_subject(name), "".into())).await;
    let (_, description) = parse(&answer.ok()?.ok()?.payload)?;
    Some(description)
}

/// Other programs may speak the same protocol: what does not describe itself as a service of Trellis is none.
fn parse(answer: &[u8]) -> Option<(String, Description)> {
    let info: Info = serde_json::from_slice(answer).ok()?;
    let description = serde_json::from_str(info.metadata.get("trellis")?).ok()?;
    Some((info.name, description))
}

/// The names of all services that answer or own streams.
pub(crate) async fn known(client: &Client) -> Result<BTreeSet<String>, Failure> {
    let mut all: BTreeSet<String> = all(client).await?.into_keys().collect();
    let streams = JetStream::new(client).streams().await?;
    let names = streams.iter().map(|stream| &stream.config.name);
    let owners =
        names.filter_map(|name| names::parse_log_stream(name).or_else(|| names::parse_dead_stream(name)));
    all.extend(owners.map(str::to_owned));
    Ok(all)
}

/// For a name that nobody has.
pub(crate) fn unknown(name: &str, known: &BTreeSet<String>) -> Failure {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Failure::new(format!("there is no service {name}; there are {known}"))
}

/// Refuses a name that cannot be part of a subject, and one that nobody has.
pub(crate) async fn check(client: &Client, name: &str) -> Result<(), Failure> {
    let known = known(client).await?;
    if known.contains(name) { Ok(()) } else { Err(unknown(name, &known)) }
}
