//! Pages, with services that answer as they are told to.

mod accounts;
mod flow;
mod market;
mod moderation;

use trellis_kit::testing::{Json, platform, request};
use trellis_kit::{Response, http};

use crate::Web;

const POST: &str = r#"{"id":"P1","title":"Hello","author":null,"created_at":"2026-11-20T04:01:12.345Z","version":1,"comment_count":0,"comments":[]}"#;

/// A service that answers every request with this.
fn answering(service: &str, status: u16, headers: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
    platform().listen(&format!("svc.{service}"), move |_| Some(answer.clone().into_bytes()));
}

fn refusing(service: &str, status: u16, detail: &str, errors: &str) {
    let body = format!(r#"{{"title":"No","status":{status},"detail":"{detail}","errors":{errors}}}"#);
    answering(service, status, "content-type: application/problem+json\r\n", &body);
}

fn feed(posts: &[&str]) {
    answering("query", 200, "x-trellis-lag: 0\r\n", &format!("[{}]", posts.join(",")));
}

fn get(target: &str) -> Response {
    request::<Web>("GET", target, &[], "")
}

fn send(target: &str, body: &str) -> Response {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("host", "blog.example")];
    request::<Web>("POST", target, &headers, body)
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

/// What stands in the attribute of this name after this text.
fn attribute(html: &str, after: &str, name: &str) -> String {
    let rest = html.split_once(after).unwrap_or_else(|| panic!("no {after} in {html}")).1;
    let value = rest.split_once(&format!("{name}=\"")).unwrap().1;
    value.split_once('"').unwrap().0.to_owned()
}

/// The requests that a service got.
fn asked(service: &str) -> Vec<http::Request> {
    let exchanges = platform().take_exchanges().into_iter();
    let own = exchanges.filter(|exchange| exchange.subject == format!("svc.{service}"));
    own.map(|exchange| read(&exchange.request)).collect()
}

/// A request as it was sent.
fn read(bytes: &[u8]) -> http::Request {
    let message = std::str::from_utf8(bytes).unwrap();
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let request = http::Request::new(words.next().unwrap(), words.next().unwrap());
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let request = headers.fold(request, |request, (name, value)| request.with(name, value));
    http::Request { body: body.into(), ..request }
}

#[test]
fn the_feed_shows_posts_and_a_form() {
    feed(&[POST]);
    let page = get("/");
    let html = text(&page);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(html.contains(r#"<a href="/p/P1">Hello</a>"#), "{html}");
    assert!(html.contains("20 November 2026, 04:01 UTC"), "{html}");
    assert!(html.contains("Anonymous") && html.contains("no comments"), "{html}");
    let keys: Vec<String> = (0..2).map(|_| attribute(&text(&get("/")), "name=\"key\"", "value")).collect();
    assert_ne!(keys[0], keys[1], "every form has a key of its own");
}

#[test]
fn nothing_yet_and_more_to_come() {
    feed(&[]);
    assert!(text(&get("/")).contains("The first post is yours to write."));
    answering("query", 200, "link: </posts?after=c1&limit=1>; rel=\"next\"\r\n", &format!("[{POST}]"));
    assert_eq!(attribute(&text(&get("/")), "rel=\"next\"", "href"), "/?after=c1");
    platform().take_exchanges();
    let older = text(&get("/?after=c1%26limit%3D9"));
    assert!(older.contains("<h1>Older posts</h1>") && !older.contains("<form"), "{older}");
    assert!(!older.contains("data-live"), "what is older stays where it is");
    assert_eq!(asked("query")[0].target, "/posts?after=c1%26limit%3D9");
}

#[test]
fn whatever_people_write_is_text() {
    let markup = r#"<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"#;
    let escaped =
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;";
    let comment = format!(
        r#"{{"id":"P1-C1","post_id":"P1","author":"{markup}","content":"{markup}","status":"approved","created_at":"{markup}","version":1}}"#
    );
    let post = format!(
        r#"{{"id":"{markup}","title":"{markup}","author":"{markup}","created_at":"{markup}","version":1,"comment_count":1,"comments":[{comment}]}}"#
    );
    feed(&[&post]);
    let in_feed = text(&get("/"));
    answering("query", 200, "", &post);
    let in_post = text(&get("/p/P1"));
    refusing("posts", 422, "no", &format!(r#"[{{"field":"title","message":"{markup}"}}]"#));
    let form = send("/", "key=%22%3E%3Cb%3E&title=%3C%2Ftitle%3E%22%3Cscript%3E");
    refusing("query", 404, markup, "[]");
    let refused = text(&get("/p/P1"));
    for html in [in_feed, in_post, text(&form), refused] {
        assert!(html.contains(escaped) || html.contains("&lt;script&gt;"), "{html}");
        let foreign = html.replace("<script src=\"/assets/", "").replace("<img src=\"/assets/", "");
        for bad in ["<script", "<img", "<b>", "onerror=\"", "</title>\"", "\"'>"] {
            assert!(!foreign.contains(bad), "{bad} in {html}");
        }
    }
}

#[test]
fn a_post_shows_its_comments_as_far_as_they_may_be_read() {
    let comment = |id: &str, status: &str, content: &str| {
        format!(
            r#"{{"id":"P1-{id}","post_id":"P1","author":null,"content":{content},"status":"{status}","created_at":"2026-11-20T04:01:12.345Z","version":1}}"#
        )
    };
    let comments = [
        comment("a", "approved", "\"Well\\nsaid\""),
        comment("b", "pending", "null"),
        comment("c", "rejected", "null"),
        comment("d", "pending", "\"Mine\""),
    ];
    let post = POST.replace(
        r#""comment_count":0,"comments":[]"#,
        &format!(r#""comment_count":4,"comments":[{}]"#, comments.join(",")),
    );
    answering("query", 200, "link: </posts/P1?after=x>; rel=\"next\"\r\n", &post);
    let html = text(&get("/p/P1"));
    assert!(html.contains("<h1>Hello</h1>") && html.contains("4 comments"), "{html}");
    for (id, word) in [
        ("a", "Well\nsaid"),
        ("b", "Waiting for moderation"),
        ("c", "This comment was not published"),
        ("d", "Mine"),
    ] {
        let (_, entry) = html.split_once(&format!("id=\"comment-P1-{id}\"")).unwrap();
        assert!(entry.split_once("</li>").unwrap().0.contains(word), "{id}: {html}");
    }
    assert_eq!(attribute(&html, "rel=\"next\"", "href"), "/p/P1?after=x");
    assert_eq!(get("/p/P.1").status, 404, "no id");
}

#[test]
fn the_feed_has_the_beginning_of_long_comments_only() {
    let long = "é".repeat(2000);
    let comment = format!(
        r#"{{"id":"P1-C1","post_id":"P1","author":null,"content":"{long}","status":"approved","created_at":"","version":1}}"#
    );
    feed(&[&POST.replace(r#""comments":[]"#, &format!(r#""comments":[{comment}]"#))]);
    assert_eq!(text(&get("/")).matches('é').count(), 300);
}

#[test]
fn what_is_written_shows_on_the_page_that_follows() {
    answering(
        "posts",
        201,
        "trellis-position: posts:3:7\r\n",
        &POST.replace(r#","comment_count":0,"comments":[]"#, ""),
    );
    let written = send("/", "key=k1&title=Hello+%F0%9F%98%80");
    let location = "/?position=posts%3A3%3A7#post-P1";
    assert_eq!((written.status, written.header("location")), (303, Some(location)));
    let asked_for = &asked("posts")[0];
    assert_eq!((asked_for.method.as_str(), asked_for.target.as_str()), ("POST", "/posts"));
    assert_eq!(asked_for.header("idempotency-key"), Some("k1"));
    assert_eq!(serde(&asked_for.body)["title"], "Hello 😀");

    feed(&[POST]);
    get("/?position=posts%3A3%3A7");
    assert_eq!(asked("query")[0].target, "/posts?position=posts%3A3%3A7");

    let comment = r#"{"id":"P1-C1","post_id":"P1","author":null,"content":"a","status":"pending","verdict":null,"created_at":"t","version":1}"#;
    answering("comments", 201, "trellis-position: comments:1:2\r\n", comment);
    let written = send("/p/P1", "key=k2&content=one%0D%0Atwo");
    assert_eq!(written.header("location"), Some("/p/P1?position=comments%3A1%3A2#comment-P1-C1"));
    let asked_for = &asked("comments")[0];
    assert_eq!(asked_for.target, "/posts/P1/comments");
    assert_eq!(serde(&asked_for.body)["content"], "one\r\ntwo");
}

fn serde(bytes: &[u8]) -> Json {
    trellis_kit::testing::parse(bytes)
}

#[test]
fn a_page_that_lags_behind_a_write_says_so() {
    answering("query", 200, "x-trellis-lag: 3\r\n", &format!("[{POST}]"));
    assert!(text(&get("/?position=posts%3A3%3A7")).contains("It may take a moment"));
    assert!(!text(&get("/")).contains("It may take a moment"), "others wait for nothing");
}

#[test]
fn a_wrong_field_is_marked_and_keeps_what_was_typed() {
    feed(&[POST]);
    refusing("posts", 422, "no", r#"[{"field":"title","message":"Must not be empty."}]"#);
    let page = send("/", "key=k1&title=+");
    let html = text(&page);
    assert_eq!(page.status, 422);
    assert!(html.contains("Must not be empty.") && html.contains("<title>Error: "), "{html}");
    let field = "<input id=\"text\"";
    assert_eq!(attribute(&html, field, "aria-invalid"), "true");
    assert_eq!(attribute(&html, field, "aria-describedby"), "wrong hint");
    assert_eq!(attribute(&html, field, "value"), " ");
    assert_eq!(attribute(&html, "name=\"key\"", "value"), "k1");
    assert!(html.contains(">Hello</a>"), "the posts are still there");
}

#[test]
fn a_service_that_is_away_loses_nothing_that_was_typed() {
    feed(&[POST]);
    let away = send("/", "key=k1&title=Hi");
    assert_eq!((away.status, away.header("retry-after")), (503, Some("2")));
    platform().listen("svc.posts", |_| None);
    let late = send("/", "key=k1&title=Hi");
    platform().listen("svc.posts", |_| Some(b"what?".to_vec()));
    let garbled = send("/", "key=k1&title=Hi");
    refusing("posts", 503, "not now", "[]");
    let overloaded = send("/", "key=k1&title=Hi");
    answering("posts", 201, "", "{}");
    let odd = send("/", "key=k1&title=Hi");
    for (page, status, words) in [
        (away, 503, "Nothing was sent"),
        (late, 504, "It is not certain"),
        (garbled, 502, "It is not certain"),
        (overloaded, 503, "It is not certain"),
        (odd, 502, "It is not certain"),
    ] {
        let html = text(&page);
        assert_eq!(page.status, status);
        assert!(html.contains(words) && html.contains(">Hello</a>"), "{html}");
        assert_eq!(attribute(&html, "<input id=\"text\"", "value"), "Hi");
        assert_eq!(attribute(&html, "name=\"key\"", "value"), "k1", "to be sent once, however often");
    }
}

#[test]
fn a_form_that_was_sent_with_another_text_gets_a_new_key() {
    feed(&[]);
    refusing("posts", 422, "no", r#"[{"field":"idempotency-key","message":"used"}]"#);
    let html = text(&send("/", "key=k1&title=Other"));
    assert!(html.contains("This form was sent before"), "{html}");
    assert_ne!(attribute(&html, "name=\"key\"", "value"), "k1");
    assert_eq!(attribute(&html, "<input id=\"text\"", "value"), "Other");
}

#[test]
fn writing_goes_on_when_reading_does_not() {
    for (target, form) in [("/", "action=\"/\""), ("/p/P1", "action=\"/p/P1\"")] {
        let page = get(target);
        let html = text(&page);
        assert_eq!((page.status, page.header("retry-after")), (503, Some("2")), "{target}");
        assert!(html.contains("This cannot be read right now") && html.contains(form), "{html}");
        let written = text(&get(&format!("{target}?position=posts:1:2")));
        assert!(written.contains("What you wrote is safe"), "{written}");
    }
    refusing("query", 404, "There is no such post.", "[]");
    let missing = get("/p/P2");
    assert_eq!(missing.status, 404);
    assert!(text(&missing).contains("There is no such post."), "{}", text(&missing));
}

#[test]
fn a_part_that_is_unchanged_is_not_sent_again() {
    feed(&[POST]);
    let page = text(&get("/"));
    let path = attribute(&page, "id=\"live\"", "data-live");
    let tag = attribute(&page, "id=\"live\"", "data-tag").replace("&quot;", "\"");
    let ask = |tag: &str| request::<Web>("GET", &path, &[("if-none-match", tag)], "");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let same = ask(&known);
        assert_eq!((same.status, same.header("etag")), (304, Some(tag.as_str())), "{known}");
        assert_eq!((same.body.len(), same.header("content-length")), (0, None));
    }
    let all = ask("\"x\"");
    assert_eq!(all.status, 200);
    assert!(page.contains(&text(&all)), "what is sent is what the page has");
    feed(&[]);
    let changed = ask(&tag);
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    answering("query", 200, "", POST);
    let page = text(&get("/p/P1"));
    let part = get(&attribute(&page, "id=\"live\"", "data-live"));
    assert!(page.contains(&text(&part)) && part.status == 200);
    refusing("query", 503, "not now", "[]");
    assert_eq!(get(&path).status, 503);
}

#[test]
fn services_get_the_caller_that_the_gateway_names_and_no_other() {
    feed(&[]);
    let claims = [
        ("trellis-caller", "mia"),
        ("trellis-roles", "moderator"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    request::<Web>("GET", "/", &claims, "");
    let sent = &asked("query")[0];
    assert_eq!((sent.header("trellis-caller"), sent.header("trellis-roles")), (None, None), "no gateway");
    assert_eq!(sent.header("traceparent"), Some(claims[2].1));
    platform().configure("caller-header", "trellis-caller");
    platform().configure("roles-header", "trellis-roles");
    request::<Web>("GET", "/", &claims, "");
    let sent = &asked("query")[0];
    assert_eq!(
        (sent.header("trellis-caller"), sent.header("trellis-roles")),
        (Some("mia"), Some("moderator"))
    );
}

#[test]
fn forms_of_other_sites_and_other_bodies_do_nothing() {
    answering("posts", 201, "", POST);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let sent = |headers: &[(&str, &str)], body: &str| {
        let page = request::<Web>("POST", "/", headers, body);
        assert_eq!(asked("posts").len(), 0);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "a page");
        page.status
    };
    let host = ("host", "blog.example");
    assert_eq!(sent(&[form, host, ("sec-fetch-site", "cross-site")], "key=k&title=a"), 403);
    assert_eq!(sent(&[form, host, ("origin", "https://evil.example")], "key=k&title=a"), 403);
    assert_eq!(sent(&[("content-type", "application/json")], r#"{"title":"a"}"#), 415);
    assert_eq!(sent(&[("content-type", "text/plain")], "key=k&title=a"), 415);
    for body in ["", "title=a", "key=k", "key=k&title=a&title=b", "key=k&title=%ff", "key=k&title=a&x="] {
        assert_eq!(sent(&[form], body), 400, "{body}");
    }
    assert_eq!(
        request::<Web>("POST", "/", &[form, host, ("origin", "http://blog.example")], "key=k&title=a").status,
        303
    );
}

#[test]
fn every_answer_keeps_browsers_strict() {
    feed(&[]);
    let asset = attribute(&text(&get("/")), "rel=\"stylesheet\"", "href");
    for target in ["/", "/live", "/p/P.1", "/nowhere", "/%2e%2e", &asset] {
        let answer = get(target);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{target}");
        let length = answer.header("content-length").unwrap();
        assert_eq!(length, answer.body.len().to_string(), "{target}");
    }
    let html = text(&get("/"));
    assert!(!html.contains("style=") && !html.contains("<style") && !html.contains("http"), "{html}");
}

#[test]
fn an_unknown_path_is_answered_with_a_page() {
    let missing = get("/nowhere");
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(text(&missing).contains("There is nothing here"));
    let wrong = request::<Web>("DELETE", "/", &[], "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD, OPTIONS, POST")));
    let head = request::<Web>("HEAD", "/nowhere", &[], "");
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert_eq!(head.header("content-length"), Some(missing.body.len().to_string().as_str()));
}

#[test]
fn assets_may_be_kept_for_ever_and_change_their_names() {
    feed(&[]);
    let html = text(&get("/"));
    for (before, name, media_type) in [
        ("rel=\"stylesheet\"", "href", "text/css; charset=utf-8"),
        ("<script", "src", "text/javascript; charset=utf-8"),
        ("rel=\"icon\"", "href", "image/svg+xml"),
    ] {
        let answer = get(&attribute(&html, before, name));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    assert_eq!(get("/assets/0000000000000000.css").status, 404);
    assert_eq!(get("/").header("cache-control"), Some("no-store"), "a page has a key in it");
}
