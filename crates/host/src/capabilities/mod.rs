//! What a component can ask of the host. One file for each, all of one shape:
//!
//! * the `//!` says what it is and how a manifest gives it to a component;
//! * `generated` holds the bindings, private to the file;
//! * `…Ctx` is what the manifest and the environment decided, shared by all instances of a component;
//! * `View` is that, seen by one instance during one call; the host functions are implemented on it;
//! * `add_to_linker` makes it importable.
//!
//! Every host function that does something tells the [`Probe`](crate::observe::Probe) before and after.

pub(crate) mod clocks;
pub(crate) mod config;
pub(crate) mod http;
pub(crate) mod keyvalue;
pub(crate) mod logging;
pub(crate) mod messaging;
pub(crate) mod random;

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, filesystem};

use crate::state::State;

/// Everything that one component has been given.
pub(crate) struct Capabilities {
    pub(crate) clocks: clocks::ClocksCtx,
    pub(crate) config: config::ConfigCtx,
    pub(crate) keyvalue: keyvalue::KeyValueCtx,
    pub(crate) logging: logging::LoggingCtx,
    pub(crate) messaging: messaging::MessagingCtx,
    pub(crate) random: random::RandomCtx,
    pub(crate) http_client: bool,
}

/// A linker with every capability that this host has.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    basics(&mut linker)?;
    clocks::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker)?;
    http::add_to_linker(&mut linker)?;
    keyvalue::add_to_linker(&mut linker)?;
    logging::add_to_linker(&mut linker)?;
    messaging::add_to_linker(&mut linker)?;
    random::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// What the C library of every guest imports, whether it uses it or not: streams, an empty environment, no files.
fn basics(l: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<State, Io>(l, |state| state.ctx().table)?;
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<State, Io>(l, |state| state.ctx().table)?;
    wasmtime_wasi_io::bindings::wasi::io::streams::add_to_linker::<State, Io>(l, |state| state.ctx().table)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut wasmtime::component::ResourceTable;
}
