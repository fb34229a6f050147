//! What a service gets, and what becomes of what it answers.

use trellis_kit::platform::memory::Harm;

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn headers_of_one_connection_are_not_passed_on() {
    serves("blog", &["POST /posts"]);
    let headers = [
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "k"),
        ("Trellis-Position", "posts:1:2"),
        ("traceparent", TRACE),
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic x"),
        ("Proxy-Connection", "close"),
        ("Expect", "100-continue"),
        ("Content-Length", "999"),
        ("Host", "example.org"),
        ("Trellis-Caller", "root"),
        ("TRELLIS-ROLES", "operator"),
    ];
    assert_eq!(send("POST", "/posts", &headers, "{}").status, 200);
    let expected = format!(
        "POST /posts HTTP/1.1\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n\
         Trellis-Position: posts:1:2\r\ntraceparent: {TRACE}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    assert_eq!(asked(), [expected]);
}

#[test]
fn a_trace_is_started_where_there_is_none() {
    serves("blog", &["GET /blog"]);
    for sent in [None, Some("nonsense")] {
        let headers: Vec<_> = sent.map(|sent| ("traceparent", sent)).into_iter().collect();
        send("GET", "/blog", &headers, "");
        let request = asked().pop().unwrap();
        let started = request.split("traceparent: ").nth(1).unwrap();
        assert!(started.starts_with("00-") && !started.contains("nonsense"), "{request}");
        let line = platform().take_lines().pop().unwrap().1;
        assert!(line.contains(&started[3..35]), "{line} has the same trace as {request}");
    }
    let problem = assert_problem(&send("GET", "/nowhere", &[("traceparent", TRACE)], ""), 404);
    assert_eq!(problem["trace_id"], TRACE[3..35]);
}

#[test]
fn the_caller_is_who_the_gateway_says() {
    configure_keys();
    serves("blog", &["GET /blog"]);
    let headers =
        [("authorization", &*bearer("opensesame")), ("trellis-caller", "root"), ("trellis-roles", "god")];
    assert_eq!(send("GET", "/blog", &headers, "").status, 200);
    let request = asked().pop().unwrap();
    assert!(request.contains("trellis-caller: olaf\r\ntrellis-roles: operator,moderator\r\n"), "{request}");
    assert!(
        !request.contains("root") && !request.contains("god") && !request.contains("opensesame"),
        "{request}"
    );
}

#[test]
fn answers_are_passed_on_as_they_are() {
    registered("blog", &["GET /blog"]);
    answers(
        "blog",
        "HTTP/1.1 422 Whatever\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\nX-Own: \u{fc}\r\n\
         Connection: close, x-private\r\nX-Private: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         X-Frame-Options: SAMEORIGIN\r\nContent-Security-Policy: default-src 'self'\r\n\r\n{}",
    );
    let response = get("/blog");
    assert_eq!((response.status, text(&response)), (422, "{}"));
    let names: Vec<&str> = response.headers.iter().map(|(name, _)| name.as_ref()).collect();
    for gone in ["connection", "x-private", "keep-alive", "upgrade"] {
        assert!(!names.contains(&gone), "{names:?}");
    }
    assert_eq!(names.iter().filter(|name| **name == "content-length").count(), 1);
    assert_eq!(names.iter().filter(|name| **name == "set-cookie").count(), 2);
    assert_eq!(response.header("x-own"), Some("\u{fc}"));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(response.header("content-security-policy"), Some("default-src 'self'"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn answers_without_a_body_have_no_length() {
    registered("blog", &["GET /blog", "POST /posts"]);
    for status in ["204 No Content", "304 Not Modified"] {
        answers("blog", format!("HTTP/1.1 {status}\r\netag: \"1\"\r\n\r\n"));
        let response = get("/blog");
        assert_eq!(
            (response.status.to_string(), response.header("content-length")),
            (status[..3].to_owned(), None)
        );
    }
    answers("blog", "HTTP/1.1 303 See Other\r\nlocation: /blog\r\n\r\n");
    let response = send("POST", "/posts", &[], "");
    assert_eq!((response.status, response.header("content-length")), (303, Some("0")));
}

#[test]
fn a_missing_late_or_garbled_answer_becomes_a_refusal() {
    registered("blog", &["GET /blog", "POST /posts"]);
    let nobody = get("/blog");
    assert_problem(&nobody, 503);
    assert!(nobody.header("retry-after").is_some(), "{nobody:?}");

    platform().listen("svc.blog", |_| None);
    assert_problem(&get("/blog"), 504);
    assert_problem(&send("POST", "/posts", &[], "{}"), 504);

    let too_long = format!("HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n{}", "x".repeat(2_000_000));
    let rows = [
        "",
        "nonsense",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nab",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 700 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na\u{0}b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\u{0}c\r\n\r\n",
        &too_long,
    ];
    for row in rows {
        answers("blog", row);
        platform().take_lines();
        let problem = assert_problem(&get("/blog"), 502);
        assert!(!problem.to_string().contains("HTTP/1"), "{problem}");
        let lines = platform().take_lines();
        assert!(lines.iter().any(|line| line.1.contains("garbled answer: blog: ")), "{row:.60}: {lines:?}");
    }
}

#[test]
fn what_is_too_large_for_a_message_is_refused() {
    serves("blog", &["POST /posts"]);
    assert_problem(&send("POST", "/posts", &[], &"x".repeat(1024 * 1024)), 413);
    assert_eq!(send("POST", "/posts", &[], &"x".repeat(1024 * 1024 - 1024)).status, 200);
}

#[test]
fn a_failing_host_is_answered_with_retry_after() {
    serves("blog", &["GET /blog"]);
    platform().configure("limits", "off");
    get("/blog");
    for nth in 0..2 {
        platform().harm(nth, Harm::NotDone);
        let response = get("/blog");
        platform().revive();
        assert!([503, 504].contains(&response.status), "call {nth}: {response:?}");
        assert_problem(&response, response.status);
    }
}

#[test]
fn bad_config_lets_nobody_in() {
    serves("blog", &["GET /blog"]);
    let rows = [
        ("api-keys", "{"),
        ("api-keys", "[]"),
        ("api-keys", r#"{"s3cret": {"name": "mia", "roles": []}}"#),
        ("api-keys", &format!(r#"{{"{}": {{"name": "a b", "roles": []}}}}"#, "0".repeat(64))),
        ("api-keys", &format!(r#"{{"{}": {{"name": "a", "roles": ["a,b"]}}}}"#, "0".repeat(64))),
        ("api-keys", &format!(r#"{{"{}": {{"name": "a"}}}}"#, "0".repeat(64))),
        ("api-keys", &format!(r#"{{"{}": {{"name": "a", "roles": []}}}}"#, "A".repeat(64))),
        ("forwarded-hops", "one"),
        ("forwarded-hops", "-1"),
        ("forwarded-hops", "17"),
        ("limits", "on"),
        ("limits", r#"{"window_seconds": 0, "reads": 1, "writes": 1}"#),
        ("limits", r#"{"window_seconds": 60, "reads": 0, "writes": 1}"#),
        ("limits", r#"{"window_seconds": 60, "reads": 1}"#),
        ("cors-origins", "*"),
        ("cors-origins", r#"["*"]"#),
        ("cors-origins", r#"["https://example.org/"]"#),
        ("cors-origins", r#"["example.org"]"#),
        ("cors-origins", r#"["null"]"#),
        ("access-log", "no"),
    ];
    for (key, value) in rows {
        platform().configure(key, value);
        platform().take_lines();
        assert_problem(&get("/blog"), 503);
        let lines = platform().take_lines();
        assert!(
            lines.iter().any(|line| line.1.contains(&format!("config {key}"))),
            "{key} {value}: {lines:?}"
        );
        let good = match key {
            "api-keys" => "{}",
            "forwarded-hops" => "0",
            "limits" => "off",
            "cors-origins" => "[]",
            _ => "on",
        };
        platform().configure(key, good);
        assert_eq!(get("/blog").status, 200, "{key} {value}");
    }
}

#[test]
fn one_line_in_the_log_for_each_request() {
    configure_keys();
    serves("blog", &["GET /blog/{id}"]);
    platform().take_lines();
    let line = || -> Json {
        let lines = platform().take_lines();
        let [(_, line)] = lines.as_slice() else { panic!("{lines:?}") };
        parse(line.as_bytes())
    };
    send(
        "GET",
        "/blog/a%22b?token=hush",
        &[("authorization", &bearer("s3cret")), ("traceparent", TRACE)],
        "",
    );
    let logged = line();
    assert_eq!(
        (&logged["method"], &logged["path"], &logged["status"], &logged["service"], &logged["caller"]),
        (&"GET".into(), &"/blog/a%22b".into(), &200.into(), &"blog".into(), &"key".into())
    );
    assert_eq!((&logged["trace_id"], logged["microseconds"].is_u64()), (&TRACE[3..35].into(), true));
    assert!(!logged.to_string().contains("hush") && !logged.to_string().contains("s3cret"), "{logged}");

    let long = format!("/{}", "\u{1}\n\"".repeat(1000));
    send("G\nET", &long, &[], "");
    let logged = line();
    assert_eq!((&logged["status"], logged["path"].as_str().unwrap().chars().count()), (&400.into(), 200));
    assert_eq!((&logged["method"], &logged["caller"]), (&"G\nET".into(), &"anonymous".into()));

    send("GET", "/", &[("authorization", "Bearer guess")], "");
    let logged = line();
    assert_eq!((&logged["status"], &logged["caller"]), (&401.into(), &"unknown key".into()));
    assert!(!logged.to_string().contains("guess"));

    platform().configure("access-log", "off");
    get("/blog/1");
    assert_eq!(platform().take_lines(), []);
}
