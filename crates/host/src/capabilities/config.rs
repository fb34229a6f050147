//! `wasi:config/store`: a component's configuration, as the manifest gives it.
//!
//! ```yaml
//! - name: posts
//!   type: component
//!   properties:
//!     image: file://build/posts.wasm
//!     config:
//!       - name: posts-settings
//!         properties: { partitions: "8" }
//! ```

use std::collections::BTreeMap;

use wasmtime::component::{HasData, Linker};

use crate::observe::Probe;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/config",
        world: "wasi:config/imports",
        imports: { default: async | trappable },
    });
}
use generated::wasi::config::store;

/// What one component is configured with.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigCtx {
    pub(crate) values: BTreeMap<String, String>,
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    store::add_to_linker::<T, Config>(linker, view)
}

struct Config;

impl HasData for Config {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a ConfigCtx,
    pub(crate) probe: &'a Probe,
}

impl store::Host for View<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        self.probe.enter("config.get", |f| _ = f.add(&key)).await?;
        Ok(Ok(self.ctx.values.get(&key).cloned()))
    }

    async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        self.probe.enter("config.get-all", |_| ()).await?;
        Ok(Ok(self.ctx.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}
