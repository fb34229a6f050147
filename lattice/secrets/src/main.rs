//! `secrets-file`: a secrets backend of wasmCloud. What it gives out is in one file, the same that the embedded host reads.
//!
//! A host that is about to start a component asks it over NATS for each secret that the manifest names. What is said is
//! encrypted for one host and one request. The file is read at each request: what is changed there is had at the next start.

mod backend;
mod file;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use async_nats::{Client, ConnectOptions, Message};
use clap::Parser;
use futures::StreamExt;
use tracing::warn;
use tracing_subscriber::EnvFilter;
use wasmcloud_secrets_types::SECRET_API_VERSION;

use crate::backend::Backend;

#[derive(Parser)]
#[command(name = "secrets-file", about = "Gives components the secrets that are in a file")]
struct Arguments {
    /// The address of NATS, or those of its servers
    #[arg(long, value_delimiter = ',', required = true)]
    nats: Vec<String>,
    /// A file with the credentials of a NATS user
    #[arg(long)]
    creds: Option<PathBuf>,
    /// What the hosts have as `--secrets-topic`
    #[arg(long, default_value = "wasmcloud.secrets")]
    topic: String,
    /// A JSON object of texts, of mode 0600
    #[arg(long)]
    file: PathBuf,
    /// The public key of who has signed the components that may have secrets
    #[arg(long)]
    signer: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let Arguments { nats, creds, topic, file, signer } = Arguments::parse();
    let backend = Backend::new(file, signer)?;
    let mut options = ConnectOptions::new();
    if let Some(file) = creds {
        let read = options.credentials_file(&file).await;
        options = read.with_context(|| format!("cannot read the credentials in {}", file.display()))?;
    }
    let client = options
        .connect(&nats)
        .await
        .with_context(|| format!("cannot connect to NATS at {}", nats.join(", ")))?;
    // Whatever backend the policies of a manifest name.
    let subject = format!("{topic}.{SECRET_API_VERSION}.*.*");
    let mut questions = client.subscribe(subject).await.context("cannot listen for questions")?;
    while let Some(question) = questions.next().await {
        if let Err(error) = answer(&backend, &client, question).await {
            warn!("{error:#}");
        }
    }
    bail!("the connection to NATS has ended")
}

async fn answer(backend: &Backend, client: &Client, question: Message) -> Result<()> {
    let Some(reply) = question.reply.clone() else { return Ok(()) };
    match question.subject.rsplit('.').next() {
        Some("server_xkey") => client.publish(reply, backend.public_key().into()).await?,
        Some("get") => {
            let (headers, answer) = backend.answer(question.headers.as_ref(), &question.payload);
            client.publish_with_headers(reply, headers, answer).await?;
        }
        _ => {}
    }
    Ok(())
}
