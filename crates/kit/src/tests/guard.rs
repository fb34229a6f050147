//! That whoever provisions passes on all that a service needs, and nothing that would reach another.

use super::*;
use crate::guard::{allow, concerns};
use crate::testing::{message, settle, start};

/// What a service asks of JetStream that is to be looked at, with its body.
fn asked() -> Vec<(String, Vec<u8>)> {
    start::<Notes>();
    let id = write(&anonymous(), new("a")).unwrap().id;
    // As many as are built in batches.
    for n in 0..20 {
        edit(&anonymous(), &id, &format!("{n}")).unwrap();
    }
    settle::<Notes>();
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
    settle::<Notes>();
    let exchanges = platform().take_exchanges().into_iter();
    let requests = exchanges.filter_map(|exchange| {
        let request = exchange.subject.strip_prefix("$JS.API.")?.to_owned();
        concerns(&request).then_some((request, exchange.request))
    });
    requests.collect()
}

#[test]
fn what_the_kit_asks_for_is_passed_on_as_it_is() {
    let asked = asked();
    for (request, body) in &asked {
        let allowed = allow("notes", request, body).unwrap();
        assert_eq!(allowed.subject, format!("$JS.API.{request}"));
        let json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
        assert_eq!(json(&allowed.body), json(body), "{request}");
    }
    for begin in [
        "STREAM.CREATE.LOG_",
        "STREAM.CREATE.DEAD_",
        "CONSUMER.CREATE.",
        "CONSUMER.DELETE.",
        "CONSUMER.RESET.",
    ] {
        assert!(asked.iter().any(|(request, _)| request.starts_with(begin)), "{begin} was not asked");
    }
}

#[test]
fn nothing_is_passed_on_on_behalf_of_another() {
    for (request, body) in asked() {
        allow("others", &request, &body).unwrap_err();
        allow("", &request, &body).unwrap_err();
    }
    for request in ["", "STREAM.DELETE.LOG_notes", "STREAM.CREATE", "CONSUMER.CREATE.LOG_notes", "INFO"] {
        allow("notes", request, b"{}").unwrap_err();
    }
}

#[test]
fn the_body_of_a_request_is_checked_too() {
    let swaps = [
        ("deliver.notes", "log.others.0.x.1"),
        ("\"deliver_group\":\"notes\"", "\"deliver_group\":\"others\""),
        ("log.notes.", "log.others."),
        ("LOG_notes", "LOG_others"),
        ("\"num_replicas\":1", "\"num_replicas\":9"),
        ("\"trellis.partitions\":\"", "\"trellis.partitions\":\"0"),
        ("\"storage\":", "\"mirror\":{\"name\":\"LOG_others\"},\"storage\":"),
        ("\"ack_policy\":", "\"Deliver_Subject\":\"svc.others\",\"ack_policy\":"),
        ("\"ack_policy\":", "\"deliver_subject\":\"svc.others\",\"ack_policy\":"),
    ];
    let asked = asked();
    for (text, with) in swaps {
        let mut tried = 0;
        for (request, body) in &asked {
            let body = String::from_utf8(body.clone()).unwrap();
            let swapped = body.replacen(text, with, 1);
            if swapped != body {
                allow("notes", request, swapped.as_bytes()).unwrap_err();
                tried += 1;
            }
        }
        assert!(tried > 0, "{text} is in no request");
    }
}

#[test]
fn where_services_are_kept_apart_jetstream_is_elsewhere() {
    platform().configure("jetstream-api", "elsewhere.api");
    platform().listen("elsewhere.api.STREAM.INFO.LOG_notes", |_| Some(b"{}".to_vec()));
    message::<Notes>(names::ANNOUNCE, None, b"").unwrap_err();
    let asked = platform().take_exchanges();
    assert!(!asked.is_empty());
    for exchange in asked {
        assert!(exchange.subject.starts_with("elsewhere.api."), "{}", exchange.subject);
    }
}
