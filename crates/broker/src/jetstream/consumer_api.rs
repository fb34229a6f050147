//! `$JS.API.CONSUMER.>`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use trellis_store::Durability;

use super::answer::{self, Answer, Outcome, Page};
use super::config;
use super::consumer::{Consumer, ConsumerInfo};
use super::consumer_config::{Action, ConsumerConfig, ConsumerRequest};
use super::followed::Followed;
use super::json::Object;
use super::records::named_record;
use super::streams::JetStream;
use super::{errors, ids, keys};
use crate::Subject;

const NAMES_LIMIT: usize = 1_024;
const LIST_LIMIT: usize = 256;

#[derive(Serialize)]
struct Done {
    success: bool,
}

#[derive(Serialize)]
struct Reset {
    #[serde(flatten)]
    info: ConsumerInfo,
    reset_seq: u64,
}

/// What stands beside an error.
#[derive(Serialize)]
struct NoReset {
    reset_seq: u64,
}

#[derive(Serialize)]
struct Listed<T: Serialize> {
    #[serde(flatten)]
    page: Page,
    consumers: T,
}

impl JetStream {
    /// `name` and `filter` are what the subject says; without a name, the consumer is of the oldest, ephemeral kind.
    pub(super) async fn create_consumer(
        self: &Arc<Self>,
        stream: &str,
        name: Option<&str>,
        filter: Option<&str>,
        payload: &[u8],
        too_new: bool,
    ) -> Answer {
        let outcome = self.try_create_consumer(stream, name, filter, payload, too_new).await;
        Answer::new("consumer_create_response", outcome)
    }

    async fn try_create_consumer(
        self: &Arc<Self>,
        stream: &str,
        name: Option<&str>,
        filter: Option<&str>,
        payload: &[u8],
        too_new: bool,
    ) -> Outcome<ConsumerInfo> {
        let mut request = ConsumerRequest::parse(payload)?;
        check_request(&request, stream, name.unwrap_or(&request.config.name), too_new)?;
        let durable = request.config.durable_name.as_str();
        match name {
            Some(name) if !durable.is_empty() && durable != name => {
                return Err(errors::DURABLE_NAME_MISMATCH);
            }
            Some(name) => request.config.name = name.to_owned(),
            None if !durable.is_empty() => return Err(errors::EPHEMERAL_WITH_DURABLE_NAME),
            None => {}
        }
        if filter.is_some() && !request.config.filter_subjects.is_empty() {
            return Err(errors::MULTIPLE_FILTERS_IN_SUBJECT);
        }
        if filter.is_some_and(|filter| request.config.filter_subject != filter) {
            return Err(errors::FILTER_MISMATCH);
        }
        self.put_consumer(request).await
    }

    pub(super) async fn create_durable(
        self: &Arc<Self>,
        stream: &str,
        name: &str,
        payload: &[u8],
        too_new: bool,
    ) -> Answer {
        let outcome = self.try_create_durable(stream, name, payload, too_new).await;
        Answer::new("consumer_create_response", outcome)
    }

    async fn try_create_durable(
        self: &Arc<Self>,
        stream: &str,
        name: &str,
        payload: &[u8],
        too_new: bool,
    ) -> Outcome<ConsumerInfo> {
        let mut request = ConsumerRequest::parse(payload)?;
        check_request(&request, stream, name, too_new)?;
        if request.config.durable_name.is_empty() {
            return Err(errors::DURABLE_NAME_NOT_SET);
        }
        if request.config.durable_name != name {
            return Err(errors::DURABLE_NAME_MISMATCH);
        }
        request.config.name = name.to_owned();
        self.put_consumer(request).await
    }

    /// Creates or changes a consumer.
    async fn put_consumer(self: &Arc<Self>, request: ConsumerRequest) -> Outcome<ConsumerInfo> {
        if request.config.num_replicas > 1 {
            return Err(errors::REPLICAS_NOT_SUPPORTED);
        }
        let _admin = self.admin.lock().await;
        let stream = self.stream(&request.stream_name).ok_or(errors::STREAM_NOT_FOUND)?;
        let action = request.action;
        let mut config = request.check(&stream.config())?;
        let name = if config.is_durable() { config.durable_name.clone() } else { config.name.clone() };
        if let Some(existing) = stream.consumer(&name) {
            let old = existing.config();
            if action == Action::Create && *old != config {
                return Err(errors::CONSUMER_EXISTS);
            }
            if *old != config {
                old.check_update(&config, self.bus.routes.has_interest(&old.deliver_subject))?;
                self.change_consumer(&stream, &existing, config).await;
            }
            return Ok(existing.info(self.bus.now(), true));
        }
        if action == Action::Update {
            return Err(errors::CONSUMER_DOES_NOT_EXIST);
        }
        let most = usize::try_from(stream.config().max_consumers).unwrap_or(usize::MAX);
        if stream.consumer_count() >= most {
            return Err(errors::MAXIMUM_CONSUMERS);
        }
        if config.name.is_empty() {
            config.name = self.ephemeral_name(&stream);
        }
        let consumer = self.add_consumer(&stream, config).await;
        Ok(consumer.info(self.bus.now(), true))
    }

    fn ephemeral_name(&self, stream: &Followed) -> String {
        loop {
            let number = self.ephemerals.fetch_add(1, Ordering::Relaxed);
            let name = format!("e{:x}x{number}", self.bus.now());
            if stream.consumer(&name).is_none() {
                return name;
            }
        }
    }

    async fn add_consumer(self: &Arc<Self>, stream: &Arc<Followed>, config: ConsumerConfig) -> Arc<Consumer> {
        let created = self.bus.now();
        let name = config.name.clone();
        let durable = config.is_durable();
        let id = self.store.write(Durability::Ordered, ids::next).await;
        let consumer = Arc::new(Consumer::new(
            &stream.stream,
            &self.bus,
            &self.keeper,
            &name,
            id,
            created,
            config.clone(),
        ));
        consumer.choose_start().await;
        if durable {
            let position = consumer.position();
            let stream_id = stream.id;
            let write = self.store.write(Durability::Synced, move |tx| {
                tx.put(keys::consumer(stream_id, &config.name), named_record(id, created, &config));
                tx.put(keys::position(stream_id, id), position.encode());
            });
            write.await;
        }
        self.start(stream, &consumer).await;
        consumer
    }

    async fn change_consumer(
        &self,
        followed: &Arc<Followed>,
        consumer: &Arc<Consumer>,
        config: ConsumerConfig,
    ) {
        if config.is_durable() {
            let (stream, id, created) = (consumer.stream.id, consumer.id, consumer.created);
            let stored = config.clone();
            let write = self.store.write(Durability::Synced, move |tx| {
                tx.put(keys::consumer(stream, &stored.name), named_record(id, created, &stored));
            });
            write.await;
        }
        if let Some(old) = consumer.reconfigure(config) {
            followed.enrol(consumer, old).await;
        }
    }

    pub(super) async fn consumer_info(&self, stream: &str, name: &str, payload: &[u8]) -> Answer {
        let consumer = answer::check_empty(payload).and_then(|()| {
            let stream = self.stream(stream).ok_or(errors::STREAM_NOT_FOUND)?;
            stream.consumer(name).ok_or(errors::CONSUMER_NOT_FOUND)
        });
        if let Ok(consumer) = &consumer {
            self.until_counted(std::slice::from_ref(consumer)).await;
        }
        let outcome = consumer.map(|consumer| consumer.info(self.bus.now(), true));
        Answer::new("consumer_info_response", outcome)
    }

    /// A backlog is told once it was counted. Whoever changes a consumer's filters holds `admin` until then.
    async fn until_counted(&self, consumers: &[Arc<Consumer>]) {
        if consumers.iter().any(|consumer| !consumer.is_counted()) {
            drop(self.admin.lock().await);
        }
    }

    pub(super) async fn delete_consumer(&self, stream: &str, name: &str, payload: &[u8]) -> Answer {
        let outcome = self.try_delete_consumer(stream, name, payload).await;
        Answer::new("consumer_delete_response", outcome.map(|()| Done { success: true }))
    }

    async fn try_delete_consumer(&self, stream: &str, name: &str, payload: &[u8]) -> Outcome<()> {
        answer::check_empty(payload)?;
        let stream = self.stream(stream).ok_or(errors::STREAM_NOT_FOUND)?;
        let consumer = stream.consumer(name).ok_or(errors::CONSUMER_NOT_FOUND)?;
        self.remove_consumer(&stream, &consumer).await;
        Ok(())
    }

    /// Lets a consumer go on at another message, as if it had delivered nothing yet.
    pub(super) async fn reset_consumer(
        &self,
        stream: &str,
        name: &str,
        payload: &[u8],
        too_new: bool,
    ) -> Answer {
        // As on nats-server, it is the consumer itself that listens there.
        let Some((followed, consumer)) =
            self.stream(stream).and_then(|stream| Some((stream.clone(), stream.consumer(name)?)))
        else {
            return Answer::Later;
        };
        let outcome = self.try_reset_consumer(&followed, &consumer, payload, too_new).await;
        Answer::with_rest("consumer_reset_response", outcome, NoReset { reset_seq: 0 })
    }

    async fn try_reset_consumer(
        &self,
        followed: &Arc<Followed>,
        consumer: &Arc<Consumer>,
        payload: &[u8],
        too_new: bool,
    ) -> Outcome<Reset> {
        if too_new {
            return Err(errors::API_LEVEL);
        }
        let mut json = Object::parse(payload, "JSApiConsumerResetRequest")?;
        let wanted = json.u64("seq");
        json.finish_leniently()?;
        let _admin = self.admin.lock().await;
        let reset_seq = consumer.reset(wanted)?;
        followed.enrol(consumer, consumer.config().filters()).await;
        Ok(Reset { info: consumer.info(self.bus.now(), true), reset_seq })
    }

    pub(super) fn consumer_names(&self, stream: &str, payload: &[u8]) -> Answer {
        let outcome =
            self.listed_consumers(stream, payload, "JSApiConsumersRequest").map(|(offset, consumers)| {
                let names = consumers.iter().map(|consumer| consumer.name.to_string()).collect();
                let (page, consumers) = answer::page(names, offset, NAMES_LIMIT);
                Listed { page, consumers }
            });
        Answer::with_rest("consumer_names_response", outcome, empty_list())
    }

    pub(super) async fn consumer_list(&self, stream: &str, payload: &[u8]) -> Answer {
        let listed = self.listed_consumers(stream, payload, "JSApiConsumersRequest");
        if let Ok((_, consumers)) = &listed {
            self.until_counted(consumers).await;
        }
        let outcome = listed.map(|(offset, consumers)| {
            let (page, consumers) = answer::page(consumers, offset, LIST_LIMIT);
            let now = self.bus.now();
            let consumers: Vec<_> = consumers.iter().map(|consumer| consumer.info(now, false)).collect();
            Listed { page, consumers }
        });
        Answer::with_rest("consumer_list_response", outcome, empty_list())
    }

    fn listed_consumers(
        &self,
        stream: &str,
        payload: &[u8],
        request: &str,
    ) -> Outcome<(i64, Vec<Arc<Consumer>>)> {
        let mut json = Object::parse(if answer::is_json(payload) { payload } else { b"" }, request)?;
        let offset = json.int("offset");
        json.finish()?;
        let stream = self.stream(stream).ok_or(errors::STREAM_NOT_FOUND)?;
        let consumers = stream.consumers();
        Ok((offset, consumers))
    }

    pub(super) fn pull(&self, stream: &str, name: &str, payload: &[u8], reply: Option<&Subject>) -> Answer {
        let Some(consumer) = self.stream(stream).and_then(|stream| stream.consumer(name)) else {
            return Answer::Nobody;
        };
        if let Some(reply) = reply {
            consumer.pull(reply.clone(), payload);
        }
        Answer::Later
    }
}

fn empty_list() -> Listed<[(); 0]> {
    Listed { page: Page::default(), consumers: [] }
}

fn check_request(request: &ConsumerRequest, stream: &str, name: &str, too_new: bool) -> Outcome<()> {
    if too_new {
        return Err(errors::API_LEVEL);
    }
    if request.stream_name != stream {
        return Err(errors::STREAM_MISMATCH);
    }
    if name.contains(['\\', '/']) {
        return Err(errors::CONSUMER_NAME_WITH_PATH);
    }
    if !name.is_empty() && name.len() > config::NAME_LEN_MAX {
        return Err(errors::name_too_long(config::NAME_LEN_MAX));
    }
    Ok(())
}
