//! The whole application from one seed: scheduler, time, randomness and disk are simulated, and every host call is recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{POSTS, application, get, post, send};
use http::StatusCode;
use trellis_host::App;
use trellis_host::env::{Clock, Env, TokioClock};
use trellis_host::observe::{Disturbance, Transcript};
use trellis_store::{Driver, SimDisk, Store};

const CLIENTS: usize = 5;
const POSTS_PER_CLIENT: usize = 4;

/// What a run did.
struct Run {
    hash: [u8; 32],
    lines: Vec<String>,
    /// The state of the disk at the end.
    disk: u64,
    /// The titles that were answered with 201, with the ids that they got.
    created: Vec<(String, String)>,
    refused: usize,
}

fn simulate(seed: u64, disturbance: Disturbance) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, disturbance))
}

async fn run(seed: u64, disturbance: Disturbance) -> Run {
    let clock: Arc<dyn Clock> =
        Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)));
    let transcript = Arc::new(Transcript::new(clock.clone(), seed, disturbance));
    let disk = SimDisk::new(seed);
    let store = Store::open(disk.clone(), trellis_store::Options::default(), Driver::tokio_task()).unwrap();
    let mut env = Env::simulated(store.clone(), clock, seed, transcript.clone());
    // Whether code was compiled or loaded cannot be seen from inside; it only takes time.
    env.options.cache_dir = Some(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
    let app = App::start(&application("posts", "posts", 3, POSTS), env).await.unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(write_posts(app.clone(), client))).collect();
    let (mut created, mut refused) = (Vec::new(), 0);
    for client in clients {
        for result in client.await.unwrap() {
            match result {
                Some(post) => created.push(post),
                None => refused += 1,
            }
        }
    }
    app.stop(Duration::from_secs(10)).await;
    drop(app);
    store.close().await;
    Run { hash: transcript.hash(), lines: transcript.lines(), disk: disk.fingerprint(), created, refused }
}

/// Writes posts and reads each back. Nothing for a post that was not answered with 201.
async fn write_posts(app: App, client: usize) -> Vec<Option<(String, String)>> {
    let mut results = Vec::new();
    for n in 0..POSTS_PER_CLIENT {
        let title = format!("client {client} post {n}");
        let Ok(response) = app.http("posts", post(&title)).await else {
            results.push(None);
            continue;
        };
        let (status, body) = common::read(response).await;
        if status != StatusCode::CREATED {
            results.push(None);
            continue;
        }
        let created: serde_json::Value = serde_json::from_str(&body).unwrap();
        results.push(Some((title, created["id"].as_str().unwrap().to_owned())));
    }
    results
}

const DELAYS: Disturbance = Disturbance { delay_max: Duration::from_millis(20), crash_one_in: 0 };

#[test]
fn one_seed_gives_one_run_hash_for_hash() {
    let (one, two) = (simulate(7, DELAYS), simulate(7, DELAYS));
    let differing = one.lines.iter().zip(&two.lines).position(|(a, b)| a != b);
    assert_eq!(differing.map(|i| (&one.lines[i], &two.lines[i])), None, "the first call that differs");
    assert_eq!(one.lines.len(), two.lines.len());
    assert_eq!(one.hash, two.hash);
    assert_eq!(one.disk, two.disk);
    assert_eq!(one.created, two.created);
    assert_eq!((one.created.len(), one.refused), (CLIENTS * POSTS_PER_CLIENT, 0));
    for call in ["call.http Enter", "messaging.request Enter", "messaging.request Leave", "Delay("] {
        assert!(one.lines.iter().any(|line| line.contains(call)), "{call} is not in the transcript");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let (one, two) = (simulate(7, DELAYS), simulate(8, DELAYS));
    assert_ne!(one.hash, two.hash);
    assert_ne!(one.created, two.created);
}

#[test]
fn instances_that_die_at_any_call_lose_nothing_that_was_answered() {
    for seed in 0..5 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let crashes = Disturbance { crash_one_in: 60, ..DELAYS };
            let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH));
            let transcript = Arc::new(Transcript::new(clock.clone(), seed, crashes));
            let store = Store::in_memory();
            let env = Env::simulated(store.clone(), clock.clone(), seed, transcript.clone());
            let app = App::start(&application("posts", "posts", 3, POSTS), env).await.unwrap();
            let clients: Vec<_> =
                (0..CLIENTS).map(|client| tokio::spawn(write_posts(app.clone(), client))).collect();
            let mut created = Vec::new();
            for client in clients {
                created.extend(client.await.unwrap().into_iter().flatten());
            }
            app.stop(Duration::from_secs(10)).await;
            assert!(
                transcript.lines().iter().any(|line| line.ends_with("Crash")),
                "seed {seed}: nothing died"
            );

            let calm = Arc::new(Transcript::new(clock.clone(), seed, DELAYS));
            let env = Env::simulated(store, clock, seed + 1000, calm);
            let app = App::start(&application("posts", "posts", 3, POSTS), env).await.unwrap();
            for (title, id) in created {
                let (status, body) = send(&app, "posts", get(&format!("/posts/{id}"))).await;
                assert_eq!(status, StatusCode::OK, "seed {seed}: {title} was answered and is gone");
                assert!(body.contains(&title), "seed {seed}: {body}");
            }
        });
    }
}
