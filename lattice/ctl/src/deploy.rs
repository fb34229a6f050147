//! Hosts, applications and providers of a lattice.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use async_nats::jetstream::Context as JetStream;
use async_nats::jetstream::stream::{RawMessageErrorKind, State};
use wadm_client::Client as Wadm;
use wadm_types::api::{Status, StatusType};
use wasmcloud_control_interface::{Client as Control, ClientBuilder, HostInventory};

use crate::config::Configs;

const POLL: Duration = Duration::from_millis(200);
/// How long answers of all hosts are waited for before they are asked again.
const ROUND: Duration = Duration::from_secs(1);
/// Says, of what runs on a host, for which part of which manifest wadm started it.
const SCALER: &str = "wasmcloud.dev/scaler";

/// How far a deployment has come, for whoever has to be told that it went no further.
#[derive(Default)]
pub struct Progress(Vec<String>);

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("wadm does not answer") } else { f.write_str(&self.0.join("\n")) }
    }
}

pub async fn wait_for_manager(client: async_nats::Client, lattice: &str) -> Result<()> {
    let wadm = Wadm::from_nats_client(lattice, None, client);
    until_answered(|| wadm.list_manifests()).await.map(drop)
}

pub async fn wait_for_hosts(client: async_nats::Client, lattice: &str, count: usize) -> Result<()> {
    hosts(&control(client, lattice), count).await;
    Ok(())
}

/// What was deployed under the same name is taken away first if it is to be replaced, as `wash app deploy --replace` does.
///
/// wadm takes away the configs of what it replaces, even if what it deploys has one of the same name and wadm has found it in
/// place. It puts back what is missing when it is told to deploy the same again.
pub async fn deploy(
    client: async_nats::Client,
    lattice: &str,
    manifest: &Path,
    replace: Option<&str>,
    host_count: usize,
    progress: &mut Progress,
) -> Result<()> {
    let wadm = Wadm::from_nats_client(lattice, None, client.clone());
    if let Some(application) = replace {
        wadm.delete_manifest(application, None)
            .await
            .map_err(|error| anyhow!("cannot take away {application}: {error}"))?;
    }
    let path = manifest.to_path_buf();
    let failed = || format!("cannot deploy {}", manifest.display());
    let (name, version) = until_answered(|| wadm.put_manifest(path.clone())).await.with_context(failed)?;
    let stated = wadm.get_manifest(&name, Some(&version)).await.map_err(|error| anyhow!("{error}"))?;
    let configs = Configs::of(&stated);
    let jetstream = async_nats::jetstream::new(client.clone());
    let control = control(client, lattice);
    loop {
        forget_status(&jetstream, lattice, &name).await.with_context(failed)?;
        wadm.deploy_manifest(&name, Some(&version))
            .await
            .map_err(|error| anyhow!("{error}"))
            .with_context(failed)?;
        until_deployed(&wadm, &control, &name, host_count, progress).await?;
        until_configs_stay(&jetstream).await?;
        let missing = configs.missing(&control).await?;
        if missing.is_empty() {
            return Ok(());
        }
        progress.0 = missing.into_iter().map(|name| format!("config {name} is missing")).collect();
    }
}

/// Until wadm says that all of it runs, and that is so.
async fn until_deployed(
    wadm: &Wadm,
    control: &Control,
    application: &str,
    host_count: usize,
    progress: &mut Progress,
) -> Result<()> {
    loop {
        let status = wadm.get_manifest_status(application).await.map_err(|error| anyhow!("{error}"))?;
        progress.0 = lines(&status);
        // Neither is a failure the end: wadm reports one when it scales a component before it has put its config, and
        // tries again with the next event that it sees.
        if status.info.status_type == StatusType::Deployed
            && is_what_runs(&status, application, &inventories(control, host_count).await)
        {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Until no config is about to be taken away. Other commands may wait for long: for hosts that are no more.
async fn until_configs_stay(jetstream: &JetStream) -> Result<()> {
    let mut commands = jetstream.get_stream("wadm_commands").await?;
    loop {
        let State { first_sequence, last_sequence, .. } = commands.info().await?.state;
        let mut takes_away = false;
        for seq in first_sequence..=last_sequence {
            takes_away |= match commands.get_raw_message(seq).await {
                Ok(command) => command.payload.starts_with(br#"{"DeleteConfig""#),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => false,
                Err(error) => return Err(error.into()),
            };
        }
        if !takes_away {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether every component was started for this manifest: one that was for the one before is about to end, and has its config.
fn is_what_runs(status: &Status, application: &str, inventories: &[HostInventory]) -> bool {
    let prefix = format!("{application}-");
    let components = inventories.iter().flat_map(HostInventory::components);
    components.filter(|component| component.id().starts_with(&prefix)).all(|component| {
        let scaler = component.annotations().and_then(|all| all.get(SCALER));
        status.scalers.iter().any(|of| Some(&of.id) == scaler)
    })
}

/// Until wadm has looked at a manifest that was deployed again, it would say of the one before that all of it runs.
async fn forget_status(jetstream: &JetStream, lattice: &str, application: &str) -> Result<()> {
    let statuses = jetstream.get_stream("wadm_status").await?;
    statuses.purge().filter(format!("wadm.status.{lattice}.{application}")).await?;
    Ok(())
}

pub async fn undeploy(
    client: async_nats::Client,
    lattice: &str,
    application: &str,
    host_count: usize,
) -> Result<()> {
    let wadm = Wadm::from_nats_client(lattice, None, client.clone());
    wadm.undeploy_manifest(application)
        .await
        .map_err(|error| anyhow!("cannot undeploy {application}: {error}"))?;
    let control = control(client, lattice);
    let prefix = format!("{application}-");
    loop {
        let mut left = 0;
        for inventory in inventories(&control, host_count).await {
            let components = inventory.components().iter().map(|component| component.id());
            let providers = inventory.providers().iter().map(|provider| provider.id());
            left += components.chain(providers).filter(|id| id.starts_with(&prefix)).count();
        }
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

pub async fn stop_provider(
    client: async_nats::Client,
    lattice: &str,
    provider: &str,
    host_count: usize,
) -> Result<()> {
    let control = control(client, lattice);
    let mut stopped = 0;
    for inventory in inventories(&control, host_count).await {
        if inventory.providers().iter().any(|running| running.id() == provider) {
            let answer = control
                .stop_provider(inventory.host_id(), provider)
                .await
                .map_err(|error| anyhow!("{error}"))?;
            if !answer.succeeded() {
                bail!("cannot stop {provider}: {}", answer.message());
            }
            stopped += 1;
        }
    }
    if stopped == 0 { bail!("no host runs a provider {provider}") } else { Ok(()) }
}

fn control(client: async_nats::Client, lattice: &str) -> Control {
    ClientBuilder::new(client).lattice(lattice).auction_timeout(ROUND).build()
}

/// The identifiers of all hosts, once so many answer: one may be slow, or about to start.
async fn hosts(control: &Control, count: usize) -> Vec<String> {
    loop {
        // An answer of nobody is an error here, and only means that no host is there yet.
        let answers = control.get_hosts().await.unwrap_or_default();
        let hosts: Vec<String> =
            answers.into_iter().filter_map(|answer| Some(answer.into_data()?.id().to_owned())).collect();
        if hosts.len() >= count {
            return hosts;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What each of so many hosts runs. One that does not answer in time is busy, and asked again with all others.
async fn inventories(control: &Control, count: usize) -> Vec<HostInventory> {
    loop {
        let mut found = Vec::new();
        for host in hosts(control, count).await {
            let answer = control.get_host_inventory(&host).await.ok();
            found.extend(answer.and_then(|answer| answer.into_data()));
        }
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Again while nobody listens: wadm was started a moment ago. Whoever calls this has a deadline.
async fn until_answered<T, F, E>(mut call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, E>>,
    E: fmt::Display,
{
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.to_string().contains("no responders") => tokio::time::sleep(POLL).await,
            Err(error) => return Err(anyhow!("{error}")),
        }
    }
}

/// What does not run yet, or all of it.
fn lines(status: &Status) -> Vec<String> {
    let waiting = status.scalers.iter().filter(|scaler| scaler.info.status_type != StatusType::Deployed);
    let lines = waiting.map(|scaler| {
        format!("{} {}: {:?} {}", scaler.kind, scaler.name, scaler.info.status_type, scaler.info.message)
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        vec![format!("all of it: {:?} {}", status.info.status_type, status.info.message)]
    } else {
        lines
    }
}
