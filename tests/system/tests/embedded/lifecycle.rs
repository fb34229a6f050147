//! The process: it stops gracefully, and has its data directory to itself.

use std::io::Write;

use serde_json::json;
use system::{Embedded, Request, Response, command, eventually};
use tempfile::tempdir;

fn create(trellis: &Embedded, title: &str) {
    let answer = trellis.send(&Request::post("/posts", json!({ "title": title }).to_string()));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn a_graceful_stop_finishes_what_runs() {
    let data = tempdir().unwrap();
    let mut trellis = Embedded::start(data.path());
    create(&trellis, "Warm");
    let request = Request::post("/posts", r#"{"title": "Last"}"#).bytes();
    let (start, end) = request.split_at(request.len() - 5);
    let mut connection = trellis.client().connect().unwrap();
    connection.write_all(start).unwrap();
    // An answer on another connection, sent later, shows that the server is at work on the first.
    create(&trellis, "Between");
    trellis.ask_to_stop();
    eventually("it accepts no more", || trellis.client().send(&Request::get("/posts")).err());
    connection.write_all(end).unwrap();
    let last = Response::read(&mut connection).unwrap();
    assert_eq!(last.status, 201, "{last:?}");
    let status = trellis.wait();
    assert!(status.success(), "{status}");

    let verified = command().arg("verify").arg(data.path()).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");

    let trellis = Embedded::start(data.path());
    let path = last.header("location").unwrap();
    eventually("what was answered last is read", || (trellis.get(path).status == 200).then_some(()));
    trellis.stop();
}

#[test]
fn one_process_per_data_directory() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let second = command().args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(data.path()).output();
    let second = second.unwrap();
    assert!(!second.status.success(), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(data.path().to_str().unwrap()), "it names the directory: {said}");
    create(&trellis, "The first goes on");
    trellis.stop();
}
