//! What dies or is held up, under load. What was answered is there once, and every read model is the one that is built anew.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lattice_tests::{Running, for_a_while, on_every_host, with_buckets_by_way_of};
use serde_json::json;
use system::{Nats, Request, configured, done, within};
use xtask::lattice::Lattice;

/// It is killed, and after a while started again; `wait` sees that it is there.
fn dies_and_comes_back(
    lattice: &mut Lattice,
    process: &str,
    wait: impl FnOnce(&Lattice) -> Result<(), xtask::Failure>,
) {
    for_a_while();
    done(lattice.processes().kill(process));
    for_a_while();
    done(lattice.processes().start_again(process));
    done(wait(lattice));
    for_a_while();
}

#[test]
fn one_host_of_three_is_killed() {
    Running::start("host-killed", 3, 1).under_load(|lattice| {
        dies_and_comes_back(lattice, "host-2", |lattice| lattice.wait_for_hosts(3));
    });
}

/// It holds what was given to it, and is still believed to be there.
#[test]
fn one_host_of_three_is_held_up_and_goes_on() {
    Running::start("host-paused", 3, 1).under_load(|lattice| {
        for_a_while();
        done(lattice.processes().pause("host-3"));
        for_a_while();
        done(lattice.processes().resume("host-3"));
        for_a_while();
    });
}

#[test]
fn the_only_server_is_killed_and_comes_back() {
    Running::start("server-killed", 1, 1).under_load(|lattice| {
        dies_and_comes_back(lattice, "nats-1", Lattice::wait_for_servers);
    });
}

#[test]
fn one_server_of_three_is_killed_and_comes_back() {
    // Whom the load and the application are not connected to may be the leader of anything.
    Running::start("servers", 1, 3).under_load(|lattice| {
        dies_and_comes_back(lattice, "nats-3", Lattice::wait_for_servers);
    });
}

/// The server that stands still.
const STILL: &str = "nats-3";
/// What the key-value provider says of a write without an answer.
const UNKNOWN: &str = "while trying to set a key";

/// What is written to read models by way of one server waits in it, and lands when it goes on. Meanwhile events are delivered
/// again by way of another, and handled by whoever writes by way of that. Many comments on one post change the same values,
/// so what lands late would cover what is newer.
#[test]
fn writes_that_land_late_change_nothing() {
    let manifest = with_buckets_by_way_of(&on_every_host(&configured(&[])), &["nats-2", STILL]);
    let mut running = Running::start_with("late-writes", 2, 3, manifest);
    running.under_load(|lattice| {
        for nth in 0..3 {
            others_lead(lattice);
            let nats = Nats::new(lattice.nats().next().unwrap().parse().unwrap());
            let comments = with_comments_on_one_post(nats, nth, || {
                done(lattice.processes().pause(STILL));
                for_a_while();
                done(lattice.processes().resume(STILL));
            });
            eprintln!("{comments} comments on one post");
            for_a_while();
        }
    });
    let waited = |host: &str| running.log(host).matches(UNKNOWN).count();
    let waited = running.hosts().map(waited).sum::<usize>();
    eprintln!("{waited} writes had no answer");
    assert!(waited > 0, "writes had to wait in {STILL}");
}

/// How many comment at once.
const COMMENTERS: usize = 8;

/// Lets something happen while many comment on the same post, and says how often they did.
#[track_caller]
fn with_comments_on_one_post(nats: Nats, nth: usize, happening: impl FnOnce()) -> usize {
    let title = json!({ "title": format!("Said much of, {nth}") }).to_string();
    let post = nats.send("posts", &Request::post("/posts", title)).unwrap().json();
    let path = format!("/posts/{}/comments", post["id"].as_str().unwrap());
    let is_over = AtomicBool::new(false);
    let comment = |commenter: usize| {
        let mut answered = 0;
        for n in 0.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let content = json!({ "content": format!("An apple, {commenter}, {n}") }).to_string();
            let request =
                Request::post(&path, content).header("idempotency-key", &format!("{commenter}-{n}"));
            let answer = nats.patient_for(Duration::from_secs(1)).send("comments", &request);
            answered += usize::from(answer.is_ok_and(|answer| answer.status == 201));
        }
        answered
    };
    std::thread::scope(|scope| {
        let comment = &comment;
        let commenters: Vec<_> =
            (0..COMMENTERS).map(|commenter| scope.spawn(move || comment(commenter))).collect();
        happening();
        is_over.store(true, Ordering::Relaxed);
        commenters.into_iter().map(|commenter| commenter.join().unwrap()).sum()
    })
}

/// Lets other servers lead whatever has copies: it goes on while this one stands still.
#[track_caller]
fn others_lead(lattice: &Lattice) {
    let nats = Nats::new(lattice.nats().next().unwrap().parse().unwrap());
    within(Duration::from_secs(60), "others lead all streams", || {
        let streams = nats.jetstream("STREAM.LIST", json!({}));
        let led = streams["streams"]
            .as_array()?
            .iter()
            .filter(|stream| stream["cluster"]["leader"] == STILL && stream["config"]["num_replicas"] != 1);
        let led: Vec<&str> = led.filter_map(|stream| stream["config"]["name"].as_str()).collect();
        for stream in &led {
            let elsewhere = json!({ "placement": { "preferred": "nats-2" } });
            nats.jetstream(&format!("STREAM.LEADER.STEPDOWN.{stream}"), elsewhere);
        }
        led.is_empty().then_some(())
    });
}
