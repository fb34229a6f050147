//! What a call into a component costs, without sockets: `cargo bench -p trellis-host`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_store::Store;

const CALLS: u32 = 20_000;
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
        let best = runtime.block_on(measure(options))?;
        println!("  {name:22} {:>8.2} us", best.as_secs_f64() * 1e6);
    }
    Ok(())
}

async fn measure(options: Options) -> Result<Duration, Box<dyn Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench.yaml");
    let application = Application::parse(&file, MANIFEST)?;
    let app = App::start(&application, Env::real(Store::in_memory(), options)).await?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..CALLS {
            let response =
                app.http("hello", http::Request::get("http://localhost/").body(Bytes::new())?).await?;
            assert_eq!(response.status(), 200);
        }
        best = best.min(started.elapsed() / CALLS);
    }
    Ok(best)
}
