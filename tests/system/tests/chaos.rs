//! Everything dies at random while many write and read: instances in the middle of host calls, services that are stopped,
//! scaled and started, the whole process by `kill -9`. Afterwards every write that was answered is there once, and all read
//! models equal those that are built anew.
//!
//! `cargo xtask chaos` runs this for minutes; among the other tests it is short. The seed, which is printed, decides what the
//! writers do, what is killed and at which calls instances end; how the threads of the machine take turns it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use system::{Nats, Request, Response, Trellis, eventually};
use tempfile::tempdir;
use trellis_store::{Order, Store};

const SECONDS: &str = "TRELLIS_CHAOS_SECONDS";
const SEED: &str = "TRELLIS_CHAOS_SEED";
const SECONDS_DEFAULT: u64 = 30;
const WRITERS: u64 = 8;
/// One host call in so many ends its instance: some in a hundred requests and deliveries.
const CRASH_ONE_IN: u64 = 400;
/// Whoever gets no answer asks again after this.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Nobody may have to ask for longer than this.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// Numbers that follow from a seed: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let len = from.len().try_into().ok().filter(|len| *len > 0)?;
        from.get(usize::try_from(self.below(len)).unwrap())
    }
}

/// What was answered, by id.
#[derive(Default)]
struct Written {
    titles: BTreeMap<String, String>,
    retitled: u64,
    /// The post, and the status that readers must come to see.
    comments: BTreeMap<String, (String, &'static str)>,
    overturned: u64,
    /// Requests that had to be made again.
    repeated: u64,
}

impl Written {
    fn merge(&mut self, other: Written) {
        self.titles.extend(other.titles);
        self.comments.extend(other.comments);
        self.retitled += other.retitled;
        self.overturned += other.overturned;
        self.repeated += other.repeated;
    }
}

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
    eprintln!(
        "{} posts, {} retitled, {} comments, {} overturned; {} requests had to be made again",
        written.titles.len(),
        written.retitled,
        written.comments.len(),
        written.overturned,
        written.repeated
    );
    let trellis = Trellis::start_with(&data, &["--nats", "127.0.0.1:0"]);
    let services = settled(&trellis);
    assert_each_is_there_once(&trellis, &written);
    trellis.stop();
    let live = read_models(&data, &services);

    let trellis = Trellis::start_with(&data, &["--nats", "127.0.0.1:0"]);
    for service in &services {
        trellis.run(&["replay", service]);
    }
    settled(&trellis);
    trellis.stop();
    let anew = read_models(&data, &services);
    for service in &services {
        let (live, anew) = (&live[service], &anew[service]);
        assert_eq!(anew.generation, live.generation + 1, "{service} was built anew");
        assert_eq!(differences(&live.values, &anew.values), Vec::<String>::new(), "{service}");
        eprintln!("{service}: {} values, all as built anew", live.values.len());
    }
}

/// Lets writers write while everything is killed, and then until each has an answer.
fn under_fire(data: &Path, seed: u64, time: Duration) -> Written {
    let mut random = Random(seed);
    let deadline = Instant::now() + time;
    let mut trellis = start(data, &mut random);
    let components = components(&trellis);
    let address = Mutex::new(trellis.nats());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let client = Client { address: &address, name: format!("w{writer}"), repeated: 0 };
                scope.spawn(move || write(client, Random(seed.wrapping_add(writer + 1)), deadline))
            })
            .collect();
        let (mut kills, mut stops) = (0, 0);
        while Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100 + random.below(900)));
            match random.below(10) {
                0..=1 => {
                    trellis.kill();
                    trellis = start(data, &mut random);
                    *address.lock().unwrap() = trellis.nats();
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
        let mut written = Written::default();
        for writer in writers {
            written.merge(writer.join().unwrap());
        }
        let failed = trellis.output().matches("the observer ended the instance").count();
        eprintln!(
            "{kills} kills of the process, {stops} stops of a service, {failed} instances ended since the last kill"
        );
        assert!(failed > 0, "instances must have ended");
        trellis.kill();
        written
    })
}

fn start(data: &Path, random: &mut Random) -> Trellis {
    // Whether instances serve one call or many must make no difference.
    let reuse = if random.below(2) == 0 { "1" } else { "1000" };
    let (one_in, seed) = (CRASH_ONE_IN.to_string(), random.next().to_string());
    let arguments =
        ["--nats", "127.0.0.1:0", "--reuse", reuse, "--crash-one-in", &one_in, "--crash-seed", &seed];
    Trellis::start_with(data, &arguments)
}

/// The names in the lines that the application begins with.
fn components(trellis: &Trellis) -> Vec<String> {
    let output = trellis.output();
    let lines = output.lines().filter(|line| line.ends_with(" at once"));
    lines.map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

/// A writer's way to the services, wherever they are by now.
struct Client<'a> {
    address: &'a Mutex<Nats>,
    name: String,
    repeated: u64,
}

impl Client<'_> {
    /// Sends a request that may be repeated, until the answer is one that `is_final`.
    fn send(&mut self, service: &str, request: &Request, is_final: impl Fn(&Response) -> bool) -> Response {
        let begun = Instant::now();
        loop {
            let nats = self.address.lock().unwrap().patient_for(ANSWER_TIME_MAX);
            let answer = nats.send(service, request);
            if let Ok(answer) = &answer
                && is_final(answer)
            {
                return answer.clone();
            }
            assert!(begun.elapsed() < GIVE_UP_AFTER, "{}: {request:?} gets no answer: {answer:?}", self.name);
            self.repeated += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes as itself. What does not exist may not be known yet to whoever is asked: that is asked again.
    fn write(&mut self, service: &str, request: Request) -> Value {
        let request = request.header("trellis-caller", &self.name);
        let answer = self.send(service, &request, |answer| answer.status < 500 && answer.status != 404);
        assert!(matches!(answer.status, 200 | 201), "{}: {request:?}: {answer:?}", self.name);
        answer.json()
    }
}

fn body(value: &Value) -> String {
    value.to_string()
}

fn as_moderator(request: Request) -> Request {
    request.header("trellis-caller", "mia").header("trellis-roles", "moderator")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} should be text")).to_owned()
}

/// Writes and reads until the deadline. Each title is changed and each verdict overturned once at most, so that a request
/// that is carried out later than its repetition changes nothing.
fn write(mut client: Client<'_>, mut random: Random, deadline: Instant) -> Written {
    let mut written = Written::default();
    let (mut posts, mut to_retitle, mut to_overturn) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0_u64.. {
        if Instant::now() >= deadline {
            break;
        }
        let key = format!("{}-{n}", client.name);
        match random.below(20) {
            0..=6 => {
                let new = Request::post("/posts", body(&json!({ "title": key })));
                let id = text(&client.write("posts", new.header("idempotency-key", &key))["id"]);
                assert_eq!(written.titles.insert(id.clone(), key), None, "{id} is new");
                posts.push(id.clone());
                to_retitle.push(id);
            }
            7..=8 => {
                let Some(id) = to_retitle.pop() else { continue };
                let title = format!("{key} again");
                let mut put = Request::post(&format!("/posts/{id}"), body(&json!({ "title": title })));
                "PUT".clone_into(&mut put.method);
                client.write("posts", put);
                written.titles.insert(id, title);
                written.retitled += 1;
            }
            9..=13 => {
                let Some(post) = random.pick(&posts).cloned() else { continue };
                let (fruit, status) =
                    if random.below(2) == 0 { ("apple", "approved") } else { ("orange", "rejected") };
                let content = format!("An {fruit} for {key}");
                let path = format!("/posts/{post}/comments");
                let new = Request::post(&path, body(&json!({ "content": content })));
                let id = text(&client.write("comments", new.header("idempotency-key", &key))["id"]);
                let before = written.comments.insert(id.clone(), (post, status));
                assert_eq!(before, None, "{id} is new");
                to_overturn.push(id);
            }
            14..=15 => {
                let Some(id) = to_overturn.pop() else { continue };
                let comment = written.comments.get_mut(&id).unwrap();
                let to = if comment.1 == "approved" { "rejected" } else { "approved" };
                let request = Request::post(&format!("/moderation/{id}"), body(&json!({ "status": to })));
                client.write("moderation", request.header("trellis-roles", "moderator"));
                comment.1 = to;
                written.overturned += 1;
            }
            16..=17 => {
                let feed =
                    client.send("query", &Request::get("/posts?limit=50"), |answer| answer.status == 200);
                let ids: Vec<Value> =
                    feed.json().as_array().unwrap().iter().map(|post| post["id"].clone()).collect();
                let once: BTreeMap<String, ()> = ids.iter().map(|id| (text(id), ())).collect();
                assert_eq!(once.len(), ids.len(), "a post is there twice: {ids:?}");
            }
            _ => {
                let Some(id) = random.pick(&posts) else { continue };
                let path = format!("/posts/{id}");
                let read = client.send("posts", &Request::get(&path), |answer| answer.status < 500);
                assert_eq!(
                    (read.status, &read.json()["id"]),
                    (200, &json!(id)),
                    "what was answered is there"
                );
            }
        }
    }
    written.repeated = client.repeated;
    written
}

/// Waits until every event is handled and every service ready. Gives the services that have read models.
fn settled(trellis: &Trellis) -> Vec<String> {
    let report = eventually("all events are handled", || {
        let output = trellis.command(&["status", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).ok()?;
        assert_eq!(report["dead_letters"], json!([]), "{report:#}");
        let idle = report["consumers"].as_array()?.iter().all(|consumer| consumer["backlog"] == 0);
        (output.status.success() && idle).then_some(report)
    });
    let consumers = report["consumers"].as_array().unwrap().iter();
    let projecting = consumers.filter(|of| of["role"].as_str().unwrap().starts_with("read models"));
    let mut services: Vec<String> = projecting.map(|of| text(&of["service"])).collect();
    services.sort();
    services.dedup();
    services
}

fn assert_each_is_there_once(trellis: &Trellis, written: &Written) {
    let nats = trellis.nats();
    let all = |service: &str, path: &str| -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = nats.send(service, &as_moderator(Request::get(&path))).unwrap();
            assert_eq!(page.status, 200, "{page:?}");
            items.extend(page.json().as_array().unwrap().iter().cloned());
            next = page.next();
        }
        items
    };
    let as_map = |items: Vec<Value>, field: &str| -> BTreeMap<String, String> {
        let count = items.len();
        let map: BTreeMap<_, _> = items.iter().map(|item| (text(&item["id"]), text(&item[field]))).collect();
        assert_eq!(map.len(), count, "something is there twice");
        map
    };
    assert_eq!(as_map(all("query", "/posts?limit=100"), "title"), written.titles);
    assert_eq!(as_map(all("posts", "/posts?limit=100"), "title"), written.titles);

    let mut of_posts: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (id, (post, status)) in &written.comments {
        of_posts.entry(post).or_default().insert(id.clone(), (*status).to_owned());
    }
    for (post, expected) in of_posts {
        assert_eq!(as_map(all("comments", &format!("/posts/{post}/comments?limit=100")), "status"), expected);
        let read = nats.send("query", &Request::get(&format!("/posts/{post}"))).unwrap().json();
        assert_eq!(read["comment_count"], json!(expected.len()), "{read}");
    }
    let statuses = written.comments.iter().map(|(id, (_, status))| (id.clone(), (*status).to_owned()));
    let verdicts = as_map(all("moderation", "/moderation/queue?limit=100"), "status");
    assert_eq!(verdicts, statuses.collect());

    // One event for each thing that was done, and none besides.
    let events =
        |log: &str| nats.jetstream(&format!("STREAM.INFO.LOG_{log}"), json!({}))["state"]["messages"].clone();
    let (posts, comments) = (written.titles.len() as u64, written.comments.len() as u64);
    assert_eq!(events("posts"), json!(posts + written.retitled));
    assert_eq!(events("moderation"), json!(comments + written.overturned));
    assert_eq!(events("comments"), json!(2 * comments + written.overturned));
}

/// The read models of one service, as they are stored.
struct ReadModels {
    generation: u64,
    /// By key, without the slot of the generation: the sequence of the event that wrote a value last, and the value.
    values: BTreeMap<String, (Value, Value)>,
}

/// The generation that is read, of each service, from a copy of a data directory that nobody uses.
fn read_models(data: &Path, services: &[String]) -> BTreeMap<String, ReadModels> {
    let copy = tempdir().unwrap();
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let store = Store::open_dir(copy.path()).unwrap();
    services.iter().map(|service| (service.clone(), ReadModels::of(&store, service))).collect()
}

impl ReadModels {
    fn of(store: &Store, service: &str) -> ReadModels {
        let prefix = format!("K{service}\0");
        let range = (
            Bound::Included(Bytes::from(prefix.clone())),
            Bound::Excluded(Bytes::from(format!("K{service}\u{1}"))),
        );
        let all = store.scan(range, Order::Ascending, usize::MAX);
        let entries: BTreeMap<String, Value> = all
            .iter()
            .map(|(key, value)| {
                let key = std::str::from_utf8(&key[prefix.len()..]).unwrap().to_owned();
                (key, serde_json::from_slice(value).unwrap())
            })
            .collect();
        let generation = entries.get("generation").map_or(1, |now| now["active"].as_u64().unwrap());
        let slot = format!("g{}.", generation % 2);
        let values = entries
            .iter()
            .filter(|(_, kept)| kept["g"] == json!(generation))
            .filter_map(|(key, kept)| {
                Some((key.strip_prefix(&slot)?.to_owned(), (kept["s"].clone(), kept["v"].clone())))
            })
            .collect();
        ReadModels { generation, values }
    }
}

/// The first keys whose values differ.
fn differences(
    live: &BTreeMap<String, (Value, Value)>,
    anew: &BTreeMap<String, (Value, Value)>,
) -> Vec<String> {
    let keys = live.keys().chain(anew.keys().filter(|key| !live.contains_key(*key)));
    let differing = keys.filter(|key| live.get(*key) != anew.get(*key));
    differing.take(5).map(|key| format!("{key}: {:?} and anew {:?}", live.get(key), anew.get(key))).collect()
}
