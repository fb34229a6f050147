//! A real wasmCloud lattice on this machine: NATS, wadm and hosts as processes, with the application deployed on it.
//!
//! ```text
//! cargo xtask lattice build            what the lattice is made of, kept outside the repository
//! cargo xtask lattice up --hosts 3     start it, deploy wadm.yaml, return when the application answers
//! cargo xtask lattice down             end what `up` started, and nothing else
//! cargo xtask lattice accounts         what keeps services apart on NATS; `up --accounts` uses it
//! cargo xtask lattice wash             the official command, for trying it by hand
//! ```
//!
//! The machine needs package registries only: the programs are built from published crates, see `lattice/`.

mod accounts;
mod hosts;
mod http;
mod manifest;
mod processes;
mod running;
mod secrets;
mod servers;
mod tools;
pub mod v2;
mod wash;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::components;
use crate::failure::Result;
use crate::step::Steps;
use crate::workspace::Workspace;

pub use accounts::Accounts;
pub use hosts::Hosts;
pub use manifest::{on_every_host, on_hosts};
pub use processes::Processes;
pub use running::{Lattice, Plan};
pub use secrets::Secrets;
pub use tools::Tools;
pub use v2::V2;

/// Tests of the whole find a lattice here.
pub const VARIABLE: &str = "TRELLIS_LATTICE";

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Build and test the host, wadm and the providers, unless this version of them is in the cache
    Build,
    /// Start NATS, wadm and hosts, and deploy wadm.yaml; it all keeps running
    Up {
        #[command(flatten)]
        size: Size,
        /// Keep services apart: each is a user of NATS that may touch what is its own
        #[arg(long)]
        accounts: bool,
        /// The file with the secrets that the manifest names, of mode 0600, as `trellis up` takes it
        #[arg(long)]
        secrets: Option<PathBuf>,
    },
    /// Make the accounts and permissions of the services on NATS, in build/accounts
    Accounts,
    /// End what `up` started
    Down,
    /// Build wash, and lay NATS, wadm and the host where `wash up` looks for them
    Wash,
}

/// How much a lattice is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Size {
    /// How many wasmCloud hosts; they are labelled host=1, host=2, … and zone=a, zone=b, …
    #[arg(long, default_value_t = Self::LEAST.hosts, value_parser = clap::value_parser!(u8).range(1..=9))]
    hosts: u8,
    /// How many NATS servers; more than one are a cluster
    #[arg(long, default_value_t = Self::LEAST.servers, value_parser = clap::value_parser!(u8).range(1..=5))]
    servers: u8,
}

impl Size {
    /// As it is unless somebody asks for more.
    pub const LEAST: Self = Self { hosts: 1, servers: 1 };
}

pub fn run(task: &Task, workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    match task {
        Task::Build => tools::ready(workspace, steps).map(drop),
        Task::Wash => {
            let tools = tools::ready(workspace, steps)?;
            wash::ready(workspace, &tools, steps)
        }
        Task::Accounts => {
            let (manifest, folder) =
                (workspace.root.join("wadm.yaml"), workspace.root.join("build/accounts"));
            components::build_all(workspace, steps)?;
            Accounts::ready(workspace, steps)?.write(&manifest, &folder)?;
            println!("{}", folder.display());
            Ok(())
        }
        Task::Up { size, accounts, secrets } => {
            let tools = tools::ready(workspace, steps)?;
            components::build_all(workspace, steps)?;
            let plan = Plan::of(workspace, "lattice")?;
            let accounts = accounts.then(|| Accounts::ready(workspace, steps)).transpose()?;
            let operator = accounts.as_ref().map(|_| Accounts::operator(&plan.folder));
            let secrets = secrets.as_deref().map(Secrets::of).transpose()?;
            let plan = Plan { hosts: size.hosts, servers: size.servers, accounts, secrets, ..plan };
            let lattice = Lattice::up(plan, tools, steps)?;
            if let Some(file) = operator {
                eprintln!("xtask: commands of an operator take --creds {}", file.display());
            }
            println!("http://{}", lattice.http());
            Ok(())
        }
        Task::Down => {
            let folder = Plan::of(workspace, "lattice")?.folder;
            if !steps.run("lattice down", || Lattice::down(&folder))? {
                eprintln!("xtask: no lattice of this checkout is running");
            }
            Ok(())
        }
    }
}

/// How often a lattice hears of some host, so that one that is killed is missed soon. At each of these, services look whether all is there.
const HEARTBEAT_IN_TESTS: Duration = Duration::from_secs(3);

/// A lattice for tests to share. Returns its folder, which the tests are told by [`VARIABLE`].
pub fn for_tests(workspace: &Workspace, size: Size, steps: &mut Steps) -> Result<PathBuf> {
    let tools = tools::ready(workspace, steps)?;
    let plan = Plan::of(workspace, "lattice-tests")?;
    let Size { hosts, servers } = size;
    let manifest = on_hosts(&plan.manifest, usize::from(hosts));
    let folder = plan.folder.clone();
    let plan = Plan {
        hosts,
        servers,
        manifest,
        as_in_manifest: false,
        heartbeat: HEARTBEAT_IN_TESTS * u32::from(hosts),
        secrets: Some(Secrets::in_folder(&folder)),
        ..plan
    };
    // One that was interrupted has left it.
    Lattice::down(&folder)?;
    Lattice::up(plan, tools, steps)?;
    Ok(folder)
}
