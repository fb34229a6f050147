//! Whether a component's imports are met by the manifest's links, and by this host at all.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::manifest::{ComponentPlan, Problem};

/// Interfaces, or packages ending in `/`, that every component has without a link.
const FREE: [&str; 11] = [
    "wasi:cli/",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:config/store",
    "wasi:filesystem/",
    "wasi:http/types",
    "wasi:io/",
    "wasi:logging/logging",
    "wasi:random/",
    "wasmcloud:messaging/types",
    "wasmcloud:secrets/",
];

/// Interfaces that need a link, and the capability to link to. Without a link to an HTTP client outgoing requests are refused
/// when they are made: a service may make them only where it is configured to.
const LINKED: [(&str, &str); 4] = [
    ("wasi:keyvalue/store", "keyvalue-nats"),
    ("wasi:keyvalue/atomics", "keyvalue-nats"),
    ("wasi:keyvalue/batch", "keyvalue-nats"),
    ("wasmcloud:messaging/consumer", "messaging-nats"),
];

pub(crate) fn check(plan: &ComponentPlan, component: &Component) -> Vec<Problem> {
    let component_type = component.component_type();
    let imports = component_type.imports(component.engine());
    imports
        .filter(|(_, import)| !is_plain(&import.ty, component))
        .filter_map(|(name, _)| missing(plan, name))
        .collect()
}

/// Interfaces of plain types (records, variants) ask for nothing.
fn is_plain(import: &ComponentItem, component: &Component) -> bool {
    let ComponentItem::ComponentInstance(instance) = import else { return false };
    instance.exports(component.engine()).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
}

fn missing(plan: &ComponentPlan, import: &str) -> Option<Problem> {
    let (name, _version) = import.split_once('@').unwrap_or((import, ""));
    let free =
        FREE.iter().any(|free| if free.ends_with('/') { name.starts_with(free) } else { name == *free });
    if free || name == "wasi:http/outgoing-handler" {
        return None;
    }
    let problem = |what, remedy| Some(Problem { line: Some(plan.line), what, remedy });
    match LINKED.iter().find(|(linked, _)| *linked == name) {
        Some((_, capability)) if !plan.imports.iter().any(|linked| linked == name) => problem(
            format!("{} imports {import}, and no link provides it", plan.name),
            format!("add a link from {} to a {capability} capability", plan.name),
        ),
        Some(_) => None,
        None => problem(
            format!("{} imports {import}, which this host does not have", plan.name),
            "build the component without it".to_owned(),
        ),
    }
}
