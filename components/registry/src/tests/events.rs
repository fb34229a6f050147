//! What services have told, listed without what they said; and the events of a trace.

use trellis_kit::platform::Platform as _;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

/// A service that is there, with an empty log.
fn with_log(service: &str) {
    is_there(&description(service, &[]));
    let config = serde_json::json!({
        "name": format!("LOG_{service}"), "subjects": [format!("log.{service}.*.*.*")], "storage": "file", "discard": "new",
        "discard_new_per_subject": true, "max_msgs_per_subject": 1, "num_replicas": 1,
        "metadata": { "trellis.partitions": "1" },
    });
    let subject = format!("$JS.API.STREAM.CREATE.LOG_{service}");
    platform().request(&subject, config.to_string().as_bytes(), Duration::from_secs(1)).unwrap();
}

/// A service tells something, which is the first of the entity `E<nth>`. Returns the id of the event.
fn tell(service: &str, nth: u64, trace: &str, causation: &str) -> String {
    let id = format!("{service}{nth}");
    let event = serde_json::json!({
        "specversion": "1.0", "id": id, "source": format!("/{service}"), "type": "thing.told.v1",
        "subject": format!("E{nth}"), "time": anonymous().now(), "datacontenttype": "application/json", "version": 1,
        "data": { "said": "in private" }, "state": { "said": "in private" }, "actor": "somebody",
        "traceparent": format!("00-{trace}-{SPAN}-01"), "causation": causation,
    });
    let subject = format!("log.{service}.0.E{nth}.1");
    platform().store(&format!("LOG_{service}"), &subject, event.to_string().as_bytes());
    id
}

/// How many events of a log were read since this was asked last.
fn read_of(service: &str) -> usize {
    let subject = format!("$JS.API.STREAM.MSG.GET.LOG_{service}");
    platform().take_exchanges().iter().filter(|exchange| exchange.subject == subject).count()
}

fn trace(around: Option<&str>) -> Trace {
    Registry::find_trace(&anonymous(), TRACE.to_owned(), around.map(str::to_owned)).unwrap()
}

fn ids(events: &[trellis::registry::types::ListedEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

#[test]
fn what_a_service_told_is_listed_without_what_it_said() {
    with_log("blog");
    (1..=25).for_each(|nth| drop(tell("blog", nth, TRACE, SPAN)));
    read_of("blog");
    let newest = Registry::list_events(&anonymous(), "blog".to_owned(), page(20)).unwrap();
    assert_eq!(read_of("blog"), 20, "one read for each");
    let [first, .., last] = &newest.items[..] else { panic!("{newest:?}") };
    assert_eq!((newest.items.len(), first.id.as_str(), last.id.as_str()), (20, "blog25", "blog6"));
    assert_eq!((first.seq, first.kind.as_str(), first.entity.as_str()), (25, "thing.told.v1", "E25"));
    assert_eq!((first.trace.as_deref(), first.causation.as_deref()), (Some(TRACE), Some(SPAN)));
    let rest = PageRequest { after: newest.next, ..page(20) };
    let rest = Registry::list_events(&anonymous(), "blog".to_owned(), rest).unwrap();
    assert_eq!((ids(&rest.items), rest.next), (vec!["blog5", "blog4", "blog3", "blog2", "blog1"], None));

    let get = |path: &str| request::<Registry>("GET", path, &[], "");
    let answer = get("/registry/blog/events?limit=3");
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(
        (answer.status, answer.header("link")),
        (200, Some("</registry/blog/events?after=seq-23&limit=3>; rel=\"next\""))
    );
    assert!(!text.contains("private") && !text.contains("somebody"), "{text}");
    for (path, status) in [
        ("/registry/nobody/events", 404),
        ("/registry/blog/events?limit=0", 400),
        ("/registry/blog/events?after=x", 400),
        ("/registry/blog/events?after=0", 400),
        ("/registry/blog/events?after=seq-", 400),
        ("/registry/blog/events?after=seq-99999999999999999999", 400),
        ("/registry/blog/events?after=seq-18446744073709551615", 200),
        ("/registry/blog/events?after=seq-0", 200),
    ] {
        assert_eq!(get(path).status, status, "{path}");
    }
    is_there(&description("silent", &[]));
    let nothing = Registry::list_events(&anonymous(), "silent".to_owned(), page(20)).unwrap();
    assert_eq!((nothing.items.len(), nothing.next), (0, None));
}

#[test]
fn the_events_of_a_trace_are_found_in_all_logs() {
    ["blog", "query", "silent"].into_iter().for_each(with_log);
    let asked = tell("blog", 1, TRACE, SPAN);
    tell("blog", 2, OTHER, SPAN);
    platform().advance(Duration::from_millis(5));
    tell("query", 1, TRACE, &asked);
    platform().advance(Duration::from_millis(5));
    tell("blog", 3, TRACE, "query1");
    let found = trace(None);
    assert_eq!((ids(&found.events), found.more), (vec!["blog1", "query1", "blog3"], 0));
    assert_eq!(found.events[1].service, "query");
    assert!(found.looks.iter().all(|look| look.complete), "{:?}", found.looks);
    for look in &found.looks {
        let count = match look.service.as_str() {
            "blog" => 3,
            "query" => 1,
            _ => 0,
        };
        assert_eq!((look.events, look.since.is_some()), (count, count > 0), "{}", look.service);
    }
    let get = |path: &str| request::<Registry>("GET", path, &[], "").status;
    for (path, status) in [
        (format!("/registry/traces/{TRACE}"), 200),
        (format!("/registry/traces/{TRACE}?around=2026-01-01T00:00:00.000Z"), 200),
        (format!("/registry/traces/{TRACE}?around=yesterday"), 422),
        (format!("/registry/traces/{}", TRACE.to_uppercase()), 404),
        ("/registry/traces/events".to_owned(), 404),
    ] {
        assert_eq!(get(&path), status, "{path}");
    }
}

#[test]
fn a_trace_is_looked_for_among_so_many_events_and_the_answer_says_among_which() {
    with_log("blog");
    let begin = anonymous().now();
    tell("blog", 1, TRACE, SPAN);
    platform().advance(Duration::from_secs(60));
    (2..=250).for_each(|nth| drop(tell("blog", nth, OTHER, SPAN)));
    platform().advance(Duration::from_secs(60));
    (251..=400).for_each(|nth| drop(tell("blog", nth, TRACE, SPAN)));
    let look = |found: &Trace| {
        let look = found.looks.iter().find(|look| look.service == "blog").unwrap();
        (look.events, look.since.clone().unwrap(), look.until.clone().unwrap(), look.complete)
    };
    let now = anonymous().now();
    read_of("blog");
    let newest = trace(None);
    assert_eq!(read_of("blog"), 100);
    assert_eq!((newest.events.len(), look(&newest)), (100, (100, now.clone(), now.clone(), false)));

    // Those before a time, and those after it.
    let old = trace(Some(&begin));
    let middle = anonymous().ago(Duration::from_secs(60));
    assert_eq!((ids(&old.events), look(&old)), (vec!["blog1"], (50, begin, middle.clone(), false)));
    assert!(read_of("blog") < 100, "what is in between is not read");
    let mixed = trace(Some(&now));
    assert_eq!((mixed.events.len(), look(&mixed)), (50, (100, middle, now.clone(), false)));

    with_log("more");
    (1..=100).for_each(|nth| drop(tell("more", nth, TRACE, SPAN)));
    let long = trace(None);
    assert_eq!((long.events.len(), long.more), (100, 100), "no answer grows without bound");
}

/// Whoever asks waits.
#[test]
fn looking_for_a_trace_ends_in_time() {
    ["blog", "more"].into_iter().for_each(with_log);
    for service in ["blog", "more"] {
        (1..=100).for_each(|nth| drop(tell(service, nth, TRACE, SPAN)));
    }
    platform().harm(100, Harm::Meanwhile(Box::new(|platform| platform.advance(Duration::from_secs(2)))));
    let found = trace(None);
    let counts: Vec<u32> = found.looks.iter().map(|look| look.events).collect();
    assert!(counts.iter().all(|count| (1..100).contains(count)), "{counts:?}");
    assert!(counts[0].abs_diff(counts[1]) <= 1, "as many of each: {counts:?}");
    assert!(found.looks.iter().all(|look| !look.complete));
    platform().revive();
    // Whenever the time is over, what was not looked at is not said to be all there is.
    for nth in 0..12 {
        platform().harm(nth, Harm::Meanwhile(Box::new(|platform| platform.advance(Duration::from_secs(2)))));
        let found = trace(None);
        assert!(found.looks.iter().all(|look| look.complete == (look.events == 100)), "call {nth}");
        platform().revive();
    }
}
