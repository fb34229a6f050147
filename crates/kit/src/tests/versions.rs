//! Two versions of a service at once, one after the other, and back again.

use super::*;
use crate::limits::ATTEMPTS;
use crate::models::generation;
use crate::platform::memory::Harm;
use crate::testing::{deliver, given, message, parse, play, settle, start};

/// The version before, which reacts to nothing.
struct WithoutReactions;

impl Service for WithoutReactions {
    const NAME: &str = Notes::NAME;
    const VERSION: &str = "0.9.0";
    const PARTITIONS: u32 = Notes::PARTITIONS;
    const ROUTES: &[Route] = Notes::ROUTES;
    const PROJECTIONS: Projections = Notes::PROJECTIONS;
}

/// A version that reacts to another kind of entity of the same service.
struct OtherReactions;

impl Service for OtherReactions {
    const NAME: &str = Notes::NAME;
    const VERSION: &str = "0.9.1";
    const PARTITIONS: u32 = Notes::PARTITIONS;
    const ROUTES: &[Route] = Notes::ROUTES;
    const PROJECTIONS: Projections = Notes::PROJECTIONS;
    const REACTIONS: Reactions = reactions! { SOURCE => react_to_tags };
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
enum TagEvent {
    Added(String),
}

impl Event for TagEvent {
    const OF: &str = "tag";
}

fn react_to_tags(_: &Recorded<TagEvent>, _: &Reaction) -> Result<(), Failure> {
    Ok(())
}

/// The version after, whose read models are others.
struct Louder;

impl Service for Louder {
    const NAME: &str = Notes::NAME;
    const VERSION: &str = "2.0.0";
    const PARTITIONS: u32 = Notes::PARTITIONS;
    const ROUTES: &[Route] = Notes::ROUTES;
    const PROJECTIONS: Projections = projections! { SOURCE => shout };
    const REACTIONS: Reactions = Notes::REACTIONS;
    const VIEWS_SCHEMA: u32 = 2;
}

fn shout(event: &Recorded<NoteEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let note: Note = event.state()?;
    if note.text == "poison" {
        return Err(Failure::passing("this note is poison"));
    }
    NOTES.put(writer, &event.entity, &Note { text: note.text.to_uppercase(), ..note })
}

/// Delivers what is due for so long, each time to this version. Says how often.
fn run<S: Service>(time: Duration) -> usize {
    let end = platform().elapsed() + time;
    let mut deliveries = 0;
    loop {
        while let Some(delivery) = platform().deliver("notes") {
            let _ = deliver::<S>(&delivery);
            deliveries += 1;
        }
        match platform().next_due("notes") {
            Some(wait) if platform().elapsed() + wait < end => platform().advance(wait),
            _ => return deliveries,
        }
    }
}

fn echoes() -> usize {
    stored().iter().filter(|event| event.causation.is_some()).count()
}

fn log_says(what: &str) -> bool {
    platform().take_lines().iter().any(|(_, line)| line.contains(what))
}

fn forget<S: Service>(source: &str) -> serde_json::Value {
    let order = serde_json::json!({ "forget": source }).to_string();
    message::<S>("deliver.notes", Some("_INBOX.1"), order.as_bytes()).unwrap();
    parse(&platform().take_published().pop().unwrap().1)
}

#[test]
fn an_event_that_only_another_version_reacts_to_waits_for_it() {
    fn waits<S: Service>() {
        lose_everything();
        start::<Notes>();
        // The way back.
        start::<S>();
        write(&anonymous(), new("echo?")).unwrap();
        let deliveries = run::<S>(Duration::from_secs(3600));
        assert!(
            (100..400).contains(&deliveries),
            "it comes again, at longer and longer intervals: {deliveries}"
        );
        assert_eq!((echoes(), dead().len()), (0, 0));
        assert!(log_says("waits for another version of notes"));
        settle::<Notes>();
        assert_eq!((echoes(), dead().len()), (1, 0), "once the right version is back");
    }
    waits::<WithoutReactions>();
    waits::<OtherReactions>();
}

#[test]
fn what_two_versions_note_at_once_is_not_lost_for_long() {
    start::<Notes>();
    // The other version noted what it found before.
    platform().set("wanted", br#"{"notes":["tag"]}"#).unwrap();
    platform().advance(Duration::from_secs(30));
    message::<Notes>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
    assert_eq!(platform().bucket()["wanted"], br#"{"notes":["note","tag"]}"#);
}

#[test]
fn an_event_that_no_version_reacts_to_is_acknowledged() {
    start::<OtherReactions>();
    write(&anonymous(), new("echo?")).unwrap();
    settle::<OtherReactions>();
    start::<Notes>();
    settle::<Notes>();
    assert_eq!((echoes(), dead().len()), (0, 0));
}

#[test]
fn an_event_of_a_forgotten_source_waits_no_more() {
    start::<Notes>();
    write(&anonymous(), new("echo?")).unwrap();
    run::<OtherReactions>(Duration::from_secs(60));
    assert!(platform().next_due("notes").is_some());
    assert_eq!(forget::<OtherReactions>("notes"), serde_json::json!({ "outcome": "handled" }));
    settle::<OtherReactions>();
    assert_eq!((echoes(), platform().next_due("notes")), (0, None));

    start::<Notes>();
    write(&anonymous(), new("echo?")).unwrap();
    run::<WithoutReactions>(Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(forget::<WithoutReactions>("notes"), serde_json::json!({ "outcome": "handled" }));
    }
    settle::<WithoutReactions>();
    let names: Vec<String> =
        crate::jetstream::consumers("LOG_notes").unwrap().into_iter().map(|consumer| consumer.name).collect();
    assert_eq!(names, ["notes-g1-0", "notes-g1-1"], "what this version follows is left");
    assert_eq!(forget::<Notes>("nobody"), serde_json::json!({ "outcome": "handled" }));
}

#[test]
fn an_event_that_is_newer_than_its_follower_waits() {
    start::<Notes>();
    let note = r#"{"id":"x","text":"a","version":1}"#;
    let newer = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/notes","type":"note.written.v4","subject":"x","time":"","datacontenttype":"application/json","data":{note},"version":1,"state":{note}}}"#
    );
    store_raw("x", newer.as_bytes());
    run::<Notes>(Duration::from_secs(3600));
    assert_eq!((dead().len(), values().len()), (0, 0));
    assert!(log_says("type note.written.v4 is not among note.*.v1 to v3"));
    // Nor can this version change what a newer one has written, and says that another time may do.
    assert_eq!(edit(&anonymous(), "x", "b").unwrap_err().status, 503);
}

#[test]
fn putting_an_event_off_counts_no_attempt() {
    start::<Louder>();
    write(&anonymous(), new("poison")).unwrap();
    run::<Notes>(Duration::from_secs(600));
    platform().take_lines();
    settle::<Louder>();
    let lines = platform().take_lines();
    let failed = lines.iter().filter(|(_, line)| line.contains("this note is poison")).count() as u64;
    assert_eq!(failed, ATTEMPTS, "all of them, the last of which is the letter's: {lines:?}");
    assert_eq!(dead().len(), 1);
}

#[test]
fn versions_that_live_at_once_agree_on_whose_the_read_models_are() {
    start::<Notes>();
    let ids: Vec<String> = (0..6).map(|_| write(&anonymous(), new("a")).unwrap().id).collect();
    settle::<Notes>();
    for step in 0..200 {
        // Whoever of the two is given it handles it.
        let by_older = (step / 3) % 2 == 0;
        if step % 10 == 0 {
            platform().advance(Duration::from_secs(30));
            let subject = if step % 20 == 0 { names::ANNOUNCE } else { "wasmbus.evt.default.host_heartbeat" };
            let _ = if by_older {
                message::<Notes>(subject, None, b"")
            } else {
                message::<Louder>(subject, None, b"")
            };
        }
        if step < 100 && step % 7 == 0 {
            edit(&anonymous(), &ids[step % 6], &format!("b{step}")).unwrap();
        }
        match platform().deliver("notes") {
            Some(delivery) if by_older => drop(deliver::<Notes>(&delivery)),
            Some(delivery) => drop(deliver::<Louder>(&delivery)),
            None => platform().advance(platform().next_due("notes").unwrap_or_default()),
        }
    }
    settle::<Louder>();
    let now = generation::current(Louder::DESCRIPTOR).unwrap();
    assert_eq!((now.active, now.building, now.schema, now.newest), (2, None, 2, 2), "one rebuild is enough");
    let reader = anonymous().views().unwrap();
    for id in &ids {
        let newest = anonymous().load::<Note>(id).unwrap();
        let read = NOTES.get(&reader, id).unwrap().unwrap();
        assert_eq!((read.text, read.version), (newest.text.to_uppercase(), newest.version));
    }
    assert_eq!(dead().len(), 0);
}

/// Another service, with a log that only one version of notes follows.
const SHELF: Source = Source::new("shelf", 2);

play! {
    /// Where books are.
    Shelf: SHELF {
        Book.id by BookEvent: |_, event| match event {
            BookEvent::Put(book) => Some(book.clone()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Book {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum BookEvent {
    Put(Book),
}

impl Event for BookEvent {
    const OF: &str = "book";
}

const BOOKS: Docs<Book> = Docs::new(SHELF, "book");

/// A version whose read models also follow books.
struct WithBooks;

impl Service for WithBooks {
    const NAME: &str = Notes::NAME;
    const VERSION: &str = "0.9.2";
    const PARTITIONS: u32 = Notes::PARTITIONS;
    const ROUTES: &[Route] = Notes::ROUTES;
    const PROJECTIONS: Projections = projections! { SOURCE => super::follow, SHELF => follow_books };
}

fn follow_books(event: &Recorded<BookEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    BOOKS.put(writer, &event.entity, &event.state()?)
}

fn put_book(id: &str) {
    given::<Book>(id, [BookEvent::Put(Book { id: id.to_owned() })]);
}

/// The consumers that notes has of books.
fn of_books() -> Vec<String> {
    let consumers = crate::jetstream::consumers("LOG_shelf").unwrap().into_iter();
    consumers.map(|consumer| consumer.name).collect()
}

/// Half a minute passes, and this version looks after what it owns, twice.
fn look_around<S: Service>() {
    for _ in 0..2 {
        platform().advance(Duration::from_secs(30));
        let _ = message::<S>("wasmbus.evt.default.host_heartbeat", None, b"");
        settle::<S>();
    }
}

#[track_caller]
fn assert_forgotten(when: &str) {
    assert_eq!(of_books(), Vec::<String>::new(), "{when}");
    assert_eq!(platform().bucket()["sources"], br#"{"notes":2}"#, "{when}");
    put_book("b9");
    assert_eq!(platform().deliver("notes").map(|delivery| delivery.subject), None, "{when}");
    assert_eq!(dead().len(), 0, "{when}");
}

#[test]
fn what_the_version_before_followed_is_followed_until_its_read_models_are_replaced() {
    start::<Shelf>();
    put_book("b1");
    start::<WithBooks>();
    let note = write(&anonymous(), new("a")).unwrap();
    settle::<WithBooks>();
    assert_eq!(of_books(), ["notes-g1-0", "notes-g1-1"]);

    // The next version builds its own; until they are there, both live.
    start::<Louder>();
    put_book("b2");
    for _ in 0..2 {
        platform().advance(Duration::from_secs(30));
        message::<Louder>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
        assert_eq!(of_books(), ["notes-g1-0", "notes-g1-1"]);
        assert_eq!(platform().bucket()["sources"], br#"{"notes":2,"shelf":2}"#);
        message::<WithBooks>("wasmbus.evt.default.host_heartbeat", None, b"").unwrap();
    }
    run::<WithBooks>(Duration::from_secs(60));
    assert!(BOOKS.get(&anonymous().views().unwrap(), "b2").unwrap().is_some());

    settle::<Louder>();
    look_around::<Louder>();
    assert_forgotten("once they are there");
    assert_eq!(NOTES.get(&anonymous().views().unwrap(), &note.id).unwrap().unwrap().text, "A");
}

#[test]
fn what_the_version_before_followed_is_forgotten_if_there_was_nothing_else_to_read() {
    for is_read in [true, false] {
        lose_everything();
        platform().lose_stream("LOG_shelf");
        start::<Shelf>();
        start::<WithBooks>();
        if is_read {
            put_book("b1");
            settle::<WithBooks>();
        }
        start::<Louder>();
        settle::<Louder>();
        look_around::<Louder>();
        assert_forgotten(if is_read { "books alone" } else { "nothing at all" });
    }
}

#[test]
fn of_a_new_log_its_consumers_are_made_and_no_other_is_looked_at() {
    for has_looked in [true, false] {
        lose_everything();
        platform().lose_stream("LOG_shelf");
        if has_looked {
            start::<WithBooks>();
        }
        write(&anonymous(), new("a")).unwrap();
        start::<Shelf>();
        put_book("b1");
        platform().take_exchanges();
        message::<WithBooks>(names::ANNOUNCE, None, br#"{"service":"shelf"}"#).unwrap();
        let asked: Vec<_> =
            platform().take_exchanges().into_iter().map(|exchange| exchange.subject).collect();
        let about_consumers = asked.iter().filter(|subject| subject.starts_with("$JS.API.CONSUMER."));
        assert_eq!(
            about_consumers.collect::<Vec<_>>(),
            [
                "$JS.API.CONSUMER.LIST.LOG_shelf",
                "$JS.API.CONSUMER.CREATE.LOG_shelf.notes-g1-0",
                "$JS.API.CONSUMER.CREATE.LOG_shelf.notes-g1-1",
            ],
        );
        assert_eq!(platform().bucket()["sources"], br#"{"notes":2,"shelf":2}"#);
        settle::<WithBooks>();
        assert!(BOOKS.get(&anonymous().views().unwrap(), "b1").unwrap().is_some());
    }
}

#[test]
fn a_new_log_of_somebody_else_is_no_reason_to_ask_for_anything() {
    start::<Notes>();
    platform().take_exchanges();
    platform().take_published();
    message::<Notes>(names::ANNOUNCE, None, br#"{"service":"shelf"}"#).unwrap();
    assert_eq!(platform().take_exchanges().len(), 0);
    assert_eq!(platform().take_published().len(), 0);
}

#[test]
fn a_log_that_was_followed_and_is_not_there_any_more_is_forgotten() {
    start::<Shelf>();
    start::<WithBooks>();
    platform().lose_stream("LOG_shelf");
    start::<Louder>();
    settle::<Louder>();
    look_around::<Louder>();
    assert_eq!(platform().bucket()["sources"], br#"{"notes":2}"#);
}

#[test]
fn dying_at_any_call_leaves_nothing_that_the_version_before_followed() {
    let harms = [|| Harm::DiesBefore, || Harm::DiesAfter, || Harm::AnswerLost];
    for (round, harm) in harms.into_iter().enumerate() {
        for nth in round as u64.. {
            platform().forget_everything();
            start::<Shelf>();
            put_book("b1");
            start::<WithBooks>();
            write(&anonymous(), new("a")).unwrap();
            settle::<WithBooks>();
            let before = platform().calls();
            platform().harm(nth, harm());
            let _ = message::<Louder>(names::ANNOUNCE, None, b"");
            settle_whatever_dies::<Louder>();
            for _ in 0..3 {
                platform().advance(Duration::from_secs(30));
                let _ = message::<Louder>("wasmbus.evt.default.host_heartbeat", None, b"");
                settle_whatever_dies::<Louder>();
            }
            let calls = platform().calls() - before;
            platform().revive();
            look_around::<Louder>();
            assert_forgotten(&format!("{:?} at call {nth}", harm()));
            if nth > calls {
                assert!(calls > 40, "it is about something: {calls}");
                break;
            }
        }
    }
}

fn settle_whatever_dies<S: Service>() {
    platform().revive_if_dead();
    while let Some(delivery) = platform().deliver("notes") {
        let _ = deliver::<S>(&delivery);
        platform().revive_if_dead();
    }
}
