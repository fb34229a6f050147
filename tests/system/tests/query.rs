//! Query over HTTP: what was written to other services is read there, by its writer at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use system::{Client, Request, Response, Trellis, eventually};
use tempfile::tempdir;

fn create(trellis: &Trellis, title: &str) -> Response {
    let answer = trellis.send(&Request::post("/posts", json!({ "title": title }).to_string()));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

fn position(written: &Response) -> &str {
    written.header("trellis-position").expect("a write says where it is")
}

#[track_caller]
fn get(query: &Client, path: &str, position: &str) -> Response {
    let answer = query.send(&Request::get(path).header("trellis-position", position)).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[test]
fn a_caller_reads_its_own_write_at_once() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let query = trellis.client();
    for n in 0..30 {
        let written = create(&trellis, &format!("Post {n}"));
        let post = written.json();
        let feed = get(&query, "/posts?limit=5", position(&written));
        assert_eq!(feed.json()[0]["id"], post["id"], "post {n} is on top of the feed");
        assert!(feed.header("x-trellis-lag").is_some(), "{feed:?}");
        let path = format!("/posts/{}", post["id"].as_str().unwrap());
        let read = get(&query, &format!("{path}?position={}", position(&written)), "posts:0:0").json();
        for field in ["id", "title", "author", "created_at", "version"] {
            assert_eq!(read[field], post[field], "{field}");
        }
    }
    trellis.stop();
}

#[test]
fn the_feed_comes_in_pages_and_ends_without_lag() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let query = trellis.client();
    let written: Vec<Response> = (0..25).map(|n| create(&trellis, &format!("Post {n}"))).collect();
    let positions: Vec<&str> = written.iter().rev().take(16).map(position).collect();
    let mut ids: Vec<Value> = Vec::new();
    let mut next = Some("/posts?limit=10".to_owned());
    while let Some(path) = next {
        let part = get(&query, &path, &positions.join(","));
        ids.extend(part.json().as_array().unwrap().iter().map(|post| post["id"].clone()));
        next = part.next();
    }
    let expected: Vec<Value> = written.iter().rev().map(|written| written.json()["id"].clone()).collect();
    assert_eq!(ids, expected);
    eventually("nothing is waiting", || {
        let feed = query.send(&Request::get("/posts")).unwrap();
        (feed.header("x-trellis-lag") == Some("0")).then_some(())
    });
}

#[test]
fn a_comment_is_seen_at_once_and_read_once_it_is_approved() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let (query, comments) = (trellis.client(), trellis.client());
    let path = format!("/posts/{}", create(&trellis, "Fruit").json()["id"].as_str().unwrap());
    let say = |content: &str| {
        let body = json!({ "content": content }).to_string();
        let answer = comments.send(&Request::post(&format!("{path}/comments"), body)).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    };
    for (number, (content, verdict)) in
        [("I like apples", "approved"), ("I like an orange", "rejected")].into_iter().enumerate()
    {
        let said = say(content);
        let post = get(&query, &path, position(&said)).json();
        let newest = &post["comments"][0];
        assert_eq!(
            (&newest["id"], &post["comment_count"]),
            (&said.json()["id"], &json!(number + 1)),
            "{post}"
        );
        let judged = eventually("the verdict shows", || {
            let newest = query.send(&Request::get(&path)).unwrap().json()["comments"][0].clone();
            assert_eq!(newest["content"].is_string(), newest["status"] == "approved", "{newest}");
            (newest["status"] != "pending").then_some(newest)
        });
        assert_eq!(judged["status"], verdict, "{judged}");
    }
    let feed = query.send(&Request::get("/posts")).unwrap().json();
    let shown: Vec<&Value> = feed[0]["comments"].as_array().unwrap().iter().collect();
    assert_eq!((shown.len(), &shown[0]["content"]), (1, &json!("I like apples")), "{feed}");
    assert_eq!(feed[0]["comment_count"], 2);
    trellis.stop();
}

#[test]
fn a_restart_loses_nothing_that_was_read() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let written: Vec<Response> = (0..10).map(|n| create(&trellis, &format!("Post {n}"))).collect();
    let last = position(&written[9]).to_owned();
    get(&trellis.client(), "/posts", &last);
    trellis.kill();

    let trellis = Trellis::start(data.path());
    let query = trellis.client();
    let feed = eventually("all posts are in the feed", || {
        let feed = get(&query, "/posts", &last).json();
        (feed.as_array().unwrap().len() == 10).then_some(feed)
    });
    let newest_first: Vec<Value> = written.iter().rev().map(|written| written.json()["id"].clone()).collect();
    let ids: Vec<Value> = feed.as_array().unwrap().iter().map(|post| post["id"].clone()).collect();
    assert_eq!(ids, newest_first);
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let query = trellis.client();
    let status = |request: &Request| query.send(request).unwrap().status;
    assert_eq!(status(&Request::get("/posts/nobody")), 404);
    for path in
        ["/posts?limit=0", "/posts?limit=x", "/posts?after=x", "/posts?position=x", "/posts?position="]
    {
        assert_eq!(status(&Request::get(path)), 400, "{path}");
    }
    assert_eq!(status(&Request::get("/posts").header("trellis-position", "posts:0")), 400);
}
