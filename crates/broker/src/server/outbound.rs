//! What waits to be written to a client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::Message;
use crate::memory::Outgoing;
use crate::routes::{Offer, RemoteSink};

/// A consumer waits with more for a client once so much of what it may leave unread is used.
const CONSUMER_SHARE: usize = 8;

/// A client's output: anyone adds to it, one task writes it.
#[derive(Debug)]
pub(crate) struct Outbound {
    state: Mutex<State>,
    ready: Notify,
    room: Notify,
    pending_max: usize,
    all: Arc<Outgoing>,
}

#[derive(Debug, Default)]
struct State {
    buffer: BytesMut,
    /// What of the memory of all clients this one has taken.
    taken: usize,
    /// Bytes handed to the socket's write that it has not taken yet.
    writing: usize,
    /// Nothing is taken any more; what is buffered is still written.
    closing: bool,
    slow: bool,
    /// The writer has ended.
    finished: bool,
    without_headers: bool,
}

/// Why writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    Closed,
    SlowConsumer,
    Broken,
}

impl Outbound {
    pub fn new(pending_max: usize, all: Arc<Outgoing>) -> Outbound {
        Outbound { state: Mutex::default(), ready: Notify::new(), room: Notify::new(), pending_max, all }
    }

    /// Adds a line of the protocol.
    pub fn line(&self, line: &str) {
        self.add(line.len() + 2, |buffer, _| {
            buffer.put_slice(line.as_bytes());
            buffer.put_slice(b"\r\n");
        });
    }

    pub fn without_headers(&self, without: bool) {
        self.state.lock().without_headers = without;
    }

    /// Adds a message for a subscription. Answers whether the client still takes any.
    pub fn message(&self, message: &Message, sid: &[u8]) -> bool {
        let headers_len = message.headers.as_ref().map_or(0, |headers| headers.as_bytes().len());
        self.add(headers_len + message.payload.len() + sid.len() + 64, |buffer, without_headers| {
            write_message(buffer, message, sid, without_headers);
        })
    }

    fn add(&self, about: usize, write: impl FnOnce(&mut BytesMut, bool)) -> bool {
        let mut state = self.state.lock();
        if state.closing {
            return false;
        }
        let own = state.buffer.len() + state.writing;
        if own + about > self.pending_max || !self.all.take(own, about) {
            state.slow = true;
            state.closing = true;
            state.buffer.clear();
            state.buffer.put_slice(b"-ERR 'Slow Consumer'\r\n");
            self.give_back(&mut state);
            drop(state);
            self.ready.notify_one();
            self.room.notify_waiters();
            return false;
        }
        state.taken += about;
        let without_headers = state.without_headers;
        write(&mut state.buffer, without_headers);
        drop(state);
        self.ready.notify_one();
        true
    }

    /// Takes no more. What is here already is still written.
    pub fn close(&self) {
        self.state.lock().closing = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    #[cfg(test)]
    fn is_closed(&self) -> bool {
        self.state.lock().closing
    }

    /// Whether `write_to` has returned, and must not be polled again.
    pub fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.closing || state.buffer.len() + state.writing < self.pending_max / CONSUMER_SHARE
    }

    async fn until_room(&self) {
        loop {
            let notified = self.room.notified();
            if self.has_room() {
                return;
            }
            notified.await;
        }
    }

    /// Writes until closed, broken, or too slow.
    pub async fn write_to(&self, mut socket: impl AsyncWrite + Unpin, patience: Duration) -> WriteEnd {
        loop {
            let (mut chunk, closing, slow) = {
                let mut state = self.state.lock();
                let chunk = state.buffer.split();
                state.writing = chunk.len();
                (chunk, state.closing, state.slow)
            };
            if chunk.is_empty() {
                if closing {
                    let _ = socket.shutdown().await;
                    self.state.lock().finished = true;
                    return if slow { WriteEnd::SlowConsumer } else { WriteEnd::Closed };
                }
                self.ready.notified().await;
                continue;
            }
            match tokio::time::timeout(patience, write_all(&mut socket, &mut chunk)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return self.end(WriteEnd::Broken),
                Err(_) => return self.end(WriteEnd::SlowConsumer),
            }
            let mut state = self.state.lock();
            state.writing = 0;
            self.give_back(&mut state);
            drop(state);
            self.room.notify_waiters();
        }
    }

    /// Keeps as much of the memory of all as there is to write.
    fn give_back(&self, state: &mut State) {
        let needed = (state.buffer.len() + state.writing).min(state.taken);
        self.all.give_back(state.taken - needed);
        state.taken = needed;
    }

    fn end(&self, end: WriteEnd) -> WriteEnd {
        self.close();
        let mut state = self.state.lock();
        state.buffer.clear();
        state.writing = 0;
        state.finished = true;
        self.give_back(&mut state);
        end
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.all.give_back(self.state.get_mut().taken);
    }
}

async fn write_all(socket: &mut (impl AsyncWrite + Unpin), chunk: &mut BytesMut) -> std::io::Result<()> {
    while chunk.has_remaining() {
        if socket.write_buf(chunk).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

fn write_message(buffer: &mut BytesMut, message: &Message, sid: &[u8], without_headers: bool) {
    let headers = message.headers.as_ref().filter(|_| !without_headers).map(|headers| headers.as_bytes());
    buffer.put_slice(if headers.is_some() { b"HMSG " } else { b"MSG " });
    buffer.put_slice(message.subject.as_str().as_bytes());
    buffer.put_u8(b' ');
    buffer.put_slice(sid);
    buffer.put_u8(b' ');
    if let Some(reply) = &message.reply {
        buffer.put_slice(reply.as_str().as_bytes());
        buffer.put_u8(b' ');
    }
    if let Some(headers) = headers {
        buffer.put_slice(headers.len().to_string().as_bytes());
        buffer.put_u8(b' ');
        buffer.put_slice((headers.len() + message.payload.len()).to_string().as_bytes());
        buffer.put_slice(b"\r\n");
        buffer.put_slice(headers);
    } else {
        buffer.put_slice(message.payload.len().to_string().as_bytes());
        buffer.put_slice(b"\r\n");
    }
    buffer.put_slice(&message.payload);
    buffer.put_slice(b"\r\n");
}

/// A client's subscription.
#[derive(Debug)]
pub(crate) struct ClientSubscription {
    pub outbound: Arc<Outbound>,
    pub sid: Bytes,
    pub delivered: AtomicU64,
    /// After how many messages it ends; 0 for never.
    pub ends_after: AtomicU64,
}

impl ClientSubscription {
    pub fn has_ended(&self) -> bool {
        let last = self.ends_after.load(Ordering::Acquire);
        last > 0 && self.delivered.load(Ordering::Acquire) >= last
    }
}

impl RemoteSink for ClientSubscription {
    fn offer(&self, message: &Message) -> Offer {
        let number = self.delivered.fetch_add(1, Ordering::AcqRel) + 1;
        let last = self.ends_after.load(Ordering::Acquire);
        if last > 0 && number > last {
            return Offer::Gone;
        }
        match self.outbound.message(message, &self.sid) {
            false => Offer::Gone,
            true if number == last => Offer::SentLast,
            true => Offer::Sent,
        }
    }

    fn has_room(&self) -> bool {
        self.outbound.has_room()
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.outbound.until_room())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::{Headers, Settings, Subject};

    fn plenty() -> Arc<Outgoing> {
        Memory::new(&Settings::default()).outgoing
    }

    #[test]
    fn messages_on_the_wire() {
        let subject = Subject::new("a.b").unwrap();
        let mut message = Message::new(subject.clone(), "hi");
        let mut buffer = BytesMut::new();
        write_message(&mut buffer, &message, b"7", false);
        assert_eq!(&buffer.split()[..], b"MSG a.b 7 2\r\nhi\r\n");
        message.reply = Some(subject);
        message.headers = Some(Headers::status(503, ""));
        write_message(&mut buffer, &message, b"7", false);
        assert_eq!(&buffer.split()[..], b"HMSG a.b 7 a.b 16 18\r\nNATS/1.0 503\r\n\r\nhi\r\n");
        write_message(&mut buffer, &message, b"7", true);
        assert_eq!(&buffer[..], b"MSG a.b 7 a.b 2\r\nhi\r\n");
    }

    #[tokio::test]
    async fn a_slow_client_is_told_and_cut_off() {
        let outbound = Outbound::new(1_000, plenty());
        let message = Message::new(Subject::new("a").unwrap(), vec![0; 400]);
        assert!(outbound.has_room());
        assert!(outbound.message(&message, b"1") && !outbound.has_room(), "consumers wait first");
        assert!(outbound.message(&message, b"1"));
        assert!(!outbound.message(&message, b"1"));
        let mut written = Vec::new();
        assert_eq!(outbound.write_to(&mut written, Duration::from_secs(1)).await, WriteEnd::SlowConsumer);
        assert_eq!(written, b"-ERR 'Slow Consumer'\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up_on() {
        let outbound = Outbound::new(1_000_000, plenty());
        outbound.message(&Message::new(Subject::new("a").unwrap(), vec![0; 10_000]), b"1");
        let (near, _far) = tokio::io::duplex(64);
        assert_eq!(outbound.write_to(near, Duration::from_secs(1)).await, WriteEnd::SlowConsumer);
        assert!(outbound.is_closed());
    }
}
