//! `wasi:logging/logging`: a component's log lines, in the host's log under the component's name.
//!
//! A line is bounded (what is beyond is cut, and said so) and cannot forge another line. Warnings and errors are counted, for
//! whoever watches many hosts and reads no log.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use crate::metrics::ComponentMetrics;
use crate::observe::Probe;
use crate::output::printable;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/logging",
        world: "wasi:logging/imports",
        imports: { default: async | trappable },
    });
}
use generated::wasi::logging::logging::{self, Level};

/// How a component's lines are treated.
#[derive(Clone, Debug)]
pub(crate) struct LoggingCtx {
    pub(crate) line_bytes_max: usize,
    pub(crate) metrics: Arc<ComponentMetrics>,
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    logging::add_to_linker::<T, Logging>(linker, view)
}

struct Logging;

impl HasData for Logging {
    type Data<'a> = View<'a>;
}

pub(crate) struct View<'a> {
    pub(crate) ctx: &'a LoggingCtx,
    pub(crate) probe: &'a Probe,
}

impl logging::Host for View<'_> {
    async fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        self.probe.enter("logging.log", |f| _ = f.add(&context).add(&message)).await?;
        let component = &*self.probe.component;
        let context = bounded(&context, self.ctx.line_bytes_max);
        let message = bounded(&message, self.ctx.line_bytes_max);
        if matches!(level, Level::Warn | Level::Error | Level::Critical) {
            self.ctx.metrics.warnings.add(1);
        }
        match level {
            Level::Trace => tracing::trace!(target: "guest", component, context, "{message}"),
            Level::Debug => tracing::debug!(target: "guest", component, context, "{message}"),
            Level::Info => tracing::info!(target: "guest", component, context, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", component, context, "{message}"),
            Level::Error => tracing::error!(target: "guest", component, context, "{message}"),
            Level::Critical => {
                tracing::error!(target: "guest", component, context, critical = true, "{message}")
            }
        }
        Ok(())
    }
}

fn bounded(text: &str, bytes_max: usize) -> String {
    let kept = text.floor_char_boundary(bytes_max);
    let mut line = printable(text.as_bytes().get(..kept).unwrap_or_default());
    if kept < text.len() {
        line.push_str(&format!(" … ({} more bytes)", text.len() - kept));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_line_is_cut_at_a_character_and_cannot_forge_another() {
        assert_eq!(bounded("short", 100), "short");
        assert_eq!(bounded("aé", 2), "a … (2 more bytes)");
        assert_eq!(bounded("a\nERROR b\x1b[2J", 100), "a\u{fffd}ERROR b\u{fffd}[2J");
    }
}
