//! Setting up and describing a service.

use serde_json::json;

use super::*;
use crate::platform::memory::Harm;
use crate::testing::{message, settle, start};

fn ask(subject: &str) -> Option<serde_json::Value> {
    message::<Notes>(subject, Some("_INBOX.1"), b"").unwrap();
    platform().take_published().pop().map(|(_, body)| serde_json::from_slice(&body).unwrap())
}

#[test]
fn the_services_protocol_is_answered() {
    let ping = ask("$SRV.PING").unwrap();
    let id = ping["id"].as_str().unwrap().to_owned();
    assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
    assert_eq!((&ping["name"], &ping["version"]), (&"notes".into(), &"1.2.3".into()));
    assert_eq!(ask("$SRV.PING.notes"), Some(ping.clone()));
    assert_eq!(ask(&format!("$SRV.PING.notes.{id}")), Some(ping));
    let info = ask("$SRV.INFO.notes").unwrap();
    assert_eq!(info["endpoints"][0]["subject"], "svc.notes");
    let about: serde_json::Value =
        serde_json::from_str(info["metadata"]["trellis"].as_str().unwrap()).unwrap();
    assert_eq!((&about["stream"], &about["partitions"]), (&"LOG_notes".into(), &2.into()));
    let route = |method, path, public, who: Option<&str>| json!({ "method": method, "path": path, "public": public, "who": who });
    assert_eq!(about["routes"][0], route("POST", "/notes", true, Some("anyone")));
    assert_eq!(about["routes"][2], route("GET", "/notes/{id}", false, None));
    assert_eq!(ask("$SRV.STATS").unwrap()["type"], "io.nats.micro.v1.stats_response");
    for other in ["$SRV.PING.posts", "$SRV.PING.notes.other", "$SRV.SCHEMA", "$SRV."] {
        assert_eq!(ask(other), None, "{other}");
    }
}

#[test]
fn setting_up_again_and_again_changes_nothing() {
    start::<Notes>();
    write(&anonymous(), new("a")).unwrap();
    settle::<Notes>();
    let bucket = platform().bucket();
    for _ in 0..3 {
        start::<Notes>();
        settle::<Notes>();
    }
    assert_eq!((platform().bucket(), dead().len()), (bucket, 0));
}

#[test]
fn a_service_says_hello_and_looks_around_after_its_setup() {
    for subject in [names::ANNOUNCE, "wasmbus.evt.default.linkdef_set", "wasmbus.evt.default.host_heartbeat"]
    {
        platform().advance(Duration::from_secs(30));
        message::<Notes>(subject, None, b"anything").unwrap();
        let said: Vec<_> =
            platform().take_published().into_iter().filter(|(said, _)| said != names::ANNOUNCE).collect();
        let [(hello, body), (looked, _)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!((hello.as_str(), looked.as_str()), ("trellis.hello.notes", "looked.around"), "{subject}");
        let info = ask("$SRV.INFO.notes").unwrap();
        assert_eq!(std::str::from_utf8(body).unwrap(), info["metadata"]["trellis"].as_str().unwrap());
    }
    platform().configure("replicas", "many");
    message::<Notes>(names::ANNOUNCE, None, b"").unwrap_err();
    assert_eq!(platform().take_published(), [], "whoever is not set up says nothing");
}

/// What a service asks JetStream because of a message, without the stream or consumer that it asks about.
fn asked(subject: &str, body: &[u8]) -> Vec<String> {
    platform().take_exchanges();
    message::<Notes>(subject, None, body).unwrap();
    let asked = platform().take_exchanges().into_iter();
    asked.map(|exchange| exchange.subject.trim_start_matches("$JS.API.").to_owned()).collect()
}

/// A cluster waits four seconds for consumers that have no leader. Then it lists the others.
#[test]
fn consumers_are_listed_however_long_a_cluster_waits_for_their_leaders() {
    start::<Notes>();
    platform().listen("$JS.API.CONSUMER.LIST.LOG_notes", |_| None);
    let begun = platform().elapsed();
    crate::jetstream::consumers("LOG_notes").unwrap_err();
    assert!(platform().elapsed() - begun > Duration::from_secs(4));
}

#[test]
fn looking_at_what_has_not_changed_costs_two_requests_in_half_a_minute() {
    start::<Notes>();
    write(&anonymous(), new("a")).unwrap();
    settle::<Notes>();
    let heartbeat = "wasmbus.evt.default.host_heartbeat";
    for _ in 0..3 {
        platform().advance(Duration::from_secs(30));
        assert_eq!(
            asked(heartbeat, b""),
            ["STREAM.MSG.GET.OWN_notes", "CONSUMER.LIST.LOG_notes", "CONSUMER.LIST.LOG_notes"],
            "a list comes in pages of two"
        );
        // Other hosts live, too; links of other services are made; services that are no source of this one are new.
        for _ in 0..4 {
            assert_eq!(asked(heartbeat, b""), [""; 0]);
            assert_eq!(asked("wasmbus.evt.default.linkdef_set", b""), [""; 0]);
            assert_eq!(asked(names::ANNOUNCE, br#"{"service":"others"}"#), [""; 0]);
        }
    }
    // A consumer that is gone is made again, by itself.
    let consumer = names::consumer("notes", 1, 0);
    crate::jetstream::delete_consumer("LOG_notes", &consumer).unwrap();
    platform().advance(Duration::from_secs(30));
    let made = asked(heartbeat, b"").into_iter().filter(|subject| subject.starts_with("CONSUMER.CREATE"));
    assert_eq!(made.collect::<Vec<_>>(), [format!("CONSUMER.CREATE.LOG_notes.{consumer}")]);
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_service_from_looking() {
    platform().advance(Duration::from_secs(3600));
    start::<Notes>();
    let looked = platform().bucket()["looked"].clone();
    let mut later: serde_json::Value = serde_json::from_slice(&looked).unwrap();
    later["at_ms"] = (platform().now_ms() + 3_600_000).into();
    platform().set("looked", later.to_string().as_bytes()).unwrap();
    assert_ne!(asked("wasmbus.evt.default.host_heartbeat", b""), [""; 0]);
}

#[test]
fn any_other_message_goes_to_the_services_own_handler() {
    message::<Notes>("heard.by.notes", None, b"me").unwrap();
    assert_eq!(platform().take_published(), [("heard".to_owned(), b"me".to_vec())]);
    message::<Notes>("heard.by.nobody", None, b"me").unwrap_err();
}

#[test]
fn what_was_lost_is_set_up_again() {
    start::<Notes>();
    platform().lose_stream("LOG_notes");
    platform().lose_stream("DEAD_notes");
    platform().advance(Duration::from_secs(30));
    message::<Notes>("wasmbus.evt.default.host_heartbeat", None, b"anything").unwrap();
    let id = write(&anonymous(), new("a")).unwrap().id;
    settle::<Notes>();
    assert!(NOTES.get(&anonymous().views().unwrap(), &id).unwrap().is_some());
}

#[test]
fn a_log_that_an_append_had_to_make_is_followed_as_soon_as_it_is_announced() {
    let id = write(&anonymous(), new("a")).unwrap().id;
    let announced: Vec<_> = platform().take_published();
    assert_eq!(announced.len(), 1, "{announced:?}");
    for (subject, body) in announced {
        message::<Notes>(&subject, None, &body).unwrap();
    }
    assert_eq!(platform().take_published().len(), 0, "nothing is new any more");
    settle::<Notes>();
    assert!(NOTES.get(&anonymous().views().unwrap(), &id).unwrap().is_some());
}

#[test]
fn setting_up_fails_in_a_way_that_can_be_repeated() {
    for nth in 0..30 {
        lose_everything();
        platform().harm(nth, Harm::DiesAfter);
        let _ = message::<Notes>(names::ANNOUNCE, None, b"");
        platform().revive();
        start::<Notes>();
        let id = write(&anonymous(), new("a")).unwrap().id;
        settle::<Notes>();
        assert!(NOTES.get(&anonymous().views().unwrap(), &id).unwrap().is_some(), "call {nth}");
    }
}

#[test]
fn config_is_checked() {
    platform().configure("replicas", "3");
    start::<Notes>();
    let info = platform().request("$JS.API.STREAM.INFO.LOG_notes", b"", Duration::ZERO).unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info["config"]["num_replicas"], 3);
    for bad in ["0", "6", "many", ""] {
        platform().configure("replicas", bad);
        let why = message::<Notes>(names::ANNOUNCE, None, b"").unwrap_err();
        assert!(why.contains("replicas"), "{why}");
    }
}

/// What the service says when JetStream answers this on making its log.
fn complaint(answer: Option<&'static str>) -> String {
    platform().listen("$JS.API.STREAM.CREATE.LOG_notes", move |_| Some(answer?.as_bytes().to_vec()));
    message::<Notes>(names::ANNOUNCE, None, b"").unwrap_err()
}

#[test]
fn a_log_that_cannot_be_made_is_named_with_what_to_do() {
    let too_few = r#"{"error":{"code":500,"err_code":10074,"description":"replicas > 1 not supported in non-clustered mode"}}"#;
    let why = complaint(Some(too_few));
    assert!(why.contains("stream LOG_notes cannot be made") && why.contains("as many NATS servers"), "{why}");

    let other = r#"{"error":{"code":400,"err_code":10058,"description":"stream name already in use with a different configuration"}}"#;
    let why = complaint(Some(other));
    assert!(
        why.contains("LOG_notes exists, but not as") && why.contains("nats stream info LOG_notes"),
        "{why}"
    );

    let why = complaint(None);
    assert!(why.contains("does not let this service ask"), "{why}");
}

#[test]
fn a_server_without_jetstream_is_known_by_nobody_answering() {
    platform().lose_jetstream();
    let why = message::<Notes>(names::ANNOUNCE, None, b"").unwrap_err();
    assert!(why.contains("NATS has no JetStream"), "{why}");
}
