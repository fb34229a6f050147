//! Side-by-side measurements: every figure is a ratio of two things measured in one run, with the machine's own limits beside.
//!
//! `cargo xtask bench` builds what is measured and runs this. Name parts to run only those: `cargo xtask bench http`.

mod accounts;
mod baseline;
mod blog;
mod call;
mod events;
mod express;
mod follow;
mod hops;
mod http;
mod lattice;
mod load;
mod machine;
mod manifest;
mod market;
mod processors;
mod ranks;
mod rebuild;
mod scale;
mod server;
mod side;
mod table;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything when none is named.
    parts: Vec<Part>,
    /// The `trellis` command to measure.
    #[arg(long, default_value = "target/release/trellis")]
    trellis: PathBuf,
    /// The stock `wasmtime` command, for the part `hello`.
    #[arg(long, default_value = "wasmtime")]
    wasmtime: PathBuf,
    /// Where data directories are made: on the disk that durability is paid to.
    #[arg(long, default_value = "target")]
    disk: PathBuf,
    /// The folder of what the parts `blog` and `market` are measured beside, with what it needs installed.
    #[arg(long, default_value = "bench/express")]
    express: PathBuf,
    /// How many posts the parts `blog` and `scale` grow to.
    #[arg(long, default_value_t = 1_000_000)]
    posts: u64,
    /// From how many events the part `rebuild` builds read models.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often the part `accounts` is refused for an unknown email, and for a wrong password.
    #[arg(long, default_value_t = 1000)]
    refusals: u64,
    /// How many tickets are reserved at a time in the part `market`.
    #[arg(long, default_value_t = 1000)]
    tickets: usize,
    /// How many orders wait for their time in the part `market`.
    #[arg(long, default_value_t = 100_000)]
    waiting: u64,
    /// Measure the parts `rebuild` and `accounts` on a lattice of this machine, too; `rebuild` with a fiftieth of the events.
    #[arg(long)]
    lattice: bool,
    /// Serve as the plain hyper server of the part `http`, and do nothing else.
    #[arg(long, hide = true)]
    baseline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What a call into a component costs, without sockets.
    Call,
    /// GET and durable POST against a plain hyper server.
    Http,
    /// One hop into a component against `wasmtime serve`.
    Hello,
    /// The whole application through its gateway beside one written with Express.
    Blog,
    /// Latency, memory, recovery and start-up with few posts and with many.
    Scale,
    /// Read models that are built anew.
    Rebuild,
    /// Signing in, and being signed in.
    Accounts,
    /// Tickets that are reserved and paid, beside the same written with Express; and orders that wait for their time.
    Market,
    /// The whole application on lattices of this machine beside the same in one process, hop by hop.
    Lattice,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.baseline {
        return baseline::serve();
    }
    println!("Machine: {}.", machine::describe());
    println!("fdatasync of 4 KiB, p50: {} us.\n", machine::fdatasync_p50_us(&arguments.disk)?);
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Call) {
        call::run()?;
    }
    if wanted(Part::Http) {
        http::posts(&arguments.trellis, &arguments.disk)?;
    }
    if wanted(Part::Hello) {
        http::hello(&arguments.trellis, &arguments.wasmtime)?;
    }
    if wanted(Part::Blog) {
        blog::run(&arguments.trellis, &arguments.disk, &arguments.express, arguments.posts)?;
    }
    if wanted(Part::Scale) {
        scale::run(&arguments.trellis, &arguments.disk, arguments.posts)?;
    }
    if wanted(Part::Rebuild) {
        rebuild::run(&arguments.trellis, &arguments.disk, arguments.events, arguments.lattice)?;
    }
    if wanted(Part::Accounts) {
        accounts::run(&arguments.trellis, &arguments.disk, arguments.refusals, arguments.lattice)?;
    }
    if wanted(Part::Market) {
        let Arguments { trellis, disk, express, tickets, waiting, .. } = &arguments;
        market::run(trellis, disk, express, *tickets, *waiting)?;
    }
    if wanted(Part::Lattice) {
        lattice::run(&arguments.trellis, &arguments.disk)?;
    }
    Ok(())
}
