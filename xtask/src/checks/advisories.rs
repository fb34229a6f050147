//! Known weaknesses in what we depend on.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::process;
use crate::workspace::Workspace;

pub const NAME: &str = "no dependency has a known security advisory";
pub const REASON: &str = "its weakness would be ours";

/// A copy of the RustSec database, for machines that cannot fetch it. No package registry carries one.
const DATABASE: &str = "TRELLIS_ADVISORY_DB";
/// Whether to fail where advisories cannot be looked up. For machines that can, such as those that make a release.
const REQUIRED: &str = "TRELLIS_ADVISORIES_REQUIRED";
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "lattice/Cargo.lock"];

/// What is known of our dependencies.
#[derive(Debug, PartialEq, Eq)]
pub enum Advisories {
    /// Those that concern us: none is good.
    Known(Vec<String>),
    /// Nothing can be said, for this reason.
    NotChecked(String),
}

/// Looks up everything that is locked.
pub fn look_up(workspace: &Workspace) -> Result<Advisories> {
    let database = std::env::var_os(DATABASE);
    let required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    let found = ask(&|| workspace.cargo(), database.as_deref().map(Path::new));
    if required { found.or_failure() } else { Ok(found) }
}

/// Asks `cargo audit`, which has to be installed and to have a database.
fn ask(cargo: &dyn Fn() -> Command, database: Option<&Path>) -> Advisories {
    if !process::succeeds(cargo().args(["audit", "--version"])) {
        let why = "cargo-audit is not installed: `cargo install cargo-audit --locked` installs it";
        return Advisories::NotChecked(why.to_owned());
    }
    let mut known = Vec::new();
    for lock_file in LOCK_FILES {
        let mut audit = cargo();
        audit.args(["audit", "--json", "--file", lock_file]);
        if let Some(database) = database {
            audit.args(["--no-fetch", "--stale", "--db"]).arg(database);
        }
        // It fails alike for an advisory found and for a database not fetched; only the former comes with a report.
        let report = process::quiet_output_whatever_the_status(&mut audit);
        let report = report.and_then(|report| serde_json::from_str::<Value>(&report).ok());
        let list = report.as_ref().and_then(|report| report.pointer("/vulnerabilities/list")?.as_array());
        let Some(list) = list else {
            return Advisories::NotChecked(format!(
                "cargo-audit gave no report on {lock_file}: most likely it could not fetch the RustSec database; where the \
                 network does not reach that, set {DATABASE} to a copy of it"
            ));
        };
        known.extend(list.iter().map(|entry| format!("{lock_file}: {}", line(entry))));
    }
    Advisories::Known(known)
}

fn line(entry: &Value) -> String {
    let text = |pointer| entry.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    let (name, version) = (text("/package/name"), text("/package/version"));
    format!("{name} {version}: {} {}", text("/advisory/id"), text("/advisory/title"))
}

impl Advisories {
    /// Where it is required to know, not to know is a failure.
    fn or_failure(self) -> Result<Self> {
        match self {
            Self::NotChecked(why) => Err(Failure::new(format!("advisories cannot be checked: {why}"))
                .remedy(format!("make it so, or unset {REQUIRED} where that is impossible"))),
            known @ Self::Known(_) => Ok(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Asks a `cargo` that is this shell script.
    fn asked(script: &str) -> Advisories {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("cargo");
        fs::write(&cargo, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        ask(&|| Command::new(&cargo), Some(Path::new("a copy")))
    }

    #[test]
    fn what_cannot_be_looked_up_is_not_taken_for_sound() {
        let no_program = asked("exit 101");
        let no_database = asked(r#"[ "$2" = --version ] || { echo "cannot fetch" >&2; exit 1; }"#);
        let odd = asked(r#"[ "$2" = --version ] || echo '{}'"#);
        for (found, why) in
            [(no_program, "not installed"), (no_database, "could not fetch"), (odd, "gave no report")]
        {
            assert!(matches!(&found, Advisories::NotChecked(text) if text.contains(why)), "{found:?}");
            let failure = found.or_failure().unwrap_err().to_string();
            assert!(failure.contains(why) && failure.contains(REQUIRED), "{failure}");
        }
    }

    #[test]
    fn every_lock_file_is_looked_up_in_the_copy_that_is_given() {
        let none = r#"echo '{"vulnerabilities":{"list":[]}}'"#;
        assert_eq!(asked(none).or_failure().unwrap(), Advisories::Known(Vec::new()));
        let of_lattice = r#"
            list='[]'
            [ "$4 $8" = "lattice/Cargo.lock a copy" ] && list='[{"package":{"name":"old","version":"1.0.0"},"advisory":{"id":"R-1","title":"leaks"}}]'
            echo "{\"vulnerabilities\":{\"list\":$list}}"; exit 1"#;
        let with_version = format!(r#"[ "$2" = --version ] && exit 0; {of_lattice}"#);
        let expected = "lattice/Cargo.lock: old 1.0.0: R-1 leaks".to_owned();
        assert_eq!(asked(&with_version), Advisories::Known(vec![expected]));
    }
}
