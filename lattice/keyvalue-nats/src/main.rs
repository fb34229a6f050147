//! `keyvalue-nats`: the provider as a program, started by a wasmCloud host, which says on standard input what to connect to.

use std::path::Path;

use anyhow::{Context, Result};
use keyvalue_nats::provider::{self, KeyValue};
use wasmcloud_provider_sdk::tracing_subscriber::util::SubscriberInitExt;
use wasmcloud_provider_sdk::wasmcloud_tracing::configure_observability;
use wasmcloud_provider_sdk::{
    HostData, get_connection, load_host_data, run_provider, serve_provider_exports,
};

const NAME: &str = "keyvalue-nats-provider";

#[tokio::main]
async fn main() -> Result<()> {
    let host_data = load_host_data().context("no description of the lattice on standard input")?;
    let _traces = observe(host_data)?;
    let keyvalue = KeyValue::from_host_data(host_data);
    let shutdown = run_provider(keyvalue.clone(), NAME).await.context("cannot join the lattice")?;
    let connection = get_connection();
    let client = connection.get_wrpc_client(connection.provider_key()).await?;
    serve_provider_exports(&client, keyvalue, shutdown, provider::serve)
        .await
        .context("cannot serve the key-value interfaces")
}

/// Logs and traces as the host says. What is returned sends the last of them when it is dropped.
fn observe(host_data: &HostData) -> Result<impl Sized + use<>> {
    let otel = &host_data.otel_config;
    let (level, trace_level) = (host_data.log_level.as_ref(), Some(&otel.trace_level));
    let (dispatch, guard) =
        configure_observability(NAME, otel, host_data.structured_logging, None::<&Path>, level, trace_level)
            .context("cannot set up logs and traces")?;
    dispatch.try_init().context("cannot set up logs and traces")?;
    Ok(guard)
}
