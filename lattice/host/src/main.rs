//! `wasmcloud_host`: a wasmCloud host around the published `wasmcloud-host` crate, with the options and variables of the
//! official program that a lattice on one machine, or `wash up --host-path`, uses.

// As deep as the futures of the crate that it is made of; see ../../rustc-wrapper.
#![recursion_limit = "256"]

mod options;

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use wasmcloud_host::WasmbusHost;

use crate::options::Options;

/// How long the providers and the last requests may take once the host is asked to stop.
const STOP_SECONDS_MAX: u64 = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&options.log_level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let nats = options.control_url()?;
    let configuration = options.into_configuration()?;
    let (host, shutdown) = Box::pin(WasmbusHost::new(configuration))
        .await
        .with_context(|| format!("the host does not start; is NATS, with JetStream, at {nats}?"))?;
    wait_for_the_end(&host).await?;
    drop(host);
    stop_within(Duration::from_secs(STOP_SECONDS_MAX), shutdown).await
}

/// Until a signal, or until `wash stop host`.
async fn wait_for_the_end(host: &WasmbusHost) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        biased;
        _ = terminate.recv() => info!("stopping: SIGTERM"),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for SIGINT")?;
            info!("stopping: SIGINT");
        }
        stopped = host.stopped() => {
            stopped?;
            info!("stopping: asked over the lattice");
        }
    }
    Ok(())
}

async fn stop_within(limit: Duration, shutdown: impl Future<Output = Result<()>>) -> Result<()> {
    if let Ok(result) = tokio::time::timeout(limit, shutdown).await {
        return result.context("the host did not stop cleanly");
    }
    warn!("not everything had stopped after {} s; ending anyway", limit.as_secs());
    Ok(())
}
