//! An application as its operator sees it: services that stop, events that nobody can handle, read models built anew.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use system::{Embedded, Nats, NoAnswer, Request, Response, eventually};
use tempfile::tempdir;

/// What `trellis status` says, and its exit code.
#[track_caller]
fn status(trellis: &Embedded) -> (Value, Option<i32>) {
    let output = trellis.command(&["status", "--json"]);
    let report = serde_json::from_slice(&output.stdout);
    (report.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.code())
}

fn attention(report: &Value) -> Vec<&str> {
    report["attention"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

fn state<'a>(report: &'a Value, service: &str) -> &'a Value {
    report["services"].as_array().unwrap().iter().find(|other| other["name"] == service).unwrap()
}

#[track_caller]
fn all_is_well(trellis: &Embedded) -> Value {
    eventually("all is well", || {
        let (report, code) = status(trellis);
        let idle = report["consumers"].as_array().unwrap().iter().all(|consumer| consumer["backlog"] == 0);
        (code == Some(0) && idle).then_some(report)
    })
}

/// A request to a service itself, which is answered.
#[track_caller]
fn send(nats: &Nats, service: &str, request: &Request) -> Response {
    nats.send(service, request).unwrap_or_else(|error| panic!("{service} {request:?}: {error:?}"))
}

#[track_caller]
fn create(nats: &Nats, title: &str) -> String {
    let answer = send(nats, "posts", &Request::post("/posts", json!({ "title": title }).to_string()));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Comments on a post, and waits until readers see what became of that.
#[track_caller]
fn comment(nats: &Nats, post: &str, content: &str) -> Value {
    let request =
        Request::post(&format!("/posts/{post}/comments"), json!({ "content": content }).to_string());
    let id = eventually("the post is known to comments", || {
        let answer = send(nats, "comments", &request);
        (answer.status == 201).then(|| answer.json()["id"].clone())
    });
    eventually("the verdict shows", || {
        let post = send(nats, "query", &Request::get(&format!("/posts/{post}"))).json();
        let mut comments = post["comments"].as_array()?.iter();
        let comment = comments.find(|comment| comment["id"] == id)?.clone();
        (comment["status"] != "pending").then_some(comment)
    })
}

/// The consumers of a log, as (service, role, partition); those of timers have all partitions.
fn consumers(nats: &Nats, log: &str) -> Vec<(String, String, Option<u32>)> {
    let list = nats.jetstream(&format!("CONSUMER.LIST.{log}"), json!({}));
    let consumers = list["consumers"].as_array().unwrap().iter();
    let of = consumers.map(|consumer| {
        let (service, name) =
            (consumer["config"]["deliver_group"].as_str().unwrap(), consumer["name"].as_str().unwrap());
        let role = &name[service.len() + 1..];
        let (role, partition) =
            role.split_once('-').map_or((role, None), |(role, partition)| (role, Some(partition)));
        (service.to_owned(), role.to_owned(), partition.map(|partition| partition.parse().unwrap()))
    });
    of.collect()
}

fn logs(nats: &Nats) -> Vec<String> {
    let names = nats.jetstream("STREAM.NAMES", json!({ "subject": "log.>" }));
    names["streams"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Of which events each service has dead letters: `dead.<service>.<source>.<sequence>.<role>`.
fn dead_letters(nats: &Nats, services: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for service in services {
        let mut next = 1;
        loop {
            let wanted = json!({ "seq": next, "next_by_subj": format!("dead.{service}.>") });
            let letter = nats.jetstream(&format!("STREAM.MSG.GET.DEAD_{service}"), wanted);
            let Some(seq) = letter["message"]["seq"].as_u64() else { break };
            found.insert(letter["message"]["subject"].as_str().unwrap().to_owned());
            next = seq + 1;
        }
    }
    found
}

#[test]
fn what_cannot_be_read_in_any_log_is_put_aside_by_whoever_follows_it_and_the_next_event_is_handled() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start_with(data.path(), &["--admin", "127.0.0.1:0"]);
    let nats = trellis.nats();
    comment(&nats, &create(&nats, "Before"), "I like apples");
    all_is_well(&trellis);

    // Every partition of every log, and so every consumer of every service.
    let mut expected = BTreeSet::new();
    let mut services = BTreeSet::new();
    for log in logs(&nats) {
        let source = log.strip_prefix("LOG_").unwrap();
        let consumers = consumers(&nats, &log);
        let partitions: BTreeSet<u32> = consumers.iter().filter_map(|(.., partition)| *partition).collect();
        for partition in partitions {
            let poison = nats.ask(&format!("log.{source}.{partition}.poison.1"), b"rubbish").unwrap();
            let stored: Value = serde_json::from_slice(&poison).unwrap();
            for (service, role, _) in consumers.iter().filter(|(.., of)| of.is_none_or(|of| of == partition))
            {
                expected.insert(format!("dead.{service}.{source}.{}.{role}", stored["seq"]));
                services.insert(service.clone());
            }
        }
    }
    let known = ["comments", "moderation", "posts", "query"].map(str::to_owned).into();
    assert!(services.is_superset(&known), "{services:?}");
    eventually("each has put aside each", || {
        let found = dead_letters(&nats, &services);
        assert!(found.is_subset(&expected), "{found:?}");
        (found == expected).then_some(())
    });

    let metrics = trellis.metrics();
    for service in &services {
        let warned = expected.iter().filter(|letter| letter.starts_with(&format!("dead.{service}."))).count();
        let counted = format!("trellis_warnings_total{{component=\"{service}\"}} ");
        let counted = metrics.lines().find_map(|line| line.strip_prefix(&counted)?.parse().ok());
        assert!(
            counted.is_some_and(|counted: usize| counted >= warned),
            "{service}: {counted:?} of {warned}"
        );
    }

    let approved = comment(&nats, &create(&nats, "After"), "I like apples");
    assert_eq!(approved["status"], "approved", "{approved}");
    let (report, code) = status(&trellis);
    assert_eq!(code, Some(4), "{report}");
    for service in &services {
        let of_service =
            expected.iter().filter(|letter| letter.starts_with(&format!("dead.{service}."))).count();
        let line = format!("{service} has {of_service} dead letters: `trellis dlq list {service}`");
        assert!(attention(&report).contains(&line.as_str()), "{line}: {report:#}");
    }
    handled_again_or_removed(&trellis, &nats);
    trellis.stop();
}

/// What becomes of dead letters by the hands of the operator.
fn handled_again_or_removed(trellis: &Embedded, nats: &Nats) {
    let listed = trellis.run(&["dlq", "list", "moderation"]);
    assert!(listed.starts_with("service") && listed.contains("not an event"), "{listed}");
    let tried = trellis.command(&["dlq", "replay", "moderation"]);
    let said = String::from_utf8(tried.stdout).unwrap();
    assert_eq!(tried.status.code(), Some(1), "{said}");
    assert!(said.contains("failed again and is kept: not an event"), "{said}");
    assert!(said.contains("`trellis replay moderation` builds its read models anew"), "{said}");
    let services: BTreeSet<String> = ["moderation", "query"].map(str::to_owned).into();
    let before = dead_letters(nats, &services);

    // The read models of query are built anew: what they lack now are letters of the new generation.
    assert_eq!(trellis.run(&["replay", "query"]), "query  reads generation 2 of its read models\n");
    let of_the_rebuild: BTreeSet<String> =
        before
            .iter()
            .map(|letter| {
                if letter.starts_with("dead.query.") { letter.replace(".g1", ".g2") } else { letter.clone() }
            })
            .collect();
    // The old generation's are removed after it is replaced.
    eventually("all letters of query are of the new generation", || {
        (dead_letters(nats, &services) == of_the_rebuild).then_some(())
    });

    let shown = trellis.run(&["dlq", "show", "query"]);
    let letter: Value = serde_json::Deserializer::from_str(&shown).into_iter().next().unwrap().unwrap();
    assert_eq!(
        (&letter["service"], &letter["base64"]),
        (&json!("query"), &json!("cnViYmlzaA==")),
        "{letter}"
    );
    let number = letter["letter"].to_string();
    assert_eq!(trellis.run(&["dlq", "drop", "query", &number]), format!("{number}  removed\n"));
    let gone = trellis.command(&["dlq", "show", "query", &number]);
    let said = String::from_utf8(gone.stderr).unwrap();
    assert_eq!(gone.status.code(), Some(1));
    assert!(said.contains(&format!("query has no dead letter {number}; there are ")), "{said}");
    let (report, _) = status(trellis);
    for service in report["dead_letters"].as_array().unwrap() {
        trellis.run(&["dlq", "drop", service["service"].as_str().unwrap(), "--all"]);
    }
    all_is_well(trellis);
    assert_eq!(trellis.run(&["dlq", "list"]), "there are no dead letters\n");
}

#[test]
fn the_feed_is_read_while_the_writing_side_is_stopped_and_status_tells() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let nats = trellis.nats();
    let post = create(&nats, "Kept");
    comment(&nats, &post, "I like apples");
    let report = all_is_well(&trellis);
    assert_eq!(state(&report, "posts")["state"], "ready", "{report}");
    assert!(
        report["logs"].as_array().unwrap().iter().any(|log| log["service"] == "posts" && log["events"] == 1)
    );

    for service in ["posts", "comments", "moderation"] {
        assert_eq!(trellis.run(&["stop", service]), format!("{service}  stopped\n"));
        assert!(matches!(nats.send(service, &Request::get("/readyz")), Err(NoAnswer::Nobody)), "{service}");
    }
    let feed = send(&nats, "query", &Request::get("/posts"));
    assert_eq!((feed.status, &feed.json()[0]["title"]), (200, &json!("Kept")));
    let (report, code) = status(&trellis);
    assert_eq!((code, &state(&report, "posts")["state"]), (Some(4), &json!("stopped")), "{report}");
    assert!(attention(&report).contains(&"posts is stopped: `trellis start posts`"), "{report}");
    let table = String::from_utf8(trellis.command(&["status"]).stdout).unwrap();
    assert!(table.contains("attention: posts is stopped"), "{table}");

    // What happens meanwhile waits, and is done when they are back.
    for service in ["posts", "comments"] {
        trellis.run(&["start", service]);
    }
    let body = json!({ "content": "An orange, please" }).to_string();
    let path = format!("/posts/{post}/comments");
    assert_eq!(send(&nats, "comments", &Request::post(&path, body)).status, 201);
    let waiting = eventually("the comment waits for moderation", || {
        let (report, _) = status(&trellis);
        let mut consumers = report["consumers"].as_array().unwrap().iter();
        let waiting = consumers.find(|of| of["service"] == "moderation" && of["backlog"] == 1)?;
        Some(waiting.clone())
    });
    assert_eq!((&waiting["source"], &waiting["role"]), (&json!("comments"), &json!("reactions")));
    assert!(waiting["oldest_seconds"].is_u64(), "{waiting}");
    assert_eq!(trellis.run(&["start", "moderation"]), "moderation  running, 32 at once\n");
    all_is_well(&trellis);
    let comments = send(&nats, "query", &Request::get(&format!("/posts/{post}"))).json()["comments"].clone();
    assert_eq!(comments[0]["status"], "rejected", "{comments}");
    trellis.stop();
}

#[test]
fn names_that_nobody_has_are_answered_with_those_that_there_are() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    for arguments in [
        &["replay", "nobody"][..],
        &["dlq", "list", "nobody"],
        &["dlq", "show", "nobody"],
        &["dlq", "replay", "nobody"],
        &["dlq", "drop", "nobody", "--all"],
        &["events", "--service", "nobody"],
    ] {
        let output = trellis.command(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("there is no service nobody; there are ") && said.contains("posts"), "{said}");
    }
    trellis.run(&["stop", "query"]);
    for (arguments, remedy) in [
        (&["replay", "query"][..], "query does not answer; `trellis start query`"),
        (&["dlq", "replay", "query", "7"], "query has no dead letter 7; there are none"),
    ] {
        let output = trellis.command(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(remedy), "{arguments:?}: {said}");
    }
    assert_eq!(trellis.run(&["dlq", "replay", "posts"]), "posts has no dead letters\n");
    trellis.stop();
}
