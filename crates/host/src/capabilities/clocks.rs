//! `wasi:clocks`: the wall clock and the monotonic clock, both from the [`Clock`] that the host was given.
//!
//! The monotonic clock counts tokio's time since the application started. So a guest that sleeps and a guest that looks
//! at the clock agree, also while a simulation moves time by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use trellis_broker::Clock;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::observe::Probe;

/// The clocks of one application.
#[derive(Clone)]
pub(crate) struct ClocksCtx {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Instant,
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<T, Clocks>(linker, view)?;
    monotonic_clock::add_to_linker::<T, Clocks>(linker, view)
}

struct Clocks;

impl HasData for Clocks {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a ClocksCtx,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) probe: &'a Probe,
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = self.ctx.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.probe.leave("wall-clock.now", |f| _ = f.add(now.as_nanos().to_le_bytes()))?;
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1000 })
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        let now = nanoseconds(self.ctx.started.elapsed());
        self.probe.leave("monotonic-clock.now", |f| _ = f.add(now.to_le_bytes()))?;
        Ok(now)
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(1000)
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = Alarm { at: self.ctx.started.checked_add(Duration::from_nanos(when)) };
        let alarm = self.table.push(alarm)?;
        subscribe(self.table, alarm)
    }

    fn subscribe_duration(
        &mut self,
        wait: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = Alarm { at: Instant::now().checked_add(Duration::from_nanos(wait)) };
        let alarm = self.table.push(alarm)?;
        subscribe(self.table, alarm)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Ready at an instant, or never when that is beyond what can be counted.
struct Alarm {
    at: Option<Instant>,
}

#[async_trait::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
