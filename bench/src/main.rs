//! Side-by-side measurements: every figure is a ratio of two things measured in one run, with the machine's own limits beside.
//!
//! `cargo xtask bench` builds what is measured and runs this. Name parts to run only those: `cargo xtask bench http`.

mod baseline;
mod blog;
mod call;
mod express;
mod follow;
mod hops;
mod http;
mod lattice;
mod load;
mod machine;
mod manifest;
mod processors;
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
    /// The folder of the blog that the part `blog` is measured beside, with what it needs installed.
    #[arg(long, default_value = "bench/express")]
    express: PathBuf,
    /// How many posts the parts `blog` and `scale` grow to.
    #[arg(long, default_value_t = 1_000_000)]
    posts: u64,
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
    if wanted(Part::Lattice) {
        lattice::run(&arguments.trellis, &arguments.disk)?;
    }
    Ok(())
}
