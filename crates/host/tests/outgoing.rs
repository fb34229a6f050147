//! Requests to servers outside: over sockets to servers that behave and to those that do not, and in a simulation, which sees each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use common::{artifact, manifest, root, send};
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use trellis_host::App;
use trellis_host::env::{Clock, Env, Options, Outside, TokioClock};
use trellis_host::manifest::Application;
use trellis_host::observe::{Disturbance, Transcript};
use trellis_host::outside::{Bounds, Unanswered};
use trellis_store::Store;

const LINK: &str = "        - type: link
          properties: { namespace: wasi, package: http, interfaces: [outgoing-handler], target: { name: client } }\n";
const CLIENT: &str = "    - name: client
      type: capability
      properties: { image: \"ghcr.io/wasmcloud/http-client:0.13.1\" }\n";

/// The guest that runs errands, which may go to these servers.
async fn envoy(mut env: Env, origins: &[String], is_linked: bool) -> App {
    // Whether code was compiled or loaded cannot be seen from inside; it only takes time.
    env.options.cache_dir = Some(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
    let config = format!("outgoing-origins: '{}'", json!(origins));
    let mut text = manifest("envoy", &artifact("test/envoy"), 2, "", &config);
    if is_linked {
        text = text.replacen("      traits:\n", &format!("      traits:\n{LINK}"), 1) + CLIENT;
    }
    let application = Application::parse(&root().join("test.yaml"), &text).unwrap();
    App::start(&application, env).await.unwrap()
}

fn real() -> Env {
    Env::real(Store::in_memory(), Options::default())
}

async fn run(app: &App, errand: Value) -> Value {
    let mut whole = json!({ "method": "GET", "url": "", "headers": {}, "body": "", "patience_ms": 5000 });
    whole.as_object_mut().unwrap().extend(errand.as_object().unwrap().clone());
    let request = Request::post("http://localhost/errands").header("content-type", "application/json");
    let (status, body) = send(app, "envoy", request.body(whole.to_string().into()).unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// How a client begins that wants to speak TLS.
const TLS: char = '\u{16}';

/// What a server does with a request that it has read to its end.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Says this and closes.
    Says(&'static str),
    /// Says that there are so many bytes, and sends as many.
    Sends(usize),
    /// Says nothing, for as long as anybody listens.
    Hangs,
}

/// A server on a port of its own, which counts its connections and keeps the requests.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(does: Does) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let server = Server { address, connections: connections.clone(), requests: requests.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, does, requests.clone()));
            }
        });
        server
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }
}

async fn answer(mut stream: TcpStream, does: Does, requests: Arc<Mutex<Vec<String>>>) {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) && !request.starts_with(TLS) {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            break;
        }
        request.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    requests.lock().push(request);
    match does {
        Does::Says(text) => _ = stream.write_all(text.as_bytes()).await,
        Does::Sends(count) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n");
            let whole = [head.into_bytes(), vec![b'x'; count]].concat();
            let _ = stream.write_all(&whole).await;
        }
        Does::Hangs => while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {},
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_given_as_it_is_and_a_redirect_is_not_followed() {
    let server = Server::start(Does::Says(
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
    ))
    .await;
    let app = envoy(real(), &[server.origin()], true).await;
    let outcome = run(
        &app,
        json!({
            "method": "POST", "url": server.url("/v1/charges?a=b"), "body": "amount=1999",
            "headers": { "authorization": "Bearer sk", "idempotency-key": "p1" },
        }),
    )
    .await;
    assert_eq!(outcome["answer"]["status"], 302, "{outcome}");
    assert_eq!(outcome["answer"]["headers"]["location"], "/elsewhere");
    assert_eq!((&outcome["answer"]["body"], &outcome["answer"]["body_len"]), (&json!("<html>"), &json!(6)));
    let requests = server.requests.lock().clone();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(request.starts_with("POST /v1/charges?a=b HTTP/1.1\r\n"), "{request}");
    let host = format!("host: {}\r\n", server.address);
    for part in [&*host, "authorization: Bearer sk\r\n", "idempotency-key: p1\r\n", "content-length: 11\r\n"]
    {
        assert!(request.contains(part), "{part}: {request}");
    }
    assert!(request.ends_with("\r\n\r\namount=1999"), "{request}");
    let metrics = app.metrics();
    assert!(metrics.contains("trellis_outgoing_requests_total{component=\"envoy\"} 1\n"), "{metrics}");
    assert!(metrics.contains("trellis_outgoing_answers_total{component=\"envoy\"} 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_cannot_have_got_was_not_sent() {
    // Taken, and nobody listens there.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = format!("http://{}", taken.local_addr().unwrap());
    // No name can have a part as long as that, so nobody has to be asked.
    let nowhere = format!("http://{}.example", "a".repeat(64));
    let server = Server::start(Does::Says("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")).await;
    let secure = format!("https://{}", server.address);
    let app = envoy(real(), &[closed.clone(), nowhere.clone(), secure.clone()], true).await;
    for (url, why) in [
        (closed, "connection refused"),
        (nowhere, "name"),
        (secure, "TLS"),
        (server.url("/"), "config outgoing-origins does not have it"),
    ] {
        let outcome = run(&app, json!({ "url": url })).await;
        assert!(outcome["not_sent"].as_str().is_some_and(|said| said.contains(why)), "{url}: {outcome}");
    }
    assert!(server.requests.lock().iter().all(|request| !request.contains("HTTP")));
    let unlinked = envoy(real(), &[server.origin()], false).await;
    let outcome = run(&unlinked, json!({ "url": server.url("/") })).await;
    assert!(
        outcome["not_sent"].as_str().unwrap().contains("link the component to an http-client"),
        "{outcome}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_request_without_a_whole_answer_is_unknown() {
    for (does, why) in [
        (Does::Hangs, "no answer within 1s"),
        (Does::Says(""), "whole"),
        (Does::Says("HTTP/1.1 200 OK\r\nContent-"), "whole"),
        (Does::Says("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), "whole"),
        (Does::Says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"), "whole"),
        (Does::Says("SSH-2.0-OpenSSH\r\n"), "whole"),
        (Does::Sends((1 << 20) + 1), "more than 1048576 bytes"),
    ] {
        let server = Server::start(does).await;
        let app = envoy(real(), &[server.origin()], true).await;
        let outcome = run(&app, json!({ "url": server.url("/"), "patience_ms": 1000 })).await;
        assert!(outcome["unknown"].as_str().is_some_and(|said| said.contains(why)), "{does:?}: {outcome}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 1, "{does:?}: sent once");
        // The instance is well, and a whole MiB is an answer.
        let other = Server::start(Does::Sends(1 << 20)).await;
        let app = envoy(real(), &[other.origin()], true).await;
        for _ in 0..2 {
            let outcome = run(&app, json!({ "url": other.url("/") })).await;
            assert_eq!(outcome["answer"]["body_len"], 1 << 20, "{outcome}");
        }
    }
}

/// A server of a simulation: it answers after a second, and keeps what it has got.
#[derive(Default)]
struct Played {
    got: Mutex<Vec<String>>,
}

#[async_trait]
impl Outside for Played {
    async fn send(&self, request: Request<Bytes>, _: Bounds) -> Result<Response<Bytes>, Unanswered> {
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        self.got.lock().push(format!("{} {} {body}", request.method(), request.uri()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        match body.as_str() {
            "lost" => Err(Unanswered::Late),
            _ => Ok(Response::new(Bytes::from_static(b"done"))),
        }
    }
}

/// A run of a few errands: the hash of its transcript, its lines, what came of the errands, and what the server got.
fn simulate(
    seed: u64,
    bodies: &[&str],
    disturbance: Disturbance,
) -> ([u8; 32], Vec<String>, Vec<String>, Vec<String>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH));
        let transcript = Arc::new(Transcript::new(clock.clone(), seed, disturbance));
        let played = Arc::new(Played::default());
        let env = Env::simulated(Store::in_memory(), clock, seed, transcript.clone());
        let env = Env { outside: played.clone(), ..env };
        let app = envoy(env, &["https://api.example.com".to_owned()], true).await;
        let mut outcomes = Vec::new();
        for body in bodies {
            let errand = json!({
                "method": "POST", "url": "https://api.example.com/", "body": body, "headers": {}, "patience_ms": 5000,
            });
            let request = Request::post("http://localhost/errands").header("content-type", "application/json");
            let outcome = match app.http("envoy", request.body(errand.to_string().into()).unwrap()).await {
                Ok(response) => common::read(response).await.1,
                Err(error) => error.to_string(),
            };
            outcomes.push(outcome);
        }
        app.stop(Duration::from_secs(10)).await;
        let got = played.got.lock().clone();
        (transcript.hash(), transcript.lines(), outcomes, got)
    })
}

const DELAYS: Disturbance = Disturbance { delay_max: Duration::from_millis(20), crash_one_in: 0 };

#[test]
fn a_simulation_sees_each_request_and_each_answer() {
    let one = simulate(7, &["a", "lost", "b"], DELAYS);
    assert_eq!(one, simulate(7, &["a", "lost", "b"], DELAYS), "one seed gives one run");
    let (hash, lines, outcomes, got) = one;
    let of = |moment: &str| lines.iter().filter(|line| line.contains(&format!("http.send {moment}"))).count();
    assert_eq!((of("Enter"), of("Leave"), got.len()), (3, 3, 3), "{lines:#?}");
    assert!(
        outcomes[0].contains("done")
            && outcomes[1].contains("\"unknown\":\"")
            && outcomes[2].contains("done")
    );
    assert_ne!(hash, simulate(7, &["a", "lost", "c"], DELAYS).0, "what is sent is in the transcript");
}

#[test]
fn outside_of_a_simulation_there_is_nobody() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let server = "http://127.0.0.1:1".to_owned();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH));
        let transcript = Arc::new(Transcript::new(clock.clone(), 1, DELAYS));
        let env = Env::simulated(Store::in_memory(), clock, 1, transcript);
        let app = envoy(env, std::slice::from_ref(&server), true).await;
        let outcome = run(&app, json!({ "url": server })).await;
        assert!(outcome["not_sent"].as_str().unwrap().contains("refused"), "{outcome}");
    });
}

/// Whoever asked hears nothing of an instance that ends at its request or at the answer, which the server may have got.
#[test]
fn an_instance_that_ends_at_a_request_says_nothing_more() {
    let crashes = Disturbance { crash_one_in: 12, ..DELAYS };
    let (mut before, mut after) = (0, 0);
    for seed in 0..60 {
        let (_, lines, outcomes, got) = simulate(seed, &["a"], crashes);
        let ended = |moment: &str| {
            lines.iter().any(|line| line.contains(&format!("http.send {moment}")) && line.ends_with("Crash"))
        };
        let is_answered = outcomes[0].contains("\"answer\":{");
        if ended("Enter") {
            before += 1;
            assert!(got.is_empty() && !is_answered, "{seed}: {got:?} {outcomes:?}");
            assert!(outcomes[0].contains("the observer ended the instance"), "{outcomes:?}");
        } else if ended("Leave") {
            after += 1;
            assert_eq!((got.len(), is_answered), (1, false), "{seed}: {outcomes:?}");
            assert!(outcomes[0].contains("the observer ended the instance"), "{outcomes:?}");
        }
    }
    assert!(before > 0 && after > 0, "{before} {after}");
}
