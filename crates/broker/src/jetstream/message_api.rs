//! Single messages: `$JS.API.STREAM.MSG.>` and `$JS.API.DIRECT.GET.>`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer, Outcome};
use super::json::{Object, read_leniently};
use super::records::Stored;
use super::stream::Stream;
use super::streams::JetStream;
use super::{append, date, errors, keys};
use crate::{Headers, Pattern};

#[derive(Serialize)]
struct Done {
    success: bool,
}

#[derive(Serialize)]
struct Got {
    message: GotMessage,
}

#[derive(Serialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    hdrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    time: String,
}

/// What a request for one message asks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    start_time: Option<String>,
    batch: i64,
    max_bytes: i64,
    multi_last: Vec<String>,
    up_to_seq: u64,
    up_to_time: Option<String>,
    no_hdr: bool,
}

impl Wanted {
    fn parse(payload: &[u8]) -> Outcome<Wanted> {
        let mut json = Object::parse(payload, "JSApiMsgGetRequest")?;
        let start = json.date("start_time");
        let wanted = Wanted {
            seq: json.u64("seq"),
            last_by_subj: json.string("last_by_subj"),
            next_by_subj: json.string("next_by_subj"),
            start_time: start.map(date::format),
            batch: json.int("batch"),
            max_bytes: json.int("max_bytes"),
            multi_last: json.strings("multi_last"),
            up_to_seq: json.u64("up_to_seq"),
            up_to_time: json.date("up_to_time").map(date::format),
            no_hdr: json.bool("no_hdr"),
        };
        json.finish()?;
        Ok(wanted)
    }

    fn contradicts_itself(&self) -> bool {
        let (seq, last, next) = (self.seq > 0, !self.last_by_subj.is_empty(), !self.next_by_subj.is_empty());
        let start = self.start_time.is_some();
        (last && (seq || start || next)) || (seq && start)
    }

    fn is_empty(&self) -> bool {
        self.seq == 0
            && self.last_by_subj.is_empty()
            && self.next_by_subj.is_empty()
            && self.start_time.is_none()
    }

    async fn find(&self, stream: &Stream) -> Option<(u64, Stored)> {
        let start = self.start_time.as_deref().and_then(date::parse);
        let from = start.map_or(self.seq, |start| stream.first_since(start));
        if !self.next_by_subj.is_empty() {
            let pattern = Pattern::new(&self.next_by_subj).ok()?;
            let (seq, value) = stream.next(&[pattern], from).await?;
            return Some((seq, Stored::decode(&value)?));
        }
        let seq = match from {
            0 => stream.newest(&Pattern::new(&self.last_by_subj).ok()?).await?,
            seq => seq,
        };
        Some((seq, stream.message(seq)?))
    }
}

impl JetStream {
    pub(super) async fn get_message(&self, name: &str, payload: &[u8]) -> Answer {
        Answer::new("stream_msg_get_response", self.try_get_message(name, payload).await)
    }

    async fn try_get_message(&self, name: &str, payload: &[u8]) -> Outcome<Got> {
        if answer::check_empty(payload).is_ok() {
            return Err(errors::BAD_REQUEST);
        }
        let wanted = Wanted::parse(payload)?;
        let batched = wanted.batch > 0 || wanted.max_bytes > 0;
        if batched || wanted.contradicts_itself() || wanted.is_empty() {
            return Err(errors::BAD_REQUEST);
        }
        let stream = self.stream(name).ok_or(errors::STREAM_NOT_FOUND)?;
        let (seq, stored) = wanted.find(&stream).await.ok_or(errors::NO_MESSAGE_FOUND)?;
        let headers = stored.headers.filter(|_| !wanted.no_hdr);
        let message = GotMessage {
            subject: stored.subject,
            seq,
            hdrs: headers.map_or_else(String::new, |headers| BASE64.encode(headers.as_bytes())),
            data: BASE64.encode(&stored.payload),
            time: date::format(stored.date),
        };
        Ok(Got { message })
    }

    pub(super) async fn direct_get(&self, name: &str, payload: &[u8]) -> Answer {
        let Some(stream) = self.stream(name).filter(|stream| stream.config().allow_direct) else {
            return Answer::Nobody;
        };
        if payload.is_empty() {
            return direct_status(408, "Empty Request");
        }
        let Ok(wanted) = read_leniently::<Wanted>(payload) else {
            return direct_status(408, "Malformed Request");
        };
        if wanted.is_empty() && wanted.multi_last.is_empty() {
            return direct_status(408, "Empty Request");
        }
        if wanted.contradicts_itself() || (wanted.up_to_seq > 0 && wanted.up_to_time.is_some()) {
            return direct_status(408, "Bad Request");
        }
        if wanted.batch > 0 || !wanted.multi_last.is_empty() {
            return direct_status(408, "Batch Not Supported");
        }
        direct_answer(&stream, &wanted).await
    }

    pub(super) async fn direct_get_last(&self, name: &str, subject: &str) -> Answer {
        let Some(stream) = self.stream(name).filter(|stream| stream.config().allow_direct) else {
            return Answer::Nobody;
        };
        direct_answer(&stream, &Wanted { last_by_subj: subject.to_owned(), ..Wanted::default() }).await
    }

    pub(super) async fn delete_message(&self, name: &str, payload: &[u8]) -> Answer {
        let outcome = self.try_delete_message(name, payload).await;
        Answer::new("stream_msg_delete_response", outcome.map(|()| Done { success: true }))
    }

    async fn try_delete_message(&self, name: &str, payload: &[u8]) -> Outcome<()> {
        if answer::check_empty(payload).is_ok() {
            return Err(errors::BAD_REQUEST);
        }
        let mut json = Object::parse(payload, "JSApiMsgDeleteRequest")?;
        let seq = json.u64("seq");
        // Whether the bytes are overwritten on disk is not promised either way.
        json.bool("no_erase");
        json.finish()?;
        let stream = self.stream(name).ok_or(errors::STREAM_NOT_FOUND)?;
        let config = stream.config();
        if config.sealed {
            return Err(errors::STREAM_SEALED);
        }
        if config.deny_delete {
            return Err(errors::delete_failed("message delete not permitted"));
        }
        let removed = self.change(&stream, move |tx, stream| {
            let mut tail = stream.tail.lock();
            if seq > tail.last_seq {
                return Err(errors::delete_failed("stream store EOF"));
            }
            if seq < tail.first_seq {
                return Err(errors::delete_failed("no message found"));
            }
            let removed = append::remove(tx, stream, &mut tail, seq);
            tx.put(keys::tail(stream.id), tail.encode());
            if removed { Ok(()) } else { Err(errors::sequence_not_found(seq)) }
        });
        removed.await
    }
}

fn direct_status(code: u16, description: &str) -> Answer {
    Answer::Message { headers: Some(Headers::status(code, description)), payload: Bytes::new() }
}

async fn direct_answer(stream: &Stream, wanted: &Wanted) -> Answer {
    let Some((seq, stored)) = wanted.find(stream).await else {
        return direct_status(404, "Message Not Found");
    };
    if wanted.no_hdr {
        return Answer::Message { headers: None, payload: stored.payload };
    }
    let fields = [
        ("Nats-Stream", stream.name.to_string()),
        ("Nats-Subject", stored.subject),
        ("Nats-Sequence", seq.to_string()),
        ("Nats-Time-Stamp", date::format(stored.date)),
    ];
    let mut headers = stored.headers.unwrap_or_default();
    for (name, value) in fields {
        if let Ok(more) = headers.clone().with(name, &value) {
            headers = more;
        }
    }
    Answer::Message { headers: Some(headers), payload: stored.payload }
}
