//! What a service may do on a real nats-server, and what it may not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Client, Server, make_accounts};
use serde_json::json;

/// Who makes streams and consumers for all others.
const PROVISIONS: &str = "registry";
const SERVICES: [&str; 8] =
    ["accounts", "gateway", "registry", "posts", "comments", "moderation", "query", "web"];

fn log_config(service: &str) -> serde_json::Value {
    json!({
        "name": format!("LOG_{service}"), "subjects": [format!("log.{service}.*.*.*")], "storage": "file",
        "discard": "new", "discard_new_per_subject": true, "max_msgs_per_subject": 1, "num_replicas": 1,
        "metadata": { "trellis.partitions": "8" },
    })
}

#[track_caller]
fn may(client: &mut Client, subjects: &[&str]) {
    for subject in subjects {
        assert!(client.may_publish(subject), "{subject} is refused");
    }
}

#[track_caller]
fn may_not(client: &mut Client, subjects: &[&str]) {
    for subject in subjects {
        assert!(!client.may_publish(subject), "{subject} is allowed");
    }
}

#[test]
fn what_a_service_with_a_log_does_is_allowed() {
    let server = Server::start();
    may(
        &mut server.connect("posts"),
        &[
            "log.posts.3.p1.1",
            "dead.posts.posts.7.g1",
            "trellis.jetstream.STREAM.CREATE.LOG_posts",
            "trellis.jetstream.STREAM.CREATE.DEAD_posts",
            "trellis.jetstream.STREAM.MSG.GET.LOG_posts",
            "trellis.jetstream.STREAM.PURGE.DEAD_posts",
            "trellis.jetstream.CONSUMER.CREATE.LOG_posts.posts-g1-0",
            "trellis.jetstream.CONSUMER.INFO.LOG_posts.posts-g15-7",
            "trellis.jetstream.CONSUMER.DELETE.LOG_posts.posts-g1-0",
            "trellis.jetstream.CONSUMER.RESET.LOG_posts.posts-g1-0",
            "$JS.ACK.LOG_posts.posts-g1-0.1.1.1.1.0",
            "$JS.ACK.core.hash.LOG_posts.posts-g1-0.1.1.1.1.0",
            "trellis.announce",
            "trellis.hello.posts",
            "_INBOX.gateway.x.1",
        ],
    );
    // Another's log, of which it makes read models.
    may(
        &mut server.connect("query"),
        &[
            "trellis.jetstream.STREAM.INFO.LOG_posts",
            "trellis.jetstream.CONSUMER.CREATE.LOG_posts.query-g2-5",
        ],
    );
    // One to whose events it reacts, and one in which it looks; what it followed there before, it can remove.
    let mut comments = server.connect("comments");
    may(
        &mut comments,
        &[
            "trellis.jetstream.CONSUMER.CREATE.LOG_moderation.comments-r-7",
            "$JS.ACK.LOG_moderation.comments-r-7.1.1.1.1.0",
            "trellis.jetstream.STREAM.MSG.GET.LOG_posts",
            "trellis.jetstream.CONSUMER.LIST.LOG_posts",
            "trellis.jetstream.CONSUMER.DELETE.LOG_posts.comments-g1-7",
        ],
    );
    may_not(
        &mut comments,
        &[
            "trellis.jetstream.CONSUMER.CREATE.LOG_posts.comments-g2-5",
            "trellis.jetstream.CONSUMER.RESET.LOG_posts.comments-g2-5",
            "$JS.ACK.LOG_posts.comments-g2-5.1.1.1.1.0",
            "trellis.jetstream.STREAM.MSG.GET.LOG_query",
            "trellis.jetstream.STREAM.MSG.GET.LOG_accounts",
        ],
    );
    may(&mut server.connect("gateway"), &["svc.posts", "svc.web"]);
    may(&mut server.connect("web"), &["svc.posts", "svc.query"]);
    may(&mut server.connect("registry"), &["$SRV.PING.posts", "trellis.jetstream.CONSUMER.LIST.LOG_posts"]);
}

#[test]
fn a_bucket_is_in_an_account_of_its_own() {
    let server = Server::start();
    let mut bucket = server.connect("posts-bucket");
    may(
        &mut bucket,
        &[
            "$KV.posts.g1.posts.post.p1",
            "$JS.API.STREAM.CREATE.KV_posts",
            "$JS.API.STREAM.MSG.GET.KV_posts",
            "$JS.API.DIRECT.GET.KV_posts",
            "$JS.API.DIRECT.GET.KV_posts.$KV.posts.x",
        ],
    );
    may_not(
        &mut bucket,
        &[
            "$KV.comments.x",
            "$JS.API.STREAM.CREATE.EVIL",
            "$JS.API.STREAM.INFO.KV_comments",
            "log.posts.0.x.1",
            "svc.comments",
            "trellis.announce",
            "trellis.jetstream.STREAM.INFO.LOG_posts",
        ],
    );
    for subject in [">", "$KV.>", "_INBOX.>", "_INBOX.posts.>", "deliver.posts"] {
        assert!(!bucket.may_subscribe(subject, ""), "{subject}");
    }
}

#[test]
fn what_belongs_to_another_is_refused() {
    let server = Server::start();
    for service in SERVICES {
        let mut client = server.connect(service);
        for other in SERVICES.into_iter().filter(|other| *other != service) {
            let subjects = [
                format!("log.{other}.0.x.1"),
                format!("dead.{other}.posts.1.r"),
                format!("$KV.{other}.x"),
                format!("deliver.{other}"),
                format!("trellis.hello.{other}"),
                format!("trellis.jetstream.STREAM.INFO.KV_{other}"),
                format!("trellis.jetstream.STREAM.MSG.GET.KV_{other}"),
                format!("trellis.jetstream.DIRECT.GET.KV_{other}.$KV.{other}.x"),
                format!("trellis.jetstream.STREAM.DELETE.LOG_{other}"),
                format!("trellis.provision.{other}.STREAM.CREATE.LOG_{other}"),
                format!("$JS.API.STREAM.INFO.LOG_{other}"),
                format!("$JS.API.CONSUMER.CREATE.LOG_posts.{other}-g1-0"),
                format!("$JS.ACK.LOG_posts.{other}-g1-0.1.1.1.1.0"),
            ];
            may_not(&mut client, &subjects.each_ref().map(String::as_str));
            let made_for_it = [
                format!("trellis.jetstream.STREAM.CREATE.LOG_{other}"),
                format!("trellis.jetstream.CONSUMER.CREATE.LOG_{other}.{other}-g1-0"),
                format!("trellis.jetstream.CONSUMER.DELETE.LOG_posts.{other}-g1-0"),
                format!("trellis.jetstream.CONSUMER.RESET.LOG_posts.{other}-g1-0"),
                format!("trellis.jetstream.CONSUMER.DELETE.LOG_moderation.{other}-r-0"),
            ];
            let made_for_it = made_for_it.each_ref().map(String::as_str);
            if service == PROVISIONS {
                may(&mut client, &made_for_it);
            } else {
                may_not(&mut client, &made_for_it);
            }
            for (subject, queue) in [
                (format!("svc.{other}"), other),
                (format!("deliver.{other}"), other),
                (format!("_INBOX.{other}.>"), ""),
            ] {
                assert!(!client.may_subscribe(&subject, queue), "{service} hears {subject}");
            }
        }
    }
}

#[test]
fn nobody_manages_streams_listens_to_everything_or_speaks_to_the_lattice() {
    let server = Server::start();
    for service in SERVICES {
        let mut client = server.connect(service);
        may_not(
            &mut client,
            &[
                "$JS.API.INFO",
                "trellis.jetstream.INFO",
                "trellis.jetstream.STREAM.NAMES",
                "trellis.jetstream.STREAM.LIST",
                "$JS.API.STREAM.CREATE.EVIL",
                "trellis.jetstream.STREAM.UPDATE.LOG_posts",
                "trellis.jetstream.STREAM.DELETE.LOG_posts",
                "trellis.jetstream.STREAM.PURGE.LOG_posts",
                "trellis.jetstream.STREAM.MSG.DELETE.LOG_posts",
                "trellis.jetstream.CONSUMER.CREATE.LOG_posts",
                "$JS.API.CONSUMER.CREATE.LOG_posts.evil",
                "trellis.jetstream.CONSUMER.DURABLE.CREATE.LOG_posts.evil",
                "$SYS.REQ.SERVER.PING",
                "trellis.hello",
                "wasmbus.ctl.v1.default.host.ping",
                "default.trellis-posts.wrpc.0.0.1.x",
            ],
        );
        for subject in [">", "log.>", "svc.*", "_INBOX.>", "$JS.>", "$KV.>", "default.>", "wasmbus.ctl.>"] {
            assert!(!client.may_subscribe(subject, ""), "{service} hears {subject}");
        }
        // Without its queue group it would hear what another instance handles.
        assert!(client.may_subscribe(&format!("svc.{service}"), service));
        assert!(!client.may_subscribe(&format!("svc.{service}"), ""));
    }
    may_not(&mut server.connect("posts"), &["svc.comments", "svc.posts", "$SRV.PING.comments"]);
}

#[test]
fn a_service_makes_its_log_appends_and_reads_and_another_is_kept_out() {
    let server = Server::start();
    server.guard();
    let mut posts = server.connect("posts");
    let created = posts.request("trellis.jetstream.STREAM.CREATE.LOG_posts", &log_config("posts")).unwrap();
    assert_eq!(created["config"]["name"], "LOG_posts", "{created}");
    assert_eq!(posts.request("log.posts.0.p1.1", &json!({})).unwrap()["seq"], 1);
    let read = posts.request("trellis.jetstream.STREAM.MSG.GET.LOG_posts", &json!({ "seq": 1 })).unwrap();
    assert_eq!(read["message"]["subject"], "log.posts.0.p1.1", "{read}");

    let mut web = server.connect("web");
    let error = web.request("trellis.jetstream.STREAM.MSG.GET.LOG_posts", &json!({ "seq": 1 })).unwrap_err();
    assert!(
        error.contains("Permissions Violation for Publish to \"trellis.jetstream.STREAM.MSG.GET.LOG_posts\""),
        "{error}"
    );

    // The operator sees and does everything in this account, and the lattice's user nothing of it.
    let deleted = server.connect("operator").request("$JS.API.STREAM.DELETE.LOG_posts", &json!({})).unwrap();
    assert_eq!(deleted["success"], true, "{deleted}");
    let streams = server.connect("lattice").request("$JS.API.STREAM.NAMES", &json!({})).unwrap();
    assert_eq!(streams["total"], 0, "{streams}");
}

#[test]
fn what_hosts_tell_reaches_the_services_and_nothing_else_of_the_lattice_does() {
    let server = Server::start();
    let mut posts = server.connect("posts");
    assert!(posts.may_subscribe("wasmbus.evt.default.host_heartbeat", "posts"));
    posts.subscribe("wasmbus.evt.default.host_heartbeat", "posts");
    assert!(server.connect("lattice").may_publish("wasmbus.evt.default.host_heartbeat"));
    assert_eq!(posts.hear().subject, "wasmbus.evt.default.host_heartbeat");
    // Nobody in the application's account can tell the lattice anything, not even whoever may do everything there.
    let mut lattice = server.connect("lattice");
    lattice.subscribe("wasmbus.ctl.>", "");
    assert!(server.connect("operator").may_publish("wasmbus.ctl.v1.default.host.ping"));
    assert!(server.connect("lattice").may_publish("wasmbus.ctl.end"));
    assert_eq!(lattice.hear().subject, "wasmbus.ctl.end");
}

#[test]
fn generations_take_turns_in_names_that_are_allowed_for_ever() {
    let server = Server::start();
    let mut posts = server.connect("posts");
    for name in 0..16 {
        may(&mut posts, &[&format!("trellis.jetstream.CONSUMER.CREATE.LOG_posts.posts-g{name}-0")]);
    }
    may_not(&mut posts, &["trellis.jetstream.CONSUMER.CREATE.LOG_posts.posts-g16-0"]);
}

#[test]
fn a_running_server_takes_new_accounts_with_the_credentials_that_there_are() {
    let server = Server::start();
    let before = std::fs::read(server.accounts().join("posts.creds")).unwrap();
    make_accounts(&server.accounts(), &[]);
    assert_eq!(std::fs::read(server.accounts().join("posts.creds")).unwrap(), before);
    server.reload();
    // The server lets go of clients whose permissions have changed; they come again.
    server.until(|| {
        server.connect("posts").may_publish("trellis.jetstream.CONSUMER.CREATE.LOG_posts.posts-g1-0")
    });
}

#[test]
fn what_has_keys_in_it_is_for_its_owner_whatever_was_there() {
    let folder = tempfile::tempdir().unwrap();
    // As an older version, or one that was interrupted, may have left them.
    for left in ["posts.creds.new", "wadm.yaml"] {
        std::fs::write(folder.path().join(left), "").unwrap();
        std::fs::set_permissions(folder.path().join(left), Permissions::from_mode(0o644)).unwrap();
    }
    make_accounts(folder.path(), &[]);
    for file in ["posts.creds", "posts-bucket.creds", "operator.creds", "wadm.yaml", "keys/operator"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
