//! Requests that nobody thought of: schemathesis makes them from `/openapi.json`, and holds every answer to what the
//! document says of it.

use std::fs;

use system::{Embedded, OLAF, Request, python};
use tempfile::tempdir;

/// How many seconds each of the tests may take for its requests; `cargo xtask fuzz` sets it.
const VARIABLE: &str = "TRELLIS_FUZZ_SECONDS";
const SECONDS: &str = "25";

/// What every answer is held to, and which requests are made. It looks for them where it is started.
const FILES: [(&str, &str); 2] = [
    ("schemathesis.toml", include_str!("fuzz/schemathesis.toml")),
    ("cursors.py", include_str!("fuzz/cursors.py")),
];

#[track_caller]
fn fuzz(headers: &[String]) {
    let data = tempdir().unwrap();
    let trellis = Embedded::start_configured(data.path(), &[("gateway", "access-log", "off")], &[]);
    let url = format!("http://{}/openapi.json", trellis.client().address());
    let seconds = std::env::var(VARIABLE).unwrap_or_else(|_| SECONDS.to_owned());
    for (name, text) in FILES {
        fs::write(data.path().join(name), text).unwrap();
    }
    let mut schemathesis = python("schemathesis.cli");
    schemathesis.args(["run", &url, "--max-time", &seconds, "--no-color", "--generation-database", "none"]);
    schemathesis.args(headers.iter().flat_map(|header| ["--header", header]));
    let status = schemathesis.current_dir(data.path()).status().unwrap();
    assert!(status.success(), "schemathesis has found something: see its report above");

    let created = trellis.send(&Request::post("/posts", r#"{"title": "After all that"}"#));
    assert_eq!(created.status, 201, "{created:?}");
    for trouble in ["panicked", "trapped", "internal error"] {
        assert!(
            !trellis.output().contains(trouble),
            "the log tells of what no caller should be able to cause"
        );
    }
    trellis.stop();
}

#[test]
fn whatever_anybody_asks_is_answered_as_documented() {
    fuzz(&[]);
}

#[test]
fn whatever_an_operator_asks_is_answered_as_documented() {
    fuzz(&[format!("Authorization: Bearer {OLAF}")]);
}
