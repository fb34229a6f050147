//! Who answers what.

use super::*;

#[test]
fn every_public_route_answers_with_and_without_the_api_prefix() {
    serves("blog", &["GET /blog", "GET /blog/{id}", "own GET /secret", "POST /posts"]);
    for target in ["/blog", "/api/blog", "/blog/1?a=b", "/api/blog/1?a=b", "/blog?x=/api"] {
        assert_eq!((get(target).status, text(&get(target))), (200, "blog"), "{target}");
    }
    let first_lines: Vec<String> =
        asked().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    assert!(first_lines.contains(&"GET /blog/1?a=b HTTP/1.1".to_owned()), "{first_lines:?}");
    assert!(first_lines.iter().all(|line| !line.starts_with("GET /api")), "{first_lines:?}");
    for target in [
        "/",
        "/api",
        "/api/",
        "/secret",
        "/api/secret",
        "/api/api/blog",
        "/apiblog",
        "/blog/1/2",
        "/Blog",
        "//blog",
    ] {
        assert_problem(&get(target), 404);
    }
}

#[test]
fn a_literal_segment_comes_before_a_parameter() {
    serves("any", &["GET /a/{b}/{c}", "GET /{a}/b", "PUT /a/b"]);
    serves("given", &["GET /a/b/{c}", "GET /a/{b}/c", "GET /a/b"]);
    for (target, service) in
        [("/a/x/y", "any"), ("/a/b/c", "given"), ("/a/x/c", "given"), ("/a/b", "given"), ("/x/b", "any")]
    {
        assert_eq!(text(&get(target)), service, "{target}");
    }
    platform().configure(
        "policy",
        r#"{"rules": [{"who": "anyone", "methods": ["*"], "path": "/a/**", "effect": "allow"},
        {"who": "role:operator", "methods": ["*"], "path": "/**", "effect": "allow"}]}"#,
    );
    start::<Gateway>();
    settle::<Gateway>();
    assert_eq!(text(&send("PUT", "/a/b", &[], "")), "any", "another method is another route");
}

/// A method that somebody announces at one path of another's does not end the others there.
#[test]
fn a_more_specific_path_leaves_other_methods_to_the_general_one() {
    serves("posts", &["GET /posts/{id}", "POST /posts/{id}/comments"]);
    serves("thief", &["DELETE /posts/01ABC", "POST /posts/{a}/{b}", "GET /posts/01ABC/comments"]);
    assert_eq!(text(&get("/posts/01ABC")), "posts");
    assert_eq!(text(&send("HEAD", "/posts/01ABC", &[], "")), "", "HEAD is answered by whoever answers GET");
    assert!(asked().last().unwrap().starts_with("HEAD /posts/01ABC "));
    assert_eq!(text(&send("POST", "/posts/01ABC/comments", &[], "")), "posts");
    let refused = send("PATCH", "/posts/01ABC", &[], "");
    assert_problem(&refused, 405);
    assert_eq!(refused.header("allow"), Some("DELETE, GET, HEAD, OPTIONS"), "of all services");
    // One service has said itself what can be done at its path.
    serves("queue", &["GET /queue/all", "POST /queue/{id}"]);
    let refused = send("POST", "/queue/all", &[], "");
    assert_problem(&refused, 405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn a_route_belongs_to_its_first_owner_until_that_service_is_gone() {
    serves("first", &["GET /a/{x}"]);
    serves("second", &["GET /a/{y}", "GET /b"]);
    assert_eq!((text(&get("/a/1")), text(&get("/b"))), ("first", "second"));
    told("first", ServiceEvent::Missing(String::new()));
    assert_eq!(text(&get("/a/1")), "first", "it may be back before the registry knows");
    told("first", ServiceEvent::Gone(String::new()));
    assert_eq!(text(&get("/a/1")), "second");
    told("second", ServiceEvent::Changed(sighting(description("second", &["GET /c"]))));
    assert_eq!([get("/a/1").status, get("/b").status, get("/c").status], [404, 404, 200]);
}

#[test]
fn a_known_path_answers_other_methods_with_those_it_allows() {
    serves("one", &["GET /a", "PUT /a/{id}"]);
    serves("two", &["POST /a", "DELETE /a/b"]);
    let refused = send("PATCH", "/a", &[], "");
    assert_problem(&refused, 405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    let options = send("OPTIONS", "/api/a/b", &[], "");
    assert_eq!((options.status, options.header("allow")), (204, Some("DELETE, OPTIONS, PUT")));
    assert_problem(&send("PATCH", "/a/b", &[], ""), 405);
    assert_eq!(options.header("content-length"), None);
    assert_problem(&send("OPTIONS", "/nowhere", &[], ""), 404);
    let head = send("HEAD", "/a", &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(asked().last().unwrap().starts_with("HEAD /a "));
}

#[test]
fn targets_that_could_mean_two_things_are_refused() {
    serves("blog", &["GET /a/{b}", "GET /a/{b}/{c}"]);
    for (target, status) in [
        ("a", 400),
        ("", 400),
        ("*", 400),
        ("http://other/a/b", 400),
        ("/a/%2e%2e", 404),
        ("/a/..", 404),
        ("/a//b", 404),
        ("/a/b%2fc", 400),
        ("/a/b%5cc", 400),
        ("/a/%0d%0aset-cookie:x", 400),
        ("/a/\r\nb", 400),
        ("/a/b c", 400),
        ("/a/\u{e9}", 400),
        ("/a/%ff", 400),
        ("/a/%zz", 400),
        ("/a/b?%00", 400),
    ] {
        assert_problem(&get(target), status);
    }
    assert_eq!(asked(), [""; 0], "none of it reaches a service");
    assert_eq!(get("/a/%C3%A9").status, 200);
}

#[test]
fn the_gateways_own_routes_come_before_those_of_services() {
    assert_eq!(text(&get("/healthz")), r#"{"status":"ok"}"#);
    assert_eq!(get("/api/healthz").status, 200);
    let unready = get("/readyz");
    assert_problem(&unready, 503);
    serves("blog", &["GET /healthz", "GET /blog"]);
    assert_eq!(text(&get("/healthz")), r#"{"status":"ok"}"#, "nobody takes them away");
    assert_eq!(get("/readyz").status, 200);
    assert_problem(&send("POST", "/healthz", &[], ""), 405);
}

#[test]
fn an_instance_that_remembers_and_one_that_does_not_answer_the_same() {
    serves("blog", &["GET /blog"]);
    assert_eq!(get("/blog").status, 200);
    let calls = platform().calls();
    assert_eq!(get("/blog").status, 200);
    // Read routes, policy and what was counted, ask the service; the memory platform counts no clock and no log. Seldom count.
    assert_eq!(platform().calls() - calls, 2);
    platform().configure("limits", "off");
    get("/blog");
    let calls = platform().calls();
    get("/blog");
    assert_eq!(platform().calls() - calls, 2);
    told("blog", ServiceEvent::Gone(String::new()));
    assert_problem(&get("/blog"), 404);
}

#[test]
fn routes_answer_during_a_rebuild() {
    serves("blog", &["GET /blog"]);
    let before = trellis_kit::testing::read_models();
    for _ in 0..3 {
        message::<Gateway>("trellis.announce", None, br#"{"replay":"gateway"}"#).unwrap();
        assert_eq!(get("/blog").status, 200);
        settle::<Gateway>();
        assert_eq!(get("/blog").status, 200);
        assert_eq!(trellis_kit::testing::read_models(), before);
    }
    registered("other", &["GET /other"]);
    assert_problem(&get("/other"), 503);
}

/// As version 1 of the registry's contract stored it, with the documents in every event.
#[test]
fn what_the_registry_stored_before_is_read() {
    start::<Registry>();
    let at = "2026-01-01T00:00:00.000Z";
    let said = serde_json::json!({
        "name": "blog", "version": "1.0.0", "stream": null, "partitions": 0, "projects": [], "reacts_to": [],
        "routes": [{ "method": "GET", "path": "/blog", "public": true }], "openapi": "{}", "asyncapi": "{}",
    });
    let event = serde_json::json!({
        "specversion": "1.0", "id": "event1", "source": "/registry", "type": "service.registered.v1",
        "subject": "blog", "time": at, "datacontenttype": "application/json", "version": 1,
        "data": { "description": said, "at": at },
        "state": { "name": "blog", "description": said, "presence": "present", "since": at, "version": 1 },
    });
    platform().store("LOG_registry", "log.registry.0.blog.1", event.to_string().as_bytes());
    start::<Gateway>();
    settle::<Gateway>();
    answers("blog", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nblog");
    assert_problem(&get("/blog"), 503);
    assert_eq!(asked(), [""; 0], "it has not said for whom its routes are");
    assert_eq!(get("/openapi.json").status, 200);
    assert_eq!(trellis_kit::testing::platform().stored("DEAD_gateway"), []);
}

#[test]
fn links_keep_the_api_prefix_of_the_request() {
    registered("blog", &["POST /posts", "GET /posts"]);
    let heads = "location: /posts/1?position=posts:0:1\r\nlink: </posts?after=a>; rel=\"next\"\r\n";
    answers("blog", format!("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n{heads}\r\n"));
    let told = |target: &str| {
        let response = send("POST", target, &[], "");
        ["location", "link"].map(|name| response.header(name).unwrap_or_default().to_owned())
    };
    assert_eq!(told("/posts"), ["/posts/1?position=posts:0:1", "</posts?after=a>; rel=\"next\""]);
    assert_eq!(told("/api/posts"), ["/api/posts/1?position=posts:0:1", "</api/posts?after=a>; rel=\"next\""]);
    for elsewhere in ["https://example.org/posts", "//example.org", "?a"] {
        answers(
            "blog",
            format!("HTTP/1.1 303 See Other\r\ncontent-length: 0\r\nlocation: {elsewhere}\r\n\r\n"),
        );
        assert_eq!(told("/api/posts")[0], elsewhere);
    }
}
