//! Requests that nobody thought of: schemathesis makes them from `/openapi.json`, and holds every answer to what the
//! document says of it.

use std::fs;

use system::{Embedded, OLAF, Request, python};
use tempfile::tempdir;

/// How many seconds each of the tests may take for its requests; `cargo xtask fuzz` sets it.
const VARIABLE: &str = "TRELLIS_FUZZ_SECONDS";
const SECONDS: u32 = 25;
/// Fewer requests say nothing.
const REQUESTS_MIN: u64 = 100;
/// On a busy machine schemathesis takes long to begin. So often it is given twice the time.
const LONGER: u32 = 3;

/// What every answer is held to, and which requests are made. It looks for them where it is started.
const FILES: [(&str, &str); 2] = [
    ("schemathesis.toml", include_str!("fuzz/schemathesis.toml")),
    ("cursors.py", include_str!("fuzz/cursors.py")),
];

/// By whom it is asked is said by the token that is shown, if any.
#[track_caller]
fn fuzz(by: impl FnOnce(&Embedded) -> Option<String>, not: &[&str]) {
    let data = tempdir().unwrap();
    let trellis = Embedded::start_configured(
        data.path(),
        &[("gateway", "access-log", "off")],
        &["--admin", "127.0.0.1:0"],
    );
    let url = format!("http://{}/openapi.json", trellis.client().address());
    for (name, text) in FILES {
        fs::write(data.path().join(name), text).unwrap();
    }
    let token = by(&trellis);
    let given = std::env::var(VARIABLE).ok().map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let before = asked(&trellis);
    for longer in 0.. {
        let seconds = given << longer;
        let mut schemathesis = python("schemathesis.cli");
        schemathesis.args(["run", &url, "--max-time", &seconds.to_string()]);
        schemathesis.args(["--no-color", "--generation-database", "none"]);
        if let Some(token) = &token {
            schemathesis.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        schemathesis.args(not.iter().flat_map(|path| ["--exclude-path", path]));
        let status = schemathesis.current_dir(data.path()).status().unwrap();
        assert!(status.success(), "schemathesis has found something: see its report above");
        let requests = asked(&trellis) - before;
        eprintln!("{requests} requests in at most {seconds} s");
        if requests >= REQUESTS_MIN {
            break;
        }
        assert!(longer < LONGER, "{requests} requests are too few to say anything");
    }

    if let Some(token) = token {
        let current = trellis.send(&Request::get("/users/currentuser").by(&token));
        assert_eq!(current.status, 200, "who has asked all that is still known: {current:?}");
    }
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

/// How many requests came to the gateway.
fn asked(trellis: &Embedded) -> u64 {
    let metrics = trellis.metrics();
    let count =
        |line: &str| line.strip_prefix("trellis_http_calls_total{component=\"gateway\"} ")?.parse().ok();
    metrics.lines().find_map(count).unwrap()
}

#[test]
fn whatever_anybody_asks_is_answered_as_documented() {
    fuzz(|_| None, &[]);
}

/// They stay signed in, or they would ask as nobody: the ids of sessions are listed, and used.
#[test]
fn whatever_somebody_who_is_signed_in_asks_is_answered_as_documented() {
    let sign_up = |trellis: &Embedded| {
        let new = r#"{"email": "ann@example.org", "password": "correct horse"}"#;
        let signed_up = trellis.send(&Request::post("/users/signup", new)).json();
        signed_up["token"].as_str().map(str::to_owned)
    };
    fuzz(sign_up, &["/users/signout", "/users/sessions/{id}"]);
}

#[test]
fn whatever_an_operator_and_admin_asks_is_answered_as_documented() {
    fuzz(|_| Some(OLAF.to_owned()), &[]);
}
