//! What a call into a component costs, without sockets: the host inside this process, on one thread.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_store::Store;

use crate::table;

const MANIFEST: &str = "tests/guests/hello/wadm.yaml";
const COMPONENT: &str = "hello";
const CALLS: u32 = 2_000;
const ROUNDS: usize = 5;

pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut rows = Vec::new();
    for (instances, reuse) in [("a fresh one each", 1), ("reused", u32::MAX)] {
        let (time, cpu) = runtime.block_on(measure(Options { reuse, ..Options::default() }))?;
        let micros = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
        rows.push(vec![instances.to_owned(), micros(time), micros(cpu)]);
    }
    let title = format!("One call of the hello component, best of {ROUNDS} rounds of {CALLS}");
    table::print(&title, &["instances", "us", "of it on the processor, us"], &rows);
    Ok(())
}

async fn measure(options: Options) -> Result<(Duration, Duration)> {
    let application = Application::read(Path::new(MANIFEST))?;
    let app = App::start(&application, Env::real(Store::in_memory(), options)).await?;
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (started, cpu_before) = (Instant::now(), cpu_time());
        for _ in 0..CALLS {
            let request = http::Request::get("http://localhost/").body(Bytes::new())?;
            let response = app.http(COMPONENT, request).await?;
            ensure!(response.status() == 200, "{COMPONENT} answered {}", response.status());
        }
        best = best.min((started.elapsed() / CALLS, (cpu_time() - cpu_before) / CALLS));
    }
    Ok(best)
}

/// What this thread has used of the processor. On a machine that does other things too, this is the figure to compare.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
