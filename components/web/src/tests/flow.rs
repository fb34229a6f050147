//! The page of what flows, and that of a trace.

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn flow(service: &str, more: &str, consumers: &[(&str, u64)]) -> String {
    let consumer = |(service, waiting): &(&str, u64)| {
        format!(
            r#"{{"name":"{service}-g1-0","service":"{service}","waiting":{waiting},"under_way":1,"redelivered":0}}"#
        )
    };
    let consumers: Vec<String> = consumers.iter().map(consumer).collect();
    format!(r#"{{"service":"{service}","bytes":1,{more},"consumers":[{}]}}"#, consumers.join(","))
}

fn log(presence: &str, events: u64, lately: u64, dead: u64) -> String {
    format!(
        r#""presence":"{presence}","stream":"LOG_x","events":{events},"lately":{lately},"dead_letters":{dead}"#
    )
}

fn event(service: &str, id: &str, kind: &str, time: &str, causation: &str) -> String {
    format!(
        r#"{{"service":"{service}","seq":7,"id":"{id}","kind":"{kind}","entity":"T1-O1","version":1,"time":"2026-11-20T{time}Z","trace":"{TRACE}","causation":"{causation}"}}"#
    )
}

/// The registry answers these to whoever asks for the flow, and for what begins with the path.
fn registry(flows: &str, path: &str, status: u16, headers: &str, other: &str) {
    let answer = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
    };
    let (flows, other) = (answer(200, "", flows), answer(status, headers, other));
    let path = format!("GET {path}");
    platform().listen("svc.registry", move |request| {
        Some(if request.starts_with(path.as_bytes()) { other.clone() } else { flows.clone() })
    });
}

#[test]
fn the_page_shows_logs_and_who_hears_them() {
    let flows = [
        flow("query", r#""presence":"missing","stream":null,"events":0,"lately":0,"dead_letters":0"#, &[]),
        flow(
            "posts",
            &format!(r#""group":"blog",{}"#, log("present", 12_345, 34, 0)),
            &[("posts", 0), ("query", 1200), ("query", 34)],
        ),
        flow("comments", &format!(r#""group":"blog",{}"#, log("present", 1, 0, 2)), &[("query", 0)]),
        flow("old", &log("gone", 9, 0, 0), &[]),
        flow("alone", &log("present", 0, 0, 0), &[]),
    ];
    answering("registry", 200, "", &format!("[{}]", flows.join(",")));
    let page = get("/flow");
    let html = text(&page);
    assert_eq!(page.status, 200);
    assert_eq!(asked("registry")[0].target, "/registry/flow?limit=100");
    for words in [
        "heard by itself, query</span></th><td>12,345</td><td>3.4</td><td>1,234</td>",
        "2 events that it could not handle",
        "Nobody hears it.",
        "<h2>blog</h2>",
        "<h2>others</h2>",
        "query <small>is away</small>",
        r#"<a href="/flow?service=posts">posts</a>"#,
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    assert!(!html.contains("old"), "who is gone is not there");
    for (line, state) in [("posts-query", "behind"), ("comments-query", "idle")] {
        assert_eq!(attribute(&html, &format!("data-key=\"{line}\""), "data-state"), state, "{line}");
    }
    assert!(!html.contains("posts-posts"), "that it hears itself is no line");
    let live = attribute(&html, "id=\"live\"", "data-live");
    let tag = attribute(&html, "id=\"live\"", "data-tag").replace("&quot;", "\"");
    assert_eq!(request::<Web>("GET", &live, &[("if-none-match", &tag)], "").status, 304);
    assert!(html.contains(&text(&get(&live))), "what is sent is what the page has");
}

#[test]
fn who_is_gone_is_there_as_long_as_something_waits_for_it() {
    let gone = flow("query", &log("gone", 9, 0, 0), &[]);
    for (waiting, is_there) in [(1, true), (0, false)] {
        let posts = flow("posts", &log("present", 9, 0, 0), &[("query", waiting)]);
        answering("registry", 200, "", &format!("[{gone},{posts}]"));
        assert_eq!(text(&get("/flow")).contains("query <small>is away</small>"), is_there, "{waiting}");
    }
}

#[test]
fn what_waits_until_it_is_due_is_not_behind() {
    let consumers = r#"[{"name":"expiration-t","service":"expiration","waiting":0,"under_way":0,"redelivered":0,"not_due":1234}]"#;
    let orders = flow("orders", &log("present", 2000, 0, 0), &[]).replace("[]", consumers);
    let expiration = flow("expiration", &log("present", 0, 0, 0), &[]);
    registry(&format!("[{orders},{expiration}]"), "/registry/orders/events", 200, "", "[]");
    let html = text(&get("/flow?service=orders"));
    assert!(html.contains("1,234 events not due yet"), "{html}");
    assert_eq!(attribute(&html, "data-key=\"orders-expiration\"", "data-state"), "idle");
}

#[test]
fn a_service_is_shown_with_its_last_events() {
    let flows = [
        flow("orders", &log("present", 30, 12, 0), &[("orders", 0), ("tickets", 1234)]),
        flow("tickets", &log("present", 9, 0, 0), &[("query", 0)]),
        flow("query", &log("present", 0, 0, 0), &[]),
    ];
    let flows = format!("[{}]", flows.join(","));
    let told = event("orders", "E1", "order.placed.v1", "04:01:12.345", "00f067aa0ba902b7");
    let next = "link: </registry/orders/events?after=7>; rel=\"next\"\r\n";
    registry(&flows, "/registry/orders/events", 200, next, &format!("[{told}]"));
    let page = get("/flow?service=orders");
    let html = text(&page);
    assert_eq!((page.status, asked("registry")[1].target.as_str()), (200, "/registry/orders/events"));
    for words in [
        "30 events · 1.2 per second",
        "<td>1,234</td><td>1</td><td>0</td>",
        "order.placed.v1",
        "T1-O1",
        "20 November 2026, 04:01 UTC",
        "/flow?service=orders&amp;after=7",
        &format!("/flow/traces/{TRACE}?around=2026-11-20T04%3A01%3A12.345Z"),
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    assert_eq!(attribute(&html, "href=\"/flow?service=orders\"", "aria-current"), "true");
    let lines = html.split("<path").filter(|line| line.contains("data-other")).count();
    assert_eq!(lines, 1, "what does not concern it steps back: {html}");
    let live = attribute(&html, "id=\"live\"", "data-live");
    assert_eq!(live, "/flow/live?service=orders");
    assert!(html.contains(&text(&get(&live))), "what is sent is what the page has");

    let older = text(&get("/flow?service=orders&after=7"));
    assert_eq!(asked("registry").last().unwrap().target, "/registry/orders/events?after=7");
    assert!(
        older.contains("Older events") && !older.contains("data-live"),
        "what is older stays where it is"
    );

    let problem = r#"{"title":"No","status":404,"detail":"There is no such service.","errors":[]}"#;
    let kind = "content-type: application/problem+json\r\n";
    registry(&flows, "/registry/nobody/events", 404, kind, problem);
    let missing = get("/flow?service=nobody");
    assert!(missing.status == 404 && text(&missing).contains("There is no such service."));
    assert_eq!(get("/flow?service=a.b").status, 404, "no id");
    registry(&flows, "/registry/orders/events", 503, "", "");
    let unread = get("/flow?service=orders");
    assert!(unread.status == 503 && text(&unread).contains("cannot be read right now"), "{unread:?}");
}

#[test]
fn a_trace_is_a_tree_across_services() {
    let events = [
        event("orders", "E1", "order.placed.v1", "04:01:12.345", "00f067aa0ba902b7"),
        event("tickets", "E2", "ticket.reserved.v1", "04:01:12.357", "E1"),
        event("expiration", "E3", "deadline.passed.v1", "04:16:12.345", "E1"),
        event("orders", "E4", "order.expired.v1", "04:16:12.400", "E3"),
    ];
    let looks = r#"[{"service":"orders","events":2,"since":"t","until":"t","complete":true},
        {"service":"posts","events":100,"since":"2026-11-20T04:01:12.345Z","until":"2026-11-20T04:02:12.345Z","complete":false},
        {"service":"late","events":0,"since":null,"until":null,"complete":false}]"#;
    let trace = |events: &str, more: u32| {
        format!(r#"{{"id":"{TRACE}","events":[{events}],"more":{more},"looks":{looks}}}"#)
    };
    answering("registry", 200, "", &trace(&events.join(","), 3));
    let page = get(&format!("/flow/traces/{TRACE}?around=2026-11-20T04:01:12.345Z"));
    let html = text(&page);
    assert_eq!(page.status, 200);
    let asked_for = format!("/registry/traces/{TRACE}?around=2026-11-20T04%3A01%3A12.345Z");
    assert_eq!(asked("registry")[0].target, asked_for);
    for words in [
        "4 events in 3 services",
        "A request",
        "+12 ms",
        "+15:00 min",
        "3 later events of this trace were found",
        "All events of orders",
        "posts: 100 events, from",
        "late: nothing, as there was no time for it",
        "those before and after the time",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    // What an event led to is in a list below it, before its own end.
    let depth = |kind: &str| {
        let before = html.split_once(kind).unwrap().0;
        before.matches("<ol").count() - before.matches("</ol>").count()
    };
    let kinds = ["order.placed.v1", "ticket.reserved.v1", "deadline.passed.v1", "order.expired.v1"];
    assert_eq!(kinds.map(depth), [2, 3, 3, 4]);
    assert_eq!(attribute(&html, "id=\"around\"", "value"), "2026-11-20T04:01:12.345Z");

    answering("registry", 200, "", &trace("", 0));
    let nothing = text(&get(&format!("/flow/traces/{TRACE}?around=")));
    assert_eq!(asked("registry")[0].target, format!("/registry/traces/{TRACE}"));
    assert!(
        nothing.contains("Nothing of this trace was found") && nothing.contains("the last ones"),
        "{nothing}"
    );
    refusing("registry", 404, "A trace is known by 32 digits.", "[]");
    let refused = get("/flow/traces/x");
    assert!(refused.status == 404 && text(&refused).contains("known by 32 digits"));
    platform().unlisten("svc.registry");
    assert_eq!(get(&format!("/flow/traces/{TRACE}")).status, 503);
}

#[test]
fn the_page_without_services_and_without_the_registry() {
    let away = get("/flow");
    assert_eq!(away.status, 503);
    assert!(text(&away).contains("Events flow all the same."));
    assert_eq!(get("/flow/live").status, 503);
    answering("registry", 200, "", "[]");
    assert!(text(&get("/flow")).contains("No service has said anything"));
}

#[test]
fn names_are_text() {
    let flows =
        [flow("a", &log("present", 1, 0, 0), &[("<b>", 0)]), flow("<b>", &log("present", 1, 0, 0), &[])];
    let html = || text(&get("/flow?service=a"));
    let told = event("<b>", "<b>", "<b>", "<b>", "<b>").replace("T1-O1", "<b>").replace(TRACE, "<b>");
    registry(&format!("[{}]", flows.join(",")), "/registry/a/events", 200, "", &format!("[{told}]"));
    let flow_page = html();
    answering("registry", 200, "", &format!(r#"{{"id":"<b>","events":[{told}],"more":0,"looks":[]}}"#));
    let trace_page = text(&get(&format!("/flow/traces/{TRACE}")));
    for html in [flow_page, trace_page] {
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
    }
}
