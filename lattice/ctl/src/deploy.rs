//! Hosts, applications and providers of a lattice.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use wadm_client::Client as Wadm;
use wadm_types::api::{Status, StatusType};
use wasmcloud_control_interface::{Client as Control, ClientBuilder};

const POLL: Duration = Duration::from_millis(200);

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
    let control = control(client, lattice);
    loop {
        // An answer of nobody is an error here, and only means that no host is there yet.
        if control.get_hosts().await.is_ok_and(|hosts| hosts.len() >= count) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

pub async fn deploy(
    client: async_nats::Client,
    lattice: &str,
    manifest: &Path,
    progress: &mut Progress,
) -> Result<()> {
    let wadm = Wadm::from_nats_client(lattice, None, client);
    let path = manifest.to_path_buf();
    let (name, _version) = until_answered(|| wadm.put_and_deploy_manifest(path.clone()))
        .await
        .with_context(|| format!("cannot deploy {}", manifest.display()))?;
    loop {
        let status = wadm.get_manifest_status(&name).await.map_err(|error| anyhow!("{error}"))?;
        progress.0 = lines(&status);
        // Neither is a failure the end: wadm reports one when it scales a component before it has put its config, and
        // tries again with the next event that it sees.
        if status.info.status_type == StatusType::Deployed {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

pub async fn undeploy(client: async_nats::Client, lattice: &str, application: &str) -> Result<()> {
    let wadm = Wadm::from_nats_client(lattice, None, client.clone());
    wadm.undeploy_manifest(application)
        .await
        .map_err(|error| anyhow!("cannot undeploy {application}: {error}"))?;
    let control = control(client, lattice);
    let prefix = format!("{application}-");
    loop {
        let mut left = 0;
        for inventory in inventories(&control).await? {
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

pub async fn stop_provider(client: async_nats::Client, lattice: &str, provider: &str) -> Result<()> {
    let control = control(client, lattice);
    let mut stopped = 0;
    for inventory in inventories(&control).await? {
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
    ClientBuilder::new(client).lattice(lattice).build()
}

async fn inventories(control: &Control) -> Result<Vec<wasmcloud_control_interface::HostInventory>> {
    let hosts = control.get_hosts().await.map_err(|error| anyhow!("{error}"))?;
    let mut found = Vec::new();
    for host in hosts.into_iter().filter_map(|answer| answer.into_data()) {
        let answer = control.get_host_inventory(host.id()).await.map_err(|error| anyhow!("{error}"))?;
        found.extend(answer.into_data());
    }
    Ok(found)
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
