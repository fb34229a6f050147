//! One client's connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use trellis_subjects::jetstream;

use super::info::info;
use super::outbound::{ClientSubscription, Outbound, WriteEnd};
use super::protocol::{Connect, Op, Parser, ProtocolError, Publish};
use crate::core::{Core, Fate, Routed, Work};
use crate::memory::{Held, Incoming, Memory};
use crate::routes::{Offer, RemoteSink, Sink, check_queue};
use crate::{Headers, Message, Pattern, Subject};

const READ_LEN: usize = 32 * 1024;
/// How many appends of one client are on their way at once; then it is read no further until one is done.
const APPENDS_MAX: usize = 1_024;
const CALLS_MAX: usize = 256;
/// How many questions a silent client may leave unanswered.
const PINGS_MAX: u32 = 2;

/// Work with the place that is told if nobody was there.
type Call = Pin<Box<dyn Future<Output = (Fate, Option<Ask>)> + Send>>;

/// What was asked where, and where the answer goes.
#[derive(Clone, Debug)]
struct Ask {
    subject: String,
    reply: Subject,
}

struct Connection {
    core: Arc<Core>,
    id: u64,
    outbound: Arc<Outbound>,
    client: Connect,
    subscriptions: BTreeMap<Bytes, (Pattern, u64, Arc<ClientSubscription>)>,
    appends: FuturesUnordered<Work>,
    calls: FuturesUnordered<Call>,
    pings: u32,
    last_heard: Instant,
}

/// Talks to a client until it or the broker ends.
pub(crate) async fn run(core: Arc<Core>, socket: TcpStream, peer: SocketAddr) {
    let id = core.next_connection.fetch_add(1, Ordering::Relaxed);
    let outbound = Arc::new(Outbound::new(core.bus.settings.pending_bytes_max, core.memory.outgoing.clone()));
    outbound.line(&format!("INFO {}", info(core.bus.settings.payload_len_max, &socket, peer, id)));
    // Small messages are what travels here; waiting to fill packets only delays them.
    let _ = socket.set_nodelay(true);
    let (mut reader, writer) = socket.into_split();
    let mut connection = Connection {
        core: core.clone(),
        id,
        outbound: outbound.clone(),
        client: Connect { verbose: false, pedantic: false, ..Connect::default() },
        subscriptions: BTreeMap::new(),
        appends: FuturesUnordered::new(),
        calls: FuturesUnordered::new(),
        pings: 0,
        last_heard: Instant::now(),
    };
    let write = outbound.write_to(writer, core.bus.settings.write_wait);
    tokio::pin!(write);
    tokio::select! {
        biased;
        end = &mut write => {
            if end == WriteEnd::SlowConsumer {
                tracing::warn!(client = id, %peer, "slow consumer disconnected");
            }
        }
        () = core.bus.until_closed() => {}
        result = connection.serve(&mut reader) => {
            if let Err(error) = result {
                tracing::debug!(client = id, %peer, %error, "connection ended");
            }
        }
    }
    connection.leave();
    if !outbound.is_finished() {
        // What was said last, such as why the connection ends, should still arrive.
        write.await;
    }
}

impl Connection {
    async fn serve(&mut self, reader: &mut (impl AsyncReadExt + Unpin)) -> io::Result<()> {
        let mut parser = Parser::new(self.core.bus.settings.payload_len_max);
        let mut input = BytesMut::with_capacity(READ_LEN);
        let mut ping = tokio::time::interval(self.core.bus.settings.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        let mut held = None;
        let mut payload_until = Instant::now();
        loop {
            loop {
                match parser.next(&mut input) {
                    Ok(Some(op)) => self.handle(op, &mut held).await?,
                    Ok(None) => break,
                    Err(error) => return Err(self.refuse(error)),
                }
            }
            // One that does not fit into the buffer that every connection has is only read once there is room for it.
            if parser.awaits() > READ_LEN && held.is_none() {
                held = self.hold(parser.awaits(), |memory| &memory.reading).await;
                payload_until = Instant::now() + self.core.bus.settings.payload_wait;
            }
            if input.capacity() - input.len() < READ_LEN / 2 {
                input.reserve(READ_LEN);
            }
            tokio::select! {
                biased;
                Some(_) = self.appends.next() => {}
                Some((fate, ask)) = self.calls.next() => self.answer_nobody(fate, ask),
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.last_heard = Instant::now();
                }
                _ = ping.tick() => self.ping()?,
                () = tokio::time::sleep_until(payload_until), if held.is_some() => {
                    self.outbound.line("-ERR 'Stale Connection'");
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    fn refuse(&self, error: ProtocolError) -> io::Error {
        if error != ProtocolError::Arguments {
            self.outbound.line(&format!("-ERR '{error}'"));
        }
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    fn ping(&mut self) -> io::Result<()> {
        if self.last_heard.elapsed() < self.core.bus.settings.ping_interval {
            return Ok(());
        }
        if self.pings >= PINGS_MAX {
            self.outbound.line("-ERR 'Stale Connection'");
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.pings += 1;
        self.outbound.line("PING");
        Ok(())
    }

    async fn handle(&mut self, op: Op, held: &mut Option<Held>) -> io::Result<()> {
        match op {
            Op::Publish(publish) if publish.headers.is_some() && !self.client.headers => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "message headers not supported"));
            }
            Op::Connect(connect) => {
                self.outbound.without_headers(!connect.headers);
                self.client = *connect;
                self.ok();
            }
            Op::Ping => {
                self.finish_appends().await;
                self.outbound.line("PONG");
            }
            Op::Pong => self.pings = 0,
            Op::Publish(publish) => {
                let room = self.hold(publish.payload.len(), |memory| &memory.publishing).await;
                *held = None;
                self.publish(publish, room).await;
            }
            Op::Subscribe { pattern, queue, sid } => self.subscribe(&pattern, queue.as_deref(), sid),
            Op::Unsubscribe { sid, after } => self.unsubscribe(&sid, after),
            Op::Noise => {}
        }
        Ok(())
    }

    fn ok(&self) {
        if self.client.verbose {
            self.outbound.line("+OK");
        }
    }

    /// A client that asks something after it appended sees what it appended.
    async fn finish_appends(&mut self) {
        while self.appends.next().await.is_some() {}
    }

    /// Waits for room for a message, while those before it go where they belong and make some.
    async fn hold(&mut self, len: usize, of: fn(&Memory) -> &Incoming) -> Option<Held> {
        let memory = self.core.memory.clone();
        let mut hold = pin!(of(&memory).hold(len));
        loop {
            tokio::select! {
                biased;
                held = &mut hold => return held,
                Some(_) = self.appends.next() => {}
                Some((fate, ask)) = self.calls.next() => self.answer_nobody(fate, ask),
            }
        }
    }

    /// `held` is the room that the message takes.
    async fn publish(&mut self, publish: Publish, held: Option<Held>) {
        self.ok();
        let reply = publish.reply.as_deref().and_then(|reply| Subject::new(reply).ok());
        let ask = reply.clone().map(|reply| Ask { subject: publish.subject.clone(), reply });
        let subject = match Subject::new(&publish.subject) {
            Ok(subject) => subject,
            Err(_) => {
                if self.client.pedantic {
                    self.outbound.line("-ERR 'Invalid Publish Subject'");
                }
                return self.answer_nobody(Fate::NoInterest, ask);
            }
        };
        if jetstream::is_request(subject.as_str()) {
            self.finish_appends().await;
        }
        let message = Message { subject, reply, headers: publish.headers, payload: publish.payload };
        let origin = (!self.client.echo).then_some(self.id);
        match self.core.route(message, origin).await {
            Ok(Routed::Done(fate)) => self.answer_nobody(fate, ask),
            Ok(Routed::Append(work)) => {
                while self.appends.len() >= APPENDS_MAX {
                    self.appends.next().await;
                }
                self.appends.push(Box::pin(async move {
                    let _held = held;
                    work.await
                }));
                // Polled in order now, appends reach the store in order.
                let _ = self.appends.next().now_or_never();
            }
            Ok(Routed::Call(work)) => {
                while self.calls.len() >= CALLS_MAX {
                    if let Some((fate, ask)) = self.calls.next().await {
                        self.answer_nobody(fate, ask);
                    }
                }
                self.calls.push(Box::pin(async move {
                    let _held = held;
                    (work.await.unwrap_or(Fate::Taken), ask)
                }));
                if let Some(Some((fate, ask))) = self.calls.next().now_or_never() {
                    self.answer_nobody(fate, ask);
                }
            }
            // The broker counted and logged what was dropped; the protocol has no way to tell the publisher.
            Err(_) => {}
        }
    }

    /// Tells a client that its request reached nobody, if it wants to know.
    fn answer_nobody(&self, fate: Fate, ask: Option<Ask>) {
        let wanted = self.client.no_responders && self.client.headers;
        let Some(Ask { subject, reply }) = ask.filter(|_| wanted && fate == Fate::NoInterest) else { return };
        let asked = self.subscriptions.values().find(|(pattern, _, _)| pattern.matches(reply.as_str()));
        let Some((pattern, id, subscription)) = asked else { return };
        let headers = Headers::status(503, "");
        let headers = headers.clone().with("Nats-Subject", &subject).unwrap_or(headers);
        let message = Message { subject: reply, reply: None, headers: Some(headers), payload: Bytes::new() };
        if subscription.offer(&message) == Offer::SentLast {
            self.core.bus.routes.remove(pattern, *id);
        }
    }

    fn subscribe(&mut self, pattern: &str, queue: Option<&str>, sid: Bytes) {
        let Ok(pattern) = Pattern::new(pattern) else {
            return self.outbound.line("-ERR 'Invalid Subject'");
        };
        if queue.is_some_and(|queue| check_queue(queue).is_err()) {
            return self.outbound.line("-ERR 'Invalid Subject'");
        }
        self.forget_ended();
        if !self.subscriptions.contains_key(&sid) {
            let subscription = Arc::new(ClientSubscription {
                outbound: self.outbound.clone(),
                sid: sid.clone(),
                delivered: AtomicU64::new(0),
                ends_after: AtomicU64::new(0),
            });
            match self.core.bus.routes.add(&pattern, queue, self.id, Sink::Remote(subscription.clone())) {
                Ok(id) => self.subscriptions.insert(sid, (pattern, id, subscription)),
                Err(_) => return self.outbound.line("-ERR 'maximum subscriptions exceeded'"),
            };
        }
        self.ok();
    }

    /// Subscriptions that ended by themselves leave their number behind; now and then those are cleared away.
    fn forget_ended(&mut self) {
        if self.subscriptions.len() % 64 == 63 {
            self.subscriptions.retain(|_, (_, _, subscription)| !subscription.has_ended());
        }
    }

    fn unsubscribe(&mut self, sid: &Bytes, after: u64) {
        let ended = match self.subscriptions.get(sid) {
            Some((_, _, subscription)) => {
                subscription.ends_after.store(after, Ordering::Release);
                after == 0 || subscription.has_ended()
            }
            None => false,
        };
        if ended && let Some((pattern, id, _)) = self.subscriptions.remove(sid) {
            self.core.bus.routes.remove(&pattern, id);
        }
        self.ok();
    }

    fn leave(&mut self) {
        for (pattern, id, _) in std::mem::take(&mut self.subscriptions).into_values() {
            self.core.bus.routes.remove(&pattern, id);
        }
        self.outbound.close();
    }
}
