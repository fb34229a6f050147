//! What becomes of calls that go wrong, and of the call after them: with a fresh instance each, and with reused ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{application, get, guest, send};
use http::StatusCode;
use trellis_host::env::{Env, Limits, Options};
use trellis_host::observe::{HostCall, Observer, Verdict};
use trellis_host::threads::RequestThreads;
use trellis_host::{App, CallError};
use trellis_store::Store;

fn options(reuse: u32) -> Options {
    let limits = Limits { call_time_max: Duration::from_secs(5), ..Limits::default() };
    Options { reuse, limits, ..Options::default() }
}

async fn failure(app: &App, path: &str) -> CallError {
    match app.http("rogue", get(path)).await {
        Ok(response) => panic!("{path} was answered with {}", response.status()),
        Err(error) => error,
    }
}

async fn assert_unharmed(app: &App) {
    assert_eq!(send(app, "rogue", get("/")).await, (StatusCode::OK, "fine".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_a_panic_and_a_missing_answer_harm_nothing_else() {
    for reuse in [1, 1000] {
        let app = guest("rogue", 2, options(reuse)).await;
        for _ in 0..3 {
            for path in ["/trap", "/panic"] {
                let error = failure(&app, path).await;
                assert!(matches!(error, CallError::Failed { .. }), "{path}: {error}");
                let reason = error.to_string();
                assert!(reason.contains("unreachable") && reason.lines().count() == 1, "{path}: {reason}");
                assert_unharmed(&app).await;
            }
            let error = failure(&app, "/never").await;
            assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
            assert_unharmed(&app).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_is_stopped_at_the_deadline() {
    for reuse in [1, 1000] {
        let mut options = options(reuse);
        options.limits.call_time_max = Duration::from_millis(100);
        let app = guest("rogue", 2, options).await;
        let (one, other) = tokio::join!(failure(&app, "/loop"), failure(&app, "/loop"));
        assert!(matches!((one, other), (CallError::Overrun { .. }, CallError::Overrun { .. })));
        assert_unharmed(&app).await;
    }
}

/// One thread runs everything here: without epochs the loop would keep the others from being answered for ever.
#[tokio::test]
async fn a_loop_gives_way_to_others_on_the_same_thread() {
    let mut options = options(1000);
    options.limits.call_time_max = Duration::from_secs(3);
    let app = guest("rogue", 2, options).await;
    let looping = tokio::spawn({
        let app = app.clone();
        async move { failure(&app, "/loop").await }
    });
    tokio::task::yield_now().await;
    assert_unharmed(&app).await;
    assert!(!looping.is_finished(), "the loop should still have been running");
    assert!(matches!(looping.await.unwrap(), CallError::Overrun { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded() {
    for reuse in [1, 1000] {
        let app = guest("rogue", 2, options(reuse)).await;
        let error = failure(&app, "/eat").await;
        assert!(matches!(error, CallError::Failed { .. }), "{error}");
        assert_unharmed(&app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_streamed() {
    for reuse in [1, 1000] {
        let mut options = options(reuse);
        options.limits.call_time_max = Duration::from_secs(60);
        let app = guest("rogue", 2, options).await;
        let (status, body) = send(&app, "rogue", get("/big")).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 64 << 20));
        assert_unharmed(&app).await;
    }
}

#[tokio::test]
async fn calls_beyond_the_instances_wait_and_beyond_the_queue_are_refused() {
    let mut options = options(1);
    options.limits.queue_len_max = 1;
    let app = guest("rogue", 1, options).await;
    let slow = || {
        let app = app.clone();
        tokio::spawn(async move { app.http("rogue", get("/slow")).await.map(|response| response.status()) })
    };
    let all = [slow(), slow(), slow()];
    let mut answered = 0;
    for call in all {
        match call.await.unwrap() {
            Ok(status) => {
                assert_eq!(status, StatusCode::OK);
                answered += 1;
            }
            Err(error) => assert!(matches!(error, CallError::Busy { .. }), "{error}"),
        }
    }
    assert_eq!(answered, 2);
}

#[tokio::test]
async fn an_instance_is_used_as_often_as_asked_and_not_after_a_trap() {
    let made = async |reuse: u32, paths: &[&str]| {
        let app = guest("rogue", 1, options(reuse)).await;
        for path in paths {
            // Only how many instances it took matters here.
            let _ = app.http("rogue", get(path)).await;
        }
        let metrics = app.metrics();
        let line = metrics.lines().find(|line| line.starts_with("trellis_instances_made_total{")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(made(1, &["/", "/", "/"]).await, 3);
    assert_eq!(made(2, &["/", "/", "/"]).await, 2);
    assert_eq!(made(1000, &["/", "/", "/"]).await, 1);
    assert_eq!(made(1000, &["/", "/trap", "/", "/"]).await, 2);
}

#[tokio::test]
async fn a_stopped_application_finishes_what_runs_and_takes_no_more() {
    let app = guest("rogue", 2, options(1000)).await;
    let slow = tokio::spawn({
        let app = app.clone();
        async move { send(&app, "rogue", get("/slow")).await }
    });
    tokio::task::yield_now().await;
    assert!(app.stop(Duration::from_secs(5)).await);
    assert_eq!(slow.await.unwrap(), (StatusCode::OK, "slow".to_owned()));
    assert!(matches!(failure(&app, "/").await, CallError::Stopped { .. }));
}

/// tokio makes a task that does much without waiting give way, by letting ready things seem not ready.
#[tokio::test]
async fn many_calls_in_one_task_without_a_wait_are_all_answered() {
    let app = guest("rogue", 1, options(1000)).await;
    for _ in 0..500 {
        assert_unharmed(&app).await;
    }
}

/// The names of the threads on which something was asked of the host.
#[derive(Default)]
struct Threads(Mutex<BTreeSet<String>>);

impl Observer for Threads {
    fn observe(&self, _: &HostCall<'_>) -> Verdict {
        let thread = std::thread::current();
        self.0.lock().unwrap().insert(thread.name().unwrap_or_default().to_owned());
        Verdict::Proceed
    }
}

#[tokio::test]
async fn whoever_hashes_passwords_holds_up_nobody_else() {
    let threads = Arc::new(Threads::default());
    let (requests, _running) = RequestThreads::start(NonZeroUsize::MIN).unwrap();
    let options = Options { request_threads: Some(requests), ..Options::default() };
    let env = Env { observer: Some(threads.clone()), ..Env::real(Store::in_memory(), options) };
    let subscriptions = "deliver.accounts|accounts,svc.accounts|accounts,trellis.announce|accounts";
    let app = App::start(&application("accounts", "accounts", 4, subscriptions), env).await.unwrap();
    let has_been_on = |name: &str| threads.0.lock().unwrap().contains(name);
    for number in 0..500 {
        let body = format!(r#"{{"email": "{number}@example.org", "password": "correct horse"}}"#);
        let head = "POST /users/signup HTTP/1.1\r\nhost: accounts\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        // Refused until accounts has what it needs.
        let answer = app.broker().request("svc.accounts", None, request, Duration::from_secs(10)).await;
        if answer.is_ok() && has_been_on("trellis-patient") {
            assert!(has_been_on("trellis-requests"), "as any other, until it was seen to compute");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("its requests are never patient: {:?}", threads.0.lock().unwrap());
}
