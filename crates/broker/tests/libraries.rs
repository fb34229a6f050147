//! Clients of NATS that others wrote, with their JetStream, key-value and object store: what they get of this broker is what they
//! get of nats-server. `docs/nats.md` promises what is tried here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "common/nats_server.rs"]
mod nats_server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, consumer, kv, object_store, stream};
use futures_util::{StreamExt, TryStreamExt};
use nats_server::NatsServer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use trellis_broker::{Broker, SystemClock};
use trellis_store::Store;

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this should not take long")
}

/// A broker of ours, and the address where it listens.
async fn ours() -> (Broker, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = Broker::open(Store::in_memory(), Arc::new(SystemClock)).await.unwrap();
    let serving = broker.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    (broker, address)
}

/// What a program of the client for Python gets, line by line.
fn nats_py(address: &str) -> Vec<String> {
    let tools = std::env::var_os("TRELLIS_DOCUMENT_TOOLS").map(PathBuf::from);
    let tools = tools.expect("TRELLIS_DOCUMENT_TOOLS: `cargo xtask test` sets it, and puts nats-py there");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries/nats_py.py");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", tools.join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    let done = python.arg(program).arg(format!("nats://{address}")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_python_cannot_tell_the_difference() {
    let nats = NatsServer::start();
    let (_broker, address) = ours().await;
    let theirs = nats.address.clone();
    let theirs = tokio::task::spawn_blocking(move || nats_py(&theirs));
    let ours = tokio::task::spawn_blocking(move || nats_py(&address));
    let (theirs, ours) = (theirs.await.unwrap(), ours.await.unwrap());
    assert!(theirs.len() > 60, "the client said only {} lines", theirs.len());
    assert_eq!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_rust_cannot_tell_the_difference() {
    let nats = NatsServer::start();
    let (_broker, address) = ours().await;
    let (theirs, ours) = tokio::join!(async_nats(&nats.address), async_nats(&address));
    assert!(theirs.len() > 20, "the client said only {} lines", theirs.len());
    assert_eq!(ours, theirs);
}

/// What the client for Rust gets, line by line.
async fn async_nats(address: &str) -> Vec<String> {
    let context = jetstream::new(async_nats::connect(address).await.unwrap());
    let mut said = Vec::new();
    soon(events(&context, &mut said)).await;
    soon(key_value(&context, &mut said)).await;
    soon(objects(&context, &mut said)).await;
    said
}

async fn events(context: &jetstream::Context, said: &mut Vec<String>) {
    let config =
        stream::Config { name: "EVENTS".into(), subjects: vec!["events.>".into()], ..Default::default() };
    let mut stream = context.get_or_create_stream(config).await.unwrap();
    for number in 0..20 {
        let ack = context.publish(format!("events.{}", number % 2), number.to_string().into()).await.unwrap();
        assert_eq!(ack.await.unwrap().sequence, number + 1);
    }
    said.push(format!("{:?}", stream.info().await.unwrap().state.messages));
    said.push(format!("{:?}", stream.get_raw_message(7).await.unwrap().payload));
    said.push(format!("{:?}", stream.get_raw_message(70).await.unwrap_err().kind()));
    said.push(format!("{:?}", stream.purge().filter("events.0").await.unwrap().purged));
    let config = consumer::pull::Config { durable_name: Some("puller".into()), ..Default::default() };
    let pulling = stream.create_consumer(config).await.unwrap();
    let mut messages = pulling.messages().await.unwrap();
    for _ in 0..5 {
        let message = messages.next().await.unwrap().unwrap();
        said.push(format!("{} {:?}", message.subject, message.payload));
        message.double_ack().await.unwrap();
    }
    let ordered = consumer::pull::OrderedConfig::default();
    let mut ordered = stream.create_consumer(ordered).await.unwrap().messages().await.unwrap();
    for _ in 0..5 {
        let message = ordered.next().await.unwrap().unwrap();
        said.push(format!("{}", message.info().unwrap().stream_sequence));
    }
    said.push(format!("{:?}", stream.delete_consumer("puller").await.unwrap().success));
    said.push(format!("{:?}", context.delete_stream("EVENTS").await.unwrap().success));
}

async fn key_value(context: &jetstream::Context, said: &mut Vec<String>) {
    let config = kv::Config { bucket: "settings".into(), history: 3, ..Default::default() };
    let bucket = context.create_key_value(config).await.unwrap();
    let mut watcher = bucket.watch_all().await.unwrap();
    said.push(format!("{}", bucket.put("color", "red".into()).await.unwrap()));
    said.push(format!("{}", bucket.update("color", "blue".into(), 1).await.unwrap()));
    said.push(format!("{:?}", bucket.update("color", "green".into(), 1).await.unwrap_err().kind()));
    said.push(format!("{}", bucket.create("shape", "round".into()).await.unwrap()));
    said.push(format!("{:?}", bucket.create("shape", "square".into()).await.unwrap_err().kind()));
    said.push(format!("{:?} {:?}", bucket.get("color").await.unwrap(), bucket.get("none").await.unwrap()));
    bucket.delete("shape").await.unwrap();
    bucket.purge("color").await.unwrap();
    said.push(format!("{}", bucket.create("color", "pink".into()).await.unwrap()));
    for _ in 0..6 {
        let entry = watcher.next().await.unwrap().unwrap();
        said.push(format!("{} {:?} {:?} {}", entry.key, entry.value, entry.operation, entry.revision));
    }
    let keys: Vec<String> = bucket.keys().await.unwrap().try_collect().await.unwrap();
    let history: Vec<kv::Entry> = bucket.history("color").await.unwrap().try_collect().await.unwrap();
    let history: Vec<_> = history.into_iter().map(|entry| (entry.revision, entry.value)).collect();
    said.push(format!("{keys:?} {history:?}"));
    let status = bucket.status().await.unwrap();
    said.push(format!("{} {} {}", status.bucket(), status.values(), status.history()));
    context.delete_key_value("settings").await.unwrap();
    said.push(format!("{:?}", context.get_key_value("settings").await.unwrap_err().kind()));
}

async fn objects(context: &jetstream::Context, said: &mut Vec<String>) {
    let config = object_store::Config { bucket: "files".into(), ..Default::default() };
    let mut store = context.create_object_store(config).await.unwrap();
    let large: Vec<u8> = (0..400_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let put = store.put("large", &mut large.as_slice()).await.unwrap();
    said.push(format!("{} {} {} {:?}", put.name, put.size, put.chunks, put.digest));
    let mut read = Vec::new();
    store.get("large").await.unwrap().read_to_end(&mut read).await.unwrap();
    said.push(format!("{}", read == large));
    store.put("large", &mut b"small now".as_slice()).await.unwrap();
    let mut read = String::new();
    store.get("large").await.unwrap().read_to_string(&mut read).await.unwrap();
    said.push(read);
    store.put("other", &mut b"1".as_slice()).await.unwrap();
    let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    let mut names: Vec<_> = objects.into_iter().map(|object| object.name).collect();
    names.sort();
    said.push(format!("{names:?}"));
    store.delete("large").await.unwrap();
    said.push(format!("{:?}", store.info("large").await.unwrap().deleted));
    store.seal().await.unwrap();
    said.push(format!("{}", store.put("late", &mut b"no".as_slice()).await.is_err()));
    context.delete_object_store("files").await.unwrap();
}
