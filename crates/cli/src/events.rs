//! `trellis events`: what services have written to their logs, read through the NATS interface of a running application.
//!
//! Reading goes by sequence, one message at a time, so that it works on anything that speaks JetStream, has no state on the
//! server, and shows each event once. With `--follow`, a plain subscription says when there is something new; what it is
//! comes from the log, because an append that was refused can be seen on the subject too.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::{Connection, block_on};
use crate::failure::Failure;

const STREAM_PREFIX: &str = "LOG_";
/// Streams listed at most; there is one for each service.
const STREAMS_MAX: usize = 10_000;
/// How long a notice may be missed before the logs are looked at anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ERR_NO_MESSAGE: u64 = 10037;
const ERR_NO_STREAM: u64 = 10059;

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
            let _ = tokio::time::timeout(LOOK_EVERY, notices.next()).await;
            read_all(&client, &mut logs).await?;
        }
    }

    async fn logs(&self, client: &Client) -> Result<Vec<Log>, Failure> {
        if let Some(service) = &self.service {
            let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if service.is_empty() || !service.chars().all(known) {
                return Err(Failure::usage(format!("--service: {service:?} is not the name of a service")));
            }
            return Ok(vec![Log { service: service.clone(), next: self.from }]);
        }
        let mut logs = Vec::new();
        for _ in 0..STREAMS_MAX {
            let request = json!({ "subject": "log.>", "offset": logs.len() });
            let page: Names = ask(client, "$JS.API.STREAM.NAMES", &request).await?.unwrap_or_default();
            let streams = page.streams.unwrap_or_default();
            let more = !streams.is_empty();
            let services = streams.iter().filter_map(|stream| stream.strip_prefix(STREAM_PREFIX));
            logs.extend(services.map(|service| Log { service: service.to_owned(), next: self.from }));
            if !more || logs.len() >= page.total {
                break;
            }
        }
        Ok(logs)
    }
}

/// A service's log, and where reading goes on.
struct Log {
    service: String,
    next: u64,
}

#[derive(Default, Deserialize)]
struct Names {
    #[serde(default)]
    total: usize,
    streams: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Stored {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    time: String,
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
    async fn read(&self, client: &Client) -> Result<Option<StoredMessage>, Failure> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{STREAM_PREFIX}{}", self.service);
        let request = json!({ "seq": self.next.max(1), "next_by_subj": format!("log.{}.>", self.service) });
        let stored: Option<Stored> = ask(client, &subject, &request).await?;
        Ok(stored.map(|stored| stored.message))
    }
}

/// One request of the JetStream API. Nothing there is `None`; other errors are failures.
async fn ask<T: for<'de> Deserialize<'de>>(
    client: &Client,
    subject: &str,
    request: &Value,
) -> Result<Option<T>, Failure> {
    let reply = client.request(subject.to_owned(), request.to_string().into()).await;
    let reply = reply.map_err(|error| Failure::new(format!("no answer to {subject}: {error}")))?;
    let odd = |error: serde_json::Error| {
        Failure::new(format!("the answer to {subject} is not understood: {error}"))
    };
    let reply: Value = serde_json::from_slice(&reply.payload).map_err(odd)?;
    match reply.pointer("/error/err_code").and_then(Value::as_u64) {
        None => serde_json::from_value(reply).map(Some).map_err(odd),
        Some(ERR_NO_MESSAGE) => Ok(None),
        Some(ERR_NO_STREAM) => {
            let stream = subject.rsplit('.').next().unwrap_or_default();
            Err(Failure::new(format!(
                "there is no stream {stream}; `trellis events` without --service shows all"
            )))
        }
        Some(code) => {
            let why = reply.pointer("/error/description").and_then(Value::as_str).unwrap_or_default();
            Err(Failure::new(format!("{subject} was refused: {why} (err_code {code})")))
        }
    }
}

/// An event is JSON already. Anything else in a log is shown as it is, so that one odd entry does not hide the others.
fn print_line(service: &str, message: &StoredMessage) -> Result<(), Failure> {
    let bytes = BASE64.decode(&message.data).unwrap_or_else(|_| message.data.clone().into_bytes());
    let event = serde_json::from_slice::<Value>(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
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
