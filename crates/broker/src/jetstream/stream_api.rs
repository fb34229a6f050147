//! `$JS.API.STREAM.>`, but for single messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Serialize;
use trellis_store::{Durability, Order};

use super::answer::{self, Answer, Outcome, Page};
use super::append::{self, REMOVED_PER_STEP};
use super::config::{self, StreamConfig, StreamRequest, collide};
use super::followed::Followed;
use super::json::Object;
use super::records::{Stored, Tail, named_record};
use super::stream::Stream;
use super::streams::{DELETED, JetStream};
use super::{date, errors, ids, keys};
use crate::Pattern;

const STREAMS_MAX: usize = 10_000;
const SUBJECT_DETAILS_MAX: usize = 100_000;
const NAMES_LIMIT: usize = 1_024;
const LIST_LIMIT: usize = 256;

#[derive(Debug, Serialize)]
struct StreamInfo {
    config: StreamConfig,
    created: String,
    state: StreamState,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterInfo>,
    ts: String,
    #[serde(skip_serializing_if = "config::is_false")]
    did_create: bool,
}

#[derive(Debug, Serialize)]
struct StreamState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    first_ts: String,
    last_seq: u64,
    last_ts: String,
    #[serde(skip_serializing_if = "config::is_zero_u64")]
    num_subjects: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    subjects: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "config::is_zero_u64")]
    num_deleted: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<u64>,
    consumer_count: usize,
}

#[derive(Debug, Serialize)]
struct ClusterInfo {
    leader: &'static str,
}

#[derive(Serialize)]
struct Done {
    success: bool,
}

#[derive(Serialize)]
struct Purged {
    #[serde(skip_serializing_if = "config::is_false")]
    success: bool,
    purged: u64,
}

#[derive(Serialize)]
struct Paged<T: Serialize> {
    #[serde(flatten)]
    page: Page,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Listed<T: Serialize> {
    streams: T,
}

impl JetStream {
    pub(super) async fn create_stream(&self, name: &str, payload: &[u8], too_new: bool) -> Answer {
        let outcome = self.try_create_stream(name, payload, too_new).await;
        Answer::new("stream_create_response", outcome)
    }

    async fn try_create_stream(&self, name: &str, payload: &[u8], too_new: bool) -> Outcome<StreamInfo> {
        if too_new {
            return Err(errors::API_LEVEL);
        }
        let request = StreamRequest::parse(payload)?;
        if request.config.name != name {
            return Err(errors::STREAM_MISMATCH);
        }
        if name.contains(['\\', '/']) {
            return Err(errors::STREAM_NAME_WITH_PATH);
        }
        if request.config.sealed {
            return Err(errors::invalid_config("stream configuration for create can not be sealed"));
        }
        if request.config.mirror_direct {
            return Err(errors::invalid_config("stream has no mirror but does have mirror direct"));
        }
        let config = request.check()?;
        if config.num_replicas > 1 {
            return Err(errors::REPLICAS_NOT_SUPPORTED);
        }
        let _admin = self.admin.lock().await;
        if let Some(existing) = self.stream(name) {
            if *existing.config() != config {
                return Err(errors::STREAM_NAME_EXISTS);
            }
            return Ok(StreamInfo { did_create: true, ..self.info(&existing, true) });
        }
        self.check_overlap(name, &config)?;
        if self.registry.read().by_name.len() >= STREAMS_MAX {
            return Err(errors::MAXIMUM_STREAMS);
        }
        let stream = self.add_stream(config).await;
        Ok(StreamInfo { did_create: true, ..self.info(&stream, true) })
    }

    fn check_overlap(&self, name: &str, config: &StreamConfig) -> Outcome<()> {
        let ours = config.patterns();
        let overlaps =
            |other: &Arc<Followed>| &*other.name != name && collide(&ours, &other.config().patterns());
        if self.streams().iter().any(overlaps) { Err(errors::SUBJECTS_OVERLAP) } else { Ok(()) }
    }

    async fn add_stream(&self, config: StreamConfig) -> Arc<Followed> {
        let created = self.bus.now();
        let stored = config.clone();
        let write = self.store.write(Durability::Synced, move |tx| {
            let id = ids::next(tx);
            let first = stored.first_seq;
            let tail = Tail {
                data: ids::next(tx),
                first_seq: first,
                last_seq: first.saturating_sub(1),
                ..Tail::default()
            };
            tx.put(keys::stream(&stored.name), named_record(id, created, &stored));
            tx.put(keys::tail(id), tail.encode());
            (id, tail)
        });
        let (id, tail) = write.await;
        let name = config.name.clone();
        let stream =
            Arc::new(Followed::new(Stream::new(&name, id, created, config, tail, self.store.clone())));
        self.registry.write().add(stream.clone());
        self.janitor.notify_one();
        stream
    }

    pub(super) async fn update_stream(&self, name: &str, payload: &[u8], too_new: bool) -> Answer {
        let outcome = self.try_update_stream(name, payload, too_new).await;
        Answer::new("stream_update_response", outcome)
    }

    async fn try_update_stream(&self, name: &str, payload: &[u8], too_new: bool) -> Outcome<StreamInfo> {
        if too_new {
            return Err(errors::API_LEVEL);
        }
        let mut config = StreamRequest::parse(payload)?.check()?;
        // Without a mirror there is nothing that this could mean.
        config.mirror_direct = false;
        if config.name != name {
            return Err(errors::STREAM_MISMATCH);
        }
        let _admin = self.admin.lock().await;
        let stream = self.stream(name).ok_or(errors::STREAM_NOT_FOUND)?;
        let old = stream.config();
        let config = old.check_update(config)?;
        self.check_overlap(name, &config)?;
        let stored = config.clone();
        self.change(&stream, move |tx, stream| {
            tx.put(keys::stream(&stored.name), named_record(stream.id, stream.created, &stored));
            stream.set_config(stored);
        })
        .await;
        {
            let mut registry = self.registry.write();
            registry.remove_subjects(&stream, &old);
            for subject in &config.subjects {
                registry.by_subject.insert(subject, stream.clone());
            }
        }
        self.apply_limits(&stream, &config).await;
        self.janitor.notify_one();
        Ok(self.info(&stream, true))
    }

    /// Removes what lowered limits no longer allow, step by step.
    async fn apply_limits(&self, stream: &Arc<Followed>, config: &StreamConfig) {
        let mut crowded = vec![None];
        if let (Ok(most), Ok(everything)) = (u64::try_from(config.max_msgs_per_subject), Pattern::new(">")) {
            stream
                .for_each_subject(&everything, |subject, entry| {
                    if entry.count > most {
                        crowded.push(Some(subject.to_owned()));
                    }
                })
                .await;
        }
        for subject in crowded {
            loop {
                let subject = subject.clone();
                let step = self.change(stream, move |tx, stream| {
                    let config = stream.config();
                    let mut tail = stream.tail.lock();
                    let before = tail.messages;
                    let done = append::keep_limits(tx, stream, &config, &mut tail, subject.as_deref());
                    tx.put(keys::tail(stream.id), tail.encode());
                    done || tail.messages == before
                });
                if step.await {
                    break;
                }
            }
        }
    }

    pub(super) async fn stream_info(&self, name: &str, payload: &[u8]) -> Answer {
        let outcome = self.try_stream_info(name, payload).await;
        Answer::with_rest("stream_info_response", outcome, Page::default())
    }

    async fn try_stream_info(&self, name: &str, payload: &[u8]) -> Outcome<Paged<StreamInfo>> {
        let mut json =
            Object::parse(if answer::is_json(payload) { payload } else { b"" }, "JSApiStreamInfoRequest")?;
        let offset = json.int("offset");
        let deleted_details = json.bool("deleted_details");
        let filter = json.string("subjects_filter");
        json.finish()?;
        let stream = self.stream(name).ok_or(errors::STREAM_NOT_FOUND)?;
        let mut info = self.info(&stream, true);
        info.cluster = Some(ClusterInfo { leader: config::SERVER_ID });
        let mut page = Page::default();
        if let Ok(filter) = Pattern::new(&filter) {
            let total = usize::try_from(stream.count_subjects(&filter).await).unwrap_or(usize::MAX);
            if total > 0 {
                let offset = usize::try_from(offset).unwrap_or(0).min(total);
                page = Page { total, offset, limit: SUBJECT_DETAILS_MAX };
                info.state.subjects = stream.subjects(&filter, offset, SUBJECT_DETAILS_MAX).await;
            }
        }
        if deleted_details && info.state.num_deleted > 0 {
            info.state.deleted = deleted(&stream).await;
        }
        Ok(Paged { page, body: info })
    }

    /// What is known of a stream. Lists leave out what nats-server adds to the metadata otherwise.
    fn info(&self, stream: &Followed, full: bool) -> StreamInfo {
        let config = stream.config();
        let tail = stream.visible_tail();
        let first = self.store.get(&keys::message(tail.data, tail.first_seq));
        let first_date = first.and_then(|value| Stored::peek_date(&value)).filter(|_| tail.messages > 0);
        let zero = || date::ZERO.to_owned();
        let span = (tail.last_seq + 1).saturating_sub(tail.first_seq);
        StreamInfo {
            config: if full { config.with_server_metadata() } else { StreamConfig::clone(&config) },
            created: date::format(stream.created),
            state: StreamState {
                messages: tail.messages,
                bytes: tail.bytes,
                first_seq: tail.first_seq,
                first_ts: first_date.map_or_else(zero, date::format),
                last_seq: tail.last_seq,
                last_ts: if tail.last_date > 0 { date::format(tail.last_date) } else { zero() },
                num_subjects: tail.subjects,
                subjects: BTreeMap::new(),
                num_deleted: if tail.messages > 0 { span.saturating_sub(tail.messages) } else { 0 },
                deleted: Vec::new(),
                consumer_count: stream.consumer_count(),
            },
            cluster: None,
            ts: date::format(self.bus.now()),
            did_create: false,
        }
    }

    pub(super) async fn delete_stream(&self, name: &str, payload: &[u8]) -> Answer {
        let outcome = self.try_delete_stream(name, payload).await;
        Answer::new("stream_delete_response", outcome.map(|()| Done { success: true }))
    }

    async fn try_delete_stream(&self, name: &str, payload: &[u8]) -> Outcome<()> {
        answer::check_empty(payload)?;
        let _admin = self.admin.lock().await;
        let stream = self.stream(name).ok_or(errors::STREAM_NOT_FOUND)?;
        {
            let mut registry = self.registry.write();
            registry.remove_subjects(&stream, &stream.config());
            registry.by_name.remove(name);
        }
        self.change(&stream, |tx, stream| {
            stream.deleted.store(true, Ordering::Release);
            tx.delete(&keys::stream(&stream.name));
            tx.put(keys::litter(stream.id), Bytes::new());
            tx.put(keys::litter(stream.tail.lock().data), Bytes::new());
        })
        .await;
        stream.dismiss_all(Some(DELETED));
        self.janitor.notify_one();
        Ok(())
    }

    pub(super) fn stream_names(&self, payload: &[u8]) -> Answer {
        let outcome = self.listed(payload).map(|(offset, streams)| {
            let names = streams.iter().map(|stream| stream.name.to_string()).collect();
            let (page, streams) = answer::page(names, offset, NAMES_LIMIT);
            Paged { page, body: Listed { streams: (!streams.is_empty()).then_some(streams) } }
        });
        let rest = Paged { page: Page::default(), body: Listed { streams: None::<()> } };
        Answer::with_rest("stream_names_response", outcome, rest)
    }

    pub(super) fn stream_list(&self, payload: &[u8]) -> Answer {
        let outcome = self.listed(payload).map(|(offset, streams)| {
            let (page, streams) = answer::page(streams, offset, LIST_LIMIT);
            let streams: Vec<_> = streams.iter().map(|stream| self.info(stream, false)).collect();
            Paged { page, body: Listed { streams } }
        });
        let rest = Paged { page: Page::default(), body: Listed { streams: [(); 0] } };
        Answer::with_rest("stream_list_response", outcome, rest)
    }

    /// All streams, or those that share a subject with the one asked for, from an offset.
    fn listed(&self, payload: &[u8]) -> Outcome<(i64, Vec<Arc<Followed>>)> {
        let mut json =
            Object::parse(if answer::is_json(payload) { payload } else { b"" }, "JSApiStreamListRequest")?;
        let offset = json.int("offset");
        let subject = json.string("subject");
        json.finish()?;
        let mut streams = self.streams();
        if !subject.is_empty() {
            let wanted: Vec<Pattern> = Pattern::new(&subject).into_iter().collect();
            streams.retain(|stream| collide(&wanted, &stream.config().patterns()));
        }
        Ok((offset, streams))
    }

    pub(super) async fn purge_stream(&self, name: &str, payload: &[u8]) -> Answer {
        let outcome = self.try_purge_stream(name, payload).await;
        let outcome = outcome.map(|purged| Purged { success: true, purged });
        Answer::with_rest("stream_purge_response", outcome, Purged { success: false, purged: 0 })
    }

    async fn try_purge_stream(&self, name: &str, payload: &[u8]) -> Outcome<u64> {
        let mut json =
            Object::parse(if answer::is_json(payload) { payload } else { b"" }, "JSApiStreamPurgeRequest")?;
        let (before, filter, keep) = (json.u64("seq"), json.string("filter"), json.u64("keep"));
        json.finish()?;
        if before > 0 && keep > 0 {
            return Err(errors::BAD_REQUEST);
        }
        let stream = self.stream(name).ok_or(errors::STREAM_NOT_FOUND)?;
        let config = stream.config();
        if config.sealed {
            return Err(errors::STREAM_SEALED);
        }
        if config.deny_purge {
            return Err(errors::purge_failed("stream purge not permitted"));
        }
        let everything = filter.is_empty() || filter == ">";
        if everything && before == 0 && keep == 0 {
            let purged = self.change(&stream, |tx, stream| {
                let mut tail = stream.tail.lock();
                let first_seq = tail.last_seq + 1;
                let purged = append::empty(tx, stream, &mut tail, first_seq);
                tx.put(keys::tail(stream.id), tail.encode());
                purged
            });
            let purged = purged.await;
            self.janitor.notify_one();
            return Ok(purged);
        }
        let filter = if filter.is_empty() { ">".to_owned() } else { filter };
        // A filter that no subject can match purges nothing.
        let Ok(filter) = Pattern::new(&filter) else { return Ok(0) };
        Ok(self.purge_some(&stream, filter, before, keep).await)
    }

    /// Removes matching messages before a sequence, or all but the newest `keep`, step by step.
    async fn purge_some(&self, stream: &Arc<Followed>, filter: Pattern, before: u64, keep: u64) -> u64 {
        let tail = stream.visible_tail();
        let filters = [filter];
        let end = if before > 0 { before.min(tail.last_seq + 1) } else { tail.last_seq + 1 };
        let mut left = match keep {
            0 => u64::MAX,
            keep => stream.count(&filters, tail.first_seq, tail.last_seq).await.saturating_sub(keep),
        };
        let mut from = tail.first_seq;
        let mut purged = 0;
        while left > 0 {
            let mut batch = Vec::new();
            while batch.len() < REMOVED_PER_STEP && left > 0 {
                let Some((seq, _)) = stream.next(&filters, from).await.filter(|(seq, _)| *seq < end) else {
                    left = 0;
                    break;
                };
                batch.push(seq);
                from = seq + 1;
                left -= 1;
            }
            let removed = self.change(stream, move |tx, stream| {
                let mut tail = stream.tail.lock();
                let removed =
                    batch.into_iter().filter(|seq| append::remove(tx, stream, &mut tail, *seq)).count();
                tx.put(keys::tail(stream.id), tail.encode());
                removed
            });
            purged += u64::try_from(removed.await).unwrap_or(u64::MAX);
        }
        purged
    }
}

/// The gaps in a stream, as many as an answer may hold.
async fn deleted(stream: &Stream) -> Vec<u64> {
    let mut gaps = Vec::new();
    let tail = stream.visible_tail();
    let mut expected = tail.first_seq;
    loop {
        let range = keys::messages(stream.data(), expected);
        let page = stream.store.scan(range, Order::Ascending, 64);
        if page.is_empty() || gaps.len() >= SUBJECT_DETAILS_MAX {
            gaps.extend((expected..=tail.last_seq).take(SUBJECT_DETAILS_MAX.saturating_sub(gaps.len())));
            return gaps;
        }
        for seq in page.iter().filter_map(|(key, _)| keys::message_seq(key)) {
            gaps.extend((expected..seq).take(SUBJECT_DETAILS_MAX - gaps.len().min(SUBJECT_DETAILS_MAX)));
            expected = seq + 1;
        }
        tokio::task::yield_now().await;
    }
}
