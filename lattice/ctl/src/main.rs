//! `lattice-ctl`: the few things that `cargo xtask lattice` asks of a lattice, over NATS, with the crates that `wash` is made
//! of. `wash` does them too, and takes as long to build as everything else here together.

mod archive;
mod ask;
mod config;
mod deploy;
mod sign;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "lattice-ctl", about = "What `cargo xtask lattice` asks of a lattice")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put a provider's program into an archive that a host can load, as `wash par create --compress` does
    Archive {
        #[arg(long)]
        name: String,
        #[arg(long)]
        version: String,
        #[arg(long)]
        program: PathBuf,
        /// Ends in .par.gz
        #[arg(long)]
        destination: PathBuf,
    },
    /// Sign components, and print the public key of who has signed them
    Sign {
        /// The file with the seed of the signer's account; made if there is none
        #[arg(long)]
        seed: PathBuf,
        /// The folder for them
        #[arg(long)]
        into: PathBuf,
        components: Vec<PathBuf>,
    },
    /// Wait until wadm answers
    Manager {
        #[command(flatten)]
        lattice: Lattice,
    },
    /// Wait until this many hosts have joined
    Hosts {
        #[command(flatten)]
        lattice: Lattice,
        #[arg(long)]
        count: usize,
    },
    /// Deploy a manifest and wait until wadm says that all of it runs
    Deploy {
        #[command(flatten)]
        lattice: Lattice,
        #[command(flatten)]
        hosts: Hosts,
        /// The application that is taken away before, with all that runs of it
        #[arg(long, value_name = "APPLICATION")]
        replace: Option<String>,
        manifest: PathBuf,
    },
    /// Undeploy an application and wait until none of it runs
    Undeploy {
        #[command(flatten)]
        lattice: Lattice,
        #[command(flatten)]
        hosts: Hosts,
        application: String,
    },
    /// Stop a provider wherever it runs; wadm starts it again, with every link that there is by then
    RestartProvider {
        #[command(flatten)]
        lattice: Lattice,
        #[command(flatten)]
        hosts: Hosts,
        /// Its identifier, `<application>-<name in the manifest>`
        provider: String,
    },
    /// Ask on each of these subjects, and print those on which nobody answers
    Unanswered {
        #[command(flatten)]
        lattice: Lattice,
        /// What is asked
        #[arg(long)]
        request: String,
        subjects: Vec<String>,
    },
}

#[derive(Args)]
struct Lattice {
    /// The address of NATS, or those of its servers
    #[arg(long, value_delimiter = ',')]
    nats: Vec<String>,
    #[arg(long, default_value = "default")]
    lattice: String,
    /// A file with the credentials of a NATS user
    #[arg(long)]
    creds: Option<PathBuf>,
    /// How long to wait for it all
    #[arg(long, default_value_t = 60)]
    timeout_seconds: u64,
}

#[derive(Args)]
struct Hosts {
    /// How many hosts there are: all of them are asked
    #[arg(long = "hosts")]
    count: usize,
}

impl Lattice {
    async fn connect(&self) -> Result<async_nats::Client> {
        let mut options = async_nats::ConnectOptions::new();
        if let Some(file) = &self.creds {
            let read = options.credentials_file(file).await;
            options = read.with_context(|| format!("cannot read the credentials in {}", file.display()))?;
        }
        options
            .connect(&self.nats)
            .await
            .with_context(|| format!("cannot connect to NATS at {}", self.nats.join(", ")))
    }

    /// Does the work within the time there is; `what` is what did not happen otherwise.
    async fn within<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = Duration::from_secs(self.timeout_seconds);
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("{what} within {} s", self.timeout_seconds)))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Archive { name, version, program, destination } => {
            archive::write(&name, &version, &program, &destination).await
        }
        Command::Sign { seed, into, components } => {
            let signer = sign::signer(&seed)?;
            for component in components {
                let name =
                    component.file_name().with_context(|| format!("{} is no file", component.display()))?;
                sign::sign(&signer, &component, &into.join(name))?;
            }
            println!("{}", signer.public_key());
            Ok(())
        }
        Command::Manager { lattice } => {
            let client = lattice.connect().await?;
            let work = deploy::wait_for_manager(client, &lattice.lattice);
            lattice.within("wadm did not answer", work).await
        }
        Command::Hosts { lattice, count } => {
            let client = lattice.connect().await?;
            let what = format!("{count} hosts did not join");
            lattice.within(&what, deploy::wait_for_hosts(client, &lattice.lattice, count)).await
        }
        Command::Deploy { lattice, hosts, replace, manifest } => {
            let client = lattice.connect().await?;
            let mut progress = deploy::Progress::default();
            let result = lattice
                .within(
                    "the application did not run",
                    deploy::deploy(
                        client,
                        &lattice.lattice,
                        &manifest,
                        replace.as_deref(),
                        hosts.count,
                        &mut progress,
                    ),
                )
                .await;
            result.with_context(|| progress.to_string())
        }
        Command::Undeploy { lattice, hosts, application } => {
            let client = lattice.connect().await?;
            let work = deploy::undeploy(client, &lattice.lattice, &application, hosts.count);
            lattice.within("the application did not end", work).await
        }
        Command::RestartProvider { lattice, hosts, provider } => {
            let client = lattice.connect().await?;
            let work = deploy::stop_provider(client, &lattice.lattice, &provider, hosts.count);
            lattice.within("the provider did not stop", work).await
        }
        Command::Unanswered { lattice, request, subjects } => {
            let client = lattice.connect().await?;
            let work = ask::unanswered(&client, &request, subjects);
            let unanswered = lattice.within("not all was asked", work).await?;
            unanswered.iter().for_each(|subject| println!("{subject}"));
            Ok(())
        }
    }
}
