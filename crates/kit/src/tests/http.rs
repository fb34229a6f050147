//! The edge: which request gets which answer.

use super::*;
use crate::testing::{json, request, send, start};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn status(method: &str, target: &str) -> u16 {
    request::<Notes>(method, target, &[], "").status
}

#[test]
fn paths_and_methods() {
    write(&with_key("k"), new("a")).unwrap();
    let id = write(&with_key("k"), new("a")).unwrap().id;
    let rows = [
        ("GET", format!("/notes/{id}"), 200),
        ("GET", format!("/notes/{id}?x=y&&z"), 200),
        ("GET", "/%6eotes".to_owned(), 200),
        ("GET", "/".to_owned(), 204),
        ("GET", "/?limit=1".to_owned(), 204),
        ("GET", "/notes/nothing".to_owned(), 404),
        ("GET", "/notes/newest".to_owned(), 204),
        ("PUT", "/notes/newest".to_owned(), 405),
        ("GET", "/other".to_owned(), 404),
        ("GET", "/Notes".to_owned(), 404),
        ("GET", "/notes/".to_owned(), 404),
        ("GET", "//notes".to_owned(), 404),
        ("GET", "/notes//x".to_owned(), 404),
        ("GET", "/notes/x/y".to_owned(), 404),
        ("GET", "/notes/..".to_owned(), 404),
        ("GET", "/x/../notes".to_owned(), 404),
        ("GET", "/%2e%2e/notes".to_owned(), 404),
        ("GET", "/./notes".to_owned(), 404),
        ("GET", "/notes%2fx".to_owned(), 400),
        ("GET", "/notes/%2F".to_owned(), 400),
        ("GET", "/notes/%5c".to_owned(), 400),
        ("GET", "/notes/%00".to_owned(), 400),
        ("GET", "/notes/%0a".to_owned(), 400),
        ("GET", "/notes/%".to_owned(), 400),
        ("GET", "/notes/%4".to_owned(), 400),
        ("GET", "/notes/%zz".to_owned(), 400),
        ("GET", "/notes/%+1".to_owned(), 400),
        ("GET", "/notes/%ff".to_owned(), 400),
        ("GET", "/notes/%c3%a4".to_owned(), 404),
        ("GET", "/notes?limit=%ff".to_owned(), 400),
        ("GET", "notes".to_owned(), 400),
        ("GET", "".to_owned(), 400),
        ("GET", "*".to_owned(), 400),
        ("GET", "http://elsewhere/notes".to_owned(), 400),
        ("HEAD", format!("/notes/{id}"), 200),
        ("HEAD", "/other".to_owned(), 404),
        ("OPTIONS", "/notes".to_owned(), 204),
        ("OPTIONS", "/other".to_owned(), 404),
        ("DELETE", "/notes".to_owned(), 405),
        ("POST", format!("/notes/{id}"), 405),
        ("get", "/notes".to_owned(), 405),
        ("", "/notes".to_owned(), 405),
    ];
    for (method, target, expected) in rows {
        assert_eq!(status(method, &target), expected, "{method} {target}");
    }
}

#[test]
fn a_method_that_is_not_possible_is_told_which_are() {
    for (method, target, expected) in [
        ("PATCH", "/notes", "GET, HEAD, OPTIONS, POST"),
        ("OPTIONS", "/notes", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/notes/x", "GET, HEAD, OPTIONS, PUT"),
        ("PUT", "/notes/newest", "GET, HEAD, OPTIONS"),
    ] {
        assert_eq!(
            request::<Notes>(method, target, &[], "").header("allow"),
            Some(expected),
            "{method} {target}"
        );
    }
}

#[test]
fn head_is_get_without_the_body() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    let got = request::<Notes>("GET", &format!("/notes/{id}"), &[], "");
    let head = request::<Notes>("HEAD", &format!("/notes/{id}"), &[], "");
    assert_eq!(head.body, b"");
    assert_eq!(head.headers, got.headers);
    assert_eq!(got.header("content-length"), Some(got.body.len().to_string().as_str()));
}

/// Status, and the one field that is complained about.
#[test]
fn bodies() {
    let deep = format!(r#"{{"text":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    type Complaint = Option<(&'static str, &'static str)>;
    let rows: [(&str, u16, Complaint); 21] = [
        (r#"{"text":"a"}"#, 201, None),
        (r#"{"text":"a","tags":null}"#, 201, None),
        (r#"{"text":"a","tags":[{"name":"b"}]}"#, 201, None),
        (r#" {"text" : "\u00e4"} "#, 201, None),
        ("", 400, None),
        ("{", 400, None),
        ("text=a", 400, None),
        (r#"{"text":"a"} x"#, 400, None),
        (r#"{"text":"\ud800"}"#, 400, None),
        (&deep, 422, Some(("text", "invalid type: sequence, expected a string"))),
        (r#"["a",null]"#, 422, Some(("", "invalid type: sequence, expected an object"))),
        ("7", 422, Some(("", "invalid type: integer `7`, expected an object"))),
        (
            r#"{"text":"a","tags":[["b"]]}"#,
            422,
            Some(("tags.0", "invalid type: sequence, expected an object")),
        ),
        (
            r#"{"text":"a","tags":[{"name":"b","name":"b"}]}"#,
            422,
            Some(("tags.0.name", "This field is there twice.")),
        ),
        (r#"{}"#, 422, Some(("text", "This field is required."))),
        (r#"{"text":7}"#, 422, Some(("text", "invalid type: integer `7`, expected a string"))),
        (r#"{"text":null}"#, 422, Some(("text", "invalid type: null, expected a string"))),
        (r#"{"text":"a","more":1}"#, 422, Some(("more", "There is no such field."))),
        (r#"{"text":"a","tags":[{"name":"b"},{}]}"#, 422, Some(("tags.1.name", "This field is required."))),
        (r#"{"text":"a","tags":[{"name":"b","x":1}]}"#, 422, Some(("tags.0.x", "There is no such field."))),
        (r#"{"text":"a","text":"b"}"#, 422, Some(("text", "This field is there twice."))),
    ];
    for (body, expected, complaint) in rows {
        let response = send::<Notes>("POST", "/notes", body);
        let text = String::from_utf8(response.body.clone()).unwrap();
        assert_eq!(response.status, expected, "{body:.60}: {text}");
        if let Some((field, message)) = complaint {
            let problem: serde_json::Value = json(&response);
            let error = serde_json::json!({ "field": field, "message": message });
            assert_eq!(problem["errors"], serde_json::json!([error]), "{body:.60}");
        }
    }
}

#[test]
fn only_json_is_read() {
    for (media_type, expected) in [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        ("text/plain", 415),
        ("application/jsonp", 415),
        ("", 415),
    ] {
        let response = request::<Notes>("POST", "/notes", &[("Content-Type", media_type)], r#"{"text":"a"}"#);
        assert_eq!(response.status, expected, "{media_type}");
    }
    assert_eq!(request::<Notes>("POST", "/notes", &[], r#"{"text":"a"}"#).status, 415);
    let twice = [JSON, JSON].concat();
    assert_eq!(request::<Notes>("POST", "/notes", &twice, r#"{"text":"a"}"#).status, 415);
}

#[test]
fn a_problem_looks_as_the_rfc_says_and_names_the_trace() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let response = request::<Notes>("GET", "/notes/x", &[("traceparent", trace)], "");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let expected = serde_json::json!({
        "title": "Not Found", "status": 404, "detail": "There is no such note.",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    assert_eq!(json::<serde_json::Value>(&response), expected);
    let without =
        json::<serde_json::Value>(&request::<Notes>("GET", "/notes/x", &[("traceparent", "x")], ""));
    assert_eq!(without["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn a_creation_says_where_to_find_it_and_can_be_repeated() {
    let key = [JSON, &[("Idempotency-Key", "k")]].concat();
    let first = request::<Notes>("POST", "/notes", &key, r#"{"text":"a"}"#);
    let id = json::<Note>(&first).id;
    assert_eq!(
        (first.status, first.header("location")),
        (201, Some(format!("/notes/{id}?position=notes:0:1").as_str()))
    );
    assert_eq!(request::<Notes>("POST", "/notes", &key, r#"{ "text": "a" }"#), first, "blanks do not matter");
    assert_eq!(request::<Notes>("POST", "/notes", &key, r#"{"text":"b"}"#).status, 422);
    let twice = [&key[..], &[("idempotency-key", "l")]].concat();
    assert_eq!(request::<Notes>("POST", "/notes", &twice, r#"{"text":"a"}"#).status, 400);
    let event = stored().remove(0);
    assert_eq!(event.causation.map(|span| span.len()), Some(16), "the request's own part of the trace");
}

#[test]
fn who_calls_is_believed_only_where_the_operator_says_so() {
    let whoami =
        |headers: &[(&str, &str)]| json::<Option<String>>(&request::<Notes>("GET", "/whoami", headers, ""));
    let claim = [("x-caller", "ann")];
    assert_eq!(whoami(&claim), None);
    platform().configure("caller-header", "X-Caller");
    assert_eq!(whoami(&claim), Some("ann".to_owned()));
    assert_eq!(whoami(&[]), None);
    assert_eq!(whoami(&[("x-caller", "")]), None);
    assert_eq!(whoami(&[("x-caller", "ann"), ("X-Caller", "bob")]), None, "two claims are none");
}

#[test]
fn what_callers_are_trusted_with_is_believed_only_where_the_operator_says_so() {
    let roles =
        |headers: &[(&str, &str)]| json::<Vec<String>>(&request::<Notes>("GET", "/roles", headers, ""));
    let claim = [("x-roles", " moderator,, operator ")];
    assert_eq!(roles(&claim), [""; 0]);
    platform().configure("roles-header", "X-Roles");
    assert_eq!(roles(&claim), ["moderator", "operator"]);
    assert_eq!(roles(&[]), [""; 0]);
    assert_eq!(roles(&[("x-roles", "moderator"), ("X-Roles", "x")]), [""; 0], "two claims are none");
}

/// Without the config, a caller would be nobody, and the repetition of a request another caller's first.
#[test]
fn without_its_config_a_service_answers_nobody() {
    start::<Notes>();
    platform().configure("caller-header", "X-Caller");
    let write = || {
        let headers = [("x-caller", "ann"), ("idempotency-key", "k"), ("content-type", "application/json")];
        request::<Notes>("POST", "/notes", &headers, r#"{"text":"a"}"#)
    };
    let first = write();
    assert_eq!(first.status, 201);
    platform().lose_config();
    for response in [write(), request::<Notes>("GET", "/whoami", &[("x-caller", "ann")], "")] {
        assert_eq!(response.status, 503, "{response:?}");
    }
    assert!(platform().take_lines().iter().any(|(_, line)| line.contains("the config is empty")));
    platform().configure("caller-header", "X-Caller");
    assert_eq!(write().body, first.body);
    assert_eq!(stored().len(), 1);
}

#[test]
fn lists_link_to_their_next_page() {
    start::<Notes>();
    let mut ids: Vec<String> = (0..5).map(|_| write(&anonymous(), new("a")).unwrap().id).collect();
    crate::testing::settle::<Notes>();
    let mut target = "/notes?limit=2".to_owned();
    let mut listed = Vec::new();
    for page in 0..3 {
        let response = request::<Notes>("GET", &target, &[], "");
        listed.extend(json::<Vec<Note>>(&response).into_iter().map(|note| note.id));
        let Some(link) = response.header("link") else { break };
        assert!(page < 2);
        target = link.strip_prefix('<').unwrap().strip_suffix(r#">; rel="next""#).unwrap().to_owned();
    }
    ids.reverse();
    assert_eq!(listed, ids);
    let filtered = request::<Notes>("GET", "/notes?a%20b=%22%3E%26&limit=2&after=", &[], "");
    assert_eq!(filtered.status, 400);
    let filtered = request::<Notes>("GET", "/notes?a%20b=%22%3E%26&limit=2", &[], "");
    let link = filtered.header("link").unwrap();
    assert!(
        link.ends_with(r#"&a%20b=%22%3E%26&limit=2>; rel="next""#),
        "the rest of the query stays: {link}"
    );
    let bad = [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=%2B1",
        "limit=x",
        "limit=",
        "limit=99999999999",
        "after=x",
    ];
    for bad in bad.into_iter().chain(["after=", "limit=1&limit=1", "limit=1&limit=2"]) {
        assert_eq!(status("GET", &format!("/notes?{bad}")), 400, "{bad}");
    }
}

#[test]
fn a_word_of_the_query_is_one_of_the_cases_or_refused() {
    let color = |query: &str| send::<Notes>("GET", &format!("/color{query}"), "");
    for (query, expected) in
        [("", "null"), ("?color=red", r#""red""#), ("?color=dark_blue", r#""dark_blue""#)]
    {
        assert_eq!(String::from_utf8(color(query).body).unwrap(), expected, "{query}");
    }
    assert_eq!(color("?color=red&color=red").status, 400, "twice");
    for bad in ["?color=", "?color=Red", "?color=%22red%22", "?color=0"] {
        let response = color(bad);
        let problem: serde_json::Value = json(&response);
        assert_eq!(response.status, 400, "{bad}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("`red` or `dark_blue`"), "{bad}: {problem}");
    }
}
