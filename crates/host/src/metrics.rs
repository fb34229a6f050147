//! Counters, and how they are written for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted for each component.
#[derive(Debug, Default)]
pub(crate) struct ComponentMetrics {
    pub(crate) http_calls: Counter,
    pub(crate) message_calls: Counter,
    pub(crate) failed_calls: Counter,
    pub(crate) instances_made: Counter,
    pub(crate) refused_messages: Counter,
    pub(crate) warnings: Counter,
    pub(crate) outgoing_requests: Counter,
    pub(crate) outgoing_answers: Counter,
}

/// What a counter is called, what it means, and where it is.
type Metric = (&'static str, &'static str, fn(&ComponentMetrics) -> &Counter);

const METRICS: [Metric; 8] = [
    ("trellis_http_calls_total", "HTTP requests given to a component.", |m| &m.http_calls),
    ("trellis_message_calls_total", "Messages given to a component.", |m| &m.message_calls),
    ("trellis_failed_calls_total", "Calls that trapped, overran, were refused or gave no response.", |m| {
        &m.failed_calls
    }),
    ("trellis_instances_made_total", "Instances made of a component.", |m| &m.instances_made),
    (
        "trellis_refused_messages_total",
        "Messages that a component may not send, and that were not sent.",
        |m| &m.refused_messages,
    ),
    ("trellis_warnings_total", "Lines of a component's log that warn, or tell of an error.", |m| &m.warnings),
    ("trellis_outgoing_requests_total", "Requests of a component to servers outside.", |m| {
        &m.outgoing_requests
    }),
    ("trellis_outgoing_answers_total", "Whole answers of servers outside to a component.", |m| {
        &m.outgoing_answers
    }),
];

/// All counters in Prometheus' text format.
pub(crate) fn render<'a>(
    components: impl Iterator<Item = (&'a str, &'a ComponentMetrics)> + Clone,
) -> String {
    let mut text = String::new();
    for (name, help, counter) in METRICS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (component, metrics) in components.clone() {
            let _ = writeln!(text, "{name}{{component=\"{component}\"}} {}", counter(metrics).get());
        }
    }
    text
}
