//! `trellis events`: what services have written to their logs, read through the NATS interface of a running application.
//!
//! Reading goes by sequence, one message at a time. So it works on anything that speaks JetStream, has no state on the
//! server, and shows each event once. With `--follow`, a plain subscription says when there is something new; what it
//! is comes from the log, because an append that was refused can be seen on the subject too.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use serde_json::{Value, json};
use trellis_names as names;

use crate::connection::{Connection, block_on};
use crate::failure::Failure;
use crate::jetstream::{JetStream, Stored, rfc3339};
use crate::services;

/// How long a notice may be missed before the logs are looked at anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many characters of an event a person is shown: a post whole, and a few lines of a terminal.
const LINE_LEN_MAX: usize = 240;

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
    /// Print each event whole, as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Events {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.print())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn print(self) -> Result<(), Failure> {
        let client = self.connection.open().await?;
        let mut logs = self.logs(&client).await?;
        let form: Form = if self.json { whole } else { short };
        let notices = if self.follow { Some(notices(&client, &logs).await?) } else { None };
        read_all(&client, &mut logs, form).await?;
        let Some(mut notices) = notices else { return Ok(()) };
        loop {
            // What woke it does not matter, nor whether anything did.
            let _ = tokio::time::timeout(LOOK_EVERY, notice(&mut notices)).await;
            read_all(&client, &mut logs, form).await?;
        }
    }

    async fn logs(&self, client: &Client) -> Result<Vec<Log>, Failure> {
        let streams = JetStream::new(client).streams().await?;
        let known: BTreeSet<String> = streams
            .iter()
            .filter_map(|stream| names::parse_log_stream(&stream.config.name))
            .map(str::to_owned)
            .collect();
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
        let subject = names::log_entries(&log.service);
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

async fn read_all(client: &Client, logs: &mut [Log], form: Form) -> Result<(), Failure> {
    for log in logs {
        while let Some(message) = log.read(client).await? {
            print_line(&form(&log.service, &message))?;
            log.next = message.seq.saturating_add(1);
        }
    }
    Ok(())
}

impl Log {
    async fn read(&self, client: &Client) -> Result<Option<Stored>, Failure> {
        let (stream, subject) = (names::log_stream(&self.service), names::log_entries(&self.service));
        JetStream::new(client).next(&stream, &subject, self.next).await
    }
}

/// The line that an event of a service is printed as.
type Form = fn(&str, &Stored) -> String;

/// An event is JSON already. Anything else in a log is shown as it is, so that one odd entry does not hide the others.
fn whole(service: &str, message: &Stored) -> String {
    let event = serde_json::from_slice::<Value>(&message.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&message.body).into_owned()));
    json!({
        "service": service,
        "sequence": message.seq,
        "subject": message.subject,
        "time": rfc3339(message.time),
        "event": event,
    })
    .to_string()
}

/// What a person reads: when, whose, what, of which entity, its version, and how its data begins.
fn short(service: &str, message: &Stored) -> String {
    let body = String::from_utf8_lossy(&message.body);
    let event = serde_json::from_str::<Value>(&body).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("?");
    let version = event.get("version").map_or_else(|| "?".to_owned(), Value::to_string);
    // What is no event is shown as it is.
    let data = event.get("data").map_or_else(|| body.into_owned(), Value::to_string);
    let time = rfc3339(message.time.truncate_to_second());
    cut(&format!("{time}  {service}  {}  {}  {version}  {data}", text("type"), text("subject")))
}

/// One line of bounded length, in which nothing moves the cursor.
fn cut(line: &str) -> String {
    let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= LINE_LEN_MAX {
        return plain;
    }
    plain.chars().take(LINE_LEN_MAX - 1).chain(['…']).collect()
}

fn print_line(line: &str) -> Result<(), Failure> {
    // A reader that has enough, such as `head`, is no failure of ours.
    writeln!(std::io::stdout(), "{line}").map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Failure::new(format!("cannot write: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn stored(body: &str) -> Stored {
        let time = OffsetDateTime::parse("2026-01-01T00:00:00.123456789Z", &Rfc3339).unwrap();
        let subject = "log.posts.3.p1.2".to_owned();
        Stored { subject, seq: 7, time, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn what_a_person_reads_is_short_and_says_what_happened() {
        let event = r#"{"type":"post.created.v1","subject":"p1","version":2,"data":{"title":"A"},"state":{"id":"p1"}}"#;
        let expected = r#"2026-01-01T00:00:00Z  posts  post.created.v1  p1  2  {"title":"A"}"#;
        assert_eq!(short("posts", &stored(event)), expected);
    }

    #[test]
    fn a_line_has_a_bound_and_moves_no_cursor() {
        for (len, ends) in [(LINE_LEN_MAX, 'x'), (LINE_LEN_MAX + 1, '…'), (34_000, '…')] {
            let line = cut(&"x".repeat(len));
            assert_eq!((line.chars().count(), line.chars().last()), (LINE_LEN_MAX, Some(ends)), "{len}");
        }
        assert_eq!(cut("a\u{1b}[2J\nb\u{9b}c"), "a [2J b c");
        let odd = short("posts", &stored("no event\n"));
        assert_eq!(odd, "2026-01-01T00:00:00Z  posts  ?  ?  ?  no event ");
    }
}
