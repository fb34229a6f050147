//! Who may do what.

use serde_json::json;

use super::*;

fn rule(who: &str, methods: &[&str], path: &str, effect: &str) -> Json {
    json!({ "who": who, "methods": methods, "path": path, "effect": effect })
}

/// Rules after which operators can set others.
fn with_operators(mut rules: Vec<Json>) -> String {
    rules.push(rule("role:operator", &["*"], "/gateway/**", "allow"));
    json!({ "rules": rules }).to_string()
}

fn put_as(key: &str, body: &str) -> Response {
    let headers = [("authorization", &*bearer(key)), ("content-type", "application/json")];
    send("PUT", "/gateway/policy", &headers, body)
}

/// Sets a policy and lets it come into force, which here nobody does while the answer is waited for.
fn set(body: &str) {
    assert_problem(&put_as("opensesame", body), 503);
    start::<Gateway>();
    settle::<Gateway>();
    let answer = put_as("opensesame", body);
    assert_eq!(answer.status, 200, "{}", text(&answer));
}

fn status(method: &str, target: &str, key: Option<&str>) -> u16 {
    let key = key.map(bearer);
    let headers: Vec<_> = key.iter().map(|key| ("authorization", key.as_str())).collect();
    send(method, target, &headers, "").status
}

const BLOG: [&str; 13] = [
    "GET /",
    "POST /",
    "POST /p/{id}",
    "GET /posts",
    "POST /posts",
    "PUT /posts/{id}",
    "POST /posts/{id}/comments",
    "DELETE /posts/{id}",
    "signed-in POST /posts/{id}/likes",
    "role:moderator GET /moderation/queue",
    "role:moderator POST /moderation/{comment}",
    "role:operator POST /moderation/rules/apply",
    "undeclared POST /tickets",
];

#[test]
fn the_policy_that_is_built_in() {
    configure_keys();
    serves("blog", &BLOG);
    let registry = ["role:operator GET /registry", "role:operator GET /registry/{name}"];
    serves("registry", &registry);
    let (anyone, moderator, operator, plain) = (None, Some("s3cret"), Some("opensesame"), Some("plain"));
    for (method, target) in [
        ("GET", "/"),
        ("HEAD", "/posts"),
        ("POST", "/"),
        ("POST", "/p/1"),
        ("POST", "/posts"),
        ("PUT", "/api/posts/1"),
        ("DELETE", "/posts/1"),
        ("POST", "/posts/1/comments"),
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
    ] {
        assert_eq!(status(method, target, anyone), 200, "{method} {target}");
    }
    let by = [anyone, operator].map(|key| status("POST", "/tickets", key));
    assert_eq!(by, [503, 503], "its service may still say for whom it is");
    let by = [anyone, plain, moderator].map(|key| status("POST", "/posts/1/likes", key));
    assert_eq!(by, [401, 200, 200]);
    for (method, target) in [("GET", "/moderation/queue"), ("POST", "/api/moderation/c1")] {
        let by = [anyone, plain, moderator, operator].map(|key| status(method, target, key));
        assert_eq!(by, [401, 403, 200, 200], "{method} {target}");
    }
    let by = [anyone, plain, moderator, operator].map(|key| status("POST", "/moderation/rules/apply", key));
    assert_eq!(by, [401, 403, 403, 200]);
    for target in ["/gateway/policy", "/registry", "/api/registry/blog"] {
        let by = [anyone, plain, moderator, operator].map(|key| status("GET", target, key));
        assert_eq!(by, [401, 403, 403, 200], "{target}");
    }
    let shown: Json = json(&send("GET", "/gateway/policy", &[("authorization", &bearer("opensesame"))], ""));
    assert_eq!((&shown["version"], &shown["set_at"]), (&0.into(), &Json::Null));
    assert!(crate::rules::check(&crate::policy::built_in().rules, &[]).is_ok());
}

/// A policy of an operator can leave the rest to the services.
#[test]
fn what_services_declare_counts_where_a_rule_says_so() {
    configure_keys();
    serves("blog", &BLOG);
    set(&with_operators(vec![
        rule("key:pat", &["POST"], "/posts/**", "deny"),
        rule("anyone", &["POST", "GET"], "/posts/**", "declared"),
        rule("role:operator", &["GET"], "/moderation/**", "allow"),
        rule("anyone", &["*"], "/moderation/**", "declared"),
    ]));
    let (anyone, pat, mia, olaf) = (None, Some("plain"), Some("s3cret"), Some("opensesame"));
    let rows = [
        ("POST", "/posts", [200, 403, 200, 200]),
        ("POST", "/posts/1/likes", [401, 403, 200, 200]),
        ("DELETE", "/posts/1", [403, 403, 403, 403]),
        ("GET", "/moderation/queue", [401, 403, 200, 200]),
        ("POST", "/moderation/c1", [401, 403, 200, 200]),
        ("GET", "/", [403, 403, 403, 403]),
    ];
    for (method, target, expected) in rows {
        let by = [anyone, pat, mia, olaf].map(|key| status(method, target, key));
        assert_eq!(by, expected, "{method} {target}");
    }
    let refused = send("GET", "/moderation/queue", &[("authorization", &bearer("plain"))], "");
    assert!(text(&refused).contains("role moderator"), "{}", text(&refused));
}

#[test]
fn the_first_rule_that_speaks_of_a_request_decides() {
    configure_keys();
    serves("blog", &["GET /a", "GET /a/{b}", "PUT /a/{b}", "GET /b", "GET /c", "GET /d"]);
    set(&with_operators(vec![
        rule("key:pat", &["*"], "/a/b", "deny"),
        rule("signed-in", &["GET", "PUT"], "/a/**", "allow"),
        rule("anyone", &["GET"], "/a", "allow"),
        rule("role:moderator", &["*"], "/b", "allow"),
        rule("anyone", &["GET"], "/{any}", "deny"),
        rule("anyone", &["GET"], "/c", "allow"),
    ]));
    let (anyone, pat, mia) = (None, Some("plain"), Some("s3cret"));
    let rows = [
        ("GET", "/a", [200, 200, 200]),
        ("HEAD", "/a", [200, 200, 200]),
        ("GET", "/a/b", [401, 403, 200]),
        ("PUT", "/a/b", [401, 403, 200]),
        ("GET", "/a/x", [401, 200, 200]),
        ("GET", "/b", [401, 403, 200]),
        ("GET", "/c", [401, 403, 403]),
        ("GET", "/d", [403, 403, 403]),
        ("GET", "/healthz", [403, 403, 403]),
        ("GET", "/nowhere", [404, 404, 404]),
        ("GET", "/openapi.json", [403, 403, 403]),
    ];
    for (method, target, expected) in rows {
        assert_eq!([anyone, pat, mia].map(|key| status(method, target, key)), expected, "{method} {target}");
        let api = format!("/api{target}");
        assert_eq!([anyone, pat, mia].map(|key| status(method, &api, key)), expected, "{method} {api}");
    }
}

#[test]
fn another_policy_is_in_force_once_it_is_answered() {
    configure_keys();
    serves("blog", &["GET /blog"]);
    assert_eq!(status("GET", "/blog", None), 200);
    let closed = with_operators(Vec::new());
    set(&closed);
    assert_eq!(status("GET", "/blog", None), 403);
    let shown: Json = json(&send("GET", "/gateway/policy", &[("authorization", &bearer("opensesame"))], ""));
    assert_eq!((&shown["version"], &shown["set_by"]), (&1.into(), &"olaf".into()));
    assert_eq!(put_as("opensesame", &closed).status, 200);
    assert_eq!(platform().stored("LOG_gateway").len(), 1, "the same again is nothing new");
}

#[test]
fn only_operators_set_policies_whatever_the_policy_says() {
    configure_keys();
    start::<Gateway>();
    let open = with_operators(vec![rule("anyone", &["*"], "/gateway/policy", "allow")]);
    for key in ["s3cret", "plain"] {
        assert_problem(&put_as(key, &open), 403);
    }
    set(&open);
    assert_problem(&put_as("plain", &with_operators(Vec::new())), 403);
    let nobody =
        send("PUT", "/gateway/policy", &[("content-type", "application/json")], &with_operators(Vec::new()));
    assert_problem(&nobody, 403);
}

/// Each is refused by name, and the last good one stays.
#[test]
fn invalid_policies_are_refused() {
    configure_keys();
    serves("blog", &["GET /blog"]);
    let allow = |who: &str, methods: &[&str], path: &str| rule(who, methods, path, "allow");
    let one = |rule: Json| with_operators(vec![rule]);
    let long = format!("/{}", "a".repeat(256));
    let many: Vec<Json> = (0..500).map(|nth| allow("anyone", &["GET"], &format!("/{nth}"))).collect();
    let rows: Vec<(String, u16, &str)> = vec![
        (String::new(), 400, ""),
        ("{".to_owned(), 400, ""),
        ("[]".to_owned(), 422, ""),
        ("{}".to_owned(), 422, "rules"),
        (r#"{"rules": [], "rules": []}"#.to_owned(), 422, "rules"),
        (r#"{"rules": [], "more": 1}"#.to_owned(), 422, "more"),
        (one(json!({"who": "anyone", "methods": ["GET"], "path": "/"})), 422, "rules.0.effect"),
        (one(rule("anyone", &["GET"], "/", "maybe")), 422, "rules.0.effect"),
        (one(allow("everyone", &["GET"], "/")), 422, "rules.0.who"),
        (one(allow("role:", &["GET"], "/")), 422, "rules.0.who"),
        (one(allow("role:a,b", &["GET"], "/")), 422, "rules.0.who"),
        (one(allow("", &["GET"], "/")), 422, "rules.0.who"),
        (one(allow("anyone", &[], "/")), 422, "rules.0.methods"),
        (one(allow("anyone", &["get"], "/")), 422, "rules.0.methods"),
        (one(allow("anyone", &["*", "GET"], "/")), 422, "rules.0.methods"),
        (one(allow("anyone", &["GET"], "")), 422, "rules.0.path"),
        (one(allow("anyone", &["GET"], "posts")), 422, "rules.0.path"),
        (one(allow("anyone", &["GET"], "/posts/*")), 422, "rules.0.path"),
        (one(allow("anyone", &["GET"], "/**/posts")), 422, "rules.0.path"),
        (one(allow("anyone", &["GET"], "/posts/")), 422, "rules.0.path"),
        (one(allow("anyone", &["GET"], &long)), 422, "rules.0.path"),
        (one(allow("anyone", &["GET"], "/api/posts")), 422, "rules.0.path"),
        (
            with_operators(vec![
                allow("anyone", &["GET", "PUT"], "/a/{b}"),
                allow("anyone", &["GET"], "/b"),
                rule("anyone", &["PUT"], "/a/{c}", "deny"),
            ]),
            422,
            "rules.2.effect",
        ),
        (with_operators(many), 422, "rules"),
        (r#"{"rules": []}"#.to_owned(), 422, "rules"),
        (json!({ "rules": [allow("anyone", &["*"], "/posts/**")] }).to_string(), 422, "rules"),
        (json!({ "rules": [allow("role:operator", &["GET"], "/**")] }).to_string(), 422, "rules"),
        (json!({ "rules": [allow("key:pat", &["*"], "/**")] }).to_string(), 422, "rules"),
        (json!({ "rules": [rule("anyone", &["*"], "/gateway/**", "deny"), allow("role:operator", &["*"], "/**")] }).to_string(), 422, "rules"),
    ];
    for (body, status, field) in rows {
        let problem = assert_problem(&put_as("opensesame", &body), status);
        if !field.is_empty() {
            assert_eq!(problem["errors"][0]["field"], field, "{body:.200}: {problem}");
        }
    }
    let problem: Json = json(&put_as("opensesame", r#"{"rules": []}"#));
    assert!(problem["errors"][0]["message"].as_str().unwrap().contains("no operator"), "{problem}");
    assert_eq!((platform().stored("LOG_gateway").len(), status("GET", "/blog", None)), (0, 200));
}

#[test]
fn a_rule_for_the_one_operator_is_enough() {
    configure_keys();
    start::<Gateway>();
    set(&json!({ "rules": [rule("key:olaf", &["PUT"], "/gateway/policy", "allow")] }).to_string());
}

#[test]
fn the_config_says_the_policy_until_it_says_another() {
    configure_keys();
    serves("blog", &["GET /blog", "GET /other"]);
    let only = |path: &str| with_operators(vec![rule("anyone", &["GET"], path, "allow")]);
    platform().configure("policy", &only("/blog"));
    assert_eq!(
        (status("GET", "/blog", None), status("GET", "/other", None)),
        (200, 403),
        "before it is stored, too"
    );
    for _ in 0..3 {
        start::<Gateway>();
        settle::<Gateway>();
        assert_eq!((status("GET", "/blog", None), status("GET", "/other", None)), (200, 403));
    }
    assert_eq!(platform().stored("LOG_gateway").len(), 1);

    set(&only("/other"));
    start::<Gateway>();
    settle::<Gateway>();
    assert_eq!(
        (status("GET", "/blog", None), status("GET", "/other", None)),
        (403, 200),
        "an operator has said otherwise since"
    );

    platform().configure("policy", &format!("{} ", only("/blog")));
    start::<Gateway>();
    settle::<Gateway>();
    assert_eq!(
        (status("GET", "/blog", None), status("GET", "/other", None)),
        (200, 403),
        "the config says something new"
    );
}

#[test]
fn an_invalid_config_is_logged_and_the_last_valid_one_stays() {
    configure_keys();
    serves("blog", &["GET /blog", "POST /posts"]);
    let good = with_operators(vec![rule("anyone", &["GET"], "/blog", "allow")]);
    for before in [None, Some(&good)] {
        if let Some(good) = before {
            platform().configure("policy", good);
            start::<Gateway>();
            settle::<Gateway>();
        }
        let post = status("POST", "/posts", None);
        assert_eq!(post, if before.is_none() { 200 } else { 403 });
        for bad in ["", "{", r#"{"rules": []}"#, &with_operators(vec![rule("who", &["GET"], "/", "deny")])] {
            platform().configure("policy", bad);
            platform().take_lines();
            start::<Gateway>();
            settle::<Gateway>();
            let lines = platform().take_lines();
            assert!(lines.iter().any(|line| line.1.contains("config policy")), "{bad}: {lines:?}");
            assert_eq!((status("GET", "/blog", None), status("POST", "/posts", None)), (200, post), "{bad}");
        }
    }
}
