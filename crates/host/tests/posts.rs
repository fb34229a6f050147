//! A real service on the host's real capabilities: what its manifest says is what it gets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use common::{POSTS, artifact, get, manifest, post, posts, root, send};
use http::{Request, StatusCode};
use serde_json::Value;
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_store::{Order, Store};

fn options(reuse: u32) -> Options {
    Options { reuse, ..Options::default() }
}

/// What clients see of a scripted session, with what differs from run to run left out.
async fn session(reuse: u32) -> Vec<(StatusCode, Vec<String>)> {
    let app = posts(options(reuse)).await;
    let (status, created) = send(&app, "posts", post("first")).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let id = serde_json::from_str::<Value>(&created).unwrap()["id"].as_str().unwrap().to_owned();
    let to = |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(format!("http://localhost{path}"));
        request.header("content-type", "application/json").body(Bytes::from(body.to_owned())).unwrap()
    };
    let script = [
        get(&format!("/posts/{id}")),
        get("/posts/nobody"),
        get("/nowhere"),
        get("/posts/../../etc/passwd"),
        get("/posts/%2e%2e%2f"),
        to("DELETE", &format!("/posts/{id}"), ""),
        to("POST", "/posts", ""),
        to("POST", "/posts", "{"),
        to("POST", "/posts", "[]"),
        to("POST", "/posts", r#"{"title": 1}"#),
        to("POST", "/posts", r#"{"title": "  "}"#),
        to("POST", "/posts", &format!(r#"{{"title": "{}"}}"#, "x".repeat(100_000))),
        to("POST", "/posts", "{\"title\": \"a\u{0}b\"}"),
        to("POST", "/posts", r#"{"title": "second"}"#),
    ];
    let mut seen = Vec::new();
    for request in script {
        let (status, body) = send(&app, "posts", request).await;
        let fields = match serde_json::from_str::<Value>(&body) {
            Ok(Value::Object(fields)) => fields.keys().cloned().collect(),
            _ => vec![],
        };
        seen.push((status, fields));
    }
    seen
}

#[tokio::test]
async fn fresh_and_reused_instances_behave_the_same() {
    let fresh = session(1).await;
    assert_eq!(fresh, session(1000).await);
    assert_eq!(fresh[0].0, StatusCode::OK);
    assert_eq!(fresh[1].0, StatusCode::NOT_FOUND);
    assert!(fresh[6..13].iter().all(|(status, _)| status.is_client_error()), "{fresh:?}");
    assert_eq!(fresh[13].0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_request_over_messages_is_answered_by_one_member_of_the_queue_group() {
    let app = posts(options(1000)).await;
    let mut other = app.broker().subscribe("svc.posts", Some("posts")).unwrap();
    let mut observer = app.broker().subscribe("svc.posts", None).unwrap();
    let (mut answered, mut taken) = (0, 0);
    for _ in 0..40 {
        let request = "GET /posts/nobody HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let reply = app.broker().request("svc.posts", None, request, Duration::from_secs(5));
        tokio::select! {
            biased;
            reply = reply => {
                let reply = reply.unwrap().payload;
                assert!(reply.starts_with(b"HTTP/1.1 404 "), "{reply:?}");
                answered += 1;
            }
            Some(_) = other.next() => taken += 1,
        }
        assert!(observer.next().await.is_some());
    }
    assert!(answered > 0 && taken > 0, "answered {answered}, taken by the other member {taken}");
    assert_eq!(answered + taken, 40);
}

#[tokio::test]
async fn the_link_says_which_bucket_is_used() {
    let text = manifest("posts", &artifact("posts"), 2, POSTS, "").replace(
        "target: { name: kv }",
        r#"target: { name: kv, config: [{ name: b, properties: { bucket: elsewhere } }] }"#,
    );
    let application = Application::parse(&root().join("test.yaml"), &text).unwrap();
    let store = Store::in_memory();
    let app = App::start(&application, Env::real(store.clone(), options(1000))).await.unwrap();
    assert_eq!(send(&app, "posts", post("first")).await.0, StatusCode::CREATED);
    let keys = |bucket: &str| {
        let start = Bytes::from(format!("K{bucket}\0"));
        let end = Bytes::from(format!("K{bucket}\u{1}"));
        store.scan((Bound::Included(start), Bound::Excluded(end)), Order::Ascending, 100).len()
    };
    // The list is a read model: it is written when the service hears of its own event.
    for _ in 0..1000 {
        if keys("elsewhere") > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(keys("elsewhere") > 0);
    assert_eq!(keys("posts"), 0);
}

#[tokio::test]
async fn the_component_gets_its_config() {
    // What shows here is what the service asks its stream for: one server can keep one replica and not two.
    for (config, replicas) in [("", Some(1)), ("replicas: \"1\"", Some(1)), ("replicas: \"2\"", None)] {
        let text = manifest("posts", &artifact("posts"), 2, POSTS, config);
        let application = Application::parse(&root().join("test.yaml"), &text).unwrap();
        let app = App::start(&application, Env::real(Store::in_memory(), options(1000))).await.unwrap();
        let info = app
            .broker()
            .request("$JS.API.STREAM.INFO.LOG_posts", None, "", Duration::from_secs(5))
            .await
            .unwrap();
        let info: Value = serde_json::from_slice(&info.payload).unwrap();
        assert_eq!(info["config"]["num_replicas"].as_u64(), replicas, "{config}: {info}");
    }
}

#[tokio::test]
async fn a_compiled_component_is_loaded_again_and_a_foreign_file_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let cached = || -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(dir.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
    };
    let start = async || {
        let options = Options { cache_dir: Some(dir.path().join("cache")), ..Options::default() };
        let app = common::guest("hello", 1, options).await;
        assert_eq!(send(&app, "hello", get("/")).await.1, "Hello from Trellis!");
    };
    start().await;
    let [file] = &cached()[..] else { panic!("{:?}", cached()) };
    let compiled = std::fs::read(file).unwrap();
    start().await;
    let mut flipped = compiled.clone();
    flipped[compiled.len() / 2] ^= 1;
    for damage in [&b""[..], b"text", &compiled[..compiled.len() / 2], &flipped] {
        std::fs::remove_file(file).unwrap();
        std::fs::write(file, damage).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        start().await;
        assert!(std::fs::read(file).unwrap() == compiled, "it should have been replaced");
    }
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap();
    start().await;
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "what others may write should have been replaced");
}
