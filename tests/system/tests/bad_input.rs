//! What clients send by mistake or with intent. Each gets a clear answer, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{Read, Write};

use serde_json::{Value, json};
use system::{Request, Response, Trellis};
use tempfile::tempdir;

/// Starts a server with one post, lets `attack` at it, and sees that it still works and has that one post.
fn with_server(attack: impl FnOnce(&Trellis, &str)) {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let created = trellis.send(&Request::post("/posts", r#"{"title": "The only one"}"#));
    assert_eq!(created.status, 201, "{created:?}");
    let location = created.header("location").unwrap();
    assert_eq!(trellis.get(location).status, 200, "what was created is where it is said to be");
    let path = location.split('?').next().unwrap();
    attack(&trellis, path);

    assert_eq!(trellis.get(path).json()["title"], "The only one", "nothing changed");
    let second = trellis.send(&Request::post("/posts", r#"{"title": "After"}"#));
    assert_eq!(second.status, 201, "it still works: {second:?}");
    let listed = system::eventually("the new post is listed", || {
        let listed = trellis.get("/posts?limit=100").json();
        (listed[0]["id"] == second.json()["id"]).then_some(listed)
    });
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|post| &post["id"]).collect();
    assert_eq!(ids, [&second.json()["id"], &created.json()["id"]], "nothing was added");
    trellis.stop();
}

/// A refusal as RFC 9457 has it, that tells the caller nothing about our inside.
#[track_caller]
fn assert_problem(answer: &Response, status: u16, field: Option<&str>) {
    assert_eq!(answer.status, status, "{answer:?} {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["title"].is_string(), "{problem}");
    let text = problem.to_string();
    for inside in ["panicked", "src/", ".rs", "wasm", "$JS", "redb", "backtrace"] {
        assert!(!text.contains(inside), "{text} tells of {inside}");
    }
    if let Some(field) = field {
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(problem["errors"][0]["message"].is_string(), "{problem}");
    }
}

#[test]
fn bodies() {
    let too_long = json!({ "title": "x".repeat(201) }).to_string();
    let deep = "[".repeat(100_000);
    let rows: Vec<(&str, Vec<u8>, u16, Option<&str>)> = vec![
        ("nothing", vec![], 400, None),
        ("no JSON", b"title=x".to_vec(), 400, None),
        ("half of it", br#"{"title": "x"#.to_vec(), 400, None),
        ("more after it", br#"{"title": "x"} {}"#.to_vec(), 400, None),
        ("bytes that are no UTF-8", b"{\"title\": \"\xff\xfe\"}".to_vec(), 400, None),
        ("an overlong encoding", b"{\"title\": \"\xc0\xaf\"}".to_vec(), 400, None),
        ("half of a surrogate pair", br#"{"title": "\ud800"}"#.to_vec(), 400, None),
        ("a raw control character", b"{\"title\": \"a\x01b\"}".to_vec(), 400, None),
        ("brackets without end", deep.into_bytes(), 422, None),
        ("an array", b"[]".to_vec(), 422, None),
        ("null", b"null".to_vec(), 422, None),
        ("no title", b"{}".to_vec(), 422, Some("title")),
        ("a number for a title", br#"{"title": 5}"#.to_vec(), 422, Some("title")),
        ("null for a title", br#"{"title": null}"#.to_vec(), 422, Some("title")),
        ("an object for a title", br#"{"title": {}}"#.to_vec(), 422, Some("title")),
        ("an empty title", br#"{"title": ""}"#.to_vec(), 422, Some("title")),
        ("a blank title", br#"{"title": " \u00a0\u2003 "}"#.to_vec(), 422, Some("title")),
        ("a title of 201", too_long.into_bytes(), 422, Some("title")),
        ("a title with a null", br#"{"title": "a\u0000b"}"#.to_vec(), 422, Some("title")),
        ("a title of two lines", br#"{"title": "a\nb"}"#.to_vec(), 422, Some("title")),
        ("a title that runs backwards", br#"{"title": "a\u202eb"}"#.to_vec(), 422, Some("title")),
        ("a title and more", br#"{"title": "x", "admin": true}"#.to_vec(), 422, Some("admin")),
        ("two titles", br#"{"title": "x", "title": "y"}"#.to_vec(), 422, None),
    ];
    with_server(|trellis, _| {
        for (what, body, status, field) in rows {
            eprintln!("{what}");
            assert_problem(&trellis.send(&Request::post("/posts", body)), status, field);
        }
    });
}

#[test]
fn two_mebibytes() {
    with_server(|trellis, _| {
        let body = json!({ "title": "x".repeat(2 << 20) }).to_string();
        assert_problem(&trellis.send(&Request::post("/posts", body.clone())), 413, None);

        // Without a length there is nothing to refuse at once: it must be counted.
        let head =
            "POST /posts HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let chunk = format!("{:x}\r\n{body}\r\n", body.len());
        let bytes = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
        assert_problem(&trellis.client().send_bytes(bytes.as_bytes()).unwrap(), 413, None);
    });
}

#[test]
fn content_types() {
    with_server(|trellis, _| {
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let mut request = Request::new("POST", "/posts").header("content-type", media_type);
            request.body = br#"{"title": "x"}"#.to_vec();
            assert_problem(&trellis.send(&request), 415, None);
        }
        let mut without = Request::new("POST", "/posts");
        without.body = br#"{"title": "x"}"#.to_vec();
        assert_problem(&trellis.send(&without), 415, None);
    });
}

#[test]
fn paths() {
    let nowhere = [
        "/post",
        "/postsx",
        "/POSTS",
        "/posts/unknown",
        "/posts/a/b",
        "/posts/",
        "//posts",
        "/posts//",
        "/posts/../posts",
        "/posts/./x",
        "/posts/%2e%2e",
        "/posts/%2E",
        "/posts/*",
        "/posts/%3E",
        "/posts/a.b",
        "/posts/%2A.%3E",
        "/posts/a%20b",
        "/posts/%F0%9F%A6%80",
        "/posts/$JS.API.INFO",
        "/etc/passwd",
        "/.git/config",
    ];
    let nonsense = [
        "/posts/%00",
        "/posts/%0d%0aX:%20y",
        "/posts/%2f",
        "/posts/..%2f..%2fetc",
        "/posts/%5c",
        "/posts/%ff",
        "/posts/%zz",
        "/posts/%",
    ];
    with_server(|trellis, path| {
        for path in nowhere {
            eprintln!("{path}");
            assert_problem(&trellis.get(path), 404, None);
        }
        for path in nonsense {
            eprintln!("{path}");
            assert_problem(&trellis.get(path), 400, None);
        }
        let long = format!("/posts/{}", "x".repeat(4000));
        assert_problem(&trellis.get(&long), 404, None);
        assert_problem(&trellis.get(&path.to_lowercase()), 404, None);
    });
}

#[test]
fn methods() {
    with_server(|trellis, path| {
        for (method, path, allow) in [
            ("DELETE", "/posts", "GET, HEAD, OPTIONS, POST"),
            ("PUT", "/posts", "GET, HEAD, OPTIONS, POST"),
            ("BREW", "/posts", "GET, HEAD, OPTIONS, POST"),
            ("POST", path, "GET, HEAD, OPTIONS, PUT"),
            ("DELETE", path, "GET, HEAD, OPTIONS, PUT"),
        ] {
            let answer = trellis.send(&Request::new(method, path));
            assert_problem(&answer, 405, None);
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    });
}

#[test]
fn cursors_and_limits() {
    with_server(|trellis, _| {
        for query in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=1e2",
            "limit=99999999999999999999",
            "after=",
            "after=x",
            "after=%00",
            "after=*",
            "after=../..",
            "limit=%ff",
        ] {
            eprintln!("{query}");
            let answer = trellis.get(&format!("/posts?{query}"));
            assert!(matches!(answer.status, 400 | 422), "{answer:?}");
            assert_problem(&answer, answer.status, None);
        }
        let long = format!("/posts?after={}", "9".repeat(4000));
        let answer = trellis.get(&long);
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    });
}

#[test]
fn idempotency_keys() {
    with_server(|trellis, _| {
        let request = |key: &str| Request::post("/posts", r#"{"title": "x"}"#).header("idempotency-key", key);
        for key in ["", &"k".repeat(10_000)] {
            let answer = trellis.send(&request(key));
            assert!(matches!(answer.status, 400 | 422 | 431), "{answer:?}");
        }
        let twice = request("a").header("idempotency-key", "b");
        assert_problem(&trellis.send(&twice), 400, None);
    });
}

#[test]
fn ten_thousand_headers() {
    with_server(|trellis, _| {
        for (count, value) in [(10_000, "x".to_owned()), (90, "y".to_owned()), (1, "z".repeat(1 << 20))] {
            let mut request = Request::get("/posts");
            request.headers = (0..count).map(|n| (format!("x-header-{n}"), value.clone())).collect();
            let answer = trellis.send(&request);
            assert!(matches!(answer.status, 400 | 431), "{count} headers: {answer:?}");
        }
    });
}

#[test]
fn requests_that_are_not_http_are_refused() {
    with_server(|trellis, _| {
        for bytes in [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
            b"GET\r\n\r\n",
            b"GET /posts HTTP/9.9\r\n\r\n",
            b"GET /posts HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST /posts HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
            b"POST /posts HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            b"POST /posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            // Refused or cut off: both are clear. A success, or silence beyond patience, is neither.
            let mut connection = trellis.client().connect().unwrap();
            connection.write_all(bytes).unwrap();
            // It may have hung up already.
            connection.shutdown(std::net::Shutdown::Write).ok();
            let mut answer = Vec::new();
            if let Err(error) = connection.read_to_end(&mut answer) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{bytes:?}");
            }
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
        }
    });
}

#[test]
fn a_smuggled_request_is_not_heard() {
    with_server(|trellis, _| {
        let inner = "POST /posts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"title\": \"hidden\"}";
        let both = format!(
            "POST /posts HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
            inner.len() + 5
        );
        // `with_server` counts the posts afterwards.
        let answer = trellis.client().send_bytes(both.as_bytes());
        assert!(answer.as_ref().map_or(true, |answer| (400..500).contains(&answer.status)), "{answer:?}");
    });
}

/// Nothing in this file may look as if a value were JSON when it is not.
#[test]
fn the_rows_are_what_they_say() {
    assert!(serde_json::from_str::<Value>(r#"{"title": " \u00a0\u2003 "}"#).is_ok());
    assert!(serde_json::from_str::<Value>(r#"{"title": "\ud800"}"#).is_err());
}
