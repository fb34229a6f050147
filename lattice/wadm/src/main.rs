//! `wadm`: the wasmCloud application deployment manager, the published `wadm` crate with a `main` around it.

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;
use wadm::config::WadmConfig;

#[tokio::main]
async fn main() -> Result<()> {
    let configuration = WadmConfig::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let nats = configuration.nats_server.clone();
    let mut workers = wadm::start_wadm(configuration)
        .await
        .with_context(|| format!("wadm does not start; is NATS, with JetStream, at {nats}?"))?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        biased;
        _ = terminate.recv() => info!("stopping: SIGTERM"),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for SIGINT")?,
        // None of them is meant to end: whoever starts wadm should see that it no longer does its work.
        ended = workers.join_next() => match ended {
            Some(Ok(Ok(()))) | None => bail!("one of wadm's workers has ended"),
            Some(Ok(Err(error))) => return Err(error.context("one of wadm's workers has failed")),
            Some(Err(panicked)) => return Err(panicked).context("one of wadm's workers has failed"),
        }
    }
    Ok(())
}
