//! A service that never answers holds up those who ask it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use system::{Embedded, Request, eventually};
use tempfile::tempdir;

/// Half of the instances of the gateway.
const IN_FLIGHT_MAX: usize = 32;
const ASKED: usize = 500;

#[test]
fn requests_to_a_silent_service_leave_instances_for_others() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let mut nats = trellis.bus();
    for subject in ["svc.silent", "$SRV.PING.silent", "stop.silent"] {
        nats.subscribe(subject);
    }
    let description = json!({
        "name": "silent", "version": "1.0.0", "routes": [{ "method": "GET", "path": "/silent", "public": true, "who": "anyone" }],
        "stream": null, "partitions": 0, "projects": [], "reacts_to": [], "openapi": "{}", "asyncapi": "{}",
    });
    nats.publish("trellis.hello.silent", description.to_string().as_bytes());
    let heard = Arc::new(AtomicUsize::new(0));
    let hearing = heard.clone();
    let listener = std::thread::spawn(move || {
        loop {
            match nats.receive().subject.as_str() {
                "svc.silent" => _ = hearing.fetch_add(1, Ordering::SeqCst),
                "stop.silent" => return,
                _ => {}
            }
        }
    });
    eventually("the route is known", || {
        let options = trellis.send(&Request::new("OPTIONS", "/silent"));
        (options.status == 204).then_some(())
    });

    let late = AtomicUsize::new(0);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || {
            let answer = trellis.send(&Request::get("/silent"));
            if answer.status == 503 {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
            } else {
                late.fetch_add(1, Ordering::SeqCst);
            }
            answer.status
        };
        let asking: Vec<_> = (0..ASKED).map(|_| scope.spawn(ask)).collect();
        eventually("it holds as many as it may", || {
            (heard.load(Ordering::SeqCst) == IN_FLIGHT_MAX).then_some(())
        });
        for _ in 0..5 {
            assert_eq!(trellis.get("/posts").status, 200);
        }
        assert_eq!(late.load(Ordering::SeqCst), 0, "others were answered before the first of these gave up");
        assert_eq!(heard.load(Ordering::SeqCst), IN_FLIGHT_MAX, "and until then no more came through");
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    // On a machine that is busy, some ask only when the first have given up.
    let heard = heard.load(Ordering::SeqCst);
    assert_eq!((count(504), count(503)), (heard, ASKED - heard));
    assert!((IN_FLIGHT_MAX..ASKED).contains(&heard), "{heard}");
    trellis.bus().publish("stop.silent", b"");
    listener.join().unwrap();
    trellis.stop();
}
