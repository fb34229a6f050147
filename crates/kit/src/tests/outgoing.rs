//! Asking servers outside: what is sent and what is not, and what is known of it when there is no answer.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::limits::{OUTSIDE_BODY_MAX, OUTSIDE_PATIENCE_MAX};
use crate::outgoing::{Request, SendError};
use crate::platform::memory::Harm;
use crate::testing::{every_event_twice, play, settle, start, trouble_at_every_call};
use crate::time::elapsed;
use crate::{Timers, timers};

const SERVER: &str = "https://api.example.com";
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = ::http::Response<Vec<u8>>;

fn allow(origins: &[&str]) {
    platform().configure("outgoing-origins", &serde_json::to_string(origins).unwrap());
}

fn answer(status: u16, body: &[u8]) -> Option<Answer> {
    Some(Answer::new(body.to_vec())).map(|mut answer| {
        *answer.status_mut() = status.try_into().unwrap();
        answer
    })
}

/// Lets the server answer, and counts what it gets.
fn serve(answer: impl Fn(&Request<Vec<u8>>) -> Option<Answer> + 'static) -> Rc<RefCell<usize>> {
    let got = Rc::new(RefCell::new(0));
    let count = Rc::clone(&got);
    platform().serve(SERVER, move |request| {
        *count.borrow_mut() += 1;
        answer(request)
    });
    got
}

fn send(url: &str) -> Result<Answer, SendError> {
    anonymous().send(&Request::post(url).body(b"a=b".to_vec())?, PATIENCE)
}

#[track_caller]
fn assert_not_sent(outcome: Result<Answer, SendError>, why: &str) {
    match outcome {
        Err(SendError::NotSent(said)) => assert!(said.contains(why), "{said}"),
        other => panic!("it should not have been sent: {other:?}"),
    }
}

#[track_caller]
fn assert_unknown(outcome: Result<Answer, SendError>, why: &str) {
    match outcome {
        Err(SendError::Unknown(said)) => assert!(said.contains(why), "{said}"),
        other => panic!("it should not be known: {other:?}"),
    }
}

#[test]
fn an_answer_is_whatever_the_server_says() {
    allow(&["http://127.0.0.1:8420", SERVER]);
    let got = serve(|request| {
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1"));
        assert_eq!(request.headers()["authorization"], "Bearer sk");
        let status = std::str::from_utf8(request.body()).unwrap().parse().unwrap();
        let mut answer = answer(status, b"<html>")?;
        answer.headers_mut().insert("location", "https://elsewhere.example.com/".parse().unwrap());
        Some(answer)
    });
    for status in ["200", "201", "302", "402", "404", "500"] {
        let request = Request::post("https://API.example.com:443/v1?x=y");
        let request = request.header("authorization", "Bearer sk").body(status.into()).unwrap();
        let answer = anonymous().send(&request, PATIENCE).unwrap();
        assert_eq!((answer.status().as_str(), &answer.body()[..]), (status, &b"<html>"[..]));
    }
    assert_eq!(*got.borrow(), 6, "each was sent once, and no redirect was followed");
}

#[test]
fn only_servers_that_the_operator_names_are_asked() {
    let got = serve(|_| answer(200, b""));
    assert_not_sent(send(SERVER), "POST https://api.example.com: config outgoing-origins");
    for others in [
        &[][..],
        &["http://api.example.com"],
        &["https://api.example.com:8443"],
        &["https://example.com", "https://api.example.com.org", "https://xapi.example.com"],
    ] {
        allow(others);
        assert_not_sent(send(SERVER), "config outgoing-origins");
    }
    for broken in ["https://api.example.com", "[1]", r#"["*"]"#, r#"["https://api.example.com/v1"]"#, ""] {
        platform().configure("outgoing-origins", broken);
        assert_not_sent(send(SERVER), "config outgoing-origins");
    }
    allow(&[SERVER]);
    for url in
        ["/v1", "api.example.com", "ftp://api.example.com/", "https://sk@api.example.com/", "https://a b/"]
    {
        assert_not_sent(send(url), "");
    }
    assert_not_sent(send("https://other.example.com/"), r#"add "https://other.example.com""#);
    for header in ["host", "Content-Length", "transfer-encoding", "connection"] {
        let request = Request::get(SERVER).header(header, "1").body(Vec::new()).unwrap();
        assert_not_sent(anonymous().send(&request, PATIENCE), &header.to_lowercase());
    }
    let request = Request::post(SERVER).body(vec![0; OUTSIDE_BODY_MAX + 1]).unwrap();
    assert_not_sent(anonymous().send(&request, PATIENCE), "more than 1048576 bytes");
    assert_eq!(*got.borrow(), 0);
    assert_eq!(send(SERVER).unwrap().status(), 200);
    platform().unserve(SERVER);
    assert_not_sent(send(SERVER), "refused");
}

#[test]
fn what_is_in_a_request_is_in_no_error() {
    let request = Request::post("https://api.example.com/v1/secret?key=secret");
    let request = request.header("authorization", "secret").body(b"secret".to_vec()).unwrap();
    let refused = anonymous().send(&request, PATIENCE).unwrap_err();
    allow(&[SERVER]);
    serve(|_| None);
    let unanswered = anonymous().send(&request, PATIENCE).unwrap_err();
    for error in [refused, unanswered] {
        assert!(!format!("{error:?} {error}").contains("secret"), "{error}");
    }
}

#[test]
fn without_an_answer_nothing_is_known() {
    allow(&[SERVER]);
    let got = serve(|_| None);
    for (patience, waited) in [(PATIENCE, PATIENCE), (Duration::from_mins(1), OUTSIDE_PATIENCE_MAX)] {
        let begun = elapsed();
        let request = Request::get(SERVER).body(Vec::new()).unwrap();
        assert_unknown(anonymous().send(&request, patience), "GET https://api.example.com: no answer within");
        assert_eq!(elapsed() - begun, waited);
    }
    let large = |len: usize| {
        serve(move |_| answer(200, &vec![0; len]));
        send(SERVER)
    };
    assert_eq!(large(OUTSIDE_BODY_MAX).unwrap().body().len(), OUTSIDE_BODY_MAX);
    assert_unknown(large(OUTSIDE_BODY_MAX + 1), "more than 1048576 bytes");
    assert_eq!(*got.borrow(), 2);
    for (harm, sent) in [(Harm::AnswerLost, 1), (Harm::NotDone, 0)] {
        let got = serve(|_| answer(200, b""));
        platform().harm(0, harm);
        assert_unknown(send(SERVER), "");
        assert_eq!(*got.borrow(), sent);
    }
}

const SHOP: Source = Source::new("shop", 1);
const AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Order {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum OrderEvent {
    Placed(Order),
}

impl Event for OrderEvent {
    const OF: &str = "order";
}

play! {
    /// Where orders are placed.
    Shop: SHOP {
        Order.id by OrderEvent: |_, OrderEvent::Placed(order)| Some(order.clone()),
    }
}

/// Has a server outside take the money, and notes what it says.
#[derive(Debug)]
struct Till;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
struct Receipt {
    id: String,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum ReceiptEvent {
    Printed(Receipt),
}

impl Event for ReceiptEvent {
    const OF: &str = "receipt";
}

impl Aggregate for Receipt {
    type Service = Till;
    type Event = ReceiptEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(_: Option<Self>, ReceiptEvent::Printed(receipt): &ReceiptEvent) -> Option<Self> {
        Some(receipt.clone())
    }
}

impl Service for Till {
    const NAME: &str = "till";
    const VERSION: &str = "1.0.0";
    const PARTITIONS: u32 = 1;
    const ROUTES: &[Route] = routes! {};
    const ENTITIES: &[Entity] = &[Entity::of::<Receipt>()];
    const TIMERS: Timers = timers! { SHOP => at_once(charge) };
}

/// Config `slow` says how many milliseconds go by before the server is asked.
fn charge(event: &Recorded<OrderEvent>, reaction: &Reaction) -> Result<(), Failure> {
    if let Some(slow) = crate::config::json("slow")? {
        platform().advance(Duration::from_millis(slow));
    }
    let later = |error: SendError| Failure::later(AGAIN, error);
    let request = Request::post(SERVER).header("idempotency-key", &event.entity).body(Vec::new());
    let answer = reaction.send(&request.map_err(SendError::from).map_err(later)?, PATIENCE).map_err(later)?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    reaction.execute::<Receipt>(&event.entity, |known| {
        let receipt = || Receipt { id: event.entity.clone(), text: text.clone() };
        Ok(known.is_none().then(|| ReceiptEvent::Printed(receipt())))
    })?;
    Ok(())
}

fn place() -> String {
    anonymous().create::<Order>(&"order", |id| OrderEvent::Placed(Order { id })).unwrap().id
}

fn receipts() -> Vec<String> {
    let events = platform().stored("LOG_till").into_iter();
    let events =
        events.map(|message| Envelope::parse(&message.body).unwrap().decode::<ReceiptEvent>(0).unwrap());
    events.map(|event| event.entity).collect()
}

/// A server that does what it is asked once for each key, and whose answers to some of the first are lost.
fn ledger(answers_lost: usize) -> Rc<RefCell<BTreeMap<String, usize>>> {
    let ledger = Rc::new(RefCell::new(BTreeMap::<String, usize>::new()));
    let book = Rc::clone(&ledger);
    platform().serve(SERVER, move |request| {
        let key = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
        let mut book = book.borrow_mut();
        *book.entry(key).or_default() += 1;
        let asked: usize = book.values().sum();
        if asked <= answers_lost { None } else { answer(200, b"paid") }
    });
    ledger
}

fn begin() {
    platform().forget_everything();
    allow(&[SERVER]);
    start::<Shop>();
    start::<Till>();
}

type Told = ([String; 2], Rc<RefCell<BTreeMap<String, usize>>>);

fn two_orders(answers_lost: usize) -> Told {
    begin();
    ([place(), place()], ledger(answers_lost))
}

#[track_caller]
fn assert_each_paid_once((ids, ledger): &Told, when: &str) {
    settle::<Till>();
    let (mut receipts, mut ids) = (receipts(), ids.to_vec());
    receipts.sort_unstable();
    ids.sort_unstable();
    assert_eq!(receipts, ids, "{when}");
    assert_eq!(ledger.borrow().keys().cloned().collect::<Vec<_>>(), ids, "{when}");
    assert!(platform().stored("DEAD_till").is_empty(), "{when}");
}

#[test]
fn whatever_is_lost_on_the_way_each_is_asked_for_under_its_key_until_it_is_noted() {
    every_event_twice::<Till, _>(|| two_orders(0), assert_each_paid_once);
    let calls = trouble_at_every_call::<Till, _>(1, || two_orders(1), assert_each_paid_once);
    assert!(calls > 8, "the test has seen the whole history: {calls}");
}

#[test]
fn an_event_that_has_taken_long_asks_nobody_any_more() {
    for (slow_ms, asked_for) in [(0, Some(5_000)), (4_000, Some(5_000)), (7_000, Some(2_000)), (8_500, None)]
    {
        begin();
        let ledger = ledger(usize::MAX);
        place();
        platform().configure("slow", &slow_ms.to_string());
        let begun = elapsed();
        let delivery = platform().deliver("till").unwrap();
        crate::testing::deliver::<Till>(&delivery).unwrap();
        assert_eq!(ledger.borrow().len(), usize::from(asked_for.is_some()), "{slow_ms}");
        let took = Duration::from_millis(slow_ms + asked_for.unwrap_or_default());
        assert_eq!(elapsed() - begun, took, "{slow_ms}");
        let said = platform().take_lines();
        assert!(said.iter().any(|(_, line)| line.contains("is put off for 30s")), "{said:?}");
    }
}
