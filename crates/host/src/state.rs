//! What a wasmtime store holds for one instance: its resources, its limits, and its view of each capability.

use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capabilities::Capabilities;
use crate::capabilities::http::Hooks;
use crate::env::Limits;
use crate::observe::Probe;
use crate::output;

/// One instance's side of the host.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) probe: Probe,
    pub(crate) limiter: Limiter,
    /// When the call that runs now must be over.
    pub(crate) deadline: Instant,
    /// For how long it has computed, if somebody waits for the answer.
    pub(crate) computing: Option<Computing>,
    /// Where the message that it handles now asks to be answered.
    pub(crate) answering: Option<String>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    pub(crate) fn new(
        capabilities: Arc<Capabilities>,
        probe: Probe,
        limits: &Limits,
        line_bytes_max: usize,
    ) -> State {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources_max);
        // No arguments, variables, folders or sockets; clocks and randomness are capabilities of their own.
        let mut wasi = WasiCtx::builder();
        wasi.allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .stdout(output::Lines::new(probe.component.clone(), output::Stream::Out, line_bytes_max))
            .stderr(output::Lines::new(probe.component.clone(), output::Stream::Err, line_bytes_max));
        State {
            table,
            hooks: Hooks::new(capabilities.http.clone(), probe.clone()),
            capabilities,
            probe,
            limiter: Limiter::new(limits),
            deadline: Instant::now(),
            computing: None,
            answering: None,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
        }
    }
}

/// For how many epochs in a row a call has asked nothing of the host.
#[derive(Debug, Default)]
pub(crate) struct Computing {
    calls: u64,
    epochs: u32,
}

impl Computing {
    /// Another epoch is over, and the instance has made so many host calls. Returns for how many it has made none.
    pub(crate) fn goes_on(&mut self, calls: u64) -> u32 {
        self.epochs = if calls == self.calls { self.epochs + 1 } else { 0 };
        self.calls = calls;
        self.epochs
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Bounds on what an instance may allocate in the engine.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    /// The largest memory the instance has had.
    pub(crate) memory_bytes: usize,
    /// Whether it wanted more than it may have.
    pub(crate) refused: bool,
}

impl Limiter {
    fn new(limits: &Limits) -> Limiter {
        Limiter {
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            memory_bytes: 0,
            refused: false,
        }
    }
}

impl wasmtime::ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_bytes_max;
        if allowed {
            self.memory_bytes = self.memory_bytes.max(desired);
        } else {
            self.refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.table_elements_max;
        self.refused |= !allowed;
        Ok(allowed)
    }
}
