//! The messaging provider for NATS: the published crate, as a program that a wasmCloud host can start.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    wasmcloud_provider_messaging_nats::run().await
}
