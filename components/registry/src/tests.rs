//! What the registry promises: who says hello is registered, who is silent goes, and nothing else changes anything.

mod events;

use std::time::Duration;

use trellis_kit::platform::Level;
use trellis_kit::platform::memory::Harm;
use trellis_kit::testing::{
    Json, anonymous, json, message, parse, platform, read_models, request, settle, start,
};
use trellis_kit::time;

use super::*;
use crate::trellis::registry::types::Description;

fn route(method: &str, path: &str) -> trellis::registry::types::Route {
    trellis::registry::types::Route {
        method: method.to_owned(),
        path: path.to_owned(),
        public: true,
        who: Some("anyone".to_owned()),
    }
}

fn description(name: &str, routes: &[(&str, &str)]) -> Description {
    Description {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        routes: routes.iter().map(|(method, path)| route(method, path)).collect(),
        group: Some("blog".to_owned()),
        stream: Some(format!("LOG_{name}")),
        partitions: 8,
        projects: vec!["posts".to_owned()],
        reacts_to: Vec::new(),
        openapi: "{}".to_owned(),
        asyncapi: "{}".to_owned(),
    }
}

fn hello(description: &Description) {
    hear(&description.name, &serde_json::to_vec(description).unwrap()).unwrap();
}

fn hear(service: &str, said: &[u8]) -> Result<(), String> {
    message::<Registry>(&format!("trellis.hello.{service}"), None, said)
}

/// A service that is there, and answers when it is asked.
fn is_there(description: &Description) {
    start::<Registry>();
    platform().listen(&format!("$SRV.PING.{}", description.name), |_| Some(b"{}".to_vec()));
    hello(description);
    settle::<Registry>();
}

/// What has happened to a service.
fn history(name: &str) -> Vec<String> {
    let subject = format!("log.registry.0.{name}.");
    let stored =
        platform().stored("LOG_registry").into_iter().filter(|event| event.subject.starts_with(&subject));
    stored.map(|event| parse::<Json>(&event.body)["type"].as_str().unwrap().to_owned()).collect()
}

fn look() {
    start::<Registry>();
    settle::<Registry>();
}

fn page(limit: u32) -> PageRequest {
    PageRequest { limit: Some(limit), after: None }
}

fn listed() -> Vec<ListedService> {
    Registry::list(&anonymous(), page(100)).unwrap().items
}

fn presence(name: &str) -> Presence {
    Registry::get(&anonymous(), name.to_owned()).unwrap().presence
}

#[test]
fn a_repeated_hello_registers_a_service_once() {
    start::<Registry>();
    let blog = description("blog", &[("GET", "/blog"), ("POST", "/blog/{id}")]);
    for _ in 0..3 {
        hello(&blog);
    }
    settle::<Registry>();
    assert_eq!(history("blog"), ["service.registered.v2"]);
    let [shown] = listed().try_into().unwrap();
    assert_eq!(
        (shown.name.as_str(), shown.presence, shown.since.as_str()),
        ("blog", Presence::Present, "2026-01-01T00:00:00.000Z")
    );
    assert_eq!((shown.routes[1].path.as_str(), &shown.routes[1].conflict), ("/blog/{id}", &None));
    assert_eq!(Registry::get(&anonymous(), "blog".to_owned()).unwrap().description, blog);
}

#[test]
fn only_a_changed_description_becomes_an_event() {
    let old = description("blog", &[("GET", "/blog")]);
    let new = Description { version: "2.0.0".to_owned(), ..description("blog", &[("GET", "/log")]) };
    is_there(&old);
    platform().advance(Duration::from_secs(60));
    for _ in 0..2 {
        hello(&new);
    }
    settle::<Registry>();
    assert_eq!(history("blog"), ["service.registered.v2", "service.changed.v2"]);
    let [shown] = listed().try_into().unwrap();
    assert_eq!((shown.version.as_str(), shown.routes[0].path.as_str()), ("2.0.0", "/log"));
    assert_eq!(shown.since, "2026-01-01T00:00:00.000Z", "it has been there since then");
}

#[test]
fn many_instances_that_get_the_same_hello_register_once() {
    start::<Registry>();
    let blog = description("blog", &[("GET", "/blog")]);
    for nth in 0..10 {
        let other = blog.clone();
        platform().harm(nth, Harm::Meanwhile(Box::new(move |_| hello(&other))));
        hello(&blog);
        platform().revive();
        assert_eq!(history("blog"), ["service.registered.v2"], "call {nth}");
    }
}

#[test]
fn an_instance_may_die_at_every_call() {
    for nth in 0..12 {
        platform().lose_stream("LOG_registry");
        platform().forget_bucket();
        start::<Registry>();
        let blog = description("blog", &[("GET", "/blog")]);
        platform().harm(nth, Harm::DiesAfter);
        let _ = hear("blog", &serde_json::to_vec(&blog).unwrap());
        platform().revive();
        hello(&blog);
        settle::<Registry>();
        assert_eq!(history("blog"), ["service.registered.v2"], "call {nth}");
        assert_eq!(listed().len(), 1, "call {nth}");
    }
}

#[test]
fn an_invalid_hello_changes_nothing_and_is_logged() {
    start::<Registry>();
    let good = || serde_json::to_value(description("blog", &[("GET", "/blog")])).unwrap();
    let with = |field: &str, value: Json| {
        let mut said = good();
        said[field] = value;
        said.to_string().into_bytes()
    };
    let many = |count: usize| {
        Json::from(vec![serde_json::json!({"method": "GET", "path": "/a", "public": true}); count])
    };
    let a_route =
        |method: &str, path: &str| serde_json::json!([{ "method": method, "path": path, "public": true }]);
    let mut rows = vec![
        Vec::new(),
        b"hello".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"{\"name\": \"blog\"}".to_vec(),
        with("name", "".into()),
        with("name", "a.b".into()),
        with("name", "*".into()),
        with("name", "a b".into()),
        with("name", "n".repeat(65).into()),
        with("name", 5.into()),
        with("version", "1\n2".into()),
        with("version", "1".repeat(65).into()),
        with("group", "".into()),
        with("group", "a b".into()),
        with("group", "g".repeat(65).into()),
        with("partitions", (-1).into()),
        with("partitions", 1025.into()),
        with("stream", "LOG_other".into()),
        with("projects", Json::from(vec!["a.b"])),
        with("projects", Json::from(vec!["a"; 65])),
        with("openapi", "".into()),
        with("openapi", "[]".into()),
        with("asyncapi", "{".into()),
        with("openapi", format!("{{\"a\":\"{}\"}}", "x".repeat(192 * 1024)).into()),
        with("routes", many(65)),
        with("routes", a_route("get", "/a")),
        with("routes", a_route("GET /", "/a")),
        with("routes", a_route("", "/a")),
    ];
    for path in ["", "a", "/a/", "/a//b", "/../a", "/a b", "/a\r\nb", "/{}", "/a?b", "/api", "/api/a"] {
        rows.push(with("routes", a_route("GET", path)));
    }
    rows.push(with("routes", a_route("GET", &format!("/{}", "a".repeat(128)))));
    for body in rows {
        let shown: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        platform().take_lines();
        hear("blog", &body).unwrap();
        assert_eq!(platform().stored("LOG_registry"), [], "{shown}");
        let lines = platform().take_lines();
        assert!(lines.len() == 1 && lines[0].1.contains("said hello"), "{shown}: {lines:?}");
    }
    // A service that was built before it could say so is of no group.
    let mut said = good();
    said.as_object_mut().unwrap().remove("group");
    hear("blog", said.to_string().as_bytes()).unwrap();
    assert_eq!(history("blog").len(), 1);
    // What is known to nobody yet is no reason to refuse the rest.
    hear("blog", &with("mood", "good".into())).unwrap();
    assert_eq!(history("blog").len(), 2);
}

#[test]
fn the_number_of_services_is_bounded() {
    start::<Registry>();
    for nth in 0..65 {
        hello(&description(&format!("s{nth}"), &[]));
        settle::<Registry>();
    }
    assert_eq!(history("s63").len(), 1);
    assert_eq!(history("s64"), [""; 0]);
    hello(&Description { version: "2".to_owned(), ..description("s5", &[]) });
    assert_eq!(history("s5").len(), 2, "who is there may change");
}

#[test]
fn a_service_with_no_subscriber_is_marked_missing_and_later_gone() {
    let blog = description("blog", &[("GET", "/blog")]);
    is_there(&blog);
    look();
    assert_eq!(presence("blog"), Presence::Present);

    platform().unlisten("$SRV.PING.blog");
    look();
    assert_eq!(presence("blog"), Presence::Missing);
    platform().advance(Duration::from_millis(19_999));
    look();
    assert_eq!(presence("blog"), Presence::Missing, "it may be restarting");
    platform().advance(Duration::from_millis(1));
    look();
    assert_eq!(presence("blog"), Presence::Gone);
    look();
    let registered_to_gone = ["service.registered.v2", "service.missing.v2", "service.gone.v2"];
    assert_eq!(history("blog"), registered_to_gone);
    assert_eq!(listed()[0].presence, Presence::Gone);

    is_there(&blog);
    look();
    assert_eq!((presence("blog"), history("blog").len()), (Presence::Present, 4), "it is back");
}

#[test]
fn a_missing_service_that_comes_back_in_time_is_present_again() {
    let blog = description("blog", &[("GET", "/blog")]);
    is_there(&blog);
    platform().unlisten("$SRV.PING.blog");
    look();
    platform().advance(Duration::from_secs(19));
    is_there(&blog);
    platform().advance(Duration::from_secs(60));
    look();
    assert_eq!((presence("blog"), history("blog").len()), (Presence::Present, 3));
}

#[test]
fn a_service_that_answers_late_stays_present() {
    is_there(&description("blog", &[("GET", "/blog")]));
    platform().listen("$SRV.PING.blog", |_| None);
    for _ in 0..3 {
        platform().advance(Duration::from_secs(60));
        look();
    }
    assert_eq!(history("blog").len(), 1);
}

/// One that always answers late must not keep the others from being looked after for ever.
#[test]
fn every_service_is_pinged_within_a_bounded_time() {
    for nth in 0..20 {
        is_there(&description(&format!("slow{nth}"), &[]));
        platform().listen(&format!("$SRV.PING.slow{nth}"), |_| None);
    }
    is_there(&description("blog", &[]));
    platform().unlisten("$SRV.PING.blog");
    let looks = (0..100).take_while(|_| {
        let before = time::elapsed();
        look();
        assert!(time::elapsed() - before < Duration::from_secs(8), "a look takes no longer than a call may");
        presence("blog") == Presence::Present
    });
    assert!(looks.count() < 100);
}

#[test]
fn a_public_route_belongs_to_the_service_that_had_it_first() {
    is_there(&description("blog", &[("GET", "/posts/{id}"), ("GET", "/blog")]));
    platform().take_lines();
    is_there(&description("copy", &[("GET", "/posts/{post}"), ("POST", "/posts/{id}")]));
    let warnings = platform().take_lines().into_iter().filter(|line| line.0 == Level::Warn);
    let warned: Vec<String> = warnings.map(|line| line.1).collect();
    assert_eq!(warned, ["copy does not get GET /posts/{post}: blog has it, and was there first"]);
    let conflicts = |name: &str| -> Vec<Option<String>> {
        let shown = listed().into_iter().find(|shown| shown.name == name).unwrap();
        shown.routes.into_iter().map(|route| route.conflict).collect()
    };
    assert_eq!(
        (conflicts("blog"), conflicts("copy")),
        (vec![None, None], vec![Some("blog".to_owned()), None])
    );

    platform().unlisten("$SRV.PING.blog");
    look();
    assert_eq!(conflicts("copy")[0].as_deref(), Some("blog"), "who is missing may come back");
    platform().advance(Duration::from_secs(20));
    look();
    assert_eq!(conflicts("copy"), [None, None], "who is gone has nothing");
    is_there(&description("blog", &[("GET", "/posts/{id}")]));
    assert_eq!((conflicts("blog"), conflicts("copy")), (vec![Some("copy".to_owned())], vec![None, None]));
}

#[test]
fn own_routes_of_services_never_conflict() {
    let mut blog = description("blog", &[("GET", "/posts")]);
    blog.routes[0].public = false;
    is_there(&description("query", &[("GET", "/posts")]));
    is_there(&blog);
    assert!(listed().iter().all(|shown| shown.routes[0].conflict.is_none()));
}

#[test]
fn the_list_comes_in_pages() {
    start::<Registry>();
    let names: Vec<String> = (0..7).map(|nth| format!("s{nth}")).collect();
    names.iter().for_each(|name| hello(&description(name, &[])));
    settle::<Registry>();
    let mut seen = Vec::new();
    let mut request = page(3);
    loop {
        let part = Registry::list(&anonymous(), request).unwrap();
        seen.extend(part.items.into_iter().map(|shown| shown.name));
        let Some(next) = part.next else { break };
        request = PageRequest { after: Some(next), ..page(3) };
    }
    assert_eq!(seen.into_iter().rev().collect::<Vec<_>>(), names);
}

#[test]
fn the_flow_shows_what_is_on_its_way() {
    let mut silent = description("silent", &[]);
    silent.stream = None;
    is_there(&silent);
    is_there(&description("registry", &[]));
    // Three events are stored and nobody has handled the fourth.
    hello(&description("blog", &[]));
    let flows = Registry::flow(&anonymous(), page(10)).unwrap().items;
    let flow = |name: &str| flows.iter().find(|flow| flow.service == name).unwrap();
    let registry = flow("registry");
    assert_eq!(registry.group.as_deref(), Some("blog"), "as it says itself");
    assert_eq!(
        (registry.events, registry.dead_letters, registry.consumers.len()),
        (4, 0, 1),
        "three services, and documents that all have"
    );
    let consumer = &registry.consumers[0];
    assert_eq!((consumer.name.as_str(), consumer.service.as_str()), ("registry-g1-0", "registry"));
    assert_eq!((consumer.waiting, consumer.under_way, consumer.redelivered), (1, 0, 0));
    assert!(registry.bytes > 0);
    assert_eq!((registry.lately, flow("silent").lately), (4, 0));
    platform().advance(Duration::from_secs(11));
    hello(&description("late", &[]));
    let flows = Registry::flow(&anonymous(), page(10)).unwrap().items;
    let registry = flows.iter().find(|flow| flow.service == "registry").unwrap();
    assert_eq!((registry.events, registry.lately), (5, 1), "the others are longer ago");
    assert_eq!((flow("silent").events, flow("silent").stream.as_deref()), (0, None));
}

#[test]
fn over_http() {
    is_there(&description("blog", &[("GET", "/blog")]));
    let get = |path: &str| request::<Registry>("GET", path, &[], "");
    let list: Json = json(&get("/registry"));
    assert_eq!(
        (&list[0]["name"], &list[0]["presence"], &list[0]["routes"][0]["public"]),
        (&"blog".into(), &"present".into(), &true.into())
    );
    let one: Json = json(&get("/registry/blog"));
    assert_eq!(one["description"]["reacts_to"], Json::from(Vec::<String>::new()));
    assert_eq!((get("/registry/nobody").status, get("/registry/a.b").status), (404, 404));
    assert_eq!(get("/registry/flow?limit=1").status, 200);
    assert_eq!(get("/registry/flow?limit=0").status, 400);
}

#[test]
fn an_impossible_sequence_of_events_is_refused() {
    let outline = documents::apart(description("blog", &[])).0;
    let sighting = || Sighting { description: outline.clone(), at: "t".to_owned(), news: 1 };
    let happens = |before: &[ServiceEvent], event: ServiceEvent| {
        let state = before.iter().fold(None, Registered::evolve);
        Registered::evolve(state, &event).is_some()
    };
    let (registered, missing) = (ServiceEvent::Registered(sighting()), ServiceEvent::Missing("t".to_owned()));
    assert!(!happens(&[], missing.clone()) && !happens(&[], ServiceEvent::Changed(sighting())));
    let (once, then) = ([registered], [ServiceEvent::Registered(sighting()), missing]);
    assert!(!happens(&once, ServiceEvent::Gone("t".to_owned())));
    assert!(!happens(&then, ServiceEvent::Changed(sighting())));
    assert!(happens(&then, ServiceEvent::Registered(sighting())));
}

#[test]
fn a_rebuild_comes_to_the_same() {
    is_there(&description("blog", &[("GET", "/blog")]));
    is_there(&description("copy", &[("GET", "/blog")]));
    platform().unlisten("$SRV.PING.blog");
    look();
    platform().advance(Duration::from_secs(20));
    look();
    let before = read_models();
    message::<Registry>("trellis.announce", None, br#"{"replay":"registry"}"#).unwrap();
    settle::<Registry>();
    assert_eq!(read_models(), before);
    assert!(!before.is_empty());
}

#[test]
fn a_hello_on_the_subject_of_another_service_is_ignored() {
    is_there(&description("web", &[("GET", "/moderation")]));
    let forged = serde_json::to_vec(&description("web", &[])).unwrap();
    for subject in ["trellis.hello.thief", "trellis.hello", "trellis.hello.", "trellis.hello.web.x", "hello"]
    {
        platform().take_lines();
        message::<Registry>(subject, None, &forged).unwrap();
        let lines = platform().take_lines();
        assert!(lines.iter().any(|line| line.1.contains("web has no say on")), "{subject}: {lines:?}");
    }
    assert_eq!(history("web"), ["service.registered.v2"]);
}

fn stored_bytes() -> usize {
    platform().stored("LOG_registry").iter().map(|event| event.body.len()).sum()
}

#[test]
fn documents_are_kept_once() {
    start::<Registry>();
    let documents = serde_json::json!({ "long": "x".repeat(30_000) }).to_string();
    let one = Description { openapi: documents, ..description("blog", &[("GET", "/blog")]) };
    let two = Description { version: "2".to_owned(), ..one.clone() };
    hello(&one);
    assert!(stored_bytes() < 35_000, "{}", stored_bytes());
    for _ in 0..3 {
        hello(&two);
        hello(&one);
    }
    settle::<Registry>();
    assert_eq!(history("blog").len(), 7);
    assert!(stored_bytes() < 45_000, "{}", stored_bytes());
    assert_eq!(Registry::get(&anonymous(), "blog".to_owned()).unwrap().description, one);
}

#[test]
fn changes_beyond_the_hourly_bound_are_registered_later() {
    start::<Registry>();
    let nth = |nth: usize| {
        let openapi = serde_json::json!({ "nth": nth }).to_string();
        Description { version: nth.to_string(), openapi, ..description("blog", &[("GET", "/blog")]) }
    };
    (0..100).for_each(|n| hello(&nth(n)));
    settle::<Registry>();
    assert_eq!(platform().stored("LOG_registry").len(), 60, "30 times, each with its documents");
    let said = || Registry::get(&anonymous(), "blog".to_owned()).unwrap().description;
    assert_eq!(said(), nth(29));
    assert!(platform().take_lines().iter().any(|line| line.1.contains("it is heard later")));

    // It comes back as what it was.
    look();
    assert_eq!(presence("blog"), Presence::Missing);
    hello(&nth(100));
    settle::<Registry>();
    assert_eq!((presence("blog"), said()), (Presence::Present, nth(29)));

    platform().advance(Duration::from_secs(60 * 60));
    hello(&nth(101));
    settle::<Registry>();
    assert_eq!(said(), nth(101));
    (102..200).for_each(|n| hello(&nth(n)));
    settle::<Registry>();
    assert_eq!(said(), nth(130), "and so often again");
}

/// As version 1 of the contract stored them: with the documents in every event, twice.
#[test]
fn events_of_older_schemas_are_read() {
    start::<Registry>();
    let blog = description("blog", &[("GET", "/blog")]);
    let state = |presence: &str, since: &str, version: u64| {
        serde_json::json!({
            "name": "blog", "description": blog, "presence": presence, "since": since, "version": version,
        })
    };
    let at = "2026-01-01T00:00:00.000Z";
    for (version, case, data, state) in [
        (1, "registered", serde_json::json!({ "description": blog, "at": at }), state("present", at, 1)),
        (2, "missing", at.into(), state("missing", at, 2)),
    ] {
        let event = serde_json::json!({
            "specversion": "1.0", "id": format!("event{version}"), "source": "/registry",
            "type": format!("service.{case}.v1"), "subject": "blog", "time": at,
            "datacontenttype": "application/json", "version": version, "data": data, "state": state,
        });
        let subject = format!("log.registry.0.blog.{version}");
        platform().store("LOG_registry", &subject, event.to_string().as_bytes());
    }
    settle::<Registry>();
    let [shown] = listed().try_into().unwrap();
    assert_eq!((shown.presence, shown.routes[0].path.as_str()), (Presence::Missing, "/blog"));
    hello(&blog);
    settle::<Registry>();
    let told = Registry::get(&anonymous(), "blog".to_owned()).unwrap();
    assert_eq!((told.presence, told.version, told.description), (Presence::Present, 3, blog));
}
