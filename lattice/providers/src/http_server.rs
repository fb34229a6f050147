//! The HTTP server provider: the published crate, as a program that a wasmCloud host can start.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    wasmcloud_provider_http_server::run().await
}
