//! `wasi:random`: random bytes from the [`Randomness`] that the host was given, and from nowhere else.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::observe::Probe;
use crate::randomness::Randomness;

/// What one call may ask for; more is a mistake or an attack.
const BYTES_MAX: u64 = 1 << 20;

/// The randomness of one application.
#[derive(Clone)]
pub(crate) struct RandomCtx {
    pub(crate) randomness: Arc<dyn Randomness>,
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    random::add_to_linker::<T, Random>(linker, view)?;
    insecure::add_to_linker::<T, Random>(linker, view)?;
    insecure_seed::add_to_linker::<T, Random>(linker, view)
}

struct Random;

impl HasData for Random {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a RandomCtx,
    pub(crate) probe: &'a Probe,
}

impl View<'_> {
    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        wasmtime::ensure!(len <= BYTES_MAX, "{len} random bytes asked for at once, more than {BYTES_MAX}");
        let mut bytes = vec![0; usize::try_from(len)?];
        self.ctx.randomness.fill(&mut bytes);
        self.probe.leave("random.bytes", |f| _ = f.add(&bytes))?;
        Ok(bytes)
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.ctx.randomness.fill(&mut bytes);
        self.probe.leave("random.u64", |f| _ = f.add(bytes))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}
