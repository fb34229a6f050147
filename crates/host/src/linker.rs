//! What components import, brought together with what their instances are kept in.

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, filesystem};

use crate::capabilities::{clocks, config, keyvalue, logging, messaging, random, secrets};
use crate::state::State;

/// A linker with every capability that this host has.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    basics(&mut linker)?;
    clocks::add_to_linker(&mut linker, |state: &mut State| clocks::View {
        ctx: &state.capabilities.clocks,
        table: &mut state.table,
        probe: &state.probe,
    })?;
    config::add_to_linker(&mut linker, |state: &mut State| config::View {
        ctx: &state.capabilities.config,
        probe: &state.probe,
    })?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    keyvalue::add_to_linker(&mut linker, |state: &mut State| keyvalue::View {
        ctx: &state.capabilities.keyvalue,
        table: &mut state.table,
        probe: &state.probe,
    })?;
    logging::add_to_linker(&mut linker, |state: &mut State| logging::View {
        ctx: &state.capabilities.logging,
        probe: &state.probe,
    })?;
    messaging::add_to_linker(&mut linker, |state: &mut State| messaging::View {
        ctx: &state.capabilities.messaging,
        answering: state.answering.as_deref(),
        probe: &state.probe,
    })?;
    random::add_to_linker(&mut linker, |state: &mut State| random::View {
        ctx: &state.capabilities.random,
        probe: &state.probe,
    })?;
    secrets::add_to_linker(&mut linker, |state: &mut State| secrets::View {
        ctx: &state.capabilities.secrets,
        table: &mut state.table,
        probe: &state.probe,
    })?;
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
