//! Known weaknesses in what we depend on.

use serde_json::Value;

use super::Check;
use crate::failure::Result;
use crate::process;
use crate::workspace::Workspace;

pub const NO_KNOWN_ADVISORY: Check = Check {
    name: "no dependency has a known security advisory",
    reason: "its weakness would be ours",
    find: known_advisories,
};

/// A copy of the RustSec database, for machines that cannot fetch it. No package registry carries one.
const DATABASE: &str = "TRELLIS_ADVISORY_DB";

/// Asks `cargo audit`. Where it is not installed or has no database, that is said and nothing is claimed.
fn known_advisories(workspace: &Workspace) -> Result<Vec<String>> {
    let skipped = |why: &str| {
        eprintln!("xtask: advisories NOT CHECKED: {why}");
        Ok(Vec::new())
    };
    if !process::succeeds(workspace.cargo().args(["audit", "--version"])) {
        return skipped("cargo-audit is not installed (`cargo install cargo-audit --locked`)");
    }
    let mut audit = workspace.cargo();
    audit.args(["audit", "--json"]);
    if let Some(database) = std::env::var_os(DATABASE) {
        audit.args(["--no-fetch", "--stale", "--db"]).arg(database);
    }
    // It fails alike for an advisory found and for a database not fetched; only the former comes with a report.
    let report = process::quiet_output_whatever_the_status(&mut audit);
    let Some(report) = report.and_then(|report| serde_json::from_str::<Value>(&report).ok()) else {
        return skipped(&format!(
            "cargo-audit could not load the RustSec database; set {DATABASE} to a copy of it where the network does not reach it"
        ));
    };
    let list = report.pointer("/vulnerabilities/list").and_then(Value::as_array);
    let line = |entry: &Value| {
        let text = |pointer| entry.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
        let (name, version) = (text("/package/name"), text("/package/version"));
        format!("{name} {version}: {} {}", text("/advisory/id"), text("/advisory/title"))
    };
    Ok(list.map(|list| list.iter().map(line).collect()).unwrap_or_default())
}
