//! Browsers that are signed in, and what goes with being known.

use super::accounts::{OURS, ann, token};
use super::*;

const HERE: (&str, &str) = ("host", "127.0.0.1:8080");

fn cookie(name: &str) -> String {
    format!("{name}={}.1", token("ann-1"))
}

fn status(method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
    send(method, target, headers, "").status
}

#[test]
fn services_get_the_cookies_that_are_not_ours() {
    ann();
    let keys = "__Host-trellis-key=s3cret; trellis-key=s3cret";
    let sent = format!("a=1; {}; {keys}; b=2", cookie("__Host-trellis"));
    assert_eq!(status("GET", "/moderation/queue", &[HERE, OURS, ("cookie", &sent)]), 200);
    let [request] = asked().try_into().unwrap();
    assert!(request.contains("cookie: a=1; b=2\r\n") && !request.contains("s3cret"), "{request}");
    // Nobody is known by what browsers kept when they could sign in with a key.
    assert_eq!(status("GET", "/moderation/queue", &[HERE, OURS, ("cookie", keys)]), 401);
}

/// wadm takes the config away from a gateway that it replaces: who is known may not hear that nobody is.
#[test]
fn without_its_config_nobody_is_told_that_a_key_is_unknown() {
    ann();
    let queue = || send("GET", "/moderation/queue", &[("authorization", &bearer("s3cret"))], "");
    assert_eq!(queue().status, 200);
    platform().lose_config();
    assert_problem(&queue(), 503);
    configure_keys();
    assert_eq!(queue().status, 200);
}

/// A proxy may say another host than the browser did.
#[test]
fn a_cookie_is_for_tls_unless_the_operator_lets_it_go_without() {
    ann();
    let own = cookie("__Host-trellis");
    for host in ["127.0.0.1", "localhost:8080", "[::1]:8080", "blog.example", "10.0.0.1", ""] {
        let answer = send("GET", "/moderation/queue", &[("host", host), OURS, ("cookie", &own)], "");
        assert_eq!(answer.status, 200, "{host}");
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{host}");
    }
    let neighbours = cookie("trellis");
    let queue = |cookie: &str| status("GET", "/moderation/queue", &[HERE, OURS, ("cookie", cookie)]);
    assert_eq!(queue(&neighbours), 401, "which any page of a neighbour could have set");
    platform().configure("plain-http", "on");
    assert_eq!([queue(&neighbours), queue(&own)], [200, 401]);
    let answer = send("GET", "/blog", &[HERE], "");
    assert_eq!(answer.header("strict-transport-security"), None);
    platform().configure("plain-http", "yes");
    assert_problem(&get("/blog"), 503);
}

#[test]
fn answers_to_a_caller_who_is_known_are_not_cached() {
    ann();
    let says = |cache: &str| {
        answers("blog", format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{cache}\r\nhi"));
    };
    let (key, cookie) = (bearer("s3cret"), cookie("__Host-trellis"));
    let told = |headers: &[(&str, &str)]| {
        let response = send("GET", "/blog", headers, "");
        let all = response.headers.iter().filter(|(name, _)| name == "cache-control" || name == "vary");
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let who = "authorization, cookie";
    for said in ["", "cache-control: max-age=60\r\n", "cache-control: no-cache\r\n"] {
        says(said);
        for headers in [[("authorization", key.as_str()), OURS], [("cookie", cookie.as_str()), OURS]] {
            assert_eq!(told(&headers), ["private, no-store", who], "{said}");
        }
        assert!(!told(&[]).contains(&"private, no-store".to_owned()));
    }
    assert_eq!(told(&[("authorization", "Bearer wrong")])[1..], ["private, no-store", who], "a refusal, too");
    says("cache-control: public, max-age=60\r\n");
    assert_eq!(told(&[("cookie", &cookie), OURS]), ["public, max-age=60"], "the same for all");
}

#[test]
fn a_cookie_counts_for_requests_of_our_own_pages_alone() {
    ann();
    platform().configure("cors-origins", r#"["https://friend.example"]"#);
    let own = cookie("__Host-trellis");
    let cookie = ("cookie", own.as_str());
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Headers<'_>, u16, bool); 9] = [
        (&[OURS], 200, true),
        (&[("sec-fetch-site", "none")], 200, true),
        (&[("origin", "http://127.0.0.1:8080")], 200, true),
        (&[("sec-fetch-site", "cross-site")], 403, false),
        (&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9090")], 403, false),
        (&[("origin", "http://127.0.0.1:9090")], 403, false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://friend.example")], 200, false),
        (&[("origin", "https://friend.example")], 200, false),
        (&[], 200, false),
    ];
    for (headers, expected, is_known) in rows {
        let headers: Vec<_> = headers.iter().copied().chain([HERE, cookie]).collect();
        assert_eq!(status("POST", "/posts", &headers), expected, "{headers:?}");
        let known = asked().iter().any(|request| request.contains("trellis-caller: ann"));
        assert_eq!(known, is_known, "{headers:?}");
    }
    for (site, expected) in [("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401)] {
        let read = status("GET", "/moderation/queue", &[HERE, cookie, ("sec-fetch-site", site)]);
        assert_eq!(read, expected, "{site}");
    }
    assert_eq!(status("GET", "/moderation/queue", &[HERE, cookie]), 200, "a browser that does not tell");
}

#[test]
fn tokens_that_are_not_known_count_against_the_limit() {
    ann();
    platform().configure("forwarded-hops", "1");
    platform().configure("limits", r#"{"window_seconds": 60, "reads": 2, "writes": 2}"#);
    let address = ("x-forwarded-for", "10.0.0.1");
    let guess = |session: &str| {
        let cookie = format!("__Host-trellis={}", token(session));
        status("GET", "/blog", &[HERE, OURS, address, ("cookie", &cookie)])
    };
    assert_eq!([guess("ann-7"), guess("ann-8"), guess("ann-9")], [401, 401, 429]);
    assert_eq!(guess("ann-1"), 200, "who is signed in is not kept out by those beside them");
}

#[test]
fn the_log_has_no_keys_and_no_tokens() {
    ann();
    let own = cookie("__Host-trellis");
    for header in
        [("cookie", own.as_str()), ("authorization", "Bearer s3cret"), ("cookie", "__Host-trellis=guessed")]
    {
        send("GET", "/blog", &[HERE, OURS, header], "");
    }
    let log = format!("{:?}", platform().take_lines());
    let secret = token("ann-1").split_once('.').unwrap().1.to_owned();
    assert!(log.contains("/blog"), "{log}");
    for hidden in ["s3cret", "guessed", &secret] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}
