//! Browsers that are signed in.

use super::*;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const HERE: (&str, &str) = ("host", "127.0.0.1:8080");
const THERE: (&str, &str) = ("host", "blog.example");
const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

fn blog() {
    configure_keys();
    serves("blog", &["GET /blog", "POST /posts", "role:moderator GET /moderation/queue"]);
}

fn sign_in_at(host: (&str, &str), key: &str) -> Response {
    send("POST", "/signin", &[FORM, host, OURS], &format!("key={key}&to=%2Fmoderation"))
}

/// What a browser sends back of the cookie that it was told to keep.
fn kept(response: &Response) -> &str {
    response.header("set-cookie").unwrap().split_once(';').unwrap().0
}

fn status(method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
    send(method, target, headers, "").status
}

#[test]
fn a_browser_is_known_by_the_cookie_that_it_gets_for_a_key() {
    blog();
    let signed_in = sign_in_at(HERE, "s3cret");
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/moderation")));
    assert_eq!(signed_in.header("cache-control"), Some("no-store"));
    let cookie = signed_in.header("set-cookie").unwrap();
    assert_eq!(cookie, "__Host-trellis-key=s3cret; Path=/; HttpOnly; SameSite=Strict; Secure");
    let with = |cookie| send("GET", "/moderation/queue", &[HERE, OURS, ("cookie", cookie)], "");
    let other = format!("a=1; {}; b=2", kept(&signed_in));
    for sent in [kept(&signed_in), &other] {
        let answer = with(sent);
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{sent}");
        assert_eq!(
            answer.header("cache-control"),
            Some("private, no-store"),
            "what is for its user alone is not kept"
        );
    }
    let [first, second] = asked().try_into().unwrap();
    for request in [&first, &second] {
        assert!(request.contains("trellis-caller: mia\r\ntrellis-roles: moderator\r\n"), "{request}");
        assert!(!request.contains("s3cret"), "the key stays here: {request}");
    }
    assert!(!first.contains("cookie") && second.contains("cookie: a=1; b=2\r\n"), "{second}");
    assert_problem(&send("GET", "/moderation/queue", &[HERE, OURS], ""), 401);
}

/// wadm takes the config away from a gateway that it replaces: who is known may not hear that nobody is.
#[test]
fn without_its_config_nobody_is_told_that_a_key_is_unknown() {
    blog();
    let queue = || send("GET", "/moderation/queue", &[("authorization", &bearer("s3cret"))], "");
    assert_eq!(queue().status, 200);
    platform().lose_config();
    assert_problem(&queue(), 503);
    configure_keys();
    assert_eq!(queue().status, 200);
}

/// A proxy may say another host than the browser did.
#[test]
fn a_cookie_is_for_tls_whatever_host_the_request_names() {
    blog();
    for host in ["127.0.0.1", "localhost:8080", "[::1]:8080", "blog.example", "10.0.0.1", ""] {
        let signed_in = sign_in_at(("host", host), "s3cret");
        let cookie = signed_in.header("set-cookie").unwrap();
        assert_eq!(cookie, "__Host-trellis-key=s3cret; Path=/; HttpOnly; SameSite=Strict; Secure", "{host}");
        assert_eq!(signed_in.header("strict-transport-security"), Some("max-age=31536000"), "{host}");
    }
    let queue = |cookie| status("GET", "/moderation/queue", &[HERE, OURS, ("cookie", cookie)]);
    assert_eq!(queue("__Host-trellis-key=s3cret"), 200);
    assert_eq!(queue("trellis-key=s3cret"), 401, "which any page of a neighbour could have set");
}

#[test]
fn the_operator_may_let_the_key_go_without_tls() {
    blog();
    platform().configure("plain-http", "on");
    let signed_in = sign_in_at(THERE, "s3cret");
    let cookie = signed_in.header("set-cookie").unwrap();
    assert_eq!(cookie, "trellis-key=s3cret; Path=/; HttpOnly; SameSite=Strict");
    assert_eq!(signed_in.header("strict-transport-security"), None);
    let queue = |cookie| status("GET", "/moderation/queue", &[THERE, OURS, ("cookie", cookie)]);
    assert_eq!([queue("trellis-key=s3cret"), queue("__Host-trellis-key=s3cret")], [200, 401]);
    platform().configure("plain-http", "yes");
    assert_problem(&get("/blog"), 503);
}

#[test]
fn answers_to_a_caller_with_a_key_are_not_cached() {
    configure_keys();
    let says = |cache: &str| {
        serves("blog", &["GET /blog"]);
        answers("blog", format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{cache}\r\nhi"));
    };
    let (key, cookie) = (bearer("s3cret"), "__Host-trellis-key=s3cret");
    let told = |headers: &[(&str, &str)]| {
        let response = send("GET", "/blog", headers, "");
        let all = response.headers.iter().filter(|(name, _)| name == "cache-control" || name == "vary");
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let who = "authorization, cookie";
    for said in ["", "cache-control: max-age=60\r\n", "cache-control: no-cache\r\n"] {
        says(said);
        for headers in [[("authorization", key.as_str()), OURS], [("cookie", cookie), OURS]] {
            assert_eq!(told(&headers), ["private, no-store", who], "{said}");
        }
        assert!(!told(&[]).contains(&"private, no-store".to_owned()));
    }
    assert_eq!(told(&[("authorization", "Bearer wrong")])[1..], ["private, no-store", who], "a refusal, too");
    says("cache-control: public, max-age=60\r\n");
    assert_eq!(told(&[("cookie", cookie), OURS]), ["public, max-age=60"], "the same for all");
}

#[test]
fn any_key_fits_into_a_cookie() {
    let key = "a;b,c=\"d\\%20+e";
    let hash = trellis_kit::id::sha256(key);
    let keys = serde_json::json!({ hash: { "name": "mia", "roles": ["moderator"] } });
    serves("blog", &["GET /moderation/queue"]);
    platform().configure("api-keys", &keys.to_string());
    let signed_in = sign_in_at(HERE, &trellis_kit::http::encoded(key));
    let cookie = kept(&signed_in);
    assert!(!cookie.contains([',', '"', '\\', ' ']), "{cookie}");
    assert_eq!(status("GET", "/moderation/queue", &[HERE, OURS, ("cookie", cookie)]), 200);
}

#[test]
fn a_key_that_is_not_known_signs_nobody_in() {
    blog();
    let hash = trellis_kit::id::sha256("s3cret");
    for key in ["", "s3cre", "s3crett", "S3CRET", &hash, "%00", "%ff"] {
        let refused = sign_in_at(HERE, key);
        assert_eq!(refused.header("set-cookie"), None, "{key}");
        let expected = if key == "%ff" { (400, None) } else { (303, Some("/moderation?signin=refused")) };
        assert_eq!((refused.status, refused.header("location")), expected, "{key}");
    }
    assert_eq!(sign_in_at(HERE, "+s3cret%0D%0A").header("location"), Some("/moderation"), "as it was pasted");
}

#[test]
fn a_cookie_with_a_key_that_is_not_known_any_more_is_forgotten() {
    blog();
    let twice = "__Host-trellis-key=s3cret; __Host-trellis-key=s3cret";
    for cookie in [
        "__Host-trellis-key=old",
        "__Host-trellis-key=",
        "__Host-trellis-key=%ff",
        "__Host-trellis-key=%4",
        twice,
    ] {
        let refused = send("GET", "/blog", &[HERE, OURS, ("cookie", cookie)], "");
        assert_problem(&refused, 401);
        let forgotten = "__Host-trellis-key=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0";
        assert_eq!(refused.header("set-cookie"), Some(forgotten), "{cookie}");
    }
    assert_eq!(asked(), [""; 0]);
}

#[test]
fn a_cookie_counts_for_requests_of_our_own_pages_alone() {
    blog();
    platform().configure("cors-origins", r#"["https://friend.example"]"#);
    let cookie = ("cookie", "__Host-trellis-key=s3cret");
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
        let known = asked().iter().any(|request| request.contains("trellis-caller: mia"));
        assert_eq!(known, is_known, "{headers:?}");
    }
    for (site, expected) in [("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401)] {
        let read = status("GET", "/moderation/queue", &[HERE, cookie, ("sec-fetch-site", site)]);
        assert_eq!(read, expected, "{site}");
    }
    assert_eq!(status("GET", "/moderation/queue", &[HERE, cookie]), 200, "a browser that does not tell");
}

#[test]
fn nobody_is_signed_in_or_out_by_another_site() {
    blog();
    for (target, form) in [("/signin", "key=s3cret&to=%2F"), ("/signout", "to=%2F")] {
        let evil = [FORM, HERE, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
        let refused = send("POST", target, &evil, form);
        assert_problem(&refused, 403);
        assert_eq!(refused.header("set-cookie"), None);
    }
}

#[test]
fn signing_out_forgets_the_key() {
    blog();
    let signed_out =
        send("POST", "/signout", &[FORM, HERE, OURS, ("cookie", "__Host-trellis-key=s3cret")], "to=%2F");
    assert_eq!((signed_out.status, signed_out.header("location")), (303, Some("/")));
    let cookies: Vec<_> = signed_out.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 1);
    assert!(signed_out.header("set-cookie").unwrap().starts_with("__Host-trellis-key=; "), "{signed_out:?}");
}

#[test]
fn a_form_leads_to_a_page_of_ours() {
    blog();
    for to in ["/", "/moderation", "/p/01J"] {
        let signed_in = send("POST", "/signin", &[FORM, OURS], &format!("key=s3cret&to={to}"));
        assert_eq!((signed_in.status, signed_in.header("location")), (303, Some(to)));
    }
    let elsewhere = [
        "",
        "//evil.example",
        "/%2Fevil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/%5C%5Cevil.example",
    ];
    for to in
        elsewhere.into_iter().chain(["/a%0D%0Aset-cookie:x", "/a+b", "/../x", "/?a", "/x%23y", "%2F%C3%A4"])
    {
        let refused = send("POST", "/signin", &[FORM, OURS], &format!("key=s3cret&to={to}"));
        assert_problem(&refused, 400);
        assert_eq!(refused.header("set-cookie"), None, "{to}");
    }
}

#[test]
fn attempts_to_sign_in_count_against_the_limit() {
    blog();
    platform().configure("forwarded-hops", "1");
    platform().configure("limits", r#"{"window_seconds": 60, "reads": 2, "writes": 2}"#);
    let address = ("x-forwarded-for", "10.0.0.1");
    let statuses: Vec<u16> = ["a", "b", "c", "s3cret"]
        .map(|key| send("POST", "/signin", &[FORM, HERE, OURS, address], &format!("key={key}&to=%2F")).status)
        .to_vec();
    assert_eq!(statuses, [303, 303, 429, 429]);
    let guess = |key: &str| {
        status("GET", "/blog", &[HERE, OURS, address, ("cookie", &format!("__Host-trellis-key={key}"))])
    };
    assert_eq!([guess("a"), guess("b"), guess("c")], [401, 401, 429]);
    assert_eq!(guess("s3cret"), 200, "who has a key is not kept out by those beside them");
}

#[test]
fn the_log_has_no_keys() {
    blog();
    sign_in_at(HERE, "s3cret");
    sign_in_at(HERE, "guessed");
    send("GET", "/blog", &[HERE, OURS, ("cookie", "__Host-trellis-key=s3cret")], "");
    send("GET", "/blog", &[HERE, OURS, ("cookie", "__Host-trellis-key=guessed")], "");
    let log = format!("{:?}", platform().take_lines());
    assert!(log.contains("/signin") && !log.contains("s3cret") && !log.contains("guessed"), "{log}");
}
