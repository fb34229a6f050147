//! What a call into a component costs, without sockets: `cargo bench -p trellis-host`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_store::Store;

const CALLS: u32 = 2_000;
const ROUNDS: usize = 5;

const MANIFEST: &str = r#"
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: { name: bench, annotations: {} }
spec:
  components:
    - name: hello
      type: component
      properties: { image: "file://build/test/hello.wasm" }
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    println!("one call of GET / on build/test/hello.wasm, best of {ROUNDS} rounds of {CALLS}");
    for (name, reuse) in [("a fresh instance each", 1), ("reused instances", u32::MAX)] {
        let options = Options { reuse, ..Options::default() };
        let (time, cpu) = runtime.block_on(measure(options))?;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!("  {name:22} {:>8.2} us, of which {:>8.2} us on the processor", micros(time), micros(cpu));
    }
    Ok(())
}

async fn measure(options: Options) -> Result<(Duration, Duration), Box<dyn Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench.yaml");
    let application = Application::parse(&file, MANIFEST)?;
    let app = App::start(&application, Env::real(Store::in_memory(), options)).await?;
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (started, cpu_before) = (Instant::now(), cpu_time());
        for _ in 0..CALLS {
            let response =
                app.http("hello", http::Request::get("http://localhost/").body(Bytes::new())?).await?;
            assert_eq!(response.status(), 200);
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
