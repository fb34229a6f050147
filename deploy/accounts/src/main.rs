//! `nats-accounts`: makes what NATS needs to keep services apart, from `wadm.yaml` and its components.
//!
//! ```sh
//! cargo run --package nats-accounts -- --folder build/accounts
//! ```
//!
//! | file | is | who needs it |
//! |---|---|---|
//! | `accounts.conf` | what each user may do, signed; nothing in it is secret | the configuration of every NATS server, by `include` |
//! | `wadm.yaml` | the manifest, in which every link has its credentials, and every service is told where JetStream is | `wash app deploy` |
//! | `lattice.creds` | the user of wadm, of hosts and of `wash` | `--nats-creds`, `--nats-creds-file`, `--ctl-credsfile` |
//! | `operator.creds` | the user that may do all that can be done with logs, and ask every service | `trellis status --creds` and its like |
//! | `<service>.creds`, `<service>-bucket.creds` | the users of one service: for messages, and for its bucket | links, where secrets are kept elsewhere than in the manifest |
//! | `keys/` | the keys that sign all that | a safe place; without them all is made anew |
//!
//! Run again, it goes on with the keys that are there: credentials that were given out stay good, and servers take a new
//! `accounts.conf` while they run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use nats_accounts::{Components, Folder, Manifest, account};

#[derive(Parser)]
#[command(name = "nats-accounts", about = "Makes the accounts and permissions of the application on NATS")]
struct Arguments {
    /// The application
    #[arg(long, default_value = "wadm.yaml")]
    manifest: PathBuf,
    /// Where to put what is made, and to look for the keys
    #[arg(long, default_value = "build/accounts")]
    folder: PathBuf,
    /// Where `<name>.wasm` is of each component whose image is in a registry
    #[arg(long)]
    components: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { manifest: file, folder, components } = Arguments::parse();
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest = Manifest::read(&text).with_context(|| format!("cannot read {}", file.display()))?;
    let components =
        Components { manifest: file.parent().unwrap_or(Path::new("")), downloaded: components.as_deref() };
    let services = manifest.services(&components)?;
    let folder = Folder::open(folder)?;
    account::write(&folder, &services, &manifest)
}
