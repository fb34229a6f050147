//! The platform of native tests is only worth something if it answers as a real server does. Here everything
//! that the kit asks of JetStream in the life of a service is asked of a real nats-server, too, and the answers
//! are compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod server;

use serde_json::{Value, json};
use server::Server;
use trellis_kit::event::Event;
use trellis_kit::platform::Platform;
use trellis_kit::testing::{anonymous, message, platform, settle, start};
use trellis_kit::{
    Aggregate, Docs, Entity, Failure, Problem, Projections, Reaction, Recorded, Route, Service, Source,
    Timers, Wire, Writer, projections, routes, timers,
};

struct Lamps;

#[derive(Debug, Clone, PartialEq, Wire)]
struct Lamp {
    id: String,
    on: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
enum LampEvent {
    Made(Lamp),
    Switched(bool),
}

const SOURCE: Source = Source::new("lamps", 2);
const LAMPS: Docs<Lamp> = Docs::new(SOURCE, "lamp");

impl Service for Lamps {
    const NAME: &str = "lamps";
    const VERSION: &str = "1.0.0";
    const PARTITIONS: u32 = 2;
    const ENTITIES: &[Entity] = &[Entity::of::<Lamp>()];
    const ROUTES: &[Route] = routes! {};
    const PROJECTIONS: Projections = projections! { SOURCE => follow };
}

impl Event for LampEvent {
    const OF: &str = "lamp";
}

impl Aggregate for Lamp {
    type Service = Lamps;
    type Event = LampEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &LampEvent) -> Option<Self> {
        match event {
            LampEvent::Made(lamp) => Some(lamp.clone()),
            LampEvent::Switched(on) => before.map(|lamp| Self { on: *on, ..lamp }),
        }
    }
}

fn follow(event: &Recorded<LampEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    LAMPS.put(writer, &event.entity, &event.state()?)
}

/// Who looks after lamps that have been on for long.
struct Keepers;

impl Service for Keepers {
    const NAME: &str = "keepers";
    const VERSION: &str = "1.0.0";
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! {};
    const TIMERS: Timers = timers! { SOURCE => at(never, look) };
}

fn never(_: &Recorded<LampEvent>) -> Result<Option<String>, Failure> {
    Ok(None)
}

fn look(_: &Recorded<LampEvent>, _: &Reaction) -> Result<(), Failure> {
    Ok(())
}

fn make() -> Lamp {
    anonymous().create(&"lamp", |id| LampEvent::Made(Lamp { id, on: false })).unwrap()
}

fn switch(id: &str, on: bool) -> Result<Lamp, Problem> {
    anonymous().update(id, |_: &Lamp| Ok(Some(LampEvent::Switched(on))))
}

/// The life of a service, with conflicts, things that are missing, a dead letter and a rebuild.
fn live() {
    anonymous().load::<Lamp>("nothing").unwrap_err();
    start::<Lamps>();
    start::<Lamps>();
    let ids: Vec<String> = (0..5).map(|_| make().id).collect();
    // As many as are read again in batches.
    for n in 0..8 {
        ids.iter().for_each(|id| drop(switch(id, n % 2 == 0).unwrap()));
    }
    // A slower one: the newest event of a lamp appended once more.
    let newest = platform().stored("LOG_lamps").pop().unwrap();
    platform().request(&newest.subject, &newest.body, std::time::Duration::ZERO).unwrap();
    platform().request("log.lamps.0.rubbish.1", b"rubbish", std::time::Duration::ZERO).unwrap();
    anonymous().load::<Lamp>("nothing").unwrap_err();
    settle::<Lamps>();
    message::<Lamps>("trellis.announce", None, br#"{"replay":"lamps"}"#).unwrap();
    settle::<Lamps>();
    let other = json!({ "name": "LOG_lamps", "subjects": ["log.lamps.>"], "storage": "file" });
    let other = other.to_string();
    platform()
        .request("$JS.API.STREAM.CREATE.LOG_lamps", other.as_bytes(), std::time::Duration::ZERO)
        .unwrap();
}

/// What the kit looks at in an answer.
fn essence(answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    if let Some(error) = answer.get("error") {
        return json!({ "error": error["err_code"] });
    }
    let at = |pointer: &str| answer.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "stream": at("/stream"), "seq": at("/seq"),
        "message": [at("/message/subject"), at("/message/seq"), at("/message/data")],
        "partitions": at("/config/metadata/trellis.partitions"),
        "consumer": at("/config/name"),
    })
}

#[test]
fn every_request_is_answered_as_by_a_real_server() {
    let server = Server::start();
    let mut real = server.connect();
    live();
    let exchanges = platform().take_exchanges();
    assert!(exchanges.len() > 50, "{}", exchanges.len());
    let resets = exchanges.iter().filter(|exchange| exchange.subject.contains("CONSUMER.RESET"));
    assert!(resets.count() > 0, "nothing is read again in batches");
    for exchange in exchanges {
        // A real server moves on while it is asked; what is left to do is compared below, where time stands still.
        if exchange.subject.contains("CONSUMER.INFO") {
            continue;
        }
        let answer = real.request(&exchange.subject, &exchange.request);
        let question = format!("{} {}", exchange.subject, String::from_utf8_lossy(&exchange.request));
        let (expected, found) = (essence(&exchange.answer), essence(&answer));
        assert_eq!(found, expected, "{question}\nis answered with {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_real_server_delivers_and_takes_acknowledgements_in_the_same_way() {
    let server = Server::start();
    let mut real = server.connect();
    real.subscribe("deliver.lamps", "lamps");
    start::<Lamps>();
    // One partition, so that there is one order.
    let ids = std::iter::repeat_with(make).map(|lamp| lamp.id);
    ids.filter(|id| trellis_kit::id::partition(id, 2) == 0).take(4).for_each(drop);
    // The consumers come last, so that all is there when the first message is sent.
    let (consumers, others): (Vec<_>, Vec<_>) = platform()
        .take_exchanges()
        .into_iter()
        .partition(|exchange| exchange.subject.contains("CONSUMER.CREATE"));
    for exchange in others.into_iter().chain(consumers) {
        if !exchange.subject.starts_with("log.lamps.1.") {
            real.request(&exchange.subject, &exchange.request);
        }
    }
    let info = |real: &mut server::Client| -> Value {
        serde_json::from_slice(&real.request("$JS.API.CONSUMER.INFO.LOG_lamps.lamps-g1-0", b"{}")).unwrap()
    };
    let answers: [&[u8]; 6] =
        [b"+ACK", b"-NAK {\"delay\": 20000000}", b"+ACK", b"+TERM", b"-NAK {\"delay\": 1}", b"+ACK"];
    for answer in answers {
        let expected = std::iter::from_fn(|| platform().deliver("lamps"))
            .find(|delivery| delivery.subject.starts_with("log.lamps.0."))
            .unwrap();
        let found = real.next();
        assert_eq!((&found.subject, &found.body), (&expected.subject, &expected.body));
        let tokens = |reply_to: &str| -> Vec<String> {
            let tokens: Vec<String> = reply_to.split('.').map(str::to_owned).collect();
            // Name, consumer, attempt, and how many are left; sequences differ by the other partition, and time
            // by itself.
            [2, 3, 4, 8].iter().map(|place| tokens[*place].clone()).collect()
        };
        assert_eq!(tokens(found.reply_to.as_deref().unwrap()), tokens(&expected.reply_to));
        assert_eq!(info(&mut real)["num_ack_pending"], 1);
        real.publish(found.reply_to.as_deref().unwrap(), answer);
        platform().publish(&expected.reply_to, answer).unwrap();
        platform().advance(std::time::Duration::from_millis(25));
    }
    // The real server lacks the other partition, so that sequences differ.
    let stored = platform().stored("LOG_lamps");
    let stored: Vec<u64> =
        stored.iter().filter(|of| of.subject.starts_with("log.lamps.0.")).map(|of| of.seq).collect();
    let reset = "$JS.API.CONSUMER.RESET.LOG_lamps.lamps-g1-0";
    // Back to the beginning, and while a message is under way to one that was not sent since.
    for (nth, behind) in [(1, 3), (3, 1)] {
        let to = |seq: u64| json!({ "seq": seq }).to_string().into_bytes();
        let told: Value = serde_json::from_slice(&real.request(reset, &to(nth))).unwrap();
        assert_eq!((&told["reset_seq"], &told["num_redelivered"]), (&json!(nth), &json!(0)), "{told}");
        let expected = to(stored[usize::try_from(nth).unwrap() - 1]);
        platform().request(reset, &expected, std::time::Duration::ZERO).unwrap();
        let expected = std::iter::from_fn(|| platform().deliver("lamps"))
            .find(|delivery| delivery.subject.starts_with("log.lamps.0."))
            .unwrap();
        let found = real.next();
        assert_eq!((&found.subject, &found.body), (&expected.subject, &expected.body));
        let tokens = |reply_to: &str| -> Vec<String> {
            let tokens: Vec<String> = reply_to.split('.').map(str::to_owned).collect();
            // What it is the first of, too.
            [2, 3, 4, 6, 8].iter().map(|place| tokens[*place].clone()).collect()
        };
        let reply_to = found.reply_to.as_deref().unwrap();
        assert_eq!(tokens(reply_to), tokens(&expected.reply_to));
        assert_eq!(tokens(reply_to)[2..], ["1", "1", &behind.to_string()]);
        let progress = info(&mut real);
        assert_eq!(progress["delivered"]["consumer_seq"], 1);
        assert_eq!(progress["delivered"]["stream_seq"], nth);
        if nth == 3 {
            real.publish(reply_to, b"+ACK");
            platform().publish(&expected.reply_to, b"+ACK").unwrap();
        }
    }
    let found = real.next();
    real.publish(found.reply_to.as_deref().unwrap(), b"+ACK");
    let expected = platform().deliver("lamps").unwrap();
    assert_eq!((&found.subject, &found.body), (&expected.subject, &expected.body));
    platform().publish(&expected.reply_to, b"+ACK").unwrap();
    let left = info(&mut real);
    assert_eq!((&left["num_pending"], &left["num_ack_pending"]), (&json!(0), &json!(0)));
    assert_eq!(
        platform().deliver("lamps").filter(|delivery| delivery.subject.starts_with("log.lamps.0.")),
        None
    );
}

#[test]
fn a_real_server_keeps_the_window_of_a_timer_in_the_same_way() {
    const WINDOW: usize = 64;
    let server = Server::start();
    let mut real = server.connect();
    real.subscribe("deliver.keepers", "keepers");
    start::<Lamps>();
    for _ in 0..WINDOW + 10 {
        make();
    }
    start::<Keepers>();
    for exchange in platform().take_exchanges() {
        real.request(&exchange.subject, &exchange.request);
    }
    let compare_progress = |real: &mut server::Client| {
        let subject = "$JS.API.CONSUMER.INFO.LOG_lamps.keepers-t";
        let expected = platform().request(subject, b"{}", std::time::Duration::ZERO).unwrap();
        let [expected, found] = [expected, real.request(subject, b"{}")].map(|answer| {
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            let known_since = answer.pointer("/delivered/last_active").is_some();
            let numbers = ["/num_pending", "/num_ack_pending", "/num_redelivered", "/ack_floor/stream_seq"];
            let delivered = ["/delivered/stream_seq", "/delivered/consumer_seq"];
            let numbers: Vec<u64> = numbers
                .iter()
                .chain(&delivered)
                .map(|pointer| answer.pointer(pointer).and_then(Value::as_u64).unwrap_or_default())
                .collect();
            (known_since, numbers)
        });
        assert_eq!(found, expected);
    };
    // Sequence and attempt, and where to answer.
    type Given = Vec<((u64, u64), String)>;
    let given = |reply_to: &str| -> ((u64, u64), String) {
        let token = |place: usize| reply_to.split('.').nth(place).unwrap().parse().unwrap();
        ((token(5), token(4)), reply_to.to_owned())
    };
    let take = |real: &mut server::Client, count: usize| -> (Given, Given) {
        let mut expected: Given =
            (0..count).map(|_| given(&platform().deliver("keepers").unwrap().reply_to)).collect();
        assert_eq!(platform().deliver("keepers"), None);
        let mut found: Given = (0..count).map(|_| given(&real.next().reply_to.unwrap())).collect();
        expected.sort();
        found.sort();
        let of = |given: &Given| given.iter().map(|(of, _)| *of).collect::<Vec<_>>();
        assert_eq!(of(&found), of(&expected));
        (expected, found)
    };
    let answer = |real: &mut server::Client, given: &(Given, Given), nth: usize, answer: &[u8]| {
        platform().publish(&given.0[nth].1, answer).unwrap();
        match answer {
            // It says when it has heard that.
            b"+ACK" => drop(real.request(&given.1[nth].1, answer)),
            _ => real.publish(&given.1[nth].1, answer),
        }
    };
    // As many as the window is wide, and one more for each that is done.
    let mut first = take(&mut real, WINDOW);
    compare_progress(&mut real);
    for nth in [2, 0] {
        answer(&mut real, &first, nth, b"+ACK");
    }
    let more = take(&mut real, 2);
    compare_progress(&mut real);
    // Those that wait keep their places, and come again.
    first.0.retain(|((seq, _), _)| ![1, 3].contains(seq));
    first.1.retain(|((seq, _), _)| ![1, 3].contains(seq));
    for round in 1..=3 {
        for nth in 0..first.0.len() {
            answer(&mut real, &first, nth, b"-NAK {\"delay\": 20000000}");
        }
        platform().advance(std::time::Duration::from_millis(20));
        first = take(&mut real, WINDOW - 2);
        assert!(first.0.iter().all(|((_, attempt), _)| *attempt == round + 1));
        compare_progress(&mut real);
    }
    for nth in 0..first.0.len() {
        answer(&mut real, &first, nth, b"+ACK");
    }
    let last = take(&mut real, 8);
    compare_progress(&mut real);
    for given in [more, last] {
        for nth in 0..given.0.len() {
            answer(&mut real, &given, nth, b"+ACK");
        }
    }
    compare_progress(&mut real);
}
