//! What a host takes from the world around it. Everything here is handed in, so that a test can hand in something else.

use std::sync::Arc;
use std::time::Duration;

pub use trellis_broker::{Clock, SystemClock, TokioClock};
use trellis_store::Store;

use crate::observe::Observer;
pub use crate::outside::{Nobody, Outside, World};
pub use crate::randomness::{Randomness, SeededRandomness, SystemRandomness};
use crate::secrets::Secrets;
use crate::threads::RequestThreads;

/// The surroundings of one [`App`](crate::App).
#[derive(Clone)]
pub struct Env {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub secrets: Secrets,
    /// Servers that are no part of the application.
    pub outside: Arc<dyn Outside>,
    /// Sees, and may disturb, every host call. `None` costs nothing.
    pub observer: Option<Arc<dyn Observer>>,
    pub options: Options,
}

impl Env {
    /// The real clock, the operating system's randomness, and the world outside.
    pub fn real(store: Store, options: Options) -> Env {
        Env {
            store,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            secrets: Secrets::default(),
            outside: Arc::new(World),
            observer: None,
            options,
        }
    }

    /// Time from `clock` (a [`TokioClock`]) and randomness from `seed`; outside there is nobody, unless the simulation says who. Nothing ticks in the background: a
    /// guest that loops for ever is not interrupted here, because interrupting it would depend on how fast the machine is.
    pub fn simulated(store: Store, clock: Arc<dyn Clock>, seed: u64, observer: Arc<dyn Observer>) -> Env {
        Env {
            store,
            clock,
            randomness: Arc::new(SeededRandomness::new(seed)),
            secrets: Secrets::default(),
            outside: Arc::new(Nobody),
            observer: Some(observer),
            options: Options { epoch_thread: false, ..Options::default() },
        }
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("options", &self.options).finish_non_exhaustive()
    }
}

/// How components are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many calls an instance may serve in its life. 1: a fresh instance for every call.
    pub reuse: u32,
    pub limits: Limits,
    /// Whether a thread counts epochs, which is what interrupts a guest that computes for too long.
    pub epoch_thread: bool,
    /// Where compiled components are kept. `None`: compiled again at each start.
    pub cache_dir: Option<std::path::PathBuf>,
    /// How much of a message one line of a guest's output may fill.
    pub log_line_bytes_max: usize,
    /// Where requests are handled. `None`: where everything else is.
    pub request_threads: Option<RequestThreads>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            reuse: 1000,
            limits: Limits::default(),
            epoch_thread: true,
            cache_dir: None,
            log_line_bytes_max: 8 * 1024,
            request_threads: None,
        }
    }
}

/// What one instance, and one call, may use.
#[derive(Clone, Debug)]
pub struct Limits {
    pub memory_bytes_max: usize,
    /// An instance whose memory has grown beyond this is not used again.
    pub memory_bytes_kept: usize,
    pub table_elements_max: usize,
    /// Host resources (streams, requests, buckets) that a guest may hold at once.
    pub resources_max: usize,
    pub call_time_max: Duration,
    /// How long a call waits for a free instance.
    pub queue_time_max: Duration,
    /// How many calls wait for a free instance of one component.
    pub queue_len_max: usize,
    pub request_body_bytes_max: usize,
    /// How many bytes of request bodies there can be at once, over all connections: of those that are being read and of those
    /// that are being handled. Each takes several times as much inside, for what it becomes there.
    pub request_bodies_bytes_max: usize,
    /// The largest body of a request to a server outside, and of its answer.
    pub outside_body_bytes_max: usize,
    /// Concurrent calls of a component whose manifest does not say.
    pub instances_default: usize,
    /// How many instances there can be beyond what the manifest asks for, when components are scaled or others started. It
    /// costs addresses, not memory.
    pub instances_spare: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes_max: 64 << 20,
            memory_bytes_kept: 16 << 20,
            table_elements_max: 20_000,
            resources_max: 4096,
            call_time_max: Duration::from_secs(10),
            queue_time_max: Duration::from_secs(5),
            queue_len_max: 4096,
            request_body_bytes_max: 1 << 20,
            request_bodies_bytes_max: 64 << 20,
            outside_body_bytes_max: 1 << 20,
            instances_default: 32,
            instances_spare: 128,
        }
    }
}
