//! Posts over HTTP, as a client sees them: created, read, listed, kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use system::{ANN, OLAF, Request, Response, Trellis, eventually, settled};
use tempfile::tempdir;

fn create(trellis: &Trellis, title: &str) -> Value {
    write(trellis, title).json()
}

fn write(trellis: &Trellis, title: &str) -> Response {
    let answer = trellis.send(&Request::post("/posts", json!({ "title": title }).to_string()));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

/// A post as whoever wrote it reads it, without what readers are told beside it.
#[track_caller]
fn read(trellis: &Trellis, written: &Response) -> Value {
    let path = format!("/posts/{}", written.json()["id"].as_str().unwrap());
    let position = written.header("trellis-position").unwrap();
    let read = trellis.send(&Request::get(&path).header("trellis-position", position));
    assert_eq!(read.status, 200, "{read:?}");
    essence(&read.json())
}

fn essence(post: &Value) -> Value {
    let fields = ["id", "title", "author", "created_at", "version"];
    fields
        .into_iter()
        .map(|field| (field.to_owned(), post[field].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Every post by following the links between pages, once there are as many as expected.
fn list(trellis: &Trellis, page: &str, expected: usize) -> Vec<Value> {
    eventually(&format!("{expected} posts are listed"), || {
        let mut posts = Vec::new();
        let mut next = Some(page.to_owned());
        while let Some(path) = next {
            let answer = trellis.get(&path);
            assert_eq!(answer.status, 200, "{answer:?}");
            posts.extend(answer.json().as_array().unwrap().iter().map(essence));
            next = answer.next();
        }
        (posts.len() >= expected).then_some(posts)
    })
}

#[test]
fn a_post_is_created_and_read() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let created = trellis.send(&Request::post("/posts", r#"{"title": "  Hello, Trellis "}"#));
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("content-type"), Some("application/json"));
    let post = created.json();
    assert_eq!(post["title"], "Hello, Trellis", "blanks around it are dropped");
    assert_eq!(post["author"], Value::Null);
    assert_eq!(post["version"], 1);
    assert!(post["created_at"].as_str().unwrap().ends_with('Z'), "{post}");

    let location = created.header("location").unwrap();
    let position = created.header("trellis-position").unwrap();
    assert_eq!(location, format!("/posts/{}?position={position}", post["id"].as_str().unwrap()));
    assert_eq!(read(&trellis, &created), post, "what is written can be read at once");
    let head = trellis.send(&Request::new("HEAD", location));
    assert_eq!((head.status, head.body.len()), (200, 0));
    trellis.stop();
}

#[test]
fn titles_of_every_script_come_back_as_they_were() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let longest = "x".repeat(200);
    for title in
        ["naïve café", "日本語の題", "שלום עולם", "🦀🕸️", "a\"b\\c/d<e>&f", "-", "null", longest.as_str()]
    {
        let written = write(&trellis, title);
        assert_eq!(written.json()["title"], title);
        assert_eq!(read(&trellis, &written)["title"], title);
    }
}

#[test]
fn a_list_is_newest_first_in_pages() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    assert_eq!(list(&trellis, "/posts", 0), Vec::<Value>::new(), "a new application has none");
    let mut created: Vec<Value> = (0..7).map(|n| create(&trellis, &format!("Post {n}"))).collect();
    created.reverse();
    for page in ["/posts", "/posts?limit=1", "/posts?limit=2", "/posts?limit=7", "/posts?limit=100"] {
        assert_eq!(list(&trellis, page, created.len()), created, "{page}");
    }
    assert_eq!(trellis.get("/posts?limit=2").json().as_array().unwrap().len(), 2);
}

#[test]
fn an_idempotency_key_makes_one_post_of_many_requests() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let request = |key: &str, title: &str| {
        Request::post("/posts", json!({ "title": title }).to_string()).header("idempotency-key", key)
    };
    let first = trellis.send(&request("k-1", "Only once"));
    assert_eq!(first.status, 201, "{first:?}");

    let client = trellis.client();
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let again = || client.send(&request("k-1", "Only once")).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(again)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for again in answers {
        assert_eq!((again.status, again.json()), (201, first.json()));
    }
    let other = trellis.send(&request("k-1", "Something else"));
    assert_eq!(other.status, 422, "the same key with another body is a mistake: {other:?}");
    let second = trellis.send(&request("k-2", "Only once"));
    assert_ne!(second.json()["id"], first.json()["id"], "another key is another post");

    let listed = list(&trellis, "/posts", 2);
    assert_eq!(listed, [second.json(), first.json()]);
}

#[test]
fn one_key_in_parallel_is_one_post() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let client = trellis.client();
    let request = Request::post("/posts", r#"{"title": "At once"}"#).header("idempotency-key", "parallel");
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let send = || client.send(&request).unwrap();
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(send)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .inspect(|answer| assert_eq!(answer.status, 201, "{answer:?}"))
            .map(|answer| answer.json()["id"].clone())
            .collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    assert_eq!(list(&trellis, "/posts", 1).len(), 1);
}

#[test]
fn nobody_changes_an_anonymous_post() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let written = write(&trellis, "As it is");
    let path = format!("/posts/{}", written.json()["id"].as_str().unwrap());
    let retitle = Request::put(&path, r#"{"title": "Other"}"#);
    assert_eq!(trellis.send(&retitle).status, 403);
    assert_eq!(trellis.send(&retitle.by(OLAF)).status, 403);
    assert_eq!(read(&trellis, &written), written.json());
}

#[test]
fn an_author_changes_the_title() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let written = trellis.send(&Request::post("/posts", r#"{"title": "Helo"}"#).by(ANN));
    assert_eq!((written.status, &written.json()["author"]), (201, &"ann".into()));
    let path = format!("/api/posts/{}", written.json()["id"].as_str().unwrap());
    let changed = trellis.send(&Request::put(&path, r#"{"title": "Hello"}"#).by(ANN));
    assert_eq!((changed.status, &changed.json()["title"]), (200, &"Hello".into()));
    assert_eq!(read(&trellis, &changed), changed.json());
}

#[test]
fn a_restart_keeps_everything() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let written: Vec<Response> = (0..20).map(|n| write(&trellis, &format!("Post {n}"))).collect();
    trellis.stop();

    let trellis = Trellis::start(data.path());
    // What was being handled when it stopped is handled again, on a lattice after as long as an acknowledgement may take.
    settled(&trellis);
    for written in &written {
        assert_eq!(read(&trellis, written), written.json());
    }
    let newest_first: Vec<Value> = written.iter().rev().map(Response::json).collect();
    assert_eq!(list(&trellis, "/posts?limit=3", newest_first.len()), newest_first);
    trellis.stop();
}
