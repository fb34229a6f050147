//! Services that nobody was told of: they say what they are, are reached, and when they stop, are forgotten.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system::{Bus, OLAF, Request, Trellis, eventually};
use tempfile::tempdir;

/// How soon a new service is reached.
const SOON: Duration = Duration::from_secs(2);

fn description(name: &str, routes: &[(&str, &str)]) -> Value {
    let route = |(method, path): &(&str, &str)| json!({ "method": method, "path": path, "public": true, "who": "anyone" });
    json!({
        "name": name, "version": "1.0.0", "routes": routes.iter().map(route).collect::<Vec<_>>(),
        "stream": null, "partitions": 0, "projects": [], "reacts_to": [], "openapi": "{}", "asyncapi": "{}",
    })
}

/// A service on the message bus that says hello and answers every request with `Hello!`, until it is dropped.
struct Hello {
    stop: std::sync::mpsc::Sender<()>,
    task: Option<std::thread::JoinHandle<()>>,
}

impl Hello {
    fn start(trellis: &Trellis) -> Self {
        let (mut nats, mut other) = (trellis.bus(), trellis.bus());
        let (stop, stopped) = std::sync::mpsc::channel();
        for subject in ["svc.hello", "$SRV.PING.hello", "stop.hello"] {
            nats.subscribe(subject);
        }
        nats.publish(
            "trellis.hello.hello",
            description("hello", &[("GET", "/hello")]).to_string().as_bytes(),
        );
        let task = std::thread::spawn(move || {
            loop {
                let message = nats.receive();
                if message.subject == "stop.hello" {
                    return;
                }
                let answer: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nHello!";
                nats.publish(&message.reply_to.unwrap(), answer);
            }
        });
        let stopper = std::thread::spawn(move || {
            let _ = stopped.recv();
            other.publish("stop.hello", b"");
            task.join().unwrap();
        });
        Self { stop, task: Some(stopper) }
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        self.stop.send(()).ok();
        self.task.take().map(std::thread::JoinHandle::join);
    }
}

fn presence(trellis: &Trellis, name: &str) -> Value {
    trellis.send(&Request::get(&format!("/registry/{name}")).by(OLAF)).json()["presence"].clone()
}

/// Lets everybody look around, as the host does every half a minute.
fn announce(nats: &mut Bus) {
    nats.publish("trellis.announce", b"");
}

#[test]
fn a_service_that_nobody_has_heard_of_is_reached_and_its_end_is_noticed() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    assert_eq!(trellis.get("/hello").status, 404);
    let hello = Hello::start(&trellis);
    let started = Instant::now();
    let answer = eventually("the service is reached", || {
        let answer = trellis.get("/hello");
        assert!(started.elapsed() < SOON, "not within {SOON:?}");
        (answer.status != 404).then_some(answer)
    });
    assert_eq!((answer.status, answer.body), (200, b"Hello!".to_vec()));
    assert_eq!(trellis.get("/api/hello").status, 200);
    assert_eq!(presence(&trellis, "hello"), "present");

    drop(hello);
    // A request that it took before it ended has no answer at all, and is told to be late.
    let nobody = eventually("nobody answers", || {
        let answer = trellis.get("/hello");
        (answer.status == 503).then_some(answer)
    });
    assert!(nobody.header("retry-after").is_some(), "{nobody:?}");
    let mut nats = trellis.bus();
    announce(&mut nats);
    eventually("it is missing", || (presence(&trellis, "hello") == "missing").then_some(()));
    assert_eq!(trellis.get("/hello").status, 503, "it may come back");
    // The registry's clock decides when it is gone; it looks as often as it is told to, which here is once a second.
    let mut announced = Instant::now();
    eventually("its routes are gone", || {
        if announced.elapsed() > Duration::from_secs(1) {
            announced = Instant::now();
            announce(&mut nats);
        }
        (trellis.get("/hello").status == 404).then_some(())
    });
    assert_eq!(presence(&trellis, "hello"), "gone");
    let _back = Hello::start(&trellis);
    eventually("it is back", || (trellis.get("/hello").status == 200).then_some(()));
    trellis.stop();
}

#[test]
fn a_route_that_has_an_owner_cannot_be_taken() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let mut nats = trellis.bus();
    let thief = description("thief", &[("GET", "/posts"), ("GET", "/thief")]);
    nats.publish("trellis.hello.thief", thief.to_string().as_bytes());
    eventually("the thief is known", || (trellis.get("/thief").status == 503).then_some(()));
    assert_eq!(trellis.get("/posts").status, 200);
    let thief = eventually("the thief is listed", || {
        let listed = trellis.send(&Request::get("/registry").by(OLAF)).json();
        listed.as_array().unwrap().iter().find(|service| service["name"] == "thief").cloned()
    });
    assert_eq!(thief["routes"][0]["conflict"], "query", "{thief}");
    assert!(trellis.output().contains("thief does not get GET /posts"), "it is said in the log");
    trellis.stop();
}

#[test]
fn invalid_messages_change_nothing() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let before = trellis.send(&Request::get("/registry?limit=100").by(OLAF)).json();
    let mut nats = trellis.bus();
    let long = "x".repeat(900_000);
    for body in ["", "hello", "{}", "[]", r#"{"name":"../x"}"#, &long] {
        nats.publish("trellis.hello.last", body.as_bytes());
    }
    // What was published before the pings were answered has been taken in by then, or will be in its order.
    nats.publish("trellis.hello.last", description("last", &[]).to_string().as_bytes());
    eventually("the last one is heard", || {
        (trellis.send(&Request::get("/registry/last").by(OLAF)).status == 200).then_some(())
    });
    let after = eventually("the list has followed", || {
        let after = trellis.send(&Request::get("/registry?limit=100").by(OLAF)).json();
        (after.as_array().unwrap().len() > before.as_array().unwrap().len()).then_some(after)
    });
    let others: Vec<&Value> =
        after.as_array().unwrap().iter().filter(|service| service["name"] != "last").collect();
    assert_eq!(others, before.as_array().unwrap().iter().collect::<Vec<_>>());
    trellis.stop();
}

#[test]
fn a_consumer_that_was_deleted_is_made_again() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let jetstream = |operation: &str| trellis.nats().jetstream(operation, json!({}));
    let consumers = jetstream("CONSUMER.LIST.LOG_posts")["consumers"].take();
    let names = consumers.as_array().unwrap().iter().map(|consumer| consumer["name"].as_str().unwrap());
    let of_query: Vec<&str> = names.filter(|name| name.starts_with("query-g")).collect();
    assert_eq!(of_query.len(), 8);
    for consumer in of_query {
        let answer = jetstream(&format!("CONSUMER.DELETE.LOG_posts.{consumer}"));
        assert_eq!(answer["success"], true, "{answer}");
    }
    let written = trellis.send(&Request::post("/posts", r#"{"title": "While nobody listens"}"#));
    assert_eq!(written.status, 201);
    announce(&mut trellis.bus());
    let path = format!("/posts/{}", written.json()["id"].as_str().unwrap());
    eventually("the post is read", || (trellis.get(&path).status == 200).then_some(()));
    trellis.stop();
}

#[test]
fn every_service_answers_the_services_protocol() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let mut nats = trellis.bus();
    for name in ["gateway", "registry", "posts", "comments", "moderation", "query", "web", "accounts"] {
        let ping: Value =
            serde_json::from_slice(&nats.request(&format!("$SRV.PING.{name}"), b"").body).unwrap();
        assert_eq!((&ping["name"], &ping["type"]), (&name.into(), &"io.nats.micro.v1.ping_response".into()));
        let id = ping["id"].as_str().unwrap();
        for verb in ["PING", "INFO", "STATS"] {
            let answer = nats.request(&format!("$SRV.{verb}.{name}.{id}"), b"");
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((&answer["name"], &answer["id"]), (&name.into(), &id.into()), "{verb}");
        }
        let info: Value =
            serde_json::from_slice(&nats.request(&format!("$SRV.INFO.{name}"), b"").body).unwrap();
        let said: Value = serde_json::from_str(info["metadata"]["trellis"].as_str().unwrap()).unwrap();
        assert_eq!(
            trellis.send(&Request::get(&format!("/registry/{name}")).by(OLAF)).json()["description"],
            said
        );
    }
    trellis.stop();
}

#[test]
fn the_flow_is_seen() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    for n in 0..5 {
        let body = json!({ "title": format!("Post {n}") }).to_string();
        assert_eq!(trellis.send(&Request::post("/posts", body)).status, 201);
    }
    let posts = eventually("everybody has heard of all", || {
        let flow = trellis.send(&Request::get("/registry/flow?limit=100").by(OLAF)).json();
        let posts = flow.as_array().unwrap().iter().find(|flow| flow["service"] == "posts").unwrap().clone();
        let left = |consumer: &Value| {
            consumer["waiting"].as_u64().unwrap() + consumer["under_way"].as_u64().unwrap()
        };
        (posts["consumers"].as_array().unwrap().iter().map(left).sum::<u64>() == 0).then_some(posts)
    });
    assert_eq!(
        (&posts["events"], &posts["stream"], &posts["dead_letters"]),
        (&5.into(), &"LOG_posts".into(), &0.into())
    );
    let consumers = posts["consumers"].as_array().unwrap();
    let of = |service: &str| consumers.iter().filter(|consumer| consumer["service"] == service).count();
    assert_eq!((of("posts"), of("query")), (8, 8), "{posts}");
    trellis.stop();
}
