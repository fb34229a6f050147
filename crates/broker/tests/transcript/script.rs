//! The script: what is done to both servers.

mod basics;
mod consumers;

use serde_json::json;

use crate::client::Client;
use basics::{core_messages, protocol_errors};
use consumers::{bad_consumers, create, info, policies, pull, push, queue_of_two, redelivery, resets};

const LOG: &str = r#""name":"LOG_posts","subjects":["log.posts.*.*.*"],"storage":"file","discard":"new",
    "discard_new_per_subject":true,"max_msgs_per_subject":1,"allow_direct":true,"metadata":{"trellis.partitions":"8"}"#;

/// Runs everything, and gives back what was said.
pub async fn run(address: &str) -> Vec<String> {
    let log = Default::default();
    let mut client = Client::plain("a", address, &log).await;
    core_messages(&mut client).await;
    protocol_errors(&mut client).await;
    streams(&mut client).await;
    bad_streams(&mut client).await;
    appends(&mut client).await;
    reads(&mut client).await;
    bad_consumers(&mut client).await;
    push(&mut client).await;
    redelivery(&mut client).await;
    queue_of_two(&mut client).await;
    pull(&mut client).await;
    policies(&mut client).await;
    resets(&mut client).await;
    limits(&mut client).await;
    headers(&mut client).await;
    times_to_live(&mut client).await;
    deletion(&mut client).await;
    drop(client);
    let log = log.lock().unwrap();
    log.clone()
}

async fn streams(a: &mut Client) {
    a.ask("$JS.API.STREAM.INFO.LOG_posts", "").await;
    a.ask("$JS.API.STREAM.NAMES", "").await;
    a.ask("$JS.API.STREAM.LIST", "").await;
    a.ask("$JS.API.STREAM.CREATE.LOG_posts", &format!("{{{LOG}}}")).await;
    a.ask("$JS.API.STREAM.CREATE.LOG_posts", &format!("{{{LOG}}}")).await;
    a.ask("$JS.API.STREAM.CREATE.LOG_posts", &format!("{{{LOG},\"max_age\":1000000000}}")).await;
    a.ask("$JS.API.STREAM.INFO.LOG_posts", "").await;
    a.ask("$JS.API.STREAM.INFO.LOG_posts", "not json").await;
    a.ask("$JS.API.STREAM.UPDATE.LOG_posts", &format!("{{{LOG},\"description\":\"the posts\"}}")).await;
    a.ask("$JS.API.STREAM.UPDATE.LOG_posts", &format!("{{{LOG},\"deny_delete\":true}}")).await;
    a.ask("$JS.API.STREAM.UPDATE.LOG_posts", &format!("{{{LOG}}}")).await;
    a.ask("$JS.API.STREAM.UPDATE.LOG_posts", &format!("{{{LOG},\"num_replicas\":3,\"deny_delete\":true}}"))
        .await;
    a.ask("$JS.API.STREAM.UPDATE.NOPE", r#"{"name":"NOPE","subjects":["nope"]}"#).await;
    a.ask("$JS.API.STREAM.UPDATE.NOPE", r#"{"name":"OTHER"}"#).await;
    a.ask("$JS.API.STREAM.DELETE.LOG_posts", "{\"a\":1}").await;
    a.ask("$JS.API.STREAM.DELETE.LOG_posts", "{}").await;
    a.ask("$JS.API.STREAM.DELETE.LOG_posts", "").await;
    a.ask("$JS.API.STREAM.CREATE.LOG_posts", &format!("{{{LOG}}}")).await;
    a.ask("$JS.API.STREAM.CREATE.PLAIN", r#"{"name":"PLAIN"}"#).await;
    a.ask("$JS.API.STREAM.CREATE.SECOND", r#"{"name":"SECOND","subjects":["s.>","u.*"],"no_ack":true}"#)
        .await;
    a.ask("$JS.API.STREAM.NAMES", "").await;
    a.ask("$JS.API.STREAM.NAMES", r#"{"offset":1}"#).await;
    a.ask("$JS.API.STREAM.NAMES", r#"{"offset":10}"#).await;
    a.ask("$JS.API.STREAM.NAMES", r#"{"subject":"s.x"}"#).await;
    a.ask("$JS.API.STREAM.NAMES", r#"{"subject":"none"}"#).await;
    a.ask("$JS.API.STREAM.NAMES", "{bad").await;
    a.ask("$JS.API.STREAM.LIST", "").await;
    a.publish("s.x", "no ack comes").await;
    a.ask("$JS.API.STREAM.DELETE.SECOND", "").await;
}

async fn bad_streams(a: &mut Client) {
    let bodies = [
        "",
        "{bad",
        "{\"name\":",
        "[]",
        "5",
        "\"X\"",
        "null",
        r#"{"name":"Y"}"#,
        r#"{"name":1}"#,
        r#"{"name":"X","foo":1}"#,
        r#"{"name":"X","retention":"zzz"}"#,
        r#"{"name":"X","discard":"zzz"}"#,
        r#"{"name":"X","storage":"zzz"}"#,
        r#"{"name":"X","compression":"zzz"}"#,
        r#"{"name":"X","max_msgs":"many"}"#,
        r#"{"name":"X","max_msgs":1.5}"#,
        r#"{"name":"X","max_age":-1}"#,
        r#"{"name":"X","max_age":1000}"#,
        r#"{"name":"X","duplicate_window":-1}"#,
        r#"{"name":"X","duplicate_window":1000}"#,
        r#"{"name":"X","max_age":1000000000,"duplicate_window":2000000000}"#,
        r#"{"name":"X","num_replicas":3}"#,
        r#"{"name":"X","num_replicas":9}"#,
        r#"{"name":"X","num_replicas":-1}"#,
        r#"{"name":"X","subjects":["a b"]}"#,
        r#"{"name":"X","subjects":["a..b"]}"#,
        r#"{"name":"X","subjects":["dup","dup"]}"#,
        r#"{"name":"X","subjects":["o.*","o.a"]}"#,
        r#"{"name":"X","subjects":[">"]}"#,
        r#"{"name":"X","subjects":["$JS.>"]}"#,
        r#"{"name":"X","subjects":["$SYS.>"]}"#,
        r#"{"name":"X","subjects":["log.posts.>"]}"#,
        r#"{"name":"X","subjects":["log.*.1.2.3"]}"#,
        r#"{"name":"X","discard_new_per_subject":true}"#,
        r#"{"name":"X","discard_new_per_subject":true,"discard":"new"}"#,
        r#"{"name":"X","sealed":true}"#,
        r#"{"name":"X","deny_purge":true,"allow_rollup_hdrs":true}"#,
        r#"{"name":"X","mirror_direct":true}"#,
        r#"{"name":"X","pedantic":true,"max_msgs":-5}"#,
        r#"{"name":"X","subjects":"x"}"#,
        r#"{"name":"X","metadata":{"a":1}}"#,
        r#"{"name":"X","metadata":[]}"#,
        r#"{"name":"X"} {"#,
        r#"{"name":"X","a":tru}"#,
        "{\"name\":\"X\n\"}",
        r#"{"name":"X" "b":1}"#,
        r#"{"name":"\x"}"#,
        r#"{"name":"\u12G4"}"#,
        r#"{"name":-}"#,
        r#"{"name":1.}"#,
        r#"{"name":1e}"#,
        r#"{"name":1ex}"#,
        r#"{"name":.5}"#,
        r#"{"name":01}"#,
        r#"{"subjects":["a" "b"]}"#,
        r#"{"subjects":["a",]}"#,
        r#"{"name":nul}"#,
        r#"{"name":"X",}"#,
        r#"{name:"X"}"#,
        r#"{"name":"X"}}"#,
        r#"{"name":'X'}"#,
        r#"nope"#,
    ];
    for body in bodies {
        a.ask("$JS.API.STREAM.CREATE.X", body).await;
    }
    a.ask("$JS.API.STREAM.CREATE.a/b", r#"{"name":"a/b"}"#).await;
    let long = "n".repeat(256);
    a.ask(&format!("$JS.API.STREAM.CREATE.{long}"), &json!({"name": long}).to_string()).await;
    let text = "d".repeat(4097);
    a.ask("$JS.API.STREAM.CREATE.X", &json!({"name": "X", "description": text}).to_string()).await;
    a.ask_with("$JS.API.STREAM.CREATE.X", &[("Nats-Required-Api-Level", "99")], r#"{"name":"X"}"#).await;
    a.ask_with(
        "$JS.API.STREAM.CREATE.X",
        &[("Nats-Required-Api-Level", "1")],
        r#"{"name":"X","subjects":[]}"#,
    )
    .await;
    a.ask("$JS.API.STREAM.DELETE.X", "").await;
}

async fn appends(a: &mut Client) {
    for entity in ["abc", "def", "ghi"] {
        for version in 1..=4 {
            a.ask(&format!("log.posts.0.{entity}.{version}"), &format!("{{\"v\":{version}}}")).await;
        }
    }
    for version in 1..=4 {
        a.ask(&format!("log.posts.0.abc.{version}"), "conflict").await;
    }
    a.publish("log.posts.1.nobody.1", "without a reply").await;
    a.publish("log.posts.1.nobody.1", "conflict without a reply").await;
    a.ask("log.posts.*.wild.1", "a token like others").await;
    a.ask("log.posts.too.short", "").await;
    a.ask("log.posts.one.token.too.long", "").await;
    a.ask("log.posts.2.empty.1", "").await;
    a.ask("$JS.API.STREAM.INFO.LOG_posts", "").await;
    a.ask("$JS.API.STREAM.INFO.LOG_posts", r#"{"subjects_filter":"log.posts.0.abc.*"}"#).await;
    a.ask("$JS.API.STREAM.INFO.LOG_posts", r#"{"subjects_filter":">","offset":12}"#).await;
    a.ask("$JS.API.STREAM.INFO.LOG_posts", r#"{"subjects_filter":"none"}"#).await;
    a.subscribe("60", "log.posts.3.*.*", "").await;
    a.ask("log.posts.3.seen.1", "subscribers see it too").await;
    a.expect(1).await;
    a.unsubscribe("60", "").await;
}

async fn reads(a: &mut Client) {
    let get = "$JS.API.STREAM.MSG.GET.LOG_posts";
    let bodies = [
        "",
        "{}",
        "{bad",
        r#"{"seq":1}"#,
        r#"{"seq":99}"#,
        r#"{"seq":"1"}"#,
        r#"{"seq":-1}"#,
        r#"{"last_by_subj":"log.posts.0.abc.2"}"#,
        r#"{"last_by_subj":"log.posts.0.abc.*"}"#,
        r#"{"last_by_subj":"log.posts.0.def.*"}"#,
        r#"{"last_by_subj":"log.posts.0.*.1"}"#,
        r#"{"last_by_subj":"log.posts.>"}"#,
        r#"{"last_by_subj":">"}"#,
        r#"{"last_by_subj":"log.posts.0.nope.*"}"#,
        r#"{"last_by_subj":"elsewhere"}"#,
        r#"{"last_by_subj":""}"#,
        r#"{"next_by_subj":"log.posts.0.def.*"}"#,
        r#"{"seq":3,"next_by_subj":"log.posts.0.def.*"}"#,
        r#"{"seq":7,"next_by_subj":"log.posts.0.def.*"}"#,
        r#"{"seq":9,"next_by_subj":"log.posts.0.def.*"}"#,
        r#"{"seq":2,"next_by_subj":"log.posts.0.abc.4"}"#,
        r#"{"seq":5,"next_by_subj":"log.posts.0.abc.4"}"#,
        r#"{"seq":5,"next_by_subj":"log.posts.*.*.2"}"#,
        r#"{"seq":99,"next_by_subj":">"}"#,
        r#"{"seq":1,"last_by_subj":"a"}"#,
        r#"{"next_by_subj":"a","last_by_subj":"a"}"#,
        r#"{"batch":2,"seq":1}"#,
        r#"{"foo":2}"#,
        r#"{"start_time":"2001-01-01T00:00:00Z"}"#,
        r#"{"start_time":"2101-01-01T00:00:00Z"}"#,
        r#"{"seq":1,"start_time":"2001-01-01T00:00:00Z"}"#,
    ];
    for body in bodies {
        a.ask(get, body).await;
    }
    a.ask("$JS.API.STREAM.MSG.GET.NOPE", r#"{"seq":1}"#).await;
    let direct = "$JS.API.DIRECT.GET.LOG_posts";
    for body in ["", "{}", "{bad", r#"{"seq":1}"#, r#"{"seq":99}"#, r#"{"last_by_subj":"log.posts.0.abc.*"}"#]
    {
        a.ask(direct, body).await;
    }
    for body in [r#"{"seq":3,"next_by_subj":"log.posts.0.def.*"}"#, r#"{"seq":1,"last_by_subj":"a"}"#] {
        a.ask(direct, body).await;
    }
    a.ask("$JS.API.DIRECT.GET.LOG_posts.log.posts.0.abc.3", "").await;
    a.ask("$JS.API.DIRECT.GET.LOG_posts.log.posts.0.abc.*", "").await;
    a.ask("$JS.API.DIRECT.GET.LOG_posts.log.posts.0.nope.3", "").await;
}

async fn limits(a: &mut Client) {
    let streams = [
        ("L1", r#""max_msgs":3"#),
        ("L2", r#""max_msgs":3,"discard":"new""#),
        ("L3", r#""max_msgs_per_subject":2"#),
        ("L4", r#""max_msgs_per_subject":2,"discard":"new""#),
        ("L5", r#""max_msgs_per_subject":2,"discard":"new","discard_new_per_subject":true"#),
        ("L6", r#""max_bytes":130"#),
        ("L7", r#""max_bytes":130,"discard":"new""#),
        ("L8", r#""max_msg_size":5"#),
        ("L9", r#""first_seq":100"#),
    ];
    for (name, limit) in streams {
        let body = format!(r#"{{"name":"{name}","subjects":["{name}.*"],{limit}}}"#);
        a.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &body).await;
        for number in 0..5 {
            a.ask(&format!("{name}.{}", number % 2), &format!("body {number}")).await;
        }
        a.ask(&format!("{name}.2"), "tiny").await;
        a.ask(&format!("$JS.API.STREAM.INFO.{name}"), r#"{"subjects_filter":">","deleted_details":true}"#)
            .await;
        a.ask(&format!("$JS.API.STREAM.MSG.GET.{name}"), &format!(r#"{{"last_by_subj":"{name}.*"}}"#)).await;
    }
    let body = r#"{"name":"L3","subjects":["L3.*"],"max_msgs_per_subject":1,"max_msgs":2}"#;
    a.ask("$JS.API.STREAM.UPDATE.L3", body).await;
    a.ask("$JS.API.STREAM.INFO.L3", r#"{"subjects_filter":">"}"#).await;
    a.ask("$JS.API.STREAM.CREATE.AGE", r#"{"name":"AGE","subjects":["age"],"max_age":300000000}"#).await;
    a.ask("age", "soon gone").await;
    a.quiet(700).await;
    a.ask("$JS.API.STREAM.INFO.AGE", "").await;
    a.ask("$JS.API.STREAM.CREATE.ONE", r#"{"name":"ONE","subjects":["one"],"max_consumers":1}"#).await;
    create(a, "ONE", "a", r#""ack_policy":"explicit""#).await;
    create(a, "ONE", "b", r#""ack_policy":"explicit""#).await;
    let body = r#"{"name":"ONE","subjects":["one"],"max_consumers":1,"sealed":true}"#;
    a.ask("one", "x").await;
    a.ask("$JS.API.STREAM.UPDATE.ONE", body).await;
    a.ask("one", "x").await;
    a.ask("$JS.API.STREAM.PURGE.ONE", "").await;
    a.ask("$JS.API.STREAM.MSG.DELETE.ONE", r#"{"seq":1}"#).await;
    let limited = r#"{"name":"CL","subjects":["cl"],"consumer_limits":{"max_ack_pending":5,"inactive_threshold":60000000000}}"#;
    a.ask("$JS.API.STREAM.CREATE.CL", limited).await;
    create(a, "CL", "a", r#""ack_policy":"explicit""#).await;
    create(a, "CL", "b", r#""ack_policy":"explicit","max_ack_pending":6"#).await;
}

async fn headers(a: &mut Client) {
    a.ask("$JS.API.STREAM.CREATE.H", r#"{"name":"H","subjects":["h.*"],"allow_direct":true}"#).await;
    let rows: [(&str, &[(&str, &str)]); 22] = [
        ("h.a", &[("A", "b")]),
        ("h.a", &[("Nats-Msg-Id", "m1")]),
        ("h.a", &[("Nats-Msg-Id", "m1")]),
        ("h.b", &[("Nats-Msg-Id", "m1")]),
        ("h.a", &[("Nats-Expected-Last-Msg-Id", "m1")]),
        ("h.a", &[("Nats-Expected-Last-Msg-Id", "m1")]),
        ("h.a", &[("Nats-Expected-Last-Msg-Id", "zzz")]),
        ("h.a", &[("Nats-Expected-Last-Sequence", "1")]),
        ("h.a", &[("Nats-Expected-Last-Sequence", "3")]),
        ("h.a", &[("Nats-Expected-Last-Sequence", "x")]),
        ("h.a", &[("Nats-Expected-Last-Subject-Sequence", "1")]),
        ("h.a", &[("Nats-Expected-Last-Subject-Sequence", "5")]),
        ("h.new", &[("Nats-Expected-Last-Subject-Sequence", "0")]),
        ("h.new", &[("Nats-Expected-Last-Subject-Sequence", "0")]),
        ("h.a", &[("Nats-Expected-Last-Subject-Sequence-Subject", "h.new")]),
        (
            "h.a",
            &[
                ("Nats-Expected-Last-Subject-Sequence", "7"),
                ("Nats-Expected-Last-Subject-Sequence-Subject", "h.new"),
            ],
        ),
        ("h.a", &[("Nats-Expected-Stream", "OTHER")]),
        ("h.a", &[("Nats-Expected-Stream", "H")]),
        ("h.a", &[("Nats-Rollup", "sub")]),
        ("h.a", &[("Nats-TTL", "1s")]),
        ("h.a", &[("nats-msg-id", "m1")]),
        ("h.a", &[("Nats-Msg-Id", ""), ("B", "two words")]),
    ];
    for (subject, headers) in rows {
        a.ask_with(subject, headers, "body").await;
    }
    a.ask("$JS.API.STREAM.MSG.GET.H", r#"{"seq":1}"#).await;
    a.ask("$JS.API.STREAM.MSG.GET.H", r#"{"seq":1,"no_hdr":true}"#).await;
    a.ask("$JS.API.DIRECT.GET.H", r#"{"seq":2}"#).await;
    a.ask("$JS.API.STREAM.INFO.H", r#"{"subjects_filter":">"}"#).await;
    a.ask("$JS.API.STREAM.CREATE.R", r#"{"name":"R","subjects":["r.*"],"allow_rollup_hdrs":true}"#).await;
    for number in 0..6 {
        a.ask(&format!("r.{}", number % 2), &number.to_string()).await;
    }
    a.ask_with("r.0", &[("Nats-Rollup", "zzz")], "").await;
    a.ask_with("r.0", &[("Nats-Rollup", "sub")], "rolled up").await;
    a.ask("$JS.API.STREAM.INFO.R", r#"{"subjects_filter":">"}"#).await;
    a.ask_with("r.1", &[("Nats-Rollup", "all")], "all rolled up").await;
    a.ask("$JS.API.STREAM.INFO.R", r#"{"subjects_filter":">"}"#).await;
    a.ask("r.1", "after").await;
    a.subscribe("120", "d.h", "").await;
    create(a, "H", "h", r#""ack_policy":"none","deliver_subject":"d.h""#).await;
    a.expect(4).await;
    a.forget().await;
    a.unsubscribe("120", "").await;
    a.ask("$JS.API.STREAM.DELETE.H", "").await;
}

async fn times_to_live(a: &mut Client) {
    let stream = r#"{"name":"TTL","subjects":["ttl.*"],"allow_msg_ttl":true,"allow_direct":true,"allow_rollup_hdrs":true}"#;
    a.ask("$JS.API.STREAM.CREATE.TTL", stream).await;
    a.ask("$JS.API.STREAM.CREATE.TTL", r#"{"name":"TTL","subjects":["ttl.*"]}"#).await;
    for ttl in ["0", "-1", "abc", "999ms", "-5s", ""] {
        a.ask_with("ttl.refused", &[("Nats-TTL", ttl)], "body").await;
    }
    let lives = ["1", "1s", "1.5s", "1m", "3600"];
    for (number, ttl) in lives.iter().enumerate() {
        a.ask_with(&format!("ttl.{number}"), &[("Nats-TTL", ttl)], "body").await;
    }
    a.ask("ttl.5", "for ever").await;
    a.ask_with("ttl.3", &[("Nats-TTL", "1"), ("Nats-Rollup", "sub")], "rolled up").await;
    a.ask("$JS.API.STREAM.MSG.GET.TTL", r#"{"last_by_subj":"ttl.3"}"#).await;
    a.ask("$JS.API.DIRECT.GET.TTL.ttl.4", "").await;
    a.ask("$JS.API.STREAM.INFO.TTL", r#"{"subjects_filter":">"}"#).await;
    // nats-server looks for what has ended now and then.
    a.quiet(4_000).await;
    a.ask("$JS.API.STREAM.INFO.TTL", r#"{"subjects_filter":">","deleted_details":true}"#).await;
    a.ask("$JS.API.STREAM.MSG.GET.TTL", r#"{"last_by_subj":"ttl.1"}"#).await;
    a.ask("$JS.API.STREAM.UPDATE.TTL", r#"{"name":"TTL","subjects":["ttl.*"]}"#).await;
    a.ask("$JS.API.STREAM.UPDATE.TTL", &stream.replace("ttl.*", "ttl.>")).await;
    a.ask("$JS.API.STREAM.CREATE.LATE", r#"{"name":"LATE","subjects":["late"]}"#).await;
    a.ask_with("late", &[("Nats-TTL", "1")], "body").await;
    a.ask("$JS.API.STREAM.UPDATE.LATE", r#"{"name":"LATE","subjects":["late"],"allow_msg_ttl":true}"#).await;
    a.ask_with("late", &[("Nats-TTL", "60")], "body").await;
    for name in ["TTL", "LATE"] {
        a.ask(&format!("$JS.API.STREAM.DELETE.{name}"), "").await;
    }
}

async fn deletion(a: &mut Client) {
    let stream = r#"{"name":"DEL","subjects":["del.>"]}"#;
    a.ask("$JS.API.STREAM.CREATE.DEL", stream).await;
    for number in 1..=12 {
        a.ask(&format!("del.{}.{}", number % 3, number % 2), &number.to_string()).await;
    }
    a.subscribe("130", "d.del", "").await;
    create(a, "DEL", "c", r#""ack_policy":"explicit","deliver_subject":"d.del","max_ack_pending":4"#).await;
    let acks = a.expect(4).await;
    let delete = "$JS.API.STREAM.MSG.DELETE.DEL";
    for body in ["", "{}", "{bad", r#"{"seq":99}"#, r#"{"seq":1}"#, r#"{"seq":1}"#, r#"{"seq":10}"#] {
        a.ask(delete, body).await;
        if body.contains("10") || body.contains(":1}") {
            a.quiet(60).await;
            info(a, "DEL", "c").await;
        }
    }
    a.ask("$JS.API.STREAM.MSG.DELETE.NOPE", r#"{"seq":1}"#).await;
    a.ask("$JS.API.STREAM.INFO.DEL", r#"{"deleted_details":true}"#).await;
    a.ask(&acks[1], "+ACK").await;
    a.quiet(60).await;
    // A purge with a filter frees what was delivered and purged at once here, and after its ack_wait on nats-server.
    a.ask("$JS.API.CONSUMER.DELETE.DEL.c", "").await;
    let purge = "$JS.API.STREAM.PURGE.DEL";
    a.ask(purge, "{bad").await;
    a.ask(purge, r#"{"seq":4,"keep":1}"#).await;
    a.ask(purge, r#"{"foo":4}"#).await;
    a.ask("$JS.API.STREAM.PURGE.NOPE", "").await;
    for body in [
        r#"{"filter":"none"}"#,
        r#"{"filter":"del.0.*"}"#,
        r#"{"seq":4}"#,
        r#"{"keep":3}"#,
        r#"{"filter":"del.1.*","keep":1}"#,
    ] {
        a.ask(purge, body).await;
        a.ask("$JS.API.STREAM.INFO.DEL", r#"{"subjects_filter":">","deleted_details":true}"#).await;
    }
    a.ask("$JS.API.STREAM.MSG.GET.DEL", r#"{"last_by_subj":"del.1.*"}"#).await;
    create(a, "DEL", "c", r#""ack_policy":"explicit","deliver_subject":"d.del","max_ack_pending":1"#).await;
    a.expect(1).await;
    a.ask(purge, "").await;
    a.ask("$JS.API.STREAM.INFO.DEL", "").await;
    a.quiet(60).await;
    info(a, "DEL", "c").await;
    a.ask("$JS.API.STREAM.MSG.GET.DEL", r#"{"last_by_subj":"del.1.*"}"#).await;
    a.ask("del.1.1", "after the purge").await;
    a.expect(1).await;
    info(a, "DEL", "c").await;
    a.ask(
        "$JS.API.STREAM.UPDATE.DEL",
        r#"{"name":"DEL","subjects":["del.>"],"deny_purge":true,"deny_delete":true}"#,
    )
    .await;
    a.ask(purge, "").await;
    a.ask(delete, r#"{"seq":13}"#).await;
    a.ask("$JS.API.STREAM.DELETE.DEL", "").await;
    a.ask("del.1.1", "nobody takes it").await;
    info(a, "DEL", "c").await;
    a.unsubscribe("130", "").await;
}
