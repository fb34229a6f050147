//! A component that the application has never heard of is started while it runs, reached, stopped, and forgotten.

use std::time::{Duration, Instant};

use serde_json::Value;
use system::{Embedded, OLAF, Request, configured, eventually, repository};
use tempfile::tempdir;

/// How soon a component that is started is reached.
const SOON: Duration = Duration::from_secs(2);

/// Starts the service of `tests/guests/greeter`, of which no file of the application says anything, and waits until it is
/// reached.
#[track_caller]
fn start(trellis: &Embedded, arguments: &[&str]) {
    trellis.run(&[&["start", "hello"], arguments].concat());
    let started = Instant::now();
    eventually("the service is reached", || {
        let answer = trellis.get("/hello/you");
        assert!(started.elapsed() < SOON, "not within {SOON:?}: {answer:?}");
        (answer.status == 200).then_some(())
    });
    assert_eq!(trellis.get("/hello/you").json(), "Hello, you!");
}

/// Stops it: there is nobody from then on, and nobody waits for an answer.
#[track_caller]
fn stop(trellis: &Embedded) {
    trellis.run(&["stop", "hello"]);
    let nobody = trellis.get("/hello/you");
    assert_eq!((nobody.status, nobody.header("retry-after").is_some()), (503, true), "{nobody:?}");
}

fn presence(trellis: &Embedded) -> Value {
    trellis.send(&Request::get("/registry/hello").by(OLAF)).json()["presence"].clone()
}

#[test]
fn a_component_that_nobody_has_heard_of_is_reached_and_its_end_is_noticed() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    assert!(!configured(&[]).to_string().contains("svc.hello"), "nobody knows the service");
    assert_eq!(trellis.get("/hello/you").status, 404);
    let manifest = repository().join("tests/guests/greeter/wadm.yaml");
    start(&trellis, &["--manifest", manifest.to_str().unwrap()]);
    assert_eq!(trellis.get("/api/hello").json(), "Hello!");
    assert_eq!(presence(&trellis), "present");
    for _ in 0..3 {
        stop(&trellis);
        start(&trellis, &[]);
    }

    stop(&trellis);
    let mut nats = trellis.bus();
    // Everybody looks around when they are told to, which the host does every half a minute.
    nats.publish("trellis.announce", b"");
    eventually("it is missing", || (presence(&trellis) == "missing").then_some(()));
    assert_eq!(trellis.get("/hello").status, 503, "it may come back");
    // The registry's clock decides when it is gone; it looks as often as it is told to, which here is once a second.
    let mut announced = Instant::now();
    eventually("its routes are gone", || {
        if announced.elapsed() > Duration::from_secs(1) {
            announced = Instant::now();
            nats.publish("trellis.announce", b"");
        }
        (trellis.get("/hello").status == 404).then_some(())
    });
    assert_eq!(presence(&trellis), "gone");
    start(&trellis, &[]);
    trellis.stop();
}
