//! `trellis forget`: what a service followed in another version, and follows no more.
//!
//! Events of a log that only another version of a service reacts to wait for that version. Nobody but an operator knows that
//! none is to come.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::connection::{Connection, block_on};
use crate::failure::Failure;
use crate::orders::{Outcome, order};
use crate::services;

#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The service
    service: String,
    /// The service whose events it is not to wait for any more, but for those that it follows now
    source: String,
    #[command(flatten)]
    connection: Connection,
}

impl Forget {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self { service, source, connection } = self;
        block_on(async {
            let client = connection.open().await?;
            services::check(&client, &service).await?;
            match order(&client, &service, &json!({ "forget": source })).await? {
                Outcome::Handled => {
                    println!("{service}  follows of {source} what its version of now does, and nothing else");
                    Ok(ExitCode::SUCCESS)
                }
                Outcome::Failed(why) => Err(Failure::new(format!("{service} could not: {why}; try again"))),
                other => {
                    Err(Failure::new(format!("{service} gives an answer that makes no sense: {other:?}")))
                }
            }
        })
    }
}
