//! The market from seeds: all that can be done to an order is done to it around its deadline, while calls are late and instances
//! die. Whatever came of it, its ticket is sold with one charge, or free without any.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::{read, root};
use http::{Method, Request};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trellis_broker::{Message, Subject};
use trellis_host::App;
use trellis_host::env::{Clock, Env, SeededRandomness, TokioClock};
use trellis_host::manifest::Application;
use trellis_host::observe::{Crashes, Disturbance, Transcript};
use trellis_manifest::types::TraitProperty;
use trellis_manifest::{Manifest, Parts};
use trellis_store::Store;

const SERVICES: [&str; 4] = ["tickets", "orders", "expiration", "payments"];
const SEEDS: u64 = 20;
const TICKETS: usize = 50;

/// Calls are late, and some of them are the last thing that their instance does.
const DISTURBANCE: Disturbance = Disturbance { delay_max: Duration::from_millis(2), crash_one_in: 500 };
const PRICE: u64 = 1999;
/// How long a ticket is reserved.
const HOLD: Duration = Duration::from_secs(20);

/// The market of wadm.yaml, without a gateway. Time passes quickly, but not for whoever asks all the while whether it has.
fn market() -> Application {
    let file = root().join("wadm.yaml");
    let mut manifest = Manifest::read(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let is_part = |name: &str| SERVICES.contains(&name);
    manifest.components_mut().retain(|component| {
        is_part(&component.name) || ["messaging", "keyvalue"].contains(&&*component.name)
    });
    for component in manifest.components_mut().iter_mut().filter(|component| component.is_provider()) {
        component.traits_mut().retain(|of| match &of.properties {
            TraitProperty::Link(link) => is_part(&link.target.name),
            _ => true,
        });
    }
    let orders = manifest.config_mut("orders-service").unwrap().properties.get_or_insert_default();
    orders.insert("hold-seconds".to_owned(), HOLD.as_secs().to_string());
    Application::parse(&file, &manifest.to_string()).unwrap()
}

/// A clock that somebody sets.
struct Set {
    clock: TokioClock,
    by: Mutex<i64>,
}

impl Clock for Set {
    fn now(&self) -> SystemTime {
        let by = *self.by.lock().unwrap();
        let step = Duration::from_secs(by.unsigned_abs());
        if by < 0 { self.clock.now() - step } else { self.clock.now() + step }
    }
}

/// Everything that is simulated.
struct World {
    app: App,
    clock: Arc<dyn Clock>,
    random: SeededRandomness,
}

/// What somebody asks for, again if nothing comes back: an instance may have died with the answer.
struct Ask {
    service: &'static str,
    method: Method,
    path: String,
    by: &'static str,
    key: String,
    body: String,
}

impl Ask {
    fn post(service: &'static str, by: &'static str, key: String, body: &Value) -> Self {
        Self { service, method: Method::POST, path: format!("/{service}"), by, key, body: body.to_string() }
    }

    fn delete(path: String, by: &'static str, key: String) -> Self {
        Self { service: "orders", method: Method::DELETE, path, by, key, body: String::new() }
    }

    fn request(&self) -> Request<Bytes> {
        let request = Request::builder().method(&self.method).uri(format!("http://localhost{}", self.path));
        let request = request.header("content-type", "application/json").header("trellis-caller", self.by);
        request.header("idempotency-key", &self.key).body(self.body.clone().into()).unwrap()
    }
}

fn price() -> Value {
    json!({ "amount": PRICE, "currency": "EUR" })
}

fn order(of: &str) -> Value {
    json!({ "ticket_id": of, "price": price() })
}

impl World {
    async fn ask(&self, ask: &Ask) -> (u16, Value) {
        for _ in 0..100 {
            if let Ok(answer) = self.app.http(ask.service, ask.request()).await {
                let (status, body) = read(answer).await;
                if !matches!(status.as_u16(), 429 | 500..) {
                    return (status.as_u16(), serde_json::from_str(&body).unwrap_or_default());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no answer: {} {}", ask.method, ask.path);
    }

    /// With a ticket of Sue's, which Ann has reserved.
    async fn reserved(&self, key: &str) -> (String, Value) {
        let offer = json!({ "title": "Concert", "price": price() });
        let ticket = self.created(&Ask::post("tickets", "sue", key.to_owned(), &offer)).await;
        let ticket = ticket["id"].as_str().unwrap().to_owned();
        let placed = Ask::post("orders", "ann", key.to_owned(), &order(&ticket));
        (ticket, self.created(&placed).await)
    }

    async fn created(&self, ask: &Ask) -> Value {
        let (status, body) = self.ask(ask).await;
        assert_eq!(status, 201, "{} {}: {body}", ask.method, ask.path);
        body
    }

    /// Offers a ticket, reserves it, and has everything happen at once when its time is over: a millisecond before, just
    /// then, or a millisecond after.
    async fn story(self: Arc<Self>, nth: usize) -> String {
        let (ticket, placed) = self.reserved(&format!("story-{nth}")).await;
        let id = placed["id"].as_str().unwrap();
        let deadline = OffsetDateTime::parse(placed["expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
        let key = |of: &str| format!("{of}-{nth}");
        let pays = |of: &str| {
            let tokens = ["tok_ok", "tok_unknown", "tok_slow", "tok_declined"];
            let token = tokens[usize::try_from(self.random.below(4)).unwrap()];
            Ask::post("payments", "ann", key(of), &json!({ "order_id": id, "token": token }))
        };
        let acts = [
            pays("first"),
            pays("second"),
            Ask::delete(format!("/orders/{id}"), "ann", key("cancel")),
            Ask::post("orders", "bob", key("bob"), &order(&ticket)),
            Ask::delete(format!("/tickets/{ticket}"), "sue", key("withdraw")),
        ];
        let left = SystemTime::from(deadline).duration_since(self.clock.now()).unwrap();
        let mut acting = tokio::task::JoinSet::new();
        for act in acts {
            // Some do it well before, so that others meet what came of it.
            let early = [Duration::ZERO, HOLD / 2][usize::from(self.random.below(4) == 0)];
            let offset = Duration::from_millis(self.random.below(3));
            let (world, at) = (self.clone(), left + offset - Duration::from_millis(1) - early);
            acting.spawn(async move {
                tokio::time::sleep(at).await;
                let (status, body) = world.ask(&act).await;
                let is_answer = matches!(status, 201 | 202 | 204 | 409 | 422);
                assert!(is_answer, "{} {}: {status} {body}", act.method, act.path);
            });
        }
        while let Some(acted) = acting.join_next().await {
            acted.unwrap();
        }
        ticket
    }

    async fn jetstream(&self, subject: String, payload: Value) -> Message {
        let patience = Duration::from_secs(5);
        self.app.broker().request(&*subject, None, payload.to_string(), patience).await.unwrap()
    }

    /// How many messages a stream has.
    async fn count(&self, stream: &str) -> u64 {
        let info = self.jetstream(format!("$JS.API.STREAM.INFO.{stream}"), json!({})).await;
        let info: Value = serde_json::from_slice(&info.payload).unwrap();
        info["state"]["messages"].as_u64().unwrap()
    }

    /// All messages of a stream, oldest first.
    async fn stored(&self, stream: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        for seq in 1u64.. {
            let answer =
                self.jetstream(format!("$JS.API.STREAM.MSG.GET.{stream}"), json!({ "seq": seq })).await;
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            let Some(data) = answer["message"]["data"].as_str() else { break };
            messages.push(serde_json::from_slice(&STANDARD.decode(data).unwrap()).unwrap());
        }
        messages
    }

    /// Waits until no log has grown for longer than anybody may have a ticket reserved, or anything is put off.
    async fn settled(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let mut before = BTreeMap::new();
        for _ in 0..100 {
            tokio::time::sleep(10 * HOLD).await;
            let mut logs = BTreeMap::new();
            for service in SERVICES {
                logs.insert(service, self.stored(&format!("LOG_{service}")).await);
            }
            if before == logs {
                return logs;
            }
            before = logs;
        }
        panic!("the services never came to rest");
    }
}

/// What came of the run of one seed.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    hash: [u8; 32],
    calls: u64,
    crashes: usize,
    sold: usize,
    free: usize,
    refused: usize,
}

fn simulate(seed: u64, tickets: usize) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, tickets))
}

async fn run(seed: u64, tickets: usize) -> Outcome {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
    let transcript = Arc::new(Transcript::new(clock.clone(), seed, DISTURBANCE));
    let mut env = Env::simulated(Store::in_memory(), clock.clone(), seed, transcript.clone());
    env.options.cache_dir = Some(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("components"));
    let app = App::start(&market(), env).await.unwrap();
    let world = Arc::new(World { app, clock, random: SeededRandomness::new(!seed) });
    let stories: Vec<_> = (0..tickets).map(|nth| tokio::spawn(world.clone().story(nth))).collect();
    let mut offered = BTreeSet::new();
    for story in stories {
        offered.insert(story.await.unwrap());
    }
    let logs = world.settled().await;
    for service in SERVICES {
        assert_eq!(
            world.stored(&format!("DEAD_{service}")).await,
            [] as [Value; 0],
            "seed {seed}: {service}"
        );
    }
    let (sold, free, refused) = judged(seed, &offered, &logs);
    world.app.stop(Duration::from_secs(10)).await;
    let crashes = transcript.lines().iter().filter(|line| line.ends_with("Crash")).count();
    Outcome { hash: transcript.hash(), calls: transcript.calls(), crashes, sold, free, refused }
}

/// The second part of an event's type: what happened.
fn happened(event: &Value) -> &str {
    event["type"].as_str().unwrap().split('.').nth(1).unwrap()
}

/// Reads the logs as somebody who trusts nobody: how many tickets are sold and how many are free, and how many payments were refused.
fn judged(
    seed: u64,
    offered: &BTreeSet<String>,
    logs: &BTreeMap<&'static str, Vec<Value>>,
) -> (usize, usize, usize) {
    let mut charges: BTreeMap<&str, u64> = BTreeMap::new();
    let mut payments: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for event in &logs["payments"] {
        let entity = event["subject"].as_str().unwrap();
        match happened(event) {
            "charged" => {
                let payment = entity.strip_suffix("-charge").unwrap();
                *charges.entry(payment).or_default() += event["data"]["amount"]["amount"].as_u64().unwrap();
            }
            "requested" => {
                let order = event["data"]["order_id"].as_str().unwrap();
                payments.insert(entity, (order.split('-').next().unwrap(), "requested"));
            }
            state => payments.get_mut(entity).unwrap().1 = state,
        }
    }
    for (payment, (_, state)) in &payments {
        assert_ne!(*state, "requested", "seed {seed}: nothing came of payment {payment}");
        let expected = (*state == "succeeded").then_some(&PRICE);
        assert_eq!(charges.get(payment), expected, "seed {seed}: payment {payment} has {state}");
    }
    let mut standing: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for event in &logs["orders"] {
        let ticket = event["subject"].as_str().unwrap();
        let (version, state) = standing.entry(ticket).or_insert((0, "free"));
        *version += 1;
        assert_eq!(event["version"], *version, "seed {seed}: {ticket}");
        *state = match (*state, happened(event)) {
            (state, "offered" | "refused") => state,
            ("free", "placed") | ("paying", "resumed") => "reserved",
            ("reserved", "paying") => "paying",
            ("paying", "completed") => "sold",
            ("reserved", "cancelled" | "expired") | ("paying", "expired") => "free",
            ("free", "withdrawn") => "withdrawn",
            (state, event) => panic!("seed {seed}: {event} of a ticket that is {state}"),
        };
    }
    assert_eq!(standing.keys().copied().collect::<BTreeSet<_>>(), offered.iter().map(|id| &**id).collect());
    let mut told: BTreeMap<&str, &str> = BTreeMap::new();
    for event in &logs["tickets"] {
        told.insert(event["subject"].as_str().unwrap(), happened(event));
    }
    let (mut sold, mut free) = (0, 0);
    for (ticket, (_, state)) in &standing {
        let paid = payments.values().filter(|(of, state)| of == ticket && *state == "succeeded").count();
        match *state {
            "sold" => {
                assert_eq!((paid, told[ticket]), (1, "sold"), "seed {seed}: {ticket}");
                sold += 1;
            }
            "free" | "withdrawn" => {
                let expected: &[&str] =
                    if *state == "free" { &["created", "released"] } else { &["withdrawn"] };
                assert!(
                    paid == 0 && expected.contains(&told[ticket]),
                    "seed {seed}: {ticket} is {}",
                    told[ticket]
                );
                free += 1;
            }
            state => panic!("seed {seed}: {ticket} is {state} for ever"),
        }
    }
    let refused = payments.values().filter(|(_, state)| *state == "refused").count();
    (sold, free, refused)
}

#[test]
fn whatever_happens_at_a_deadline_a_ticket_is_sold_with_one_charge_or_free_without_any() {
    let (mut sold, mut free, mut refused, mut crashes) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let outcome = simulate(seed, TICKETS);
        (sold, free, refused) = (sold + outcome.sold, free + outcome.free, refused + outcome.refused);
        crashes += outcome.crashes;
    }
    let stories = usize::try_from(SEEDS).unwrap() * TICKETS;
    println!(
        "{stories} stories: {sold} sold, {free} free, {refused} payments refused, {crashes} instances died"
    );
    assert_eq!(sold + free, stories);
    assert!([sold, free, refused, crashes].iter().all(|count| *count > stories / 20), "each of it happens");
}

#[test]
fn one_seed_gives_one_market() {
    assert_eq!(simulate(3, 5), simulate(3, 5));
    assert_ne!(simulate(3, 5).hash, simulate(4, 5).hash);
}

/// What is due by the clock of a service is done, however that clock is set, and nothing before.
fn ten_thousand_deadlines(step: i64) {
    const DEADLINES: usize = 10_000;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let clock = Arc::new(Set { clock: TokioClock::starting_at(start), by: Mutex::default() });
        let calm = Arc::new(Crashes::new(0, 0));
        let env = Env::simulated(Store::in_memory(), clock.clone(), 1, calm);
        let app = App::start(&market(), env).await.unwrap();
        let world = World { app, clock: clock.clone(), random: SeededRandomness::new(1) };
        let (ticket, _) = world.reserved("one").await;
        for service in ["orders", "tickets", "payments"] {
            world.app.stop_component(service, Duration::from_secs(10)).await.unwrap();
        }
        let placed = world.stored("LOG_orders").await.into_iter().find(|event| happened(event) == "placed");
        let placed = placed.unwrap().to_string();
        for nth in 1..DEADLINES {
            let another = format!("{ticket}x{nth}");
            let subject = Subject::new(format!("log.orders.0.{another}.2")).unwrap();
            let message = Message::new(subject, placed.replace(&ticket, &another));
            world.app.broker().publish(message).await.unwrap();
        }
        assert_eq!(world.count("LOG_orders").await, 1 + DEADLINES as u64);

        tokio::time::sleep(HOLD / 2).await;
        *clock.by.lock().unwrap() = step;
        if step < 0 {
            // It would be time, had nobody set the clock.
            tokio::time::sleep(10 * HOLD).await;
            assert_eq!(world.count("LOG_expiration").await, 0);
            tokio::time::sleep(Duration::from_secs(step.unsigned_abs()) - 10 * HOLD).await;
        }
        let due = tokio::time::Instant::now();
        while world.count("LOG_expiration").await < DEADLINES as u64 {
            assert!(
                due.elapsed() < Duration::from_secs(600),
                "{} of them",
                world.count("LOG_expiration").await
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        println!("a step of {step} s: all {DEADLINES} within {:?}", due.elapsed());
        let passed = world.stored("LOG_expiration").await;
        let orders: BTreeSet<&str> = passed.iter().map(|event| event["subject"].as_str().unwrap()).collect();
        assert_eq!((passed.len(), orders.len()), (DEADLINES, DEADLINES), "each once");
        for event in &passed {
            let instant = |of: &str| event["data"][of].as_str().unwrap().to_owned();
            assert!(instant("passed_at") >= instant("expires_at"), "early: {event}");
        }
        world.app.stop(Duration::from_secs(10)).await;
    });
}

#[test]
fn when_the_clock_is_set_forth_what_is_due_by_then_is_done() {
    ten_thousand_deadlines(3600);
}

#[test]
fn when_the_clock_is_set_back_nothing_is_done_before_it_is_due_again() {
    ten_thousand_deadlines(-3600);
}
