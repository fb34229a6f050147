//! Requests that nobody thought of: schemathesis makes them from `/openapi.json`, and holds every answer to what the
//! document says of it.

use system::{Embedded, OLAF, Request, python};
use tempfile::tempdir;

/// How many seconds each of the tests may take for its requests; `cargo xtask fuzz` sets it.
const VARIABLE: &str = "TRELLIS_FUZZ_SECONDS";
const SECONDS: &str = "25";

/// What every answer is held to. Not among them is what only domains know: which text can be a title, and when what was
/// written is there to be read (reads are eventual, unless they bring the position of the write).
const CHECKS: [&str; 9] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
];

#[track_caller]
fn fuzz(headers: &[String]) {
    let data = tempdir().unwrap();
    let trellis = Embedded::start_configured(data.path(), &[("gateway", "access-log", "off")], &[]);
    let url = format!("http://{}/openapi.json", trellis.client().address());
    let seconds = std::env::var(VARIABLE).unwrap_or_else(|_| SECONDS.to_owned());
    let mut schemathesis = python("schemathesis.cli");
    schemathesis.args(["run", &url, "--max-time", &seconds, "--checks", &CHECKS.join(",")]);
    schemathesis.args(["--no-color", "--continue-on-failure", "--generation-database", "none"]);
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
