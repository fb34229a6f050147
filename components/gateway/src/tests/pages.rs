//! Pages in browsers: those of other sites, and ours.

use super::*;

const FRIEND: &str = "https://friend.example";

fn with_friend() {
    platform().configure("cors-origins", &format!(r#"["{FRIEND}"]"#));
    serves("blog", &["GET /blog", "POST /posts", "PUT /posts/{id}"]);
}

#[test]
fn pages_of_allowed_origins_may_read() {
    with_friend();
    let response = send("GET", "/blog", &[("origin", FRIEND)], "");
    assert_eq!(response.header("access-control-allow-origin"), Some(FRIEND));
    assert!(response.header("access-control-expose-headers").unwrap().contains("trellis-position"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    assert_eq!(response.header("vary"), Some("origin"));
    let refused = send("GET", "/nowhere", &[("origin", FRIEND)], "");
    assert_eq!(refused.header("access-control-allow-origin"), Some(FRIEND), "refusals can be read as well");
    for other in
        ["https://friend.example.org", "http://friend.example", "null", "*", "https://FRIEND.example"]
    {
        let response = send("GET", "/blog", &[("origin", other)], "");
        assert_eq!((response.status, response.header("access-control-allow-origin")), (200, None), "{other}");
        assert_eq!(response.header("vary"), Some("origin"), "{other}");
    }
}

#[test]
fn only_the_gateway_says_who_may_read() {
    with_friend();
    answers(
        "blog",
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\nAccess-Control-Allow-Credentials: true\r\nvary: accept\r\n\r\n",
    );
    let response = send("GET", "/blog", &[("origin", "https://other.example")], "");
    assert_eq!(response.header("access-control-allow-origin"), None);
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let vary: Vec<_> =
        response.headers.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value.as_str()).collect();
    assert_eq!(vary, ["accept", "origin"]);
}

#[test]
fn a_preflight_is_answered_here() {
    with_friend();
    let preflight = |origin: &str, target: &str| {
        send("OPTIONS", target, &[("origin", origin), ("access-control-request-method", "PUT")], "")
    };
    let response = preflight(FRIEND, "/api/posts/1");
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some(FRIEND));
    assert_eq!(response.header("access-control-allow-methods"), Some("OPTIONS, PUT"));
    assert!(response.header("access-control-allow-headers").unwrap().contains("idempotency-key"));
    assert_eq!(response.header("vary"), Some("origin"));
    assert_problem(&preflight("https://other.example", "/posts/1"), 403);
    assert_problem(&preflight(FRIEND, "/nowhere"), 404);
    assert_eq!(asked(), [""; 0]);
}

#[test]
fn pages_of_other_origins_cannot_write() {
    with_friend();
    let rows: [(&[(&str, &str)], u16); 16] = [
        (&[], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "none")], 200),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("sec-fetch-site", "anything")], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", FRIEND)], 200),
        (&[("sec-fetch-site", "cross-site"), ("origin", "http://us.example"), ("host", "us.example")], 403),
        (&[("origin", FRIEND)], 200),
        (&[("origin", "https://evil.example"), ("host", "us.example")], 403),
        (&[("origin", "null"), ("host", "us.example")], 403),
        (&[("origin", "http://us.example:8080"), ("host", "us.example:8080")], 200),
        (&[("origin", "http://us.example:8080"), ("host", "us.example:80")], 403),
        (&[("origin", "http://us.example")], 403),
        (&[("origin", "http://us.example"), ("origin", "http://us.example"), ("host", "us.example")], 403),
    ];
    for (headers, status) in rows {
        let response = send("POST", "/posts", headers, "");
        assert_eq!(response.status, status, "{headers:?}");
    }
    // A form of another site comes with the visitor's address alone, and with a type that needs no preflight.
    let form = [("sec-fetch-site", "cross-site"), ("content-type", "application/x-www-form-urlencoded")];
    assert_problem(&send("POST", "/posts", &form, "title=Mine"), 403);
    assert_eq!(
        send("GET", "/blog", &[("sec-fetch-site", "cross-site")], "").status,
        200,
        "a link leads here"
    );
}

#[test]
fn without_allowed_origins_no_cors_header_is_sent() {
    serves("blog", &["GET /blog"]);
    let response = send("GET", "/blog", &[("origin", FRIEND)], "");
    assert_eq!((response.header("vary"), response.header("access-control-allow-origin")), (None, None));
}

#[test]
fn answers_have_the_security_headers() {
    serves("blog", &["GET /blog"]);
    for response in [get("/blog"), get("/nowhere"), get("/healthz")] {
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("x-frame-options"), Some("DENY"));
        assert_eq!(response.header("referrer-policy"), Some("same-origin"));
        assert!(response.header("content-security-policy").unwrap().contains("default-src 'none'"));
    }
}
