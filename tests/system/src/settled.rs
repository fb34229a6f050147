//! When all is handled: what there is of what was written, and whether read models are right.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::application::Application;
use crate::client::{Request, text};
use crate::load::{Written, are_decided, assert_all_ended};
use crate::within;

/// Waits until every event is handled and every service ready. Gives the services that have read models.
#[track_caller]
pub fn settled(trellis: &Application) -> Vec<String> {
    settled_within(crate::PATIENCE, trellis)
}

/// The same, for so long.
#[track_caller]
pub fn settled_within(patience: Duration, trellis: &Application) -> Vec<String> {
    let report = within(patience, "all events are handled", || {
        let output = trellis.command(&["status", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).ok()?;
        assert_eq!(report["dead_letters"], json!([]), "{report:#}");
        let idle = report["consumers"].as_array()?.iter().all(|consumer| consumer["backlog"] == 0);
        (output.status.success() && idle).then_some(report)
    });
    let consumers = report["consumers"].as_array().unwrap().iter();
    let projecting = consumers.filter(|of| of["role"].as_str().unwrap().starts_with("read models"));
    let mut services: Vec<String> = projecting.map(|of| text(&of["service"])).collect();
    services.sort();
    services.dedup();
    services
}

/// Whatever was answered is there once, wherever it can be seen, and nothing besides.
#[track_caller]
pub fn assert_each_is_there_once(trellis: &Application, written: &Written) {
    within(2 * crate::PATIENCE, "something has come of every payment", || {
        are_decided(trellis, &written.trades)
    });
    settled_within(2 * crate::PATIENCE, trellis);
    let nats = trellis.nats();
    let all = |service: &str, path: &str| -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = nats.send(service, &Request::get(&path).as_moderator()).unwrap();
            assert_eq!(page.status, 200, "{page:?}");
            items.extend(page.json().as_array().unwrap().iter().cloned());
            next = page.next();
        }
        items
    };
    let as_map = |items: Vec<Value>, field: &str| -> BTreeMap<String, String> {
        let count = items.len();
        let map: BTreeMap<_, _> = items.iter().map(|item| (text(&item["id"]), text(&item[field]))).collect();
        assert_eq!(map.len(), count, "something is there twice");
        map
    };
    assert_eq!(as_map(all("query", "/posts?limit=100"), "title"), written.titles);
    assert_eq!(as_map(all("posts", "/posts?limit=100"), "title"), written.titles);

    let mut of_posts: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (id, (post, status)) in &written.comments {
        of_posts.entry(post).or_default().insert(id.clone(), (*status).to_owned());
    }
    for (post, expected) in of_posts {
        assert_eq!(as_map(all("comments", &format!("/posts/{post}/comments?limit=100")), "status"), expected);
        let read = nats.send("query", &Request::get(&format!("/posts/{post}"))).unwrap().json();
        assert_eq!(read["comment_count"], json!(expected.len()), "{read}");
    }
    let statuses = written.comments.iter().map(|(id, (_, status))| (id.clone(), (*status).to_owned()));
    let verdicts = as_map(all("moderation", "/moderation/queue?limit=100"), "status");
    assert_eq!(verdicts, statuses.collect());

    // One event for each thing that was done, and none besides.
    let events =
        |log: &str| nats.jetstream(&format!("STREAM.INFO.LOG_{log}"), json!({}))["state"]["messages"].clone();
    let (posts, comments) = (written.titles.len() as u64, written.comments.len() as u64);
    assert_eq!(events("posts"), json!(posts + written.retitled));
    assert_eq!(events("moderation"), json!(comments + written.overturned));
    assert_eq!(events("comments"), json!(2 * comments + written.overturned));
    assert_all_ended(trellis, &written.trades);
}

/// The read models of one service, as they are stored.
#[derive(Debug)]
pub struct ReadModels {
    pub generation: u64,
    /// By key, without the slot of the generation: the sequence of the event that wrote a value last, and the value.
    pub values: BTreeMap<String, (Value, Value)>,
}

impl ReadModels {
    /// The generation that is read, of all that is in the bucket of a service.
    pub fn of(entries: &BTreeMap<String, Value>) -> Self {
        let generation = entries.get("generation").map_or(1, |now| now["active"].as_u64().unwrap());
        let slot = format!("g{}.", generation % 2);
        let values = entries
            .iter()
            .filter(|(_, kept)| kept["g"] == json!(generation))
            .filter_map(|(key, kept)| {
                Some((key.strip_prefix(&slot)?.to_owned(), (kept["s"].clone(), kept["v"].clone())))
            })
            .collect();
        Self { generation, values }
    }
}

/// Read models that were built anew are those that there were.
#[track_caller]
pub fn assert_equal(live: &BTreeMap<String, ReadModels>, anew: &BTreeMap<String, ReadModels>) {
    assert!(live.keys().eq(anew.keys()), "{:?} and {:?}", live.keys(), anew.keys());
    for (service, live) in live {
        let anew = &anew[service];
        assert_eq!(anew.generation, live.generation + 1, "{service} was built anew");
        assert_eq!(differences(&live.values, &anew.values), Vec::<String>::new(), "{service}");
        eprintln!("{service}: {} values, all as built anew", live.values.len());
    }
}

/// The first keys whose values differ.
fn differences(
    live: &BTreeMap<String, (Value, Value)>,
    anew: &BTreeMap<String, (Value, Value)>,
) -> Vec<String> {
    let keys = live.keys().chain(anew.keys().filter(|key| !live.contains_key(*key)));
    let differing = keys.filter(|key| live.get(*key) != anew.get(*key));
    differing.take(5).map(|key| format!("{key}: {:?} and anew {:?}", live.get(key), anew.get(key))).collect()
}
