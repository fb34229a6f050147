//! The script: what is done to both servers.

use serde_json::json;

use crate::client::Client;

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
    limits(&mut client).await;
    headers(&mut client).await;
    deletion(&mut client).await;
    drop(client);
    let log = log.lock().unwrap();
    log.clone()
}

async fn core_messages(a: &mut Client) {
    a.subscribe("10", "t.a", "").await;
    a.subscribe("11", "t.*", "").await;
    a.subscribe("12", "t.>", "").await;
    a.subscribe("13", "*.b.*", "").await;
    for subject in ["t", "t.a", "t.b", "t.b.c", "x.b.c", "t.a.b.c"] {
        a.publish(subject, "hello").await;
        a.quiet_sorted().await;
    }
    a.unsubscribe("12", "").await;
    a.publish("t.a", "two are left").await;
    a.quiet_sorted().await;
    a.unsubscribe("10", "1").await;
    a.publish("t.a", "the limit is past").await;
    a.quiet_sorted().await;
    a.subscribe("14", "limited", "").await;
    a.unsubscribe("14", "2").await;
    for number in 0..4 {
        a.publish("limited", &number.to_string()).await;
    }
    a.expect(2).await;
    a.publish_to("t.b", "answer.here", "with a reply").await;
    a.expect(1).await;
    a.ask("nobody.there", "hello?").await;
    a.raw("PUB no.reply 2\r\nhi\r\n").await;
    a.raw("PUB t.b nobody.here 2\r\nhi\r\n").await;

    let mut b = a.another("b").await;
    b.subscribe("20", "work", "q").await;
    a.subscribe("15", "work", "q").await;
    a.subscribe("16", "work", "other").await;
    for number in 0..3 {
        a.publish("work", &number.to_string()).await;
    }
    // Which member of a group gets a message is the server's choice; the other group's only member gets all.
    a.drain_only("16", 3).await;
    a.unsubscribe("15", "").await;
    a.unsubscribe("16", "").await;
    b.sync().await;
    b.forget().await;
    a.publish("work", "only b is left").await;
    b.expect(1).await;
    b.publish("t.b", "from b").await;
    a.expect(1).await;

    let mut quiet = a.another_with("c", r#"{"verbose":false,"echo":false,"headers":false}"#).await;
    quiet.subscribe("30", "t.*", "").await;
    quiet.publish("t.b", "no echo").await;
    a.expect(1).await;
    a.raw("HPUB t.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").await;
    quiet.expect(1).await;
    quiet.raw("HPUB t.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").await;
    a.forget().await;
    let mut loud =
        a.another_with("d", r#"{"verbose":true,"pedantic":true,"headers":true,"no_responders":true}"#).await;
    loud.raw("SUB a.b 40\r\nPUB a.b 2\r\nhi\r\nUNSUB 40\r\nUNSUB 41\r\n").await;
    for sid in ["11", "13"] {
        a.unsubscribe(sid, "").await;
    }
}

async fn protocol_errors(a: &mut Client) {
    for text in [
        "FOO\r\n",
        "PUB\r\n",
        "PUB a b c d\r\n",
        "SUB a\r\n",
        "PUB a 99999999\r\n",
        "UNSUB\r\n",
        "CONNECT {\r\n",
        "PUB a 2\r\nhix\r\n",
        "HPUB a 5 4\r\n",
        "HPUB a 2 4\r\nhiho\r\n",
        "PUB a -1\r\n",
        "PUB a x\r\n",
        "SUB a b c d\r\n",
    ] {
        let mut client = a.another("bad").await;
        client.raw(text).await;
    }
    let mut client = a.another("bad").await;
    client.raw(&format!("PUB {} 2\r\n", "a".repeat(5000))).await;
    for text in ["SUB a..b 50\r\n", "SUB .a 51\r\n", "SUB a. 52\r\n", "SUB a.>.b 53\r\n", "SUB foo* 54\r\n"] {
        a.raw(text).await;
    }
    for text in
        ["sub lower 55\r\n", "PUB  lower   2\r\nhi\r\n", "unsub 55\r\n", "PUB a..b 2\r\nhi\r\n", "PING\r\n"]
    {
        a.raw(text).await;
    }
    a.ask("bad..subject", "").await;
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

async fn create(a: &mut Client, stream: &str, name: &str, config: &str) {
    let body = format!(r#"{{"stream_name":"{stream}","config":{{"durable_name":"{name}",{config}}}}}"#);
    a.ask(&format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"), &body).await;
}

async fn info(a: &mut Client, stream: &str, name: &str) {
    a.settle().await;
    a.ask(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), "").await;
}

async fn bad_consumers(a: &mut Client) {
    let configs = [
        r#""ack_policy":"zzz""#,
        r#""deliver_policy":"zzz""#,
        r#""replay_policy":"zzz""#,
        r#""ack_wait":"1s""#,
        r#""ack_wait":-1"#,
        r#""backoff":[-1]"#,
        r#""foo":1"#,
        r#""ack_policy":"explicit","backoff":[1000000,2000000],"max_deliver":1"#,
        r#""deliver_subject":"d.*""#,
        r#""deliver_subject":"d..x""#,
        r#""deliver_subject":"log.posts.1.2.3""#,
        r#""deliver_subject":"d","max_waiting":10"#,
        r#""deliver_subject":"d","max_ack_pending":10"#,
        r#""deliver_subject":"d","idle_heartbeat":1000"#,
        r#""deliver_subject":"d","flow_control":true"#,
        r#""idle_heartbeat":1000000000"#,
        r#""flow_control":true"#,
        r#""max_expires":10"#,
        r#""filter_subject":"a","filter_subjects":["b"]"#,
        r#""filter_subject":"a..b""#,
        r#""filter_subjects":[""]"#,
        r#""filter_subjects":["a.*","a.b"]"#,
        r#""filter_subjects":["a b"]"#,
        r#""opt_start_seq":5"#,
        r#""opt_start_time":"2001-01-01T00:00:00Z""#,
        r#""deliver_policy":"last","opt_start_seq":5"#,
        r#""deliver_policy":"new","opt_start_seq":5"#,
        r#""deliver_policy":"last_per_subject""#,
        r#""deliver_policy":"by_start_sequence""#,
        r#""deliver_policy":"by_start_time""#,
        r#""deliver_policy":"by_start_time","opt_start_time":"yesterday""#,
        r#""num_replicas":3"#,
        r#""num_replicas":-1"#,
        r#""name":"other""#,
    ];
    for config in configs {
        create(a, "LOG_posts", "bad", config).await;
    }
    create(a, "NOPE", "x", r#""ack_policy":"explicit""#).await;
    create(a, "LOG_posts", "a/b", r#""ack_policy":"explicit""#).await;
    let subject = "$JS.API.CONSUMER.CREATE.LOG_posts.x";
    for body in [
        "",
        "{bad",
        "{}",
        r#"{"stream_name":"OTHER"}"#,
        r#"{"stream_name":"LOG_posts","config":{"durable_name":"y"}}"#,
        r#"{"stream_name":"LOG_posts","config":{"durable_name":"x"},"action":"zzz"}"#,
        r#"{"stream_name":"LOG_posts","config":{"durable_name":"x"},"action":"update"}"#,
        r#"{"stream_name":"LOG_posts","config":5}"#,
        r#"{"stream_name":"LOG_posts","foo":5}"#,
    ] {
        a.ask(subject, body).await;
    }
    let durable = "$JS.API.CONSUMER.DURABLE.CREATE.LOG_posts.x";
    a.ask(durable, r#"{"stream_name":"LOG_posts","config":{}}"#).await;
    a.ask(durable, r#"{"stream_name":"LOG_posts","config":{"durable_name":"y"}}"#).await;
    let filtered = "$JS.API.CONSUMER.CREATE.LOG_posts.x.log.posts.0.*.*";
    a.ask(filtered, r#"{"stream_name":"LOG_posts","config":{"filter_subject":"log.posts.1.*.*"}}"#).await;
    a.ask(filtered, r#"{"stream_name":"LOG_posts","config":{"filter_subjects":["a"]}}"#).await;
    a.ask(
        "$JS.API.CONSUMER.CREATE.LOG_posts",
        r#"{"stream_name":"LOG_posts","config":{"durable_name":"x"}}"#,
    )
    .await;
    info(a, "LOG_posts", "nope").await;
    info(a, "NOPE", "nope").await;
    a.ask("$JS.API.CONSUMER.DELETE.LOG_posts.nope", "").await;
    a.ask("$JS.API.CONSUMER.DELETE.NOPE.nope", "").await;
    a.ask("$JS.API.CONSUMER.NAMES.LOG_posts", "").await;
    a.ask("$JS.API.CONSUMER.NAMES.NOPE", "").await;
    a.ask("$JS.API.CONSUMER.LIST.LOG_posts", "").await;
    a.ask("$JS.API.CONSUMER.LIST.NOPE", "").await;
    a.ask("$JS.API.CONSUMER.MSG.NEXT.LOG_posts.nope", "").await;
}

/// The way of a service's own consumer: one partition, one message at a time.
async fn push(a: &mut Client) {
    let config = r#""deliver_subject":"deliver.me","deliver_group":"me","ack_policy":"explicit","max_ack_pending":1,
        "filter_subject":"log.posts.0.*.*""#;
    create(a, "LOG_posts", "me-0", config).await;
    create(a, "LOG_posts", "me-0", config).await;
    create(a, "LOG_posts", "me-0", &format!("{config},\"ack_wait\":20000000000")).await;
    create(a, "LOG_posts", "me-0", &format!("{config},\"deliver_policy\":\"new\"")).await;
    create(a, "LOG_posts", "me-0", r#""ack_policy":"explicit""#).await;
    let again = format!(
        r#"{{"stream_name":"LOG_posts","config":{{"durable_name":"me-0",{config}}},"action":"create"}}"#
    );
    a.ask("$JS.API.CONSUMER.CREATE.LOG_posts.me-0", &again).await;
    info(a, "LOG_posts", "me-0").await;
    a.subscribe("70", "deliver.*", "").await;
    a.quiet(100).await;
    a.unsubscribe("70", "").await;
    a.subscribe("71", "deliver.me", "me").await;
    for _ in 0..12 {
        let acks = a.expect(1).await;
        a.publish_to(&acks[0], "acked", "+ACK").await;
    }
    a.quiet(50).await;
    info(a, "LOG_posts", "me-0").await;
    a.ask("log.posts.0.live.1", "live").await;
    a.ask("log.posts.5.other.1", "another partition").await;
    a.ask("log.posts.0.live.2", "live").await;
    let acks = a.expect(1).await;
    info(a, "LOG_posts", "me-0").await;
    a.ask(&acks[0], "+ACK").await;
    let acks = a.expect(1).await;
    a.ask(&acks[0], "").await;
    a.ask(&acks[0], "+ACK").await;
    info(a, "LOG_posts", "me-0").await;
    a.unsubscribe("71", "").await;
    a.ask("log.posts.0.live.3", "nobody listens").await;
    info(a, "LOG_posts", "me-0").await;
    a.subscribe("72", "deliver.me", "me").await;
    a.expect(1).await;
    a.ask("$JS.API.CONSUMER.DELETE.LOG_posts.me-0", "{\"a\":1}").await;
    a.ask("$JS.API.CONSUMER.DELETE.LOG_posts.me-0", "").await;
    a.ask("$JS.API.CONSUMER.DELETE.LOG_posts.me-0", "").await;
    a.unsubscribe("72", "").await;
}

async fn redelivery(a: &mut Client) {
    a.ask("$JS.API.STREAM.CREATE.WORK", r#"{"name":"WORK","subjects":["work.>"]}"#).await;
    a.subscribe("80", "d.work", "").await;
    create(
        a,
        "WORK",
        "w",
        r#""deliver_subject":"d.work","ack_policy":"explicit","ack_wait":300000000,"max_deliver":3,"max_ack_pending":5"#,
    )
    .await;
    a.ask("work.a", "one").await;
    let first = a.expect(1).await;
    a.publish(&first[0], "-NAK").await;
    let second = a.expect(1).await;
    a.publish(&second[0], r#"-NAK {"delay": 200000000}"#).await;
    info(a, "WORK", "w").await;
    let third = a.expect(1).await;
    a.publish(&third[0], "+WPI").await;
    info(a, "WORK", "w").await;
    a.quiet(700).await;
    info(a, "WORK", "w").await;

    a.ask("work.b", "not acknowledged in time").await;
    a.expect(2).await;
    let last = a.expect(1).await;
    a.ask(&last[0], "+ACK").await;
    info(a, "WORK", "w").await;
    a.ask("work.c", "never").await;
    let ack = a.expect(1).await;
    a.ask(&ack[0], "+TERM no use").await;
    info(a, "WORK", "w").await;
    a.quiet(400).await;

    let mut acks = Vec::new();
    for number in 0..5 {
        a.ask(&format!("work.many.{number}"), "x").await;
        acks.extend(a.expect(1).await);
    }
    a.ask("work.many.5", "x").await;
    a.ask("work.many.6", "x").await;
    info(a, "WORK", "w").await;
    let mut more = Vec::new();
    for position in [2, 0] {
        a.ask(&acks[position], "+ACK").await;
        more.extend(a.expect(1).await);
        info(a, "WORK", "w").await;
    }
    for ack in [&acks[1], &acks[4], &acks[3], &more[0], &more[1]] {
        a.ask(ack, "+ACK").await;
        info(a, "WORK", "w").await;
    }
    a.ask(&more[1], "-NAK").await;
    a.ask(&more[1], "+WHAT").await;
    a.publish_to("$JS.ACK.WORK.w.1.99.99.1.0", "nowhere", "+ACK").await;
    a.ask("$JS.ACK.WORK.nope.1.1.1.1.0", "+ACK").await;
    a.ask("$JS.ACK.nonsense", "+ACK").await;
    info(a, "WORK", "w").await;
    a.unsubscribe("80", "").await;
    a.ask("$JS.API.CONSUMER.DELETE.WORK.w", "").await;

    a.subscribe("81", "d.backoff", "").await;
    let config = r#""deliver_subject":"d.backoff","ack_policy":"explicit","backoff":[100000000,250000000],"max_deliver":4,
        "deliver_policy":"new""#;
    create(a, "WORK", "b", config).await;
    a.ask("work.backoff", "x").await;
    a.expect(4).await;
    a.quiet(600).await;
    info(a, "WORK", "b").await;
    a.unsubscribe("81", "").await;
    a.ask("$JS.API.CONSUMER.DELETE.WORK.b", "").await;
}

async fn queue_of_two(a: &mut Client) {
    create(
        a,
        "WORK",
        "team",
        r#""deliver_subject":"d.team","deliver_group":"team","ack_policy":"explicit","deliver_policy":"new""#,
    )
    .await;
    a.subscribe("90", "d.team", "").await;
    a.ask("work.team", "for members only").await;
    a.quiet(100).await;
    info(a, "WORK", "team").await;
    a.unsubscribe("90", "").await;
    a.subscribe("91", "d.team", "team").await;
    let ack = a.expect(1).await;
    a.ask(&ack[0], "+ACK").await;
    info(a, "WORK", "team").await;
    a.unsubscribe("91", "").await;
    a.ask("$JS.API.CONSUMER.DELETE.WORK.team", "").await;
}

async fn pull(a: &mut Client) {
    a.ask("$JS.API.STREAM.CREATE.PULL", r#"{"name":"PULL","subjects":["pull.*"]}"#).await;
    create(
        a,
        "PULL",
        "p",
        r#""ack_policy":"explicit","max_batch":10,"max_expires":5000000000,"max_bytes":100000"#,
    )
    .await;
    let next = "$JS.API.CONSUMER.MSG.NEXT.PULL.p";
    a.ask(next, r#"{"batch":1,"no_wait":true}"#).await;
    a.ask(next, r#"{"batch":11}"#).await;
    a.ask(next, r#"{"batch":1,"expires":6000000000}"#).await;
    a.ask(next, r#"{"batch":1,"max_bytes":100001}"#).await;
    a.ask(next, r#"{"batch":1,"expires":1000000000,"idle_heartbeat":900000000}"#).await;
    a.ask(next, r#"{"batch":1,"expires":100000000}"#).await;
    a.ask(next, r#"{"batch":1,"expires":100000000,"no_wait":true}"#).await;
    info(a, "PULL", "p").await;
    for number in 0..9 {
        a.ask(&format!("pull.{number}"), &format!("message {number}")).await;
    }
    info(a, "PULL", "p").await;
    a.ask(next, "").await;
    a.ask(next, "1").await;
    a.subscribe("100", "my.inbox", "").await;
    a.publish_to(next, "my.inbox", r#"{"batch":3,"no_wait":true}"#).await;
    let acks = a.expect(3).await;
    for ack in &acks {
        a.ask(ack, "+ACK").await;
    }
    a.publish_to(next, "my.inbox", r#"{"batch":9,"no_wait":true}"#).await;
    let rest = a.expect(5).await;
    info(a, "PULL", "p").await;
    for ack in rest.iter().filter(|ack| ack.starts_with("$JS")) {
        a.ask(ack, "+ACK").await;
    }
    a.quiet(50).await;
    a.publish_to(next, "my.inbox", r#"{"batch":2,"expires":400000000}"#).await;
    info(a, "PULL", "p").await;
    a.ask("pull.late", "late").await;
    let late = a.expect(2).await;
    a.publish_to(&late[0], "my.inbox", "+NXT").await;
    a.ask("pull.next", "next").await;
    let ack = a.expect(1).await;
    a.publish_to(&ack[0], "my.inbox", r#"+NXT {"batch":1,"expires":200000000}"#).await;
    a.expect(1).await;
    a.publish_to(next, "my.inbox", r#"{"batch":1,"expires":400000000,"idle_heartbeat":150000000}"#).await;
    a.expect(3).await;
    a.quiet(50).await;
    info(a, "PULL", "p").await;
    for number in 0..4 {
        a.ask(&format!("pull.{number}"), &"x".repeat(100)).await;
    }
    a.publish_to(next, "my.inbox", r#"{"batch":5,"max_bytes":50,"no_wait":true}"#).await;
    a.expect(1).await;
    info(a, "PULL", "p").await;
    a.publish_to(next, "my.inbox", r#"{"batch":5,"max_bytes":250,"no_wait":true}"#).await;
    a.expect(2).await;
    info(a, "PULL", "p").await;
    a.publish_to(next, "my.inbox", r#"{"batch":1,"no_wait":true}"#).await;
    a.expect(1).await;
    a.publish_to(next, "my.inbox", r#"{"batch":10,"expires":5000000000}"#).await;
    a.expect(2).await;
    a.ask("$JS.API.CONSUMER.DELETE.PULL.p", "").await;
    a.expect(1).await;
    create(a, "PULL", "narrow", r#""ack_policy":"explicit","max_waiting":1,"deliver_policy":"new""#).await;
    let narrow = "$JS.API.CONSUMER.MSG.NEXT.PULL.narrow";
    a.publish_to(narrow, "my.inbox", r#"{"batch":1,"expires":500000000}"#).await;
    a.ask(narrow, r#"{"batch":1,"expires":500000000}"#).await;
    a.expect(1).await;
    create(a, "PULL", "push", r#""ack_policy":"explicit","deliver_subject":"d.push""#).await;
    a.ask("$JS.API.CONSUMER.MSG.NEXT.PULL.push", "").await;
    a.unsubscribe("100", "").await;
    a.ask("$JS.API.STREAM.DELETE.PULL", "").await;
}

async fn policies(a: &mut Client) {
    a.ask("$JS.API.STREAM.CREATE.POL", r#"{"name":"POL","subjects":["pol.>"]}"#).await;
    for round in 0..3 {
        for subject in ["pol.a.x", "pol.b.x", "pol.b.y"] {
            a.ask(subject, &format!("round {round}")).await;
        }
    }
    a.ask("$JS.API.STREAM.MSG.DELETE.POL", r#"{"seq":5}"#).await;
    let policies = [
        r#""deliver_policy":"all""#,
        r#""deliver_policy":"last""#,
        r#""deliver_policy":"last","filter_subject":"pol.a.*""#,
        r#""deliver_policy":"new""#,
        r#""deliver_policy":"by_start_sequence","opt_start_seq":4"#,
        r#""deliver_policy":"by_start_sequence","opt_start_seq":5"#,
        r#""deliver_policy":"by_start_time","opt_start_time":"2001-01-01T00:00:00Z""#,
        r#""deliver_policy":"last_per_subject","filter_subject":"pol.>""#,
        r#""deliver_policy":"last_per_subject","filter_subject":"pol.b.*""#,
        r#""filter_subject":"pol.b.y""#,
        r#""filter_subject":"pol.*.x""#,
        r#""filter_subjects":["pol.a.x","pol.b.y"]"#,
        r#""filter_subject":"elsewhere""#,
        r#""headers_only":true,"filter_subject":"pol.a.x""#,
        r#""ack_policy":"all""#,
    ];
    for (number, policy) in policies.into_iter().enumerate() {
        let (name, deliver) = (format!("pol{number}"), format!("d.pol{number}"));
        let ack = if policy.contains("ack_policy") { "" } else { r#""ack_policy":"none","# };
        create(a, "POL", &name, &format!(r#"{ack}{policy},"deliver_subject":"{deliver}""#)).await;
        a.subscribe("110", &deliver, "").await;
        a.quiet(60).await;
        info(a, "POL", &name).await;
        a.unsubscribe("110", "").await;
    }
    a.subscribe("111", "d.all", "").await;
    create(a, "POL", "acks", r#""ack_policy":"all","deliver_subject":"d.all""#).await;
    let acks = a.expect(8).await;
    info(a, "POL", "acks").await;
    a.ask(&acks[3], "+ACK").await;
    info(a, "POL", "acks").await;
    a.ask(&acks[1], "+ACK").await;
    a.ask(&acks[7], "+ACK").await;
    info(a, "POL", "acks").await;
    a.unsubscribe("111", "").await;
    a.subscribe("112", "d.beat", "").await;
    let beat = r#""ack_policy":"none","deliver_policy":"last","deliver_subject":"d.beat","idle_heartbeat":200000000"#;
    create(a, "POL", "beat", beat).await;
    a.expect(3).await;
    a.unsubscribe("112", "").await;
    a.ask("$JS.API.CONSUMER.NAMES.POL", "").await;
    a.ask("$JS.API.CONSUMER.NAMES.POL", r#"{"offset":5}"#).await;
    a.ask("$JS.API.CONSUMER.LIST.POL", r#"{"offset":14}"#).await;
    a.ask("$JS.API.STREAM.INFO.POL", "").await;
    a.ask("$JS.API.STREAM.DELETE.POL", "").await;
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
