//! The page of what flows.

use super::*;

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

#[test]
fn the_page_shows_logs_and_the_backlogs_of_their_followers() {
    let flows = [
        flow("query", r#""presence":"missing","stream":null,"events":0,"lately":0,"dead_letters":0"#, &[]),
        flow("posts", &log("present", 12_345, 34, 0), &[("posts", 0), ("query", 1200), ("query", 34)]),
        flow("comments", &log("present", 1, 0, 2), &[("query", 0)]),
        flow("old", &log("gone", 9, 0, 0), &[]),
    ];
    answering("registry", 200, "", &format!("[{}]", flows.join(",")));
    let page = get("/flow");
    let html = text(&page);
    assert_eq!(page.status, 200);
    assert_eq!(asked("registry")[0].target, "/registry/flow?limit=100");
    for words in [
        "12,345 events · 3.4 per second",
        "1 event · 0.0 per second",
        "2 events that it could not handle",
        "<td>1,234</td><td>2</td>",
        "query is away",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
    assert!(!html.contains("old"), "who is gone is not there");
    for (line, state) in [("posts-query", "behind"), ("posts-posts", "flowing"), ("comments-query", "idle")] {
        assert_eq!(attribute(&html, &format!("data-key=\"{line}\""), "data-state"), state, "{line}");
    }
    let live = attribute(&html, "id=\"live\"", "data-live");
    let tag = attribute(&html, "id=\"live\"", "data-tag").replace("&quot;", "\"");
    assert_eq!(request::<Web>("GET", &live, &[("if-none-match", &tag)], "").status, 304);
    assert!(html.contains(&text(&get(&live))), "what is sent is what the page has");
}

#[test]
fn what_waits_until_it_is_due_is_not_behind() {
    let consumers = r#"[{"name":"expiration-t","service":"expiration","waiting":0,"under_way":0,"redelivered":0,"not_due":1234}]"#;
    let orders = flow("orders", &log("present", 2000, 0, 0), &[]).replace("[]", consumers);
    answering("registry", 200, "", &format!("[{orders}]"));
    let html = text(&get("/flow"));
    assert!(html.contains("(1,234 events not due yet)"), "{html}");
    assert_eq!(attribute(&html, "data-key=\"orders-expiration\"", "data-state"), "idle");
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
fn names_are_text_and_long_ones_are_cut() {
    let long = "a".repeat(64);
    answering("registry", 200, "", &format!("[{}]", flow(&long, &log("present", 1, 0, 0), &[("<b>", 0)])));
    let html = text(&get("/flow"));
    assert!(html.contains(&format!(">{}…<", "a".repeat(14))) && html.contains("&lt;b&gt;"), "{html}");
    assert!(!html.contains("<b>"), "{html}");
}
