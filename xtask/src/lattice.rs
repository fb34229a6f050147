//! A real wasmCloud lattice on this machine: NATS, wadm and hosts as processes, with the application deployed on it.
//!
//! ```text
//! cargo xtask lattice build            what the lattice is made of, kept outside the repository
//! cargo xtask lattice up --hosts 3     start it, deploy wadm.yaml, return when the application answers
//! cargo xtask lattice down             end what `up` started, and nothing else
//! cargo xtask lattice wash             the official command, for trying it by hand
//! ```
//!
//! The machine needs package registries only: the programs are built from published crates, see `lattice/`.

mod http;
mod manifest;
mod processes;
mod run;
mod tools;
mod wash;

use clap::Subcommand;

use crate::components;
use crate::failure::Result;
use crate::step::Steps;
use crate::workspace::Workspace;

#[derive(Subcommand)]
pub enum Task {
    /// Build the host, wadm and the providers, unless this version of them is in the cache
    Build,
    /// Start NATS, wadm and hosts, and deploy wadm.yaml; it all keeps running
    Up {
        /// How many wasmCloud hosts; they are labelled host=1, host=2, … and zone=a, zone=b, …
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        hosts: u8,
    },
    /// End what `up` started
    Down,
    /// Build wash, and lay NATS, wadm and the host where `wash up` looks for them
    Wash,
}

pub fn run(task: &Task, workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    match task {
        Task::Build => tools::ready(workspace, steps).map(drop),
        Task::Wash => {
            let tools = tools::ready(workspace, steps)?;
            wash::ready(workspace, &tools, steps)
        }
        Task::Up { hosts } => {
            let tools = tools::ready(workspace, steps)?;
            components::build_all(workspace, steps)?;
            run::up(workspace, &tools, *hosts, steps)
        }
        Task::Down => run::down(workspace, steps),
    }
}
