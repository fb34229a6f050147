//! Everything dies at random while many write and read, through the gateway and past it: instances in the middle of host
//! calls, services that are stopped, scaled and started, the whole process by `kill -9`. Afterwards every write that was answered is there once, and all read
//! models equal those that are built anew.
//!
//! `cargo xtask chaos` runs this for minutes; among the other tests it is short. The seed, which is printed, decides what the
//! writers do, what is killed and at which calls instances end; how the threads of the machine take turns it does not.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde_json::Value;
use system::{Embedded, Load, Random, ReadModels, Written, assert_each_is_there_once, assert_equal, settled};
use tempfile::tempdir;
use trellis_store::{Order, Store};

const SECONDS: &str = "TRELLIS_CHAOS_SECONDS";
const SEED: &str = "TRELLIS_CHAOS_SEED";
const SECONDS_DEFAULT: u64 = 30;
/// One host call in so many ends its instance: some in a hundred requests and deliveries.
const CRASH_ONE_IN: u64 = 400;

#[test]
fn what_was_answered_is_there_once_and_read_models_equal_those_built_anew() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = number(SEED).unwrap_or_else(|| now().into());
    let seconds = number(SECONDS).unwrap_or(SECONDS_DEFAULT);
    eprintln!("{seconds} s with seed {seed}; again: cargo xtask chaos --seconds {seconds} --seed {seed}");
    let data = tempdir().unwrap();
    let data = data.path().join("data");

    let written = under_fire(&data, seed, Duration::from_secs(seconds));
    eprintln!("{written}");
    let trellis = Embedded::start_with(&data, &["--nats", "127.0.0.1:0"]);
    let services = settled(&trellis);
    assert_each_is_there_once(&trellis, &written);
    trellis.stop();
    let live = read_models(&data, &services);

    let trellis = Embedded::start_with(&data, &["--nats", "127.0.0.1:0"]);
    for service in &services {
        trellis.run(&["replay", service]);
    }
    settled(&trellis);
    trellis.stop();
    assert_equal(&live, &read_models(&data, &services));
}

/// Lets writers write while everything is killed, and then until each has an answer.
fn under_fire(data: &Path, seed: u64, time: Duration) -> Written {
    let mut random = Random::new(seed);
    let deadline = Instant::now() + time;
    let mut trellis = start(data, &mut random);
    let components = components(&trellis);
    let load = Load::start(&trellis, seed);
    let (mut kills, mut stops) = (0, 0);
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100 + random.below(900)));
        match random.below(10) {
            0..=1 => {
                trellis.kill();
                trellis = start(data, &mut random);
                load.move_to(&trellis);
                kills += 1;
            }
            2..=3 => {
                let instances = (1 + random.below(32)).to_string();
                trellis.run(&["scale", random.pick(&components).unwrap(), &instances]);
            }
            _ => {
                let component = random.pick(&components).unwrap();
                trellis.run(&["stop", component]);
                std::thread::sleep(Duration::from_millis(random.below(500)));
                trellis.run(&["start", component]);
                stops += 1;
            }
        }
    }
    let written = load.finish();
    let failed = trellis.output().matches("the observer ended the instance").count();
    eprintln!(
        "{kills} kills of the process, {stops} stops of a service, {failed} instances ended since the last kill"
    );
    assert!(failed > 0, "instances must have ended");
    trellis.kill();
    written
}

fn start(data: &Path, random: &mut Random) -> Embedded {
    // Whether instances serve one call or many must make no difference.
    let reuse = if random.below(2) == 0 { "1" } else { "1000" };
    let (one_in, seed) = (CRASH_ONE_IN.to_string(), random.number().to_string());
    let arguments =
        ["--nats", "127.0.0.1:0", "--reuse", reuse, "--crash-one-in", &one_in, "--crash-seed", &seed];
    Embedded::start_with(data, &arguments)
}

/// The names in the lines that the application begins with.
fn components(trellis: &Embedded) -> Vec<String> {
    let output = trellis.output();
    let lines = output.lines().filter(|line| line.ends_with(" at once"));
    lines.map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

/// The generation that is read, of each service, from a copy of a data directory that nobody uses.
fn read_models(data: &Path, services: &[String]) -> BTreeMap<String, ReadModels> {
    let copy = tempdir().unwrap();
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let store = Store::open_dir(copy.path()).unwrap();
    services.iter().map(|service| (service.clone(), ReadModels::of(&bucket(&store, service)))).collect()
}

fn bucket(store: &Store, service: &str) -> BTreeMap<String, Value> {
    let prefix = format!("K{service}\0");
    let range = (
        Bound::Included(Bytes::from(prefix.clone())),
        Bound::Excluded(Bytes::from(format!("K{service}\u{1}"))),
    );
    let all = store.scan(range, Order::Ascending, usize::MAX);
    let entries = all.iter().map(|(key, value)| {
        let key = std::str::from_utf8(&key[prefix.len()..]).unwrap().to_owned();
        (key, serde_json::from_slice(value).unwrap())
    });
    entries.collect()
}
