//! The wasmtime engine, sized for one application, and the thread that counts its epochs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::env::{Limits, Options};

/// A guest that computes gives way to others, and is looked at by the deadline, this often.
const EPOCH: Duration = Duration::from_millis(2);
/// A component made of several core modules (adapters) takes this many slots at most.
const CORE_INSTANCES_PER_COMPONENT: u32 = 8;
const MEMORIES_PER_COMPONENT: u32 = 2;
const TABLES_PER_COMPONENT: u32 = 8;

/// The engine. Dropping it ends the epoch thread.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    /// How many instances there can be at once.
    pub(crate) room: usize,
    _epochs: Option<EpochThread>,
}

impl Engine {
    /// An engine with room for `instances` instances at once.
    pub(crate) fn new(instances: usize, options: &Options) -> wasmtime::Result<Engine> {
        let wasmtime = wasmtime::Engine::new(&config(instances, &options.limits))?;
        let epochs = options.epoch_thread.then(|| EpochThread::start(&wasmtime)).transpose()?;
        Ok(Engine { wasmtime, room: instances, _epochs: epochs })
    }
}

fn config(instances: usize, limits: &Limits) -> Config {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX).max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        // Wiping the pages that a call has touched is cheaper than giving them back to the kernel and faulting them in again;
        // where the kernel can say which those are, nothing else is wiped.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(512 << 10)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(32 << 10)
        // Idle memory is what an application without load is judged by.
        .max_unused_warm_slots(16);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // Where runs must repeat, floating point must not depend on the machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

/// Increments the epoch until dropped.
#[derive(Debug)]
struct EpochThread {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl EpochThread {
    fn start(engine: &wasmtime::Engine) -> wasmtime::Result<EpochThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.weak(), stop.clone());
        let thread = std::thread::Builder::new().name("trellis-epochs".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(EpochThread { stop, thread: Some(thread) })
    }
}

impl Drop for EpochThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only ever sleeps and counts: it cannot have panicked with anything worth passing on.
            let _ = thread.join();
        }
    }
}
