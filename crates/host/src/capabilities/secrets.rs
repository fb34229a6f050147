//! `wasmcloud:secrets` (store, reveal): what only the component may know that the manifest names.
//!
//! ```yaml
//! - name: payments
//!   type: component
//!   properties:
//!     image: file://build/payments.wasm
//!     secrets:
//!       - name: stripe
//!         properties: { policy: vault, key: stripe-live }
//! ```
//!
//! A component asks by the name, and is given what the operator's file has under the key.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::observe::Probe;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/secrets",
        inline: "
            package trellis:secrets;

            world imports {
                import wasmcloud:secrets/store@0.1.0-draft;
                import wasmcloud:secrets/reveal@0.1.0-draft;
            }
        ",
        world: "trellis:secrets/imports",
        imports: { default: async | trappable },
        with: { "wasmcloud:secrets/store.secret": super::Secret },
    });
}
use generated::wasmcloud::secrets::reveal;
use generated::wasmcloud::secrets::store::{self, SecretValue, SecretsError};

/// The secrets of one component, by the names that it has for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretsCtx {
    pub(crate) values: BTreeMap<String, SecretString>,
}

/// A secret that a guest has asked for.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    store::add_to_linker::<T, Secrets>(linker, view)?;
    reveal::add_to_linker::<T, Secrets>(linker, view)
}

struct Secrets;

impl HasData for Secrets {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a SecretsCtx,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) probe: &'a Probe,
}

impl store::Host for View<'_> {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<Resource<Secret>, SecretsError>> {
        self.probe.enter("secrets.get", |f| _ = f.add(&name)).await?;
        match self.ctx.values.get(&name) {
            Some(secret) => Ok(Ok(self.table.push(Secret(secret.clone()))?)),
            None => Ok(Err(SecretsError::NotFound)),
        }
    }
}

impl store::HostSecret for View<'_> {
    async fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

impl reveal::Host for View<'_> {
    async fn reveal(&mut self, secret: Resource<Secret>) -> wasmtime::Result<SecretValue> {
        self.probe.enter("secrets.reveal", |_| ()).await?;
        let Secret(secret) = self.table.get(&secret)?;
        Ok(SecretValue::String(secret.expose_secret().to_owned()))
    }
}
