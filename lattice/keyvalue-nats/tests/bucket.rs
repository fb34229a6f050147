//! The bucket on a real nats-server: what is promised of each call, and what is said when it cannot be kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, kv, stream};
use bytes::Bytes;
use common::{LIMIT, Nats, cluster_of_three};
use futures::StreamExt;
use keyvalue_nats::bucket::{BATCH_LEN_MAX, Bucket, LAST_AFTER_ALL, PROMISE_KEY};
use keyvalue_nats::error::Error;

const CREATE: (&str, &str) = ("enable_bucket_auto_create", "true");
const REPLICATED: [(&str, &str); 2] = [CREATE, ("num_replicas", "3")];
const SHORT: Duration = Duration::from_millis(600);

async fn list_all(bucket: &Bucket) -> (Vec<usize>, Vec<String>) {
    let (mut lens, mut keys, mut cursor) = (Vec::new(), Vec::new(), None);
    for _ in 0..100 {
        let page = bucket.list_keys(cursor).await.unwrap();
        lens.push(page.keys.len());
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return (lens, keys);
        }
    }
    panic!("no last page");
}

async fn fill(bucket: &Bucket, count: usize) {
    let entries: Vec<_> = (0..count).map(|n| (format!("key.{n}"), Bytes::from("v"))).collect();
    for batch in entries.chunks(BATCH_LEN_MAX) {
        bucket.set_many(batch.to_vec()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_written_is_read_and_what_was_deleted_is_gone() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    assert_eq!(bucket.get("a").await.unwrap(), None);
    bucket.set("a", "1".into()).await.unwrap();
    bucket.set("a", "2".into()).await.unwrap();
    bucket.set("empty", Bytes::new()).await.unwrap();
    assert_eq!(nats.bucket("b").await.get("a").await.unwrap(), Some("2".into()));
    assert_eq!(bucket.get("empty").await.unwrap(), Some(Bytes::new()));
    assert!(bucket.exists("a").await.unwrap() && bucket.exists("empty").await.unwrap());

    bucket.delete("a").await.unwrap();
    bucket.delete("never.was").await.unwrap();
    assert!(!bucket.exists("a").await.unwrap());
    let stream = jetstream::new(nats.client().await).get_stream("KV_b").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1, "a deletion left something behind");
    bucket.set("a", "3".into()).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), Some("3".into()));
}

#[tokio::test]
async fn buckets_are_apart_and_a_key_is_no_pattern() {
    let nats = Nats::start();
    let (one, two) = (nats.bucket("one").await, nats.bucket("two").await);
    one.set("a", "1".into()).await.unwrap();
    one.set("a.b", "2".into()).await.unwrap();
    assert_eq!(two.get("a").await.unwrap(), None);
    one.delete("a").await.unwrap();
    assert_eq!(one.get("a.b").await.unwrap(), Some("2".into()));
    for key in ["*", ">", "a.*", "a b", ""] {
        assert!(one.get(key).await.is_err(), "{key:?}");
        assert!(one.delete(key).await.is_err(), "{key:?}");
    }
}

#[tokio::test]
async fn batches_answer_in_the_order_asked_for() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    let entries: Vec<_> = (0..200).map(|n| (format!("k{n}"), Bytes::from(n.to_string()))).collect();
    bucket.set_many(entries.clone()).await.unwrap();
    bucket.delete_many(vec!["k7".to_owned(), "missing".to_owned()]).await.unwrap();
    let keys: Vec<String> = (0..200).rev().map(|n| format!("k{n}")).collect();
    let found = bucket.get_many(keys).await.unwrap();
    let expected: Vec<_> =
        entries.into_iter().rev().map(|entry| Some(entry).filter(|(key, _)| key != "k7")).collect();
    assert_eq!(found, expected);

    let too_many = vec!["k".to_owned(); BATCH_LEN_MAX + 1];
    assert!(matches!(bucket.get_many(too_many.clone()).await, Err(Error::BatchTooLarge { .. })));
    assert!(matches!(bucket.delete_many(too_many).await, Err(Error::BatchTooLarge { .. })));
    let one_is_bad = vec![("good".to_owned(), Bytes::new()), ("bad key".to_owned(), Bytes::new())];
    assert!(matches!(bucket.set_many(one_is_bad).await, Err(Error::KeyCharacters { .. })));
}

/// How many requests to a part of JetStream's interface the work makes.
async fn requests(nats: &Nats, api: &str, work: impl Future<Output = ()>) -> usize {
    const MARK: &str = "$JS.API.INFO";
    let client = nats.client().await;
    let mut seen = client.subscribe("$JS.API.>").await.unwrap();
    client.request(MARK, Bytes::new()).await.unwrap();
    work.await;
    client.request(MARK, Bytes::new()).await.unwrap();
    let (mut marks, mut count) = (0, 0);
    while marks < 2 {
        let message = seen.next().await.unwrap();
        marks += usize::from(message.subject.as_str() == MARK);
        count += usize::from(message.subject.starts_with(&format!("$JS.API.{api}.")));
    }
    count
}

#[tokio::test]
async fn many_keys_are_read_with_one_request() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    fill(&bucket, BATCH_LEN_MAX).await;
    let store = jetstream::new(nats.client().await).get_key_value("b").await.unwrap();
    store.delete("key.3").await.unwrap();
    let keys: Vec<String> = (0..BATCH_LEN_MAX).map(|n| format!("key.{n}")).collect();
    let asked = async || {
        let found = bucket.get_many(keys.clone()).await.unwrap();
        let missing = found.iter().position(Option::is_none);
        assert_eq!((found.iter().flatten().count(), missing), (BATCH_LEN_MAX - 1, Some(3)));
        assert_eq!(bucket.get_many(vec!["no.key".to_owned()]).await.unwrap(), [None]);
        assert_eq!(bucket.get_many(Vec::new()).await.unwrap(), []);
    };
    assert_eq!(requests(&nats, "DIRECT.GET", asked()).await, 2);
    assert_eq!(requests(&nats, "STREAM", asked()).await, 0);
}

/// An answer ends at so many bytes.
#[tokio::test]
async fn what_does_not_fit_into_one_answer_comes_with_the_next() {
    const VALUE: usize = 1_000_000;
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    let keys: Vec<String> = (0..11).map(|n| format!("key.{n}")).collect();
    for key in &keys {
        bucket.set(key, vec![b'v'; VALUE].into()).await.unwrap();
    }
    let read = async || {
        let found = bucket.get_many(keys.clone()).await.unwrap();
        assert!(found.iter().all(|found| found.as_ref().is_some_and(|(_, value)| value.len() == VALUE)));
    };
    let asked = requests(&nats, "DIRECT.GET", read()).await;
    assert_eq!(asked, 3, "for five keys each, and the last one");
}

/// Another server than the leader may be behind.
#[tokio::test]
async fn keys_of_a_bucket_with_replicas_are_read_from_its_leader() {
    let [one, other, _] = &cluster_of_three();
    for server in [one, other] {
        let bucket = server.bucket_with("b", &REPLICATED, SHORT).await;
        until(async || bucket.set("a", "0".into()).await.is_ok()).await;
    }
    let bucket = one.bucket_with("b", &REPLICATED, LIMIT).await;
    let reader = other.bucket_with("b", &REPLICATED, LIMIT).await;
    let read = async || {
        for n in 0..100 {
            let value = Bytes::from(n.to_string());
            bucket.set("a", value.clone()).await.unwrap();
            let found = reader.get_many(vec!["a".to_owned(), "b".to_owned()]).await.unwrap();
            assert_eq!(found, [Some(("a".to_owned(), value)), None]);
        }
    };
    assert_eq!(requests(other, "DIRECT.GET", read()).await, 0);
}

/// What the server refuses is known when it has answered: the last entry waits for that.
#[tokio::test]
async fn the_last_of_a_batch_is_set_after_all_others_are() {
    let nats = Nats::start();
    let context = jetstream::new(nats.client().await);
    let config = kv::Config { bucket: "b".to_owned(), max_value_size: 100, ..kv::Config::default() };
    context.create_key_value(config).await.unwrap();
    let bucket = nats.bucket("b").await;
    for refused in 0..40 {
        let len = |n: usize| if n == refused { 101 } else { 100 };
        let mut entries: Vec<_> =
            (0..40).map(|n| (format!("k{n}"), Bytes::from(vec![b'x'; len(n)]))).collect();
        entries.push(("place".to_owned(), "v".into()));
        assert!(matches!(bucket.set_many(entries).await, Err(Error::Failed { .. })));
        assert_eq!(bucket.get("place").await.unwrap(), None, "set though k{refused} was not");
    }
    bucket.set_many(vec![("k0".to_owned(), "v".into()), ("place".to_owned(), "v".into())]).await.unwrap();
    assert_eq!(bucket.get("place").await.unwrap(), Some("v".into()));
}

#[tokio::test]
async fn what_is_promised_of_batches_is_read_where_the_kit_looks_for_it() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    let found = bucket.get_many(vec![PROMISE_KEY.to_owned(), "a".to_owned()]).await.unwrap();
    assert_eq!(found, [Some((PROMISE_KEY.to_owned(), LAST_AFTER_ALL.into())), None]);
    assert!(matches!(bucket.set(PROMISE_KEY, "x".into()).await, Err(Error::KeyOfProvider { .. })));
    assert!(matches!(bucket.delete(PROMISE_KEY).await, Err(Error::KeyOfProvider { .. })));
    assert!(bucket.increment(PROMISE_KEY, 1).await.is_err());
    assert_eq!(list_all(&bucket).await, (vec![0], vec![]));
    let kit = include_str!("../../../crates/kit/src/platform/batch.rs");
    assert!(kit.contains(&format!("PROMISE_KEY: &str = {PROMISE_KEY:?};")));
    assert!(kit.contains(&format!("LAST_AFTER_ALL: &[u8] = b{LAST_AFTER_ALL:?};")));
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_many_processes_all_count() {
    let nats = Nats::start();
    let mut buckets = Vec::new();
    for _ in 0..PROCESSES {
        buckets.push(nats.bucket("b").await);
    }
    all_count(buckets, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_on_a_cluster_all_count() {
    let servers = cluster_of_three();
    // They are still finding each other.
    for server in &servers {
        let bucket = server.bucket_with("b", &REPLICATED, SHORT).await;
        until(async || bucket.increment("found", 1).await.is_ok()).await;
    }
    let mut buckets = Vec::new();
    for process in 0..PROCESSES {
        buckets.push(servers[process % servers.len()].bucket_with("b", &REPLICATED, LIMIT).await);
    }
    all_count(buckets, 10).await;
}

/// Each with its own connection and its own turns, as another process would have.
const PROCESSES: usize = 8;

async fn all_count(buckets: Vec<Bucket>, each: usize) {
    let all = u64::try_from(buckets.len() * each).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for bucket in buckets {
        let bucket = std::sync::Arc::new(bucket);
        for _ in 0..each {
            let bucket = bucket.clone();
            tasks.spawn(async move { bucket.increment("count", 1).await.unwrap() });
        }
    }
    let sums: BTreeSet<u64> = tasks.join_all().await.into_iter().collect();
    assert_eq!(sums, (1..=all).collect(), "a sum was given twice, or lost");
}

#[tokio::test]
async fn counters_are_decimal_text_and_never_wrap() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    assert_eq!(bucket.increment("c", 2).await.unwrap(), 2);
    assert_eq!(bucket.get("c").await.unwrap(), Some("2".into()));
    assert!(matches!(bucket.increment("c", u64::MAX).await, Err(Error::Overflow { .. })));
    assert_eq!(bucket.increment("c", u64::MAX - 2).await.unwrap(), u64::MAX);
    bucket.delete("c").await.unwrap();
    assert_eq!(bucket.increment("c", 1).await.unwrap(), 1);
    bucket.set("text", "one".into()).await.unwrap();
    assert!(matches!(bucket.increment("text", 1).await, Err(Error::NotANumber { .. })));
}

#[tokio::test]
async fn keys_are_listed_in_pages_and_none_is_missed() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    assert_eq!(list_all(&bucket).await, (vec![0], vec![]));
    fill(&bucket, 2_300).await;
    let (lens, keys) = list_all(&bucket).await;
    assert_eq!(lens, [1_000, 1_000, 300]);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 2_300);

    // Written between two pages: the ones that move are listed later, not never. Another process goes on.
    let first = bucket.list_keys(None).await.unwrap();
    fill(&bucket, 1_500).await;
    let rest = nats.bucket("b").await;
    let mut seen: BTreeSet<String> = first.keys.into_iter().collect();
    let mut cursor = first.cursor;
    while let Some(place) = cursor {
        let page = rest.list_keys(Some(place)).await.unwrap();
        seen.extend(page.keys);
        cursor = page.cursor;
    }
    assert_eq!(seen.len(), 2_300);
}

#[tokio::test]
async fn a_cursor_may_be_any_number() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    fill(&bucket, 3).await;
    assert_eq!(bucket.list_keys(Some(0)).await.unwrap().keys.len(), 3);
    for beyond in [4, 1_000_000, u64::MAX] {
        let page = bucket.list_keys(Some(beyond)).await.unwrap();
        assert_eq!((page.keys, page.cursor), (vec![], None), "{beyond}");
    }
}

#[tokio::test]
async fn what_other_tools_deleted_is_neither_read_nor_listed() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    fill(&bucket, 3).await;
    let store = jetstream::new(nats.client().await).get_key_value("b").await.unwrap();
    store.delete("key.0").await.unwrap();
    store.purge("key.1").await.unwrap();
    assert_eq!(bucket.get("key.0").await.unwrap(), None);
    assert_eq!(list_all(&bucket).await.1, ["key.2"]);
    assert_eq!(bucket.increment("key.0", 4).await.unwrap(), 4);
}

#[tokio::test]
async fn a_bucket_with_history_lists_newest_values_only() {
    let nats = Nats::start();
    let context = jetstream::new(nats.client().await);
    let store =
        context.create_key_value(kv::Config { bucket: "b".to_owned(), history: 5, ..kv::Config::default() });
    let store = store.await.unwrap();
    for value in 0..3 {
        store.put("kept", value.to_string().into()).await.unwrap();
        store.put("deleted", value.to_string().into()).await.unwrap();
    }
    store.delete("deleted").await.unwrap();
    let bucket = nats.bucket("b").await;
    assert_eq!(list_all(&bucket).await.1, ["kept"]);
    assert_eq!(bucket.get("kept").await.unwrap(), Some("2".into()));
}

#[tokio::test]
async fn a_missing_bucket_is_created_only_if_the_link_says_so() {
    let nats = Nats::start();
    let strict = nats.bucket_with("b", &[], LIMIT).await;
    let error = strict.get("a").await.unwrap_err();
    assert!(matches!(&error, Error::NoBucket { bucket } if bucket == "b"), "{error}");
    assert!(error.to_string().contains("enable_bucket_auto_create"));

    let (one, two) = (nats.bucket("b").await, nats.bucket("b").await);
    let (first, second) = tokio::join!(one.set("a", "1".into()), two.set("b", "2".into()));
    first.unwrap();
    second.unwrap();
    assert_eq!(strict.get("a").await.unwrap(), Some("1".into()), "an earlier failure is remembered");

    jetstream::new(nats.client().await).delete_stream("KV_b").await.unwrap();
    assert!(
        matches!(one.get("a").await, Err(Error::NoBucket { .. })),
        "somebody removed it; that must be seen"
    );
    assert_eq!(one.get("a").await.unwrap(), None, "created again");
}

#[tokio::test]
async fn a_value_that_nats_would_not_take_is_refused_before_it_is_sent() {
    let nats = Nats::with("max_payload: 4096\njetstream { store_dir: STORE }");
    let bucket = nats.bucket("b").await;
    bucket.set("a", vec![0; 4096].into()).await.unwrap();
    let error = bucket.set("a", vec![0; 4097].into()).await.unwrap_err();
    assert!(matches!(error, Error::ValueTooLarge { len: 4097, max: 4096, .. }), "{error}");
    assert_eq!(bucket.get("a").await.unwrap().unwrap().len(), 4096);
}

#[tokio::test]
async fn an_outage_is_an_error_in_time_and_over_when_it_is_over() {
    let mut nats = Nats::not_started("jetstream { store_dir: STORE }");
    let bucket = nats.bucket_with("b", &[CREATE], SHORT).await;
    let asked = Instant::now();
    let error = bucket.set("a", "lost".into()).await.unwrap_err();
    assert!(asked.elapsed() < SHORT * 2);
    assert!(error.to_string().contains(&nats.address()), "{error}");

    nats.start_again();
    let patient = nats.bucket("b").await;
    patient.set("a", "1".into()).await.unwrap();
    until(|| async { bucket.get("a").await.is_ok() }).await;
    assert_eq!(bucket.get("a").await.unwrap(), Some("1".into()), "what failed was written after all");

    nats.stop();
    until(|| async { bucket.get("a").await.is_err() }).await;
    nats.start_again();
    until(|| async { bucket.get("a").await.is_ok() }).await;
    assert_eq!(bucket.get("a").await.unwrap(), Some("1".into()));
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_from_one_that_is_not_there() {
    let nats = Nats::with("");
    let bucket = nats.bucket_with("b", &[CREATE], SHORT).await;
    let error = bucket.get("a").await.unwrap_err();
    assert!(matches!(&error, Error::NoJetStream { servers } if *servers == nats.address()), "{error}");
}

#[tokio::test]
async fn more_replicas_than_servers_is_said_by_the_first_call() {
    let nats = Nats::start();
    let bucket = nats.bucket_with("b", &[CREATE, ("num_replicas", "3")], LIMIT).await;
    let error = bucket.get("a").await.unwrap_err().to_string();
    assert!(error.starts_with("cannot create the bucket") && error.contains("replicas"), "{error}");
}

#[tokio::test]
async fn a_stream_of_that_name_that_is_no_bucket_is_said_and_left_alone() {
    let nats = Nats::start();
    let context = jetstream::new(nats.client().await);
    let config = stream::Config {
        name: "KV_b".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    let error = nats.bucket("b").await.set("a", "1".into()).await.unwrap_err();
    let expected = "stream KV_b is there and is no bucket: it holds orders.> and not $KV.b.>";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(context.get_stream("KV_b").await.unwrap().cached_info().config.subjects, ["orders.>"]);
}

#[tokio::test]
async fn a_link_whose_user_may_not_is_denied_at_once() {
    let nats = Nats::with(
        "jetstream { store_dir: STORE }
         accounts { A {
           jetstream: enabled
           users: [
             { user: admin, password: x }
             { user: posts, password: x, permissions: {
                 publish: [\"$KV.posts.>\", \"$JS.API.*.*.KV_posts\", \"$JS.API.*.*.*.KV_posts\"], subscribe: \"_INBOX.>\" } }
           ]
         } }",
    );
    let url = |user: &str| format!("nats://{user}:x@{}", nats.address());
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".to_owned(), "x".to_owned());
    let context = jetstream::new(admin.connect(nats.url()).await.unwrap());
    for name in ["KV_posts", "KV_orders"] {
        let subjects = vec![format!("$KV.{}.>", name.trim_start_matches("KV_"))];
        let config = stream::Config {
            name: name.to_owned(),
            subjects,
            max_messages_per_subject: 1,
            ..Default::default()
        };
        context.create_stream(config).await.unwrap();
    }
    let mine = linked("posts", &url("posts")).await;
    mine.set("a", "1".into()).await.unwrap();
    assert_eq!(mine.get("a").await.unwrap(), Some("1".into()));

    let asked = Instant::now();
    let error = linked("orders", &url("posts")).await.set("a", "1".into()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(asked.elapsed() < LIMIT / 2, "waited for an answer that does not come");
}

async fn linked(bucket: &str, url: &str) -> Bucket {
    let config =
        [("bucket", bucket), ("cluster_uri", url)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = keyvalue_nats::settings::Settings::read(&[].into(), &config.into(), &[].into()).unwrap();
    Bucket::new(&settings, LIMIT).await.unwrap()
}

#[tokio::test]
async fn headers_of_others_do_no_harm() {
    let nats = Nats::start();
    let bucket = nats.bucket("b").await;
    bucket.set("a", "1".into()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", "00-ab-cd-01");
    let context = jetstream::new(nats.client().await);
    context.publish_with_headers("$KV.b.a", headers, "2".into()).await.unwrap().await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), Some("2".into()));
    assert_eq!(bucket.increment("a", 1).await.unwrap(), 3);
}

async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < deadline, "it did not come to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
