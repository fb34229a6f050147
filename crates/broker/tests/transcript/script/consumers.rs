//! Consumers: refused, pushed to, pulling, acknowledging, starting where they are told to.

use crate::client::Client;

pub async fn create(a: &mut Client, stream: &str, name: &str, config: &str) {
    let body = format!(r#"{{"stream_name":"{stream}","config":{{"durable_name":"{name}",{config}}}}}"#);
    a.ask(&format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"), &body).await;
}

pub async fn info(a: &mut Client, stream: &str, name: &str) {
    a.settle().await;
    a.ask(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), "").await;
}

pub async fn bad_consumers(a: &mut Client) {
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
pub async fn push(a: &mut Client) {
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

pub async fn redelivery(a: &mut Client) {
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
    a.ask("$JS.API.CONSUMER.DELETE.WORK.w", "").await;

    // From here on nothing comes again by itself, however slow this machine is.
    create(
        a,
        "WORK",
        "w",
        r#""deliver_subject":"d.work","deliver_policy":"new","ack_policy":"explicit","ack_wait":60000000000,"max_deliver":3,"max_ack_pending":5"#,
    )
    .await;
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

pub async fn queue_of_two(a: &mut Client) {
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

pub async fn pull(a: &mut Client) {
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
    // Two beats, and 350 ms to be late with them on a machine that is busy: the third would come after the end.
    a.publish_to(next, "my.inbox", r#"{"batch":1,"expires":1150000000,"idle_heartbeat":400000000}"#).await;
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

pub async fn policies(a: &mut Client) {
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

pub async fn resets(a: &mut Client) {
    a.ask("$JS.API.STREAM.CREATE.RESET", r#"{"name":"RESET","subjects":["reset.>"]}"#).await;
    for number in 1..=6 {
        a.ask(&format!("reset.{}", ["a", "b"][number % 2]), &format!("{number}")).await;
    }
    let one_at_a_time = r#""ack_policy":"explicit","max_ack_pending":1,"ack_wait":30000000000"#;
    let of_b = r#""filter_subject":"reset.b","deliver_subject":"d.reset""#;
    a.subscribe("120", "d.reset", "").await;
    create(a, "RESET", "push", &format!("{one_at_a_time},{of_b}")).await;
    let reset = "$JS.API.CONSUMER.RESET.RESET.push";
    let acks = a.expect(1).await;
    // Forth past messages, back, to what comes next, and beyond the end; what was under way is not waited for.
    for (body, messages) in [(r#"{"seq":4}"#, 1), (r#"{"seq":1}"#, 1), ("", 1), (r#"{"seq":7}"#, 0)] {
        a.ask(reset, body).await;
        a.expect(messages).await;
        info(a, "RESET", "push").await;
    }
    // An acknowledgement of before changes nothing.
    a.ask(reset, r#"{"seq":2}"#).await;
    let now = a.expect(1).await;
    a.publish(&acks[0], "+ACK").await;
    a.publish(&acks[0], r#"-NAK {"delay":1}"#).await;
    a.quiet(50).await;
    info(a, "RESET", "push").await;
    a.publish(&now[0], "+ACK").await;
    a.expect(1).await;
    info(a, "RESET", "push").await;
    // At the end it waits for what comes.
    a.ask(reset, r#"{"seq":7}"#).await;
    a.ask("reset.b", "7").await;
    a.expect(1).await;
    info(a, "RESET", "push").await;
    for body in ["[]", r#"{"seq":"1"}"#, r#"{"seq":1,"more":2}"#] {
        a.ask(reset, body).await;
    }
    a.expect(1).await;
    a.ask_with(reset, &[("Nats-Required-Api-Level", "99")], r#"{"seq":1}"#).await;
    a.ask("$JS.API.CONSUMER.RESET.RESET.missing", r#"{"seq":1}"#).await;
    a.unsubscribe("120", "").await;
    let policies = [
        r#""deliver_policy":"by_start_sequence","opt_start_seq":3"#,
        r#""deliver_policy":"by_start_time","opt_start_time":"2001-01-01T00:00:00Z""#,
        r#""deliver_policy":"new""#,
        r#""deliver_policy":"last""#,
        r#""deliver_policy":"last_per_subject","filter_subject":"reset.>""#,
    ];
    for (number, policy) in policies.into_iter().enumerate() {
        let name = format!("p{number}");
        create(a, "RESET", &name, &format!("{one_at_a_time},{policy}")).await;
        for body in [r#"{"seq":2}"#, r#"{"seq":5}"#, ""] {
            a.ask(&format!("$JS.API.CONSUMER.RESET.RESET.{name}"), body).await;
        }
    }
    a.ask("$JS.API.STREAM.DELETE.RESET", "").await;
}
