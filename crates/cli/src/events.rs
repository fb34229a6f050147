//! `trellis events`: what services have written to their logs, read through the NATS interface of a running application.
//!
//! Reading goes by sequence, one message at a time, so that it works on anything that speaks JetStream, has no state on the
//! server, and shows each event once. With `--follow`, a plain subscription says when there is something new; what it is
//! comes from the log, because an append that was refused can be seen on the subject too.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use serde_json::{Value, json};

use crate::connection::{Connection, block_on};
use crate::failure::Failure;
use crate::jetstream::{JetStream, LOG, Stored};
use crate::services;

/// How long a notice may be missed before the logs are looked at anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Events {
    #[command(flatten)]
    connection: Connection,
    /// Only this service's; by default all services', one after the other
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Begin with this sequence of each log
    #[arg(long, default_value_t = 1, value_name = "SEQ")]
    from: u64,
    /// Go on with new events as they come
    #[arg(long)]
    follow: bool,
}

impl Events {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.print())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn print(self) -> Result<(), Failure> {
        let client = self.connection.open().await?;
        let mut logs = self.logs(&client).await?;
        let notices = if self.follow { Some(notices(&client, &logs).await?) } else { None };
        read_all(&client, &mut logs).await?;
        let Some(mut notices) = notices else { return Ok(()) };
        loop {
            // What woke it does not matter, nor whether anything did.
            let _ = tokio::time::timeout(LOOK_EVERY, notice(&mut notices)).await;
            read_all(&client, &mut logs).await?;
        }
    }

    async fn logs(&self, client: &Client) -> Result<Vec<Log>, Failure> {
        let streams = JetStream(client).streams("log.>").await?;
        let known: BTreeSet<String> =
            streams.iter().filter_map(|stream| stream.service_of(LOG)).map(str::to_owned).collect();
        let wanted = match &self.service {
            Some(service) if !known.contains(service) => return Err(services::unknown(service, &known)),
            Some(service) => BTreeSet::from([service.clone()]),
            None => known,
        };
        Ok(wanted.into_iter().map(|service| Log { service, next: self.from }).collect())
    }
}

/// A service's log, and where reading goes on.
struct Log {
    service: String,
    next: u64,
}

async fn notices(client: &Client, logs: &[Log]) -> Result<SelectAll<Subscriber>, Failure> {
    let mut subscriptions: Vec<Subscriber> = Vec::new();
    for log in logs {
        let subject = format!("log.{}.>", log.service);
        let subscription = client.subscribe(subject).await;
        subscriptions.push(subscription.map_err(|error| Failure::new(format!("cannot subscribe: {error}")))?);
    }
    Ok(select_all(subscriptions))
}

/// Never, where there is no log that could have news.
async fn notice(notices: &mut SelectAll<Subscriber>) {
    if notices.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn read_all(client: &Client, logs: &mut [Log]) -> Result<(), Failure> {
    for log in logs {
        while let Some(message) = log.read(client).await? {
            print_line(&log.service, &message)?;
            log.next = message.seq.saturating_add(1);
        }
    }
    Ok(())
}

impl Log {
    async fn read(&self, client: &Client) -> Result<Option<Stored>, Failure> {
        let (stream, subject) = (format!("{LOG}{}", self.service), format!("log.{}.>", self.service));
        JetStream(client).next(&stream, &subject, self.next).await
    }
}

/// An event is JSON already. Anything else in a log is shown as it is, so that one odd entry does not hide the others.
fn print_line(service: &str, message: &Stored) -> Result<(), Failure> {
    let event = serde_json::from_slice::<Value>(&message.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&message.body).into_owned()));
    let line = json!({
        "service": service,
        "sequence": message.seq,
        "subject": message.subject,
        "time": message.time,
        "event": event,
    });
    // A reader that has enough, such as `head`, is no failure of ours.
    writeln!(std::io::stdout(), "{line}").map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Failure::new(format!("cannot write: {error}")),
    })
}
