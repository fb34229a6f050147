//! As much of a JetStream server as the kit's requests touch.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trellis_subjects::jetstream::Acknowledgement;
use trellis_subjects::{jetstream, matches};

use crate::instant;
use crate::platform::fault::Fault;

/// A message in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub seq: u64,
    pub subject: String,
    pub body: Vec<u8>,
    time_ms: u64,
}

/// A message on its way to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub subject: String,
    pub reply_to: String,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Streams(BTreeMap<String, Stream>);

struct Stream {
    config: Value,
    messages: Vec<Stored>,
    last_seq: u64,
    consumers: BTreeMap<String, Consumer>,
}

struct Consumer {
    config: Value,
    /// The newest message that was sent.
    sent: u64,
    /// The messages that are on their way or wait to be sent again.
    pending: BTreeMap<u64, Pending>,
    delivered: u64,
    delivered_ms: Option<u64>,
    /// When a message was last finished.
    moved_ms: Option<u64>,
}

struct Pending {
    attempts: u64,
    due: Duration,
}

impl Streams {
    pub fn store(&mut self, stream: &str, subject: &str, body: &[u8], time_ms: u64) {
        if let Some(stream) = self.0.get_mut(stream) {
            stream.push(subject, body, time_ms);
        }
    }

    pub fn stored(&self, stream: &str) -> Vec<Stored> {
        self.0.get(stream).map(|stream| stream.messages.clone()).unwrap_or_default()
    }

    pub fn all_stored(&self) -> BTreeMap<String, Vec<Stored>> {
        self.0.iter().map(|(name, stream)| (name.clone(), stream.messages.clone())).collect()
    }

    pub fn lose(&mut self, stream: &str) {
        self.0.remove(stream);
    }

    pub fn request(&mut self, subject: &str, body: &[u8], now_ms: u64) -> Result<Vec<u8>, Fault> {
        let answer = match subject.strip_prefix(jetstream::API) {
            Some(operation) => {
                let request = serde_json::from_slice(body).unwrap_or_default();
                self.api(operation, &request)
            }
            None => self.append(subject, body, now_ms),
        };
        match answer {
            Some(answer) => Ok(answer.to_string().into_bytes()),
            None => Err(Fault::unanswered(subject, "no responders")),
        }
    }

    fn append(&mut self, subject: &str, body: &[u8], now_ms: u64) -> Option<Value> {
        let (name, stream) = self.0.iter_mut().find(|(_, stream)| {
            stream.config.get("subjects").and_then(Value::as_array).is_some_and(|patterns| {
                patterns.iter().any(|pattern| matches(pattern.as_str().unwrap_or_default(), subject))
            })
        })?;
        if stream.messages.iter().any(|stored| stored.subject == subject) {
            return Some(error(503, 10077, "maximum messages per subject exceeded"));
        }
        Some(json!({ "stream": name, "seq": stream.push(subject, body, now_ms) }))
    }

    fn api(&mut self, operation: &str, request: &Value) -> Option<Value> {
        let words: Vec<&str> = operation.split('.').collect();
        if let ["STREAM", "CREATE", name] = words[..] {
            return Some(self.create(name, request));
        }
        let (["STREAM", "INFO" | "PURGE", name]
        | ["STREAM", "MSG", "GET" | "DELETE", name]
        | ["CONSUMER", "LIST", name]
        | ["CONSUMER", _, name, _]) = words[..]
        else {
            return None;
        };
        let Some(stream) = self.0.get_mut(name) else {
            return Some(error(404, 10059, "stream not found"));
        };
        Some(match words[..] {
            ["STREAM", "INFO", _] => stream.info(),
            ["STREAM", "PURGE", _] => stream.purge(request),
            ["CONSUMER", "LIST", _] => stream.consumer_list(request),
            ["STREAM", "MSG", "GET", _] => stream.message(request),
            ["STREAM", "MSG", "DELETE", _] => stream.delete(request),
            ["CONSUMER", "CREATE", _, name] => stream.add_consumer(name, request),
            ["CONSUMER", "DELETE", _, name] => match stream.consumers.remove(name) {
                Some(_) => json!({ "success": true }),
                None => error(404, 10014, "consumer not found"),
            },
            // It is the consumer itself that listens there.
            ["CONSUMER", "RESET", _, name] => return stream.reset_consumer(name, request),
            ["CONSUMER", "INFO", _, name] => stream.consumer_info(name),
            _ => return None,
        })
    }

    fn create(&mut self, name: &str, config: &Value) -> Value {
        if let Some(stream) = self.0.get(name) {
            if stream.config != *config {
                return error(400, 10058, "stream name already in use with a different configuration");
            }
        } else {
            let (messages, consumers) = (Vec::new(), BTreeMap::new());
            let stream = Stream { config: config.clone(), messages, last_seq: 0, consumers };
            self.0.insert(name.to_owned(), stream);
        }
        json!({ "config": config })
    }

    /// The next message that is due on a deliver subject, in the order of streams' and consumers' names.
    pub fn deliver(&mut self, deliver_subject: &str, elapsed: Duration, now_ms: u64) -> Option<Delivery> {
        self.0.iter_mut().find_map(|(name, stream)| {
            let Stream { messages, consumers, .. } = stream;
            consumers.iter_mut().find_map(|(consumer_name, consumer)| {
                if consumer.text("deliver_subject") != deliver_subject {
                    return None;
                }
                let (seq, attempts) = consumer.take_due(messages, elapsed, now_ms)?;
                let message = messages.iter().find(|message| message.seq == seq)?;
                let left = consumer.left(messages);
                let reply_to = Acknowledgement {
                    domain: None,
                    stream: name,
                    consumer: consumer_name,
                    attempt: attempts,
                    seq,
                    nth: consumer.delivered,
                    date: message.time_ms.cast_signed() * 1_000_000,
                    behind: left,
                }
                .to_string();
                Some(Delivery { subject: message.subject.clone(), reply_to, body: message.body.clone() })
            })
        })
    }

    pub fn next_due(&self, deliver_subject: &str) -> Option<Duration> {
        let consumers = self.0.values().flat_map(|stream| stream.consumers.values());
        consumers
            .filter(|consumer| consumer.text("deliver_subject") == deliver_subject)
            .flat_map(|consumer| consumer.pending.values().map(|pending| pending.due))
            .min()
    }

    pub fn hold_up(&mut self, by: Duration) {
        let consumers = self.0.values_mut().flat_map(|stream| stream.consumers.values_mut());
        consumers.flat_map(|consumer| consumer.pending.values_mut()).for_each(|pending| pending.due += by);
    }

    /// Takes an acknowledgement, and says whether it was one.
    pub fn acknowledge(&mut self, subject: &str, body: &[u8], elapsed: Duration, now_ms: u64) -> bool {
        let Some(said) = Acknowledgement::parse(subject) else { return false };
        let stream = self.0.get_mut(said.stream);
        let Some(consumer) = stream.and_then(|stream| stream.consumers.get_mut(said.consumer)) else {
            return true;
        };
        let Some(pending) = consumer.pending.get_mut(&said.seq) else { return true };
        let body = String::from_utf8_lossy(body);
        if let Some(options) = body.strip_prefix("-NAK") {
            let options: Value = serde_json::from_str(options).unwrap_or_default();
            pending.due = elapsed
                + Duration::from_nanos(options.get("delay").and_then(Value::as_u64).unwrap_or_default());
        } else if matches!(&*body, "+ACK" | "+TERM") {
            consumer.pending.remove(&said.seq);
            consumer.moved_ms = Some(now_ms);
        }
        true
    }
}

impl Stream {
    fn push(&mut self, subject: &str, body: &[u8], time_ms: u64) -> u64 {
        self.last_seq += 1;
        let seq = self.last_seq;
        self.messages.push(Stored { seq, subject: subject.to_owned(), body: body.to_vec(), time_ms });
        seq
    }

    fn info(&self) -> Value {
        let bytes: usize = self.messages.iter().map(|message| message.body.len()).sum();
        let first_seq = self.messages.first().map_or(self.last_seq + 1, |message| message.seq);
        let (messages, last_seq) = (self.messages.len(), self.last_seq);
        let state =
            json!({ "messages": messages, "bytes": bytes, "first_seq": first_seq, "last_seq": last_seq });
        json!({ "config": self.config, "state": state })
    }

    /// Two at a time, so that whoever asks for all has to ask again.
    fn consumer_list(&self, request: &Value) -> Value {
        let offset = request.get("offset").and_then(Value::as_u64).unwrap_or_default() as usize;
        let page: Vec<Value> =
            self.consumers.keys().skip(offset).take(2).map(|name| self.consumer_info(name)).collect();
        json!({ "total": self.consumers.len(), "offset": offset, "limit": 2, "consumers": page })
    }

    fn message(&self, request: &Value) -> Value {
        let pattern = |key: &str| request.get(key).and_then(Value::as_str);
        let from = request.get("seq").and_then(Value::as_u64).unwrap_or_default();
        let mut messages = self.messages.iter();
        let found = match (pattern("last_by_subj"), pattern("next_by_subj")) {
            (Some(last), _) => messages.rev().find(|message| matches(last, &message.subject)),
            (None, Some(next)) => {
                messages.find(|message| message.seq >= from && matches(next, &message.subject))
            }
            (None, None) => messages.find(|message| message.seq == from),
        };
        match found {
            Some(Stored { seq, subject, body, time_ms }) => {
                let (data, time) = (BASE64.encode(body), instant::rfc3339(*time_ms));
                json!({ "message": { "subject": subject, "seq": seq, "data": data, "time": time } })
            }
            None => error(404, 10037, "no message found"),
        }
    }

    fn delete(&mut self, request: &Value) -> Value {
        let seq = request.get("seq").and_then(Value::as_u64).unwrap_or_default();
        match self.messages.iter().position(|message| message.seq == seq) {
            Some(index) => {
                self.messages.remove(index);
                json!({ "success": true })
            }
            None if seq > self.last_seq => error(500, 10057, "stream store EOF"),
            None => error(400, 10043, &format!("sequence {seq} not found")),
        }
    }

    fn purge(&mut self, request: &Value) -> Value {
        let pattern = request.get("filter").and_then(Value::as_str).unwrap_or(">");
        let before = self.messages.len();
        self.messages.retain(|message| !matches(pattern, &message.subject));
        json!({ "success": true, "purged": before - self.messages.len() })
    }

    fn add_consumer(&mut self, name: &str, request: &Value) -> Value {
        let config = request.get("config").cloned().unwrap_or_default();
        let consumer = Consumer {
            config,
            sent: 0,
            pending: BTreeMap::new(),
            delivered: 0,
            delivered_ms: None,
            moved_ms: None,
        };
        self.consumers.entry(name.to_owned()).or_insert(consumer);
        self.consumer_info(name)
    }

    fn reset_consumer(&mut self, name: &str, request: &Value) -> Option<Value> {
        let consumer = self.consumers.get_mut(name)?;
        let seq = request.get("seq").and_then(Value::as_u64).unwrap_or(consumer.floor() + 1);
        consumer.pending.clear();
        (consumer.sent, consumer.delivered) = (seq - 1, 0);
        (consumer.delivered_ms, consumer.moved_ms) = (None, None);
        let mut answer = self.consumer_info(name);
        if let Value::Object(answer) = &mut answer {
            answer.insert("reset_seq".to_owned(), seq.into());
        }
        Some(answer)
    }

    fn consumer_info(&self, name: &str) -> Value {
        let Some(consumer) = self.consumers.get(name) else {
            return error(404, 10014, "consumer not found");
        };
        let again = consumer.pending.values().filter(|pending| pending.attempts > 1).count();
        let mut floor = json!({ "stream_seq": consumer.floor() });
        let mut delivered = json!({ "consumer_seq": consumer.delivered, "stream_seq": consumer.sent });
        for (of, ms) in [(&mut floor, consumer.moved_ms), (&mut delivered, consumer.delivered_ms)] {
            if let (Value::Object(of), Some(ms)) = (of, ms) {
                of.insert("last_active".to_owned(), instant::rfc3339(ms).into());
            }
        }
        json!({
            "name": name, "config": consumer.config, "num_pending": consumer.left(&self.messages),
            "num_ack_pending": consumer.pending.len(), "num_redelivered": again, "ack_floor": floor,
            "delivered": delivered,
        })
    }
}

impl Consumer {
    fn text(&self, key: &str) -> &str {
        self.config.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, key: &str) -> u64 {
        self.config.get(key).and_then(Value::as_u64).unwrap_or_default()
    }

    /// The message to send now, and how often it has been sent then.
    fn take_due(&mut self, messages: &[Stored], elapsed: Duration, now_ms: u64) -> Option<(u64, u64)> {
        let due = self.pending.iter().filter(|(_, pending)| pending.due <= elapsed);
        let again =
            due.min_by_key(|(_, pending)| pending.due).map(|(seq, pending)| (*seq, pending.attempts + 1));
        let (seq, attempts) = match again {
            Some(again) => again,
            None if self.pending.len() as u64 >= self.number("max_ack_pending") => return None,
            None => (self.next(messages)?, 1),
        };
        let due = elapsed + Duration::from_nanos(self.number("ack_wait"));
        self.pending.insert(seq, Pending { attempts, due });
        self.sent = self.sent.max(seq);
        self.delivered += 1;
        self.delivered_ms = Some(now_ms);
        Some((seq, attempts))
    }

    fn next(&self, messages: &[Stored]) -> Option<u64> {
        self.ahead(messages).next().map(|message| message.seq)
    }

    /// The messages that have never been sent.
    fn ahead<'a>(&'a self, messages: &'a [Stored]) -> impl Iterator<Item = &'a Stored> {
        let (_, later) = messages.split_at(messages.partition_point(|message| message.seq <= self.sent));
        later.iter().filter(|message| matches(self.text("filter_subject"), &message.subject))
    }

    /// All messages up to it are finished.
    fn floor(&self) -> u64 {
        self.pending.keys().next().map_or(self.sent, |first| first - 1)
    }

    fn left(&self, messages: &[Stored]) -> u64 {
        self.ahead(messages).count() as u64
    }
}

fn error(code: u16, err_code: u32, description: &str) -> Value {
    json!({ "error": { "code": code, "err_code": err_code, "description": description } })
}
