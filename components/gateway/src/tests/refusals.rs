//! What people and programs are told when the gateway says no.

use super::*;

const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

#[track_caller]
fn assert_page(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{}", text(response));
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.header("vary"), Some("accept"));
    assert!(matches!(response.header("cache-control"), Some("no-store" | "private, no-store")));
    let html = text(response);
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains(words), "{html}");
    assert!(
        !html.contains("style=") && !html.contains("<script") && !html.contains("http"),
        "whole in itself: {html}"
    );
    assert_eq!(response.header("content-length"), Some(html.len().to_string().as_str()));
}

#[test]
fn every_refusal_of_its_own_is_a_page_for_browsers() {
    configure_keys();
    registered("blog", &["GET /blog", "role:moderator POST /blog", "role:moderator GET /moderation/queue"]);
    let read = |target| send("GET", target, &[PAGE], "");
    let write = |headers: &[(&str, &str)]| send("POST", "/blog", &[&[PAGE], headers].concat(), "");
    assert_page(&read("/nowhere"), 404, "There is nothing here");
    assert_page(&read("/%ff"), 400, "cannot be read");
    assert_page(&read("/moderation/queue"), 401, "signed in");
    assert_page(&send("DELETE", "/blog", &[PAGE], ""), 405, "cannot be done");
    assert_page(&send("PUT", "/healthz", &[PAGE], ""), 405, "cannot be done");
    let denied = send("GET", "/gateway/policy", &[PAGE, ("authorization", &bearer("plain"))], "");
    assert_page(&denied, 403, "may not be done");
    assert_eq!(denied.header("cache-control"), Some("private, no-store"));
    assert_page(&write(&[("sec-fetch-site", "cross-site")]), 403, "another site");
    let away = read("/blog");
    assert_page(&away, 503, "Nothing is lost");
    assert_eq!(away.header("retry-after"), Some("2"));
    assert!(text(&away).contains("Come again in 2 seconds") && text(&away).contains("Try again"));
    platform().configure("limits", r#"{"window_seconds": 60, "reads": 1000, "writes": 1000}"#);
    let role = write(&[("authorization", &bearer("plain"))]);
    assert_page(&role, 403, "may not be done");
    platform().listen("svc.blog", |_| None);
    assert_page(&read("/blog"), 504, "No answer came in time");
    answers("blog", "what?");
    assert_page(&read("/blog"), 502, "makes no sense");
    platform().configure("api-keys", "nonsense");
    assert_page(&read("/blog"), 503, "away");
}

#[test]
fn a_failed_write_says_whether_it_may_have_happened() {
    registered("blog", &["POST /posts"]);
    let write = || send("POST", "/posts", &[PAGE], "");
    assert_page(&write(), 503, "Go back, where what you typed may still be");
    platform().listen("svc.blog", |_| None);
    assert_page(&write(), 504, "may have been carried out all the same");
    answers("blog", "what?");
    assert_page(&write(), 502, "may have been carried out all the same");
    let large = send("POST", "/posts", &[PAGE], &"x".repeat(trellis_kit::http::MAX_MESSAGE));
    assert_page(&large, 413, "and send less.");
}

#[test]
fn an_unreadable_request_is_refused_in_the_same_way_and_logged() {
    start::<Gateway>();
    let request = Request::new("POST", "/posts").with("accept", "text/html");
    let refuse = |request: &Request| Gateway::refuse(request, &Problem::too_large("The body may have less."));
    platform().take_lines();
    let page = refuse(&request);
    assert_page(&page, 413, "too much at once");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let log = format!("{:?}", platform().take_lines());
    assert!(log.contains("413") && log.contains("/posts"), "{log}");
    assert_problem(&refuse(&Request::new("POST", "/posts")), 413);
}

#[test]
fn programs_get_json_and_caches_are_told_that_others_may_not() {
    serves("blog", &["GET /blog"]);
    for accept in [None, Some("*/*"), Some("application/json"), Some("text/html;q=0.1, */*")] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        let refused = send("GET", "/nowhere", &headers, "");
        assert_problem(&refused, 404);
        assert_eq!(refused.header("vary"), Some("accept"), "{accept:?}");
        assert_eq!(send("GET", "/blog", &headers, "").header("vary"), None);
    }
}

#[test]
fn refusals_of_services_are_passed_on_unchanged() {
    registered("blog", &["GET /blog"]);
    let body = r#"{"title":"No","status":404}"#;
    let head = "HTTP/1.1 404 X\r\ncontent-type: application/problem+json\r\n";
    answers("blog", format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
    let refused = send("GET", "/blog", &[PAGE], "");
    assert_eq!((refused.status, text(&refused)), (404, body));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
}

#[test]
fn a_page_may_bring_its_own_style_and_nothing_else() {
    start::<Gateway>();
    let page = send("GET", "/nowhere", &[PAGE], "");
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = text(&page);
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = trellis_kit::id::sha256(style);
    let (_, stated) = policy.split_once("'sha256-").unwrap();
    assert_eq!(hash, hex_of_base64(stated.split_once('\'').unwrap().0), "SHA-256 of the style, in base64");
}

fn hex_of_base64(text: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').chars().map(|digit| DIGITS.find(digit).unwrap());
    let bits: String = digits.map(|digit| format!("{digit:06b}")).collect();
    let halves = bits.as_bytes().chunks_exact(8).flat_map(|byte| byte.chunks_exact(4));
    halves
        .map(|half| format!("{:x}", u8::from_str_radix(std::str::from_utf8(half).unwrap(), 2).unwrap()))
        .collect()
}

#[test]
fn text_of_a_request_is_escaped_in_the_page() {
    start::<Gateway>();
    let odd = "<script>alert(1)</script>";
    let page = send(odd, "/healthz", &[PAGE], "");
    assert_eq!(page.status, 405);
    assert!(!text(&page).contains("<script") && text(&page).contains("&lt;script&gt;"), "{}", text(&page));
}
