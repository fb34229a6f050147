//! Components that come and go while the application runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use common::{POSTS, application, artifact, get, guest, manifest, post, posts, root, send};
use http::StatusCode;
use serde_json::{Value, json};
use trellis_broker::Broker;
use trellis_host::control::{Answer, Change, Command, ComponentStatus};
use trellis_host::env::{Clock, Env, Options, TokioClock};
use trellis_host::manifest::Application;
use trellis_host::observe::{HostCall, Moment, Observer, Verdict};
use trellis_host::{App, CallError};
use trellis_names::ANNOUNCE;
use trellis_store::Store;

const WITHIN: Duration = Duration::from_secs(5);

fn status(name: &str, running: bool, instances: usize) -> ComponentStatus {
    ComponentStatus { name: name.to_owned(), running, instances }
}

/// What a request gets that is sent to posts as a message.
async fn ask_posts(broker: &Broker) -> Result<String, String> {
    let request = "GET /posts/nobody HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let reply = broker.request("svc.posts", None, request, Duration::from_secs(5)).await;
    reply.map(|reply| String::from_utf8(reply.payload.to_vec()).unwrap()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn nobody_finds_a_stopped_component_until_it_is_started_again() {
    let app = posts(Options::default()).await;
    let (code, created) = send(&app, "posts", post("kept")).await;
    assert_eq!(code, StatusCode::CREATED, "{created}");
    let id = serde_json::from_str::<Value>(&created).unwrap()["id"].as_str().unwrap().to_owned();
    assert!(ask_posts(app.broker()).await.unwrap().starts_with("HTTP/1.1 404 "));

    let mut news = app.broker().subscribe(ANNOUNCE, None).unwrap();
    let stopped = status("posts", false, 4);
    assert_eq!(app.stop_component("posts", WITHIN).await.unwrap(), Change::Made(stopped.clone()));
    assert_eq!(app.stop_component("posts", WITHIN).await.unwrap(), Change::None(stopped.clone()));
    assert_eq!(ask_posts(app.broker()).await.unwrap_err(), "no responders: nobody listens on svc.posts");
    let refused = app.http("posts", get("/posts")).await.unwrap_err();
    assert!(matches!(refused, CallError::Stopped { .. }), "{refused}");
    assert_eq!(app.components(), [stopped]);
    assert!(app.metrics().contains("trellis_http_calls_total{component=\"posts\"}"), "still counted");

    let started = status("posts", true, 4);
    assert_eq!(app.start_component("posts", None).await.unwrap(), Change::Made(started.clone()));
    assert_eq!(app.start_component("posts", None).await.unwrap(), Change::None(started));
    assert!(ask_posts(app.broker()).await.unwrap().starts_with("HTTP/1.1 404 "));
    let (code, read) = send(&app, "posts", get(&format!("/posts/{id}"))).await;
    assert!(code == StatusCode::OK && read.contains("kept"), "{read}");

    let heard: Vec<Value> = std::iter::from_fn(|| news.try_next())
        .filter_map(|message| serde_json::from_slice(&message.payload).ok())
        .collect();
    let running = |running: bool| json!({ "name": "posts", "running": running, "instances": 4 });
    assert_eq!(heard, [running(false), running(true)]);
}

#[tokio::test]
async fn what_runs_is_finished_before_the_stop_is() {
    let app = guest("rogue", 2, Options::default()).await;
    let slow = tokio::spawn({
        let app = app.clone();
        async move { send(&app, "rogue", get("/slow")).await }
    });
    tokio::task::yield_now().await;
    app.stop_component("rogue", WITHIN).await.unwrap();
    assert!(slow.is_finished(), "it was cut off or left running");
    assert_eq!(slow.await.unwrap(), (StatusCode::OK, "slow".to_owned()));
}

/// Time passes only when nothing else is left to do: what would wait for the end of an `ack_wait` is seen to.
fn simulated(store: &Store, observer: Arc<dyn Observer>) -> Env {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH));
    Env::simulated(store.clone(), clock, 1, observer)
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_before_the_stop_is_handled_once_and_what_comes_later_after_the_start() {
    let env = simulated(&Store::in_memory(), Arc::new(Calls::default()));
    let app = App::start(&application("posts", "posts", 3, POSTS), env).await.unwrap();
    let mut written = BTreeSet::new();
    for round in 0..5 {
        for n in 0..10 {
            let title = format!("{round}-{n}");
            assert_eq!(send(&app, "posts", post(&title)).await.0, StatusCode::CREATED);
            written.insert(title);
        }
        // Right behind the writes: their deliveries are on their way.
        app.stop_component("posts", WITHIN).await.unwrap();
        app.start_component("posts", None).await.unwrap();
        let started = tokio::time::Instant::now();
        let listed = loop {
            let (_, page) = send(&app, "posts", get("/posts?limit=100")).await;
            let page: Vec<Value> = serde_json::from_str(&page).unwrap();
            if page.len() >= written.len() {
                break page;
            }
            // A delivery that was lost would come again after ack_wait, 30 s.
            assert!(started.elapsed() < Duration::from_secs(5), "{} of {}", page.len(), written.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let titles: BTreeSet<String> =
            listed.iter().map(|post| post["title"].as_str().unwrap().to_owned()).collect();
        assert_eq!((listed.len(), titles), (written.len(), written.clone()));
    }
}

/// Counts how many HTTP calls run at once.
#[derive(Default)]
struct Calls {
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Observer for Calls {
    fn observe(&self, call: &HostCall<'_>) -> Verdict {
        match (call.name, call.moment) {
            ("call.http", Moment::Enter) => {
                let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(running, Ordering::SeqCst);
            }
            ("call.http", Moment::Leave) => _ = self.running.fetch_sub(1, Ordering::SeqCst),
            _ => {}
        }
        Verdict::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_calls_run_at_once_as_it_is_scaled_to() {
    let calls = Arc::new(Calls::default());
    let env = simulated(&Store::in_memory(), calls.clone());
    let app = App::start(&application("rogue", "test/rogue", 2, ""), env).await.unwrap();
    let slow = || {
        let app = app.clone();
        tokio::spawn(async move { send(&app, "rogue", get("/slow")).await.0 })
    };
    let most_of_five = async || {
        calls.most.store(0, Ordering::SeqCst);
        let five: Vec<_> = (0..5).map(|_| slow()).collect();
        for call in five {
            assert_eq!(call.await.unwrap(), StatusCode::OK);
        }
        calls.most.load(Ordering::SeqCst)
    };
    assert_eq!(most_of_five().await, 2);
    // Of four or more, a quarter is left to events.
    for (instances, requests) in [(5, 4), (1, 1), (3, 3), (2, 2)] {
        let scaled = Change::Made(status("rogue", true, instances));
        assert_eq!(app.scale_component("rogue", instances).await.unwrap(), scaled);
        assert_eq!(most_of_five().await, requests);
    }
    assert_eq!(app.scale_component("rogue", 2).await.unwrap(), Change::None(status("rogue", true, 2)));

    // Scaled down under load: those that run go on, and the new bound holds when the command is answered.
    let both = [slow(), slow()];
    tokio::task::yield_now().await;
    let waiting = slow();
    app.scale_component("rogue", 1).await.unwrap();
    assert!(calls.running.load(Ordering::SeqCst) <= 1);
    for call in both.into_iter().chain([waiting]) {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    // The number stays over a stop.
    app.stop_component("rogue", WITHIN).await.unwrap();
    assert_eq!(app.start_component("rogue", None).await.unwrap(), Change::Made(status("rogue", true, 1)));
    assert_eq!(most_of_five().await, 1);
}

#[tokio::test]
async fn a_request_that_cannot_be_met_is_refused_with_advice() {
    let app = guest("rogue", 2, Options::default()).await;
    let scale =
        async |name: &str, instances| app.scale_component(name, instances).await.unwrap_err().to_string();
    assert_eq!(scale("rogue", 0).await, "rogue needs at least one instance; to have none, stop it");
    let nobody =
        "there is no component nobody; there are rogue. One more can be started from a manifest of its own";
    assert_eq!(scale("nobody", 1).await, nobody);
    // Two in the manifest, and 128 to spare.
    let no_room = scale("rogue", 131).await;
    assert!(no_room.starts_with("rogue cannot have 131 instances: there is room for 130"), "{no_room}");
    app.scale_component("rogue", 130).await.unwrap();
    assert_eq!(app.stop_component("nobody", WITHIN).await.unwrap_err().to_string(), nobody);
    assert_eq!(app.start_component("nobody", None).await.unwrap_err().to_string(), nobody);
    app.stop_component("rogue", WITHIN).await.unwrap();
    assert_eq!(scale("rogue", 1).await, "rogue is stopped; start it first");
    assert!(app.stop(WITHIN).await);
    let over = app.start_component("rogue", None).await.unwrap_err().to_string();
    assert_eq!(over, "the application is stopping");
}

#[tokio::test]
async fn a_component_is_started_from_its_file_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = dir.path().join("guest.wasm");
    std::fs::copy(artifact("test/hello"), &wasm).unwrap();
    let text = manifest("guest", &wasm, 1, "", "");
    let application = Application::parse(&dir.path().join("wadm.yaml"), &text).unwrap();
    let app = App::start(&application, Env::real(Store::in_memory(), Options::default())).await.unwrap();
    assert_eq!(send(&app, "guest", get("/")).await.1, "Hello from Trellis!");

    std::fs::write(&wasm, "no component").unwrap();
    app.stop_component("guest", WITHIN).await.unwrap();
    let bad = app.start_component("guest", None).await.unwrap_err().to_string();
    assert!(bad.contains("guest.wasm: is no component") && bad.contains("build it again"), "{bad}");
    assert_eq!(app.components(), [status("guest", false, 1)]);

    std::fs::copy(artifact("test/rogue"), &wasm).unwrap();
    app.start_component("guest", None).await.unwrap();
    assert_eq!(send(&app, "guest", get("/")).await.1, "fine");
}

/// A manifest of posts without an HTTP address, in a file.
fn posts_alone(dir: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let text = manifest("posts", &artifact("posts"), 3, POSTS, "");
    let (before, rest) = text.split_once("    - name: http\n").unwrap();
    let (_, after) = rest.split_once("    - name: nats\n").unwrap();
    let file = dir.join("posts.yaml");
    std::fs::write(&file, change(format!("{before}    - name: nats\n{after}"))).unwrap();
    file
}

#[tokio::test]
async fn a_component_that_the_application_does_not_know_is_started_from_its_own_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let app = guest("rogue", 2, Options::default()).await;
    let file = posts_alone(dir.path(), |text| text);
    let started = app.start_component("posts", Some(&file)).await.unwrap();
    assert_eq!(started, Change::Made(status("posts", true, 3)));
    // It has provisioned itself by now: there is a log to write to.
    assert_eq!(send(&app, "posts", post("first")).await.0, StatusCode::CREATED);
    assert!(ask_posts(app.broker()).await.unwrap().starts_with("HTTP/1.1 404 "));
    assert_eq!(app.components(), [status("posts", true, 3), status("rogue", true, 2)]);

    let again = app.start_component("posts", Some(&file)).await.unwrap_err().to_string();
    assert_eq!(again, "posts runs already; stop it before it is started from another manifest");
    app.stop_component("posts", WITHIN).await.unwrap();
    let file = posts_alone(dir.path(), |text| text.replace("instances: 3", "instances: 5"));
    let started = app.start_component("posts", Some(&file)).await.unwrap();
    assert_eq!(started, Change::Made(status("posts", true, 5)));
}

#[tokio::test]
async fn a_manifest_that_cannot_be_honoured_beside_the_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let app = guest("rogue", 2, Options::default()).await;
    let refused = async |file: &Path| app.start_component("posts", Some(file)).await.unwrap_err().to_string();
    let missing = refused(&dir.path().join("missing.yaml")).await;
    assert!(missing.contains("missing.yaml: cannot be read"), "{missing}");
    let file = posts_alone(dir.path(), |text| text.replace("name: posts", "name: others"));
    let other = refused(&file).await;
    assert!(other.contains("posts.yaml: there is no component posts; there are others"), "{other}");
    let config = "target: { name: kv, config: [{ name: b, properties: { bucket: rogue } }] }";
    let file = posts_alone(dir.path(), |text| text.replace("target: { name: kv }", config));
    let shared = refused(&file).await;
    assert!(shared.contains("posts would use the bucket rogue, which is that of rogue; give it"), "{shared}");
    let file = dir.path().join("http.yaml");
    std::fs::write(&file, manifest("posts", &artifact("posts"), 3, POSTS, "")).unwrap();
    let http = refused(&file).await;
    assert!(http.contains("http.yaml:") && http.contains("answer HTTP on 127.0.0.1:0"), "{http}");
    let file = posts_alone(dir.path(), |text| text.replace("instances: 3", "instances: 400"));
    let large = refused(&file).await;
    assert!(large.contains("room for 128 beside"), "{large}");
    let file = posts_alone(dir.path(), |text| text.replace("interfaces: [consumer]", "interfaces: [tea]"));
    let links = refused(&file).await;
    assert!(links.contains("cannot be linked by wasmcloud:messaging/tea"), "{links}");
    assert_eq!(app.components(), [status("rogue", true, 2)]);
}

#[tokio::test]
async fn a_manifest_is_read_from_a_regular_file_of_bounded_length_only() {
    let dir = tempfile::tempdir().unwrap();
    let app = guest("rogue", 2, Options::default()).await;
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let large = dir.path().join("large.yaml");
    std::fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
    for (file, why) in [
        (fifo.as_path(), "it is no regular file"),
        (dir.path(), "it is no regular file"),
        (Path::new("/dev/zero"), "it is no regular file"),
        (&large, "it has more than 1048576 bytes"),
    ] {
        let start = app.start_component("posts", Some(file));
        let refused = tokio::time::timeout(WITHIN, start).await.expect("it is read for ever");
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(&format!("cannot be read: {why}")), "{refused}");
    }
}

#[tokio::test]
async fn a_message_asks_for_all_of_it() {
    let app = App::start(
        &Application::parse(
            &root().join("test.yaml"),
            &manifest("rogue", &artifact("test/rogue"), 2, "", ""),
        )
        .unwrap(),
        Env::real(Store::in_memory(), Options::default()),
    )
    .await
    .unwrap();
    let ask = async |command: Command| -> Answer {
        let (subject, body) = command.message();
        let reply = app.broker().request(&*subject, None, body, WITHIN).await.unwrap();
        serde_json::from_slice(&reply.payload).unwrap()
    };
    let rogue = || "rogue".to_owned();
    let stopped = status("rogue", false, 2);
    assert_eq!(ask(Command::List {}).await, Answer::Components(vec![status("rogue", true, 2)]));
    assert_eq!(ask(Command::Stop { component: rogue() }).await, Answer::Changed(stopped.clone()));
    assert_eq!(ask(Command::Stop { component: rogue() }).await, Answer::Unchanged(stopped));
    let start = Command::Start { component: rogue(), manifest: None };
    assert_eq!(ask(start).await, Answer::Changed(status("rogue", true, 2)));
    let scale = Command::Scale { component: rogue(), instances: 3 };
    assert_eq!(ask(scale).await, Answer::Changed(status("rogue", true, 3)));
    let Answer::Refused(why) = ask(Command::Stop { component: "nobody".to_owned() }).await else { panic!() };
    assert!(why.contains("there are rogue"), "{why}");
    let reply = app.broker().request("trellis.host.stop", None, "rogue", WITHIN).await.unwrap();
    assert!(reply.payload.starts_with(br#"{"refused":"trellis.host.stop: not JSON"#), "{reply:?}");
}
