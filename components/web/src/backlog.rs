//! Who hears a log, and how much of it they have yet to hear; and where a page shows that.

use std::collections::BTreeMap;

use trellis_kit::http::encoded;

use crate::trellis::registry::types::Flow;

/// Where all of it is.
pub const PATH: &str = "/flow";

/// The address of the page or the part that shows one service.
pub fn at(path: &str, service: &str) -> String {
    format!("{path}?service={}", encoded(service))
}

/// Who hears a log, and how much of it they have yet to hear.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backlog {
    pub waiting: u64,
    pub under_way: u64,
    pub redelivered: u64,
    pub not_due: u64,
}

pub fn backlogs(flow: &Flow) -> BTreeMap<&str, Backlog> {
    let mut backlogs: BTreeMap<&str, Backlog> = BTreeMap::new();
    for consumer in &flow.consumers {
        let backlog = backlogs.entry(&consumer.service).or_default();
        backlog.waiting += consumer.waiting;
        backlog.under_way += consumer.under_way;
        backlog.redelivered += consumer.redelivered;
        backlog.not_due += consumer.not_due.unwrap_or_default();
    }
    backlogs
}
