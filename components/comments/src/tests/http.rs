//! Comments over HTTP, good requests and bad ones.

use trellis_kit::testing::{Json, json, request, send};

use super::*;

const PATH: &str = "/posts/p1/comments";

#[test]
fn over_http() {
    post("p1");
    let response = send::<Comments>("POST", PATH, r#"{"content":"Hello"}"#);
    assert_eq!(response.status, 201);
    let comment: Comment = json(&response);
    let location = format!("{PATH}/{}?position={}", comment.id, response.header("trellis-position").unwrap());
    assert_eq!(response.header("location"), Some(location.as_str()));
    settle::<Comments>();

    let got = send::<Comments>("GET", &location, "");
    assert_eq!((got.status, json::<ReadComment>(&got).content), (200, None), "it waits");
    let listed = send::<Comments>("GET", &format!("{PATH}?limit=1"), "");
    assert_eq!((listed.status, listed.header("link")), (200, None));
    let text = String::from_utf8(got.body).unwrap();
    assert_eq!(String::from_utf8(listed.body).unwrap(), format!("[{text}]"));
    let fields: Json = trellis_kit::testing::parse(text.as_bytes());
    assert_eq!((&fields["content"], &fields["status"]), (&Json::Null, &"pending".into()));

    send::<Comments>("POST", PATH, r#"{"content":"Me too"}"#);
    settle::<Comments>();
    let first = send::<Comments>("GET", &format!("{PATH}?limit=1"), "");
    let link = first.header("link").unwrap();
    let next = link.strip_prefix('<').unwrap().strip_suffix(r#">; rel="next""#).unwrap();
    let second: Vec<ReadComment> = json(&send::<Comments>("GET", next, ""));
    assert_eq!(second[0].id, comment.id);
}

#[test]
fn the_reader_is_the_caller_that_the_gateway_names() {
    platform().configure("caller-header", "x-caller");
    platform().configure("roles-header", "x-roles");
    post("p1");
    let as_ann = [("content-type", "application/json"), ("x-caller", "ann")];
    let response = request::<Comments>("POST", PATH, &as_ann, r#"{"content":"Hello"}"#);
    let path = format!("{PATH}/{}", json::<Comment>(&response).id);
    let content = |headers: &[(&str, &str)]| {
        json::<ReadComment>(&request::<Comments>("GET", &path, headers, "")).content
    };
    assert_eq!(content(&[("x-caller", "ann")]).as_deref(), Some("Hello"));
    assert_eq!(content(&[("x-roles", "operator, moderator")]).as_deref(), Some("Hello"));
    for other in [&[][..], &[("x-caller", "bob")], &[("x-roles", "moderators")], &[("x-caller", "")]] {
        assert_eq!(content(other), None, "{other:?}");
    }
}

#[test]
fn bad_comments_are_refused_with_the_field_that_is_bad() {
    post("p1");
    let deep = format!(r#"{{"content":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let long = format!(r#"{{"content":"{}"}}"#, "x".repeat(2001));
    let huge = format!(r#"{{"content":"{}"}}"#, "x".repeat(900_000));
    let rows = [
        ("", 400, None),
        ("{", 400, None),
        ("content=a", 400, None),
        (r#"{"content":"a"}{}"#, 400, None),
        (r#"{"content":"\ud800"}"#, 400, None),
        ("[]", 422, Some("")),
        (r#"["a"]"#, 422, Some("")),
        ("\"a\"", 422, Some("")),
        ("{}", 422, Some("content")),
        (r#"{"content":null}"#, 422, Some("content")),
        (r#"{"content":7}"#, 422, Some("content")),
        (r#"{"content":["a"]}"#, 422, Some("content")),
        (r#"{"content":"a","content":"b"}"#, 422, Some("content")),
        (r#"{"content":"a","status":"approved"}"#, 422, Some("status")),
        (r#"{"content":"a","author":"bob"}"#, 422, Some("author")),
        (r#"{"content":"  \n "}"#, 422, Some("content")),
        (r#"{"content":"a\u0000b"}"#, 422, Some("content")),
        (r#"{"content":"a\u202eb"}"#, 422, Some("content")),
        (&deep, 422, Some("content")),
        (&long, 422, Some("content")),
        (&huge, 422, Some("content")),
    ];
    for (body, expected, field) in rows {
        let response = send::<Comments>("POST", PATH, body);
        let problem: Json = json(&response);
        assert_eq!(response.status, expected, "{body:.60}: {problem}");
        if let Some(field) = field {
            assert_eq!(problem["errors"][0]["field"], field, "{body:.60}: {problem}");
        }
    }
    assert_eq!(platform().stored("LOG_comments"), [], "nothing was written");
}

#[test]
fn markup_is_text() {
    post("p1");
    let markup = r#"<script>alert("1")</script> & <b>"#;
    let comment = say(&anonymous(), "p1", markup).unwrap();
    assert_eq!(comment.content, markup);
}

#[test]
fn bad_paths_methods_and_types_are_refused() {
    post("p1");
    for (method, path, expected) in [
        ("POST", "/posts/p1/comments/", 404),
        ("POST", "/posts//comments", 404),
        ("POST", "/posts/p1%2fx/comments", 400),
        ("POST", "/posts/%00/comments", 400),
        ("POST", "/posts/../comments", 404),
        ("GET", "/posts/p1/comments?limit=0", 400),
        ("GET", "/posts/p1/comments?limit=101", 400),
        ("GET", "/posts/p1/comments?after=x", 400),
        ("GET", "/posts/p1/comments/nothing", 404),
        ("PUT", "/posts/p1/comments", 405),
        ("DELETE", "/posts/p1/comments/c", 405),
        ("GET", "/comments", 404),
    ] {
        let response = send::<Comments>(method, path, r#"{"content":"a"}"#);
        assert_eq!(response.status, expected, "{method} {path}");
    }
    let text = request::<Comments>("POST", PATH, &[("content-type", "text/plain")], r#"{"content":"a"}"#);
    assert_eq!(text.status, 415);
}
