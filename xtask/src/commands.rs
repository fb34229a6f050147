//! What can be asked for.

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{lattice, new};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Every chore of the repository")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Task,
}

#[derive(Subcommand)]
pub enum Task {
    /// Fill wit/deps with the interface files that the published crates carry
    Wit,
    /// Build everything: components to `build/<name>.wasm`, the command to `target/release/trellis`
    Build {
        /// Build the components (and the guests of the tests) only
        #[arg(long)]
        components: bool,
        /// Build these components only
        #[arg(conflicts_with = "components")]
        names: Vec<String>,
    },
    /// Build everything, then run `trellis up` (with these arguments)
    Up {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Write something new
    New {
        #[command(subcommand)]
        task: new::Task,
    },
    /// Check all that can be checked without running it: format, lints, documentation, invariants
    ///
    /// Advisories are looked up where cargo-audit is installed and has its database. Elsewhere the end says that they were not, or
    /// fails if TRELLIS_ADVISORIES_REQUIRED is set.
    Check {
        /// Check the invariants only, of the components as they were last built: seconds
        #[arg(long)]
        invariants: bool,
    },
    /// Check, then test
    Ci,
    /// Measure, side by side with what it should beat (with these arguments)
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Send the running application requests that nobody thought of, made from its own openapi.json
    Fuzz {
        /// For how long
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
    },
    /// Run the application on a real wasmCloud lattice
    Lattice {
        #[command(subcommand)]
        task: lattice::Task,
    },
    /// Run the application on a host of wasmCloud 2
    V2 {
        #[command(subcommand)]
        task: lattice::v2::Task,
    },
    /// Kill everything at random under load, then see that nothing is lost or doubled and every read model is right
    Chaos {
        /// For how long
        #[arg(long, default_value_t = 300)]
        seconds: u64,
        /// What is done and killed follows from it; without one, each run is another
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Make known mistakes, one after the other, and see that a test notices each
    Mutants {
        /// These only: the names of files in tests/mutants
        names: Vec<String>,
    },
    /// Make the picture anew that README shows
    Screenshots,
    /// Run every test, or those that the filter names
    Test {
        /// Run those of the whole application on a real wasmCloud lattice, by default of one host and one NATS server
        #[arg(long)]
        lattice: bool,
        /// Run those of the whole application on a host of wasmCloud 2
        #[arg(long, conflicts_with = "lattice")]
        v2: bool,
        /// On the lattice, run those of the pages, in a browser, and no others
        #[arg(long, requires = "lattice")]
        pages: bool,
        #[command(flatten)]
        size: lattice::Size,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        filter: Vec<String>,
    },
}

/// The names of the commands, for whoever wants to know whether one exists.
pub fn names() -> Vec<String> {
    Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}
