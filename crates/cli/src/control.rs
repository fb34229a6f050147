//! `trellis stop`, `start` and `scale`: services of a running application that come and go.

use std::path::PathBuf;
use std::process::ExitCode;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use clap::Args;
use trellis_host::control::{Answer, Command, ComponentStatus};

use crate::connection::{Connection, block_on};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The service, by its name in the manifest
    service: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The service, by its name in the manifest
    service: String,
    /// The manifest of a service that is not part of the application yet; its file:// images stand beside it
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The service, by its name in the manifest
    service: String,
    /// How many of its calls may run at once
    #[arg(value_parser = at_least_one)]
    instances: usize,
    #[command(flatten)]
    connection: Connection,
}

impl Stop {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        say(&self.connection, &Command::Stop { component: self.service })
    }
}

impl Start {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        // The application has its own working directory.
        let absolute = |file: PathBuf| {
            file.canonicalize().map_err(|error| {
                let shown = file.display();
                Failure::usage(format!(
                    "--manifest: {shown} cannot be read: {error}; name the manifest of {}",
                    self.service
                ))
            })
        };
        let manifest = self.manifest.clone().map(absolute).transpose()?;
        say(&self.connection, &Command::Start { component: self.service, manifest })
    }
}

impl Scale {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        say(&self.connection, &Command::Scale { component: self.service, instances: self.instances })
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("to have none, stop the service".to_owned()),
        Ok(instances) => Ok(instances),
        Err(error) => Err(error.to_string()),
    }
}

fn say(connection: &Connection, command: &Command) -> Result<ExitCode, Failure> {
    let answer = block_on(async { ask(&connection.open().await?, command).await })?;
    match answer {
        Answer::Changed(status) => println!("{}", line(&status, "")),
        Answer::Unchanged(status) => println!("{}", line(&status, "already ")),
        Answer::Refused(why) => return Err(Failure::new(why)),
        Answer::Components(all) => all.iter().for_each(|status| println!("{}", line(status, ""))),
    }
    Ok(ExitCode::SUCCESS)
}

fn line(status: &ComponentStatus, already: &str) -> String {
    let ComponentStatus { name, instances, running } = status;
    match (running, already) {
        (false, _) => format!("{name}  {already}stopped"),
        (true, "") => format!("{name}  running, {instances} at once"),
        (true, _) => {
            format!("{name}  {already}running, {instances} at once; a new build is loaded by stop and start")
        }
    }
}

/// Asks the host that runs the components.
async fn ask(client: &Client, command: &Command) -> Result<Answer, Failure> {
    let (subject, body) = command.message();
    let answer = client.request(subject, body.into()).await.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => Failure::new(
            "no embedded host answers here. On a lattice its own tools do this: `wash scale component`, or the instances in the \
             manifest and `wash app deploy`",
        ),
        _ => Failure::new(format!("no answer from the host: {error}; `trellis status` says how things are")),
    })?;
    parse(&answer.payload)
}

pub(crate) fn parse(answer: &[u8]) -> Result<Answer, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        Failure::new(format!(
            "the host's answer is not understood: {error}; use the `trellis` that it was started with"
        ))
    })
}
