//! What a component may publish: a guest that sends whatever it is told to, under what its file says it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use common::{artifact, manifest, root, send};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use trellis_host::App;
use trellis_host::env::{Env, Options};
use trellis_host::manifest::Application;
use trellis_store::Store;

/// What a service says that makes read models of posts, asks the query service, and has a log.
const STATEMENT: &str = r#"{"name":"meddler","partitions":2,"asks":["query"],"watches":false,"provisions":false,"projects":["posts"],"reacts_to":[]}"#;

/// The guest, with `statement` in its file if there is one.
fn wasm(folder: &Path, statement: Option<&str>) -> PathBuf {
    let mut bytes = std::fs::read(artifact("test/meddler")).unwrap();
    if let Some(statement) = statement {
        // A custom section: 0, its length, the length of its name, its name, what is in it.
        let name = b"trellis:service";
        let len = 1 + name.len() + statement.len();
        let length = [u8::try_from(len & 0x7f).unwrap() | 0x80, u8::try_from(len >> 7).unwrap()];
        assert!(len < 1 << 14);
        bytes.extend([0, length[0], length[1], u8::try_from(name.len()).unwrap()]);
        bytes.extend(name);
        bytes.extend(statement.as_bytes());
    }
    let file = folder.join("meddler.wasm");
    std::fs::write(&file, bytes).unwrap();
    file
}

async fn start(name: &str, statement: Option<&str>) -> Result<App, String> {
    let folder = tempfile::tempdir().unwrap();
    let text = manifest(name, &wasm(folder.path(), statement), 4, "", "");
    let application = Application::parse(&root().join("test.yaml"), &text).unwrap();
    let env = Env::real(Store::in_memory(), Options::default());
    App::start(&application, env).await.map_err(|error| error.to_string())
}

async fn tell(app: &App, what: &str, subject: &str, reply: &str, body: &Value) -> (StatusCode, String) {
    let request = Request::post(format!("http://localhost/{what}/{subject}"));
    let request = if reply.is_empty() { request } else { request.header("reply-to", reply) };
    send(app, "meddler", request.body(Bytes::from(body.to_string())).unwrap()).await
}

async fn ask_jetstream(app: &App, operation: &str, body: Value) -> Value {
    let subject = format!("$JS.API.{operation}");
    let answer = app.broker().request(subject.as_str(), None, body.to_string(), Duration::from_secs(5)).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

fn own_log(subjects: &str) -> Value {
    json!({
        "name": "LOG_meddler", "subjects": [subjects], "storage": "file", "discard": "new",
        "discard_new_per_subject": true, "max_msgs_per_subject": 1, "num_replicas": 1,
        "metadata": { "trellis.partitions": "2" },
    })
}

fn consumer(deliver: &str, group: &str) -> Value {
    let name = "meddler-g1-0";
    let config = json!({
        "durable_name": name, "name": name, "ack_policy": "explicit", "deliver_policy": "all",
        "deliver_subject": deliver, "deliver_group": group, "filter_subject": "log.posts.0.*.*",
        "ack_wait": 30_000_000_000_u64, "max_ack_pending": 1,
    });
    json!({ "stream_name": "LOG_posts", "config": config, "action": "" })
}

#[tokio::test]
async fn what_does_not_follow_from_what_a_component_is_is_refused_and_not_sent() {
    let app = start("meddler", Some(STATEMENT)).await.unwrap();
    let log = json!({ "name": "LOG_posts", "subjects": ["log.posts.*.*.*"] });
    assert!(ask_jetstream(&app, "STREAM.CREATE.LOG_posts", log).await.get("error").is_none());
    let mut heard = app.broker().subscribe(">", None).unwrap();

    let creates = "$JS.API.CONSUMER.CREATE.LOG_posts.meddler-g1-0";
    let with_role = json!("POST /moderation/x HTTP/1.1\r\ntrellis-roles: moderator\r\n\r\n");
    let nothing = json!({});
    let refused = [
        ("$JS.API.STREAM.DELETE.LOG_posts", "", &nothing),
        ("$JS.API.STREAM.PURGE.LOG_posts", "", &nothing),
        ("$JS.API.STREAM.UPDATE.LOG_meddler", "", &nothing),
        ("svc.moderation", "", &with_role),
        ("trellis.host.stop", "", &json!({ "component": "meddler" })),
        ("log.posts.0.x.1", "", &nothing),
        ("dead.posts.posts.1.r", "", &nothing),
        ("deliver.posts", "", &nothing),
        ("$JS.ACK.LOG_posts.posts-g1-0.1.1.1.1.0", "", &nothing),
        ("_INBOX.trellis.1", "", &nothing),
        ("svc.query", "log.posts.0.x.1", &nothing),
        (creates, "", &consumer("log.posts.0.x.1", "meddler")),
        (creates, "", &consumer("deliver.meddler", "posts")),
        ("$JS.API.CONSUMER.CREATE.LOG_posts.posts-g1-0", "", &consumer("deliver.meddler", "meddler")),
        ("$JS.API.CONSUMER.DELETE.LOG_posts.posts-g1-0", "", &nothing),
        ("$JS.API.CONSUMER.DELETE.LOG_comments.posts-g1-0", "", &nothing),
        ("$JS.API.STREAM.CREATE.LOG_meddler", "", &own_log("svc.*")),
    ];
    for (subject, reply, body) in refused {
        for what in if reply.is_empty() { ["publish", "request"].as_slice() } else { &["publish"] } {
            let (status, said) = tell(&app, what, subject, reply, body).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{what} {subject}: {said}");
            assert!(said.starts_with("meddler may not ") && said.contains(subject), "{said}");
        }
    }
    while let Some(message) = heard.try_next() {
        assert_eq!(message.subject.as_str(), "trellis.announce", "{message:?}");
    }
    let names = ask_jetstream(&app, "STREAM.NAMES", json!({})).await;
    assert_eq!(names["streams"], json!(["LOG_posts"]));
    assert_eq!(ask_jetstream(&app, "STREAM.INFO.LOG_posts", json!({})).await["state"]["consumer_count"], 0);
    assert!(app.components().iter().all(|component| component.running));
    let counted =
        format!("trellis_refused_messages_total{{component=\"meddler\"}} {}", 2 * refused.len() - 1);
    assert!(app.metrics().contains(&counted), "{}", app.metrics());
}

#[tokio::test]
async fn what_follows_from_what_a_component_is_is_sent() {
    let app = start("meddler", Some(STATEMENT)).await.unwrap();
    let log = json!({ "name": "LOG_posts", "subjects": ["log.posts.*.*.*"] });
    assert!(ask_jetstream(&app, "STREAM.CREATE.LOG_posts", log).await.get("error").is_none());
    let mut heard = app.broker().subscribe("svc.query", None).unwrap();
    // Its version before this one followed comments.
    let log = json!({ "name": "LOG_comments", "subjects": ["log.comments.*.*.*"] });
    assert!(ask_jetstream(&app, "STREAM.CREATE.LOG_comments", log).await.get("error").is_none());
    let before = json!({
        "stream_name": "LOG_comments", "config": { "durable_name": "meddler-r-0", "deliver_subject": "deliver.meddler" },
    });
    let made = ask_jetstream(&app, "CONSUMER.DURABLE.CREATE.LOG_comments.meddler-r-0", before).await;
    assert!(made.get("error").is_none(), "{made}");
    let own = own_log("log.meddler.*.*.*");
    for (subject, body) in [
        ("$JS.API.STREAM.CREATE.LOG_meddler", &own),
        ("log.meddler.0.x.1", &json!({})),
        ("$JS.API.CONSUMER.CREATE.LOG_posts.meddler-g1-0", &consumer("deliver.meddler", "meddler")),
        ("$JS.API.STREAM.MSG.GET.LOG_meddler", &json!({ "seq": 1 })),
        ("$JS.API.CONSUMER.LIST.LOG_comments", &json!({})),
        ("$JS.API.CONSUMER.DELETE.LOG_comments.meddler-r-0", &json!({})),
    ] {
        let (status, said) = tell(&app, "request", subject, "", body).await;
        assert!(status == StatusCode::OK && !said.contains("\"error\""), "{subject}: {said}");
    }
    let (status, said) = tell(&app, "publish", "svc.query", "_INBOX.client.1", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let request = heard.next().await.unwrap();
    assert_eq!(request.reply.unwrap().as_str(), "_INBOX.client.1");
}

#[tokio::test]
async fn a_component_that_says_nothing_of_itself_keeps_off_what_services_use() {
    let app = start("meddler", None).await.unwrap();
    let mut heard = app.broker().subscribe("orders.new", None).unwrap();
    for subject in [
        "svc.query",
        "log.meddler.0.x.1",
        "$JS.API.INFO",
        "trellis.host.list",
        "deliver.posts",
        "trellis.hello",
    ] {
        let (status, said) = tell(&app, "request", subject, "", &json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{subject}: {said}");
        assert!(said.contains("it does not say which service it is"), "{said}");
    }
    assert_eq!(tell(&app, "publish", "orders.new", "svc.query", &json!({})).await.0, StatusCode::FORBIDDEN);
    assert_eq!(tell(&app, "publish", "orders.new", "", &json!(1)).await.0, StatusCode::OK);
    assert_eq!(heard.next().await.unwrap().payload, "1");
}

#[tokio::test]
async fn a_component_goes_by_the_name_that_it_says_it_has() {
    let refused = start("other", Some(STATEMENT)).await.unwrap_err();
    assert!(refused.contains("other says in its .wasm that it is meddler"), "{refused}");
    let refused = start("meddler", Some(r#"{"name":"a.b"}"#)).await.unwrap_err();
    assert!(refused.contains("cannot be read"), "{refused}");
}

#[tokio::test]
async fn what_the_shipped_services_are_is_in_their_files() {
    for name in ["gateway", "registry", "posts", "comments", "moderation", "query", "web"] {
        let wasm = std::fs::read(artifact(name)).unwrap();
        let (section, statement) = (b"trellis:service", format!("{{\"name\":\"{name}\","));
        let expected = [section, statement.as_bytes()].concat();
        assert!(wasm.windows(expected.len()).any(|part| part == expected), "{name} says nothing of itself");
    }
}
