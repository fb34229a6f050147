//! What a service could do to others with what it may do, on a real nats-server: with the bodies of its requests, and with
//! the subjects on which it wants the answers. Each attempt is that of somebody who has the credentials of a service.

use crate::common::{Client, Server};
use serde_json::{Value, json};

/// How requests of services to JetStream begin.
const JETSTREAM: &str = "trellis.jetstream";

/// The credentials of a service's bucket.
const BUCKET: &str = "posts-bucket";

/// Where posts may say nothing.
const FOREIGN: [&str; 7] = [
    "log.comments.0.forged.1",
    "dead.comments.posts.1.g1",
    "own.comments.generation.1",
    "$KV.comments.g1.comments.page.x",
    "deliver.query",
    "svc.moderation",
    "$SRV.PING.moderation",
];

fn jetstream(request: &str) -> String {
    format!("{JETSTREAM}.{request}")
}

fn log_config(service: &str) -> Value {
    json!({
        "name": format!("LOG_{service}"), "subjects": [format!("log.{service}.*.*.*")], "storage": "file",
        "discard": "new", "discard_new_per_subject": true, "max_msgs_per_subject": 1, "num_replicas": 1,
        "metadata": { "trellis.partitions": "8" },
    })
}

fn consumer_config(service: &str, source: &str) -> Value {
    let consumer = format!("{service}-g1-0");
    json!({
        "stream_name": format!("LOG_{source}"), "action": "",
        "config": {
            "name": consumer, "durable_name": consumer, "deliver_subject": format!("deliver.{service}"),
            "deliver_group": service, "deliver_policy": "all", "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64,
            "max_ack_pending": 1, "filter_subject": format!("log.{source}.0.*.*"),
        },
    })
}

/// With which posts would follow what comments keep for themselves.
fn private_consumer() -> Value {
    let mut config = consumer_config("posts", "comments");
    config["stream_name"] = json!("OWN_comments");
    config["config"]["filter_subject"] = json!("own.comments.0.*.*");
    config
}

/// A bucket as its provider makes it.
fn bucket_config(service: &str) -> Value {
    json!({
        "name": format!("KV_{service}"), "subjects": [format!("$KV.{service}.>")], "storage": "file",
        "max_msgs_per_subject": 1, "discard": "new", "allow_direct": true, "allow_rollup_hdrs": true,
    })
}

#[track_caller]
fn done(answer: Result<Value, String>) -> Value {
    let answer = answer.unwrap();
    assert!(answer["error"].is_null(), "{answer}");
    answer
}

#[track_caller]
fn refused(answer: Result<Value, String>) {
    if let Ok(answer) = answer {
        assert!(!answer["error"].is_null(), "{answer}");
    }
}

/// Posts and comments have their logs, and the first event of posts is stored.
fn with_logs(server: &Server) {
    server.guard();
    for service in ["posts", "comments"] {
        let mut client = server.connect(service);
        done(client.request(&jetstream(&format!("STREAM.CREATE.LOG_{service}")), &log_config(service)));
        for kind in ["DEAD", "OWN"] {
            let create = jetstream(&format!("STREAM.CREATE.{kind}_{service}"));
            done(client.request(&create, &own_config(kind, service)));
        }
    }
    done(server.connect("posts").request("log.posts.0.first.1", &json!({})));
}

/// Of dead letters, or of what is a service's own concern.
fn own_config(kind: &str, service: &str) -> Value {
    let mut config = log_config(service);
    config["name"] = json!(format!("{kind}_{service}"));
    config["subjects"] = json!([format!("{}.{service}.>", kind.to_lowercase())]);
    config["metadata"]["trellis.partitions"] = json!("1");
    config
}

/// Those that posts would like to deceive, each listening where it always does.
struct Others {
    operator: Client,
    all: Vec<(&'static str, Client)>,
}

impl Others {
    fn of(server: &Server) -> Self {
        let listens = [
            ("query", "deliver.query"),
            ("moderation", "svc.moderation"),
            ("moderation", "$SRV.PING.moderation"),
        ];
        let all = listens.map(|(name, subject)| {
            let mut client = server.connect(name);
            client.subscribe(subject, name);
            (subject, client)
        });
        Self { operator: server.connect("operator"), all: all.into() }
    }

    /// Nothing reached any of them but what the operator says now, nor any log but that of posts.
    #[track_caller]
    fn are_left_alone(&mut self, what: &str) {
        for (subject, client) in &mut self.all {
            assert!(self.operator.publish(subject, "", b"from the operator").is_empty());
            let heard = client.hear();
            let body = String::from_utf8_lossy(&heard.body);
            assert_eq!(body, "from the operator", "{what}: {subject} hears {:?}", heard.subject);
        }
        for stream in ["LOG_comments", "DEAD_comments", "OWN_comments"] {
            let info = self.operator.request(&format!("$JS.API.STREAM.INFO.{stream}"), &json!({}));
            assert_eq!(done(info)["state"]["messages"], 0, "{what}: {stream} has something");
        }
    }
}

#[test]
fn a_consumer_delivers_to_its_service_alone() {
    let server = Server::start();
    with_logs(&server);
    let mut others = Others::of(&server);
    let mut posts = server.connect("posts");
    posts.subscribe("deliver.posts", "posts");
    let create = jetstream("CONSUMER.CREATE.LOG_posts.posts-g1-0");
    let own_log = "log.posts.0.forged.1";
    for subject in
        FOREIGN.into_iter().chain([own_log, "_INBOX.operator.1", "$JS.API.STREAM.DELETE.LOG_comments"])
    {
        let mut config = consumer_config("posts", "posts");
        config["config"]["deliver_subject"] = json!(subject);
        config["config"].as_object_mut().unwrap().remove("deliver_group");
        refused(posts.request(&create, &config));
        config["config"]["deliver_group"] = json!("posts");
        refused(posts.request(&create, &config));
    }
    for (key, value) in [
        ("deliver_group", json!("query")),
        ("filter_subject", json!("log.posts.*.*.*")),
        ("name", json!("query-g1-0")),
        ("durable_name", json!("query-g1-0")),
        ("republish", json!({ "src": ">", "dest": "svc.moderation" })),
        ("DELIVER_SUBJECT", json!("svc.moderation")),
    ] {
        let mut config = consumer_config("posts", "posts");
        config["config"][key] = value;
        refused(posts.request(&create, &config));
    }
    others.are_left_alone("consumers");

    // What the kit asks for is made, and its deliveries are acknowledged across accounts.
    done(posts.request(&create, &consumer_config("posts", "posts")));
    let delivered = posts.hear();
    assert_eq!(delivered.subject, "log.posts.0.first.1");
    assert!(posts.publish(&delivered.reply.unwrap(), "", b"+ACK").is_empty());
    server.until(|| {
        let info = posts.request(&jetstream("CONSUMER.INFO.LOG_posts.posts-g1-0"), &json!({}));
        done(info)["ack_floor"]["stream_seq"] == 1
    });
}

#[test]
fn nobody_reads_or_follows_what_another_keeps_for_itself() {
    let server = Server::start();
    with_logs(&server);
    let mut others = Others::of(&server);
    let mut posts = server.connect("posts");
    posts.subscribe("deliver.posts", "posts");
    let mut private = private_consumer();
    for request in ["CONSUMER.CREATE.OWN_comments.posts-g1-0", "CONSUMER.CREATE.OWN_posts.posts-g1-0"] {
        refused(posts.request(&jetstream(request), &private));
        private["stream_name"] = json!("OWN_posts");
    }
    for request in ["STREAM.INFO.OWN_comments", "STREAM.MSG.GET.OWN_comments", "STREAM.PURGE.OWN_comments"] {
        refused(posts.request(&jetstream(request), &json!({ "seq": 1 })));
    }
    assert!(!posts.may_publish("own.comments.0.secret.1"));
    for subject in ["own.>", "own.comments.>", "own.comments.0.*.*"] {
        assert!(!posts.may_subscribe(subject, ""), "{subject}");
    }
    others.are_left_alone("private logs");
}

#[test]
fn no_answer_reaches_another() {
    let server = Server::start();
    with_logs(&server);
    let mut others = Others::of(&server);
    let mut posts = server.connect("posts");
    let mut bucket = server.connect(BUCKET);
    done(bucket.request("$JS.API.STREAM.CREATE.KV_posts", &bucket_config("posts")));
    let forged = b"POST /moderation/x HTTP/1.1\r\ntrellis-roles: moderator\r\n\r\n";
    assert!(bucket.ask("$KV.posts.forged", forged).is_ok());

    for (number, reply) in (2..).zip(FOREIGN) {
        // Refused or not, it must not get there.
        posts.publish(&format!("log.posts.0.first.{number}"), reply, b"{}");
        posts.publish(&jetstream("STREAM.INFO.LOG_posts"), reply, b"");
        posts.publish(&jetstream("STREAM.MSG.GET.LOG_posts"), reply, br#"{"seq":1}"#);
        posts.publish(&jetstream("CONSUMER.INFO.LOG_posts.posts-g1-0"), reply, b"");
        bucket.publish("$JS.API.DIRECT.GET.KV_posts.$KV.posts.forged", reply, b"");
        bucket.publish("$KV.posts.other", reply, b"");
        let mut consumer = consumer_config("posts", "posts");
        consumer["stream_name"] = json!("KV_posts");
        consumer["config"] =
            json!({ "deliver_subject": reply, "deliver_policy": "all", "ack_policy": "none" });
        bucket.publish("$JS.API.CONSUMER.CREATE.KV_posts", "", consumer.to_string().as_bytes());
    }
    // All that has been answered by then: requests to one stream are answered in their order.
    done(posts.request(&jetstream("STREAM.MSG.GET.LOG_posts"), &json!({ "seq": 1 })));
    assert_eq!(bucket.ask("$JS.API.DIRECT.GET.KV_posts.$KV.posts.forged", b"").unwrap(), forged);
    others.are_left_alone("answers");
}

#[test]
fn a_stream_takes_what_its_service_says_and_nothing_else() {
    let server = Server::start();
    with_logs(&server);
    let mut query = server.connect("query");
    done(query.request(&jetstream("STREAM.CREATE.DEAD_query"), &own_config("DEAD", "query")));
    let mut moderation = server.connect("moderation");
    for (key, value) in [
        ("subjects", json!(["log.comments.*.*.*"])),
        ("subjects", json!(["log.moderation.*.*.*", "svc.posts"])),
        ("sources", json!([{ "name": "LOG_comments" }])),
        ("mirror", json!({ "name": "LOG_comments" })),
        ("republish", json!({ "src": ">", "dest": "svc.moderation" })),
        ("subject_transform", json!({ "src": ">", "dest": "log.comments.0.x.1" })),
        ("retention", json!("workqueue")),
        ("max_msgs_per_subject", json!(2)),
        ("allow_rollup_hdrs", json!(true)),
        ("num_replicas", json!(6)),
        ("name", json!("LOG_evil")),
    ] {
        let mut config = log_config("moderation");
        config[key] = value;
        refused(moderation.request(&jetstream("STREAM.CREATE.LOG_moderation"), &config));
    }
    done(moderation.request(&jetstream("STREAM.CREATE.LOG_moderation"), &log_config("moderation")));

    // In the account of a bucket there is nothing to take from, whatever its stream claims.
    let mut bucket = server.connect(BUCKET);
    let mut config = bucket_config("posts");
    config["subjects"] = json!(["$KV.posts.>", "log.>", "svc.>"]);
    let source = json!({ "name": "LOG_posts", "external": { "api": "$JS.API", "deliver": "_INBOX.x" } });
    config["sources"] = json!([source]);
    bucket.request("$JS.API.STREAM.CREATE.KV_posts", &config).ok();
    done(server.connect("posts").request("log.posts.0.first.2", &json!({})));
    done(server.connect("comments").request("log.comments.0.first.1", &json!({})));
    let kept = bucket.request("$JS.API.STREAM.INFO.KV_posts", &json!({})).unwrap_or_default();
    assert!(kept["state"]["messages"].as_u64().unwrap_or_default() == 0, "{kept}");
}

#[test]
fn nobody_acknowledges_or_removes_what_is_another_s() {
    let server = Server::start();
    with_logs(&server);
    let mut query = server.connect("query");
    query.subscribe("deliver.query", "query");
    done(
        query.request(&jetstream("CONSUMER.CREATE.LOG_posts.query-g1-0"), &consumer_config("query", "posts")),
    );
    let delivered = query.hear();
    let acknowledge = delivered.reply.unwrap();

    let mut posts = server.connect("posts");
    for body in [b"+ACK".as_slice(), b"-NAK", b"+TERM", b"+WPI"] {
        assert!(!posts.publish(&acknowledge, "", body).is_empty(), "{acknowledge} is allowed");
    }
    let delete = jetstream("CONSUMER.DELETE.LOG_posts.query-g1-0");
    let reset = jetstream("CONSUMER.RESET.LOG_posts.query-g1-0");
    for other in [&delete, &reset] {
        assert!(!posts.publish(other, "_INBOX.posts.1", b"").is_empty(), "{other} is allowed");
    }
    // Neither as the subject of an answer.
    let refused = posts.publish("log.posts.0.first.2", &acknowledge, b"{}");
    assert!(!refused.is_empty(), "{acknowledge} is allowed for an answer");
    posts.publish("log.posts.0.first.3", &delete, b"{}");
    // The answer has a sequence in it.
    posts.publish("log.posts.0.first.4", &reset, b"{}");
    posts.publish(&jetstream("STREAM.MSG.GET.LOG_posts"), &delete, br#"{"seq":1}"#);
    done(posts.request(&jetstream("STREAM.MSG.GET.LOG_posts"), &json!({ "seq": 1 })));

    let info = query.request(&jetstream("CONSUMER.INFO.LOG_posts.query-g1-0"), &json!({}));
    let info = done(info);
    assert_eq!(
        (&info["num_ack_pending"], &info["ack_floor"]["stream_seq"]),
        (&json!(1), &json!(0)),
        "{info}"
    );
}

#[test]
fn services_ask_each_other_and_the_operator_asks_them_all() {
    let server = Server::start();
    let mut gateway = server.connect("gateway");
    assert_eq!(gateway.ask("svc.posts", b"").unwrap(), b"", "nobody listens, which is said at once");

    let answering = |name: &'static str, subject: &str, times: usize| {
        let mut client = server.connect(name);
        client.subscribe(subject, name);
        std::thread::spawn(move || {
            for _ in 0..times {
                let asked = client.hear();
                assert!(client.publish(&asked.reply.unwrap(), "", name.as_bytes()).is_empty());
            }
        })
    };
    let answers = answering("posts", "svc.posts", 2);
    assert_eq!(gateway.ask("svc.posts", b"").unwrap(), b"posts");
    let mut operator = server.connect("operator");
    assert_eq!(operator.ask("svc.posts", b"").unwrap(), b"posts");
    answers.join().unwrap();

    let all = ["gateway", "posts", "web"].map(|name| answering(name, "$SRV.INFO", 1));
    assert!(operator.publish("$SRV.INFO", "_INBOX.operator.all", b"").is_empty());
    let mut heard: Vec<String> = (0..3).map(|_| String::from_utf8(operator.hear().body).unwrap()).collect();
    heard.sort();
    assert_eq!(heard, ["gateway", "posts", "web"]);
    all.into_iter().for_each(|each| each.join().unwrap());
}

#[test]
fn an_announcement_reaches_every_service() {
    let server = Server::start();
    let mut all = ["gateway", "query", "web"].map(|name| {
        let mut client = server.connect(name);
        client.subscribe("trellis.announce", name);
        client
    });
    // A new log is; what a service says of others is not, be it that they are to build their read models anew.
    assert!(server.connect("posts").publish("trellis.announce", "", br#"{"replay":"web"}"#).is_empty());
    with_logs(&server);
    assert!(server.connect("operator").publish("trellis.announce", "", b"operator").is_empty());
    for client in &mut all {
        let mut heard: Vec<_> = (0..3).map(|_| String::from_utf8(client.hear().body).unwrap()).collect();
        heard.sort();
        assert_eq!(heard[0], "operator", "{heard:#?}");
        assert!(heard[1..].iter().all(|told| told.contains("stream_action")), "{heard:?}");
    }
}

#[test]
fn the_registry_hears_what_a_service_says_of_itself() {
    let server = Server::start();
    let mut registry = server.connect("registry");
    registry.subscribe("trellis.hello.*", "registry");
    assert!(server.connect("posts").publish("trellis.hello.posts", "", b"posts").is_empty());
    assert_eq!(registry.hear().body, b"posts");
}
