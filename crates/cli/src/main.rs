//! The `trellis` command.

mod connection;
mod control;
mod demo;
mod dlq;
mod events;
mod failure;
mod forget;
mod http;
mod jetstream;
mod orders;
mod replay;
mod services;
mod status;
mod table;
mod up;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  it failed; standard error says what and why
  2  the command line is wrong
  3  the data directory cannot be used: in use, damaged, or from a newer version
  4  `trellis status`: something needs attention; the last lines say what";

/// Event-driven services as WebAssembly components, in one process.
#[derive(Debug, Parser)]
#[command(name = "trellis", version, after_help = EXIT_CODES)]
struct Cli {
    /// The form of log lines on standard error. RUST_LOG says which are written, such as RUST_LOG=debug
    #[arg(long, global = true, value_enum, default_value_t)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the application of a manifest until a signal
    Up(up::Up),
    /// Let a few people write, sell and buy on an empty site, as something to look at
    Demo(demo::Demo),
    /// Say whether all is well with a running application, and where not
    Status(status::Status),
    /// Stop a service of a running application: nobody finds it any more, and what it has begun is finished
    Stop(control::Stop),
    /// Start a service that is stopped, from its file as it is now, or one from a manifest of its own
    Start(control::Start),
    /// Let more or fewer calls of a service run at once
    Scale(control::Scale),
    /// Build the read models of a service anew, while the old ones answer
    Replay(replay::Replay),
    /// Let a service wait no more for a version of it that follows a log
    Forget(forget::Forget),
    /// List, show, try again or remove events that a service could not handle
    Dlq(dlq::Dlq),
    /// Check everything in a data directory, and change nothing
    Verify(verify::Verify),
    /// Print the events of services, one JSON line each
    Events(events::Events),
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log);
    let result = match cli.command {
        Command::Up(up) => up.run(),
        Command::Demo(demo) => demo.run(),
        Command::Status(status) => status.run(),
        Command::Replay(replay) => replay.run(),
        Command::Forget(forget) => forget.run(),
        Command::Dlq(dlq) => dlq.run(),
        Command::Stop(stop) => stop.run(),
        Command::Start(start) => start.run(),
        Command::Scale(scale) => scale.run(),
        Command::Verify(verify) => verify.run(),
        Command::Events(events) => events.run(),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn log_to_stderr(format: LogFormat) {
    // That a command connects is no news to whoever ran it.
    let unless_told_otherwise = "info,async_nats=warn";
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(told) => EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(told),
        Err(_) => EnvFilter::new(unless_told_otherwise),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
