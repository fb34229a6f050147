//! HTTP/1.1 on a socket, in front of a component.
//!
//! Requests are read whole, within bounds of size and time, before an instance is taken: a slow client holds a connection,
//! never an instance. Everything is bounded: connections, headers, target, body, and how long either side may keep silent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::App;
use crate::bodies::Room;
use crate::call::Body;
use crate::problem;
use crate::server::peers::Peers;
use crate::server::stall::Stall;

mod admin;
mod peers;
mod stall;

pub use admin::serve_admin;

/// Of those who have too many connections, so many are told at once, each for so long.
const TURNED_AWAY_MAX: usize = 64;
const TURN_AWAY_TIME_MAX: Duration = Duration::from_secs(1);

/// Bounds on what clients may do.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    pub connections_max: usize,
    /// How many connections one address may have. Behind a proxy, or on the machine itself, everybody has the same address, so
    /// it is not few: half, so that there is always room for somebody else.
    pub connections_of_peer_max: usize,
    pub headers_max: usize,
    pub head_bytes_max: usize,
    pub target_bytes_max: usize,
    /// From the first byte of a request, or the end of the one before, to the end of its headers.
    pub head_time_max: Duration,
    pub body_time_max: Duration,
    /// How long a request waits for room for its body.
    pub room_time_max: Duration,
    /// What a client still sends after it was refused is read and thrown away: so much of it, for so long, and until it
    /// has been silent for so long. Whose connection ends while it sends sees that and not the refusal.
    pub discard_bytes_max: usize,
    pub discard_time_max: Duration,
    pub discard_silence_max: Duration,
    /// A client that takes none of its response for so long is cut off.
    pub stall_time_max: Duration,
    /// What still runs this long after the stop is cut off.
    pub stop_time_max: Duration,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits {
            connections_max: 4096,
            connections_of_peer_max: 2048,
            headers_max: 100,
            head_bytes_max: 64 << 10,
            target_bytes_max: 8 << 10,
            head_time_max: Duration::from_secs(30),
            body_time_max: Duration::from_secs(10),
            room_time_max: Duration::from_secs(5),
            discard_bytes_max: 64 << 20,
            discard_time_max: Duration::from_secs(10),
            discard_silence_max: Duration::from_secs(2),
            stall_time_max: Duration::from_secs(30),
            stop_time_max: Duration::from_secs(10),
        }
    }
}

/// Answers HTTP for `component` on `listener` until `shutdown` is over; then finishes what runs, within the limits.
pub async fn serve(
    app: App,
    component: &str,
    listener: TcpListener,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) {
    let front = Arc::new(Front { app, component: component.to_owned(), limits, peers: Peers::default() });
    front.listen(listener, shutdown).await;
}

/// A component, seen from the network.
struct Front {
    app: App,
    component: String,
    limits: ServerLimits,
    peers: Peers,
}

impl Front {
    async fn listen(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let free = Arc::new(Semaphore::new(self.limits.connections_max));
        let refusals = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accept = async {
                let permit = free.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(peer_permit) = self.peers.permit(peer.ip(), self.limits.connections_of_peer_max)
                    else {
                        // With very many of them, no more is said.
                        if let Ok(permit) = refusals.clone().try_acquire_owned() {
                            connections.spawn(turn_away(stream, permit));
                        }
                        continue;
                    };
                    let (front, stopped) = (self.clone(), stopped.clone());
                    let stream = stream.into_std();
                    let serve = async move {
                        // A socket belongs to the runtime that waits for it.
                        match stream.and_then(TcpStream::from_std) {
                            Ok(stream) => front.connection(stream, peer.ip(), stopped).await,
                            Err(error) => {
                                tracing::warn!(%error, "a connection was lost before its first request")
                            }
                        }
                        drop((permit, peer_permit));
                    };
                    connections.spawn_on(serve, &self.thread());
                }
                Err(error) => pause_after(&error).await,
            }
        }
        drop(listener);
        // Nobody listening any more is fine: then there are no connections.
        let _ = stop.send(true);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.stop_time_max, all).await.is_err() {
            tracing::warn!(component = self.component, "connections cut off at the stop");
        }
    }

    /// Where the next connection is served.
    fn thread(&self) -> Handle {
        let threads = self.app.env().options.request_threads.as_ref();
        threads.map_or_else(Handle::current, |threads| threads.next().clone())
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        // Small responses must not wait for an acknowledgement; if it cannot be set, they are only slower.
        let _ = stream.set_nodelay(true);
        let limits = &self.limits;
        let own = stream.local_addr().ok();
        let io = Stall::new(TokioIo::new(stream), limits.stall_time_max);
        let service = service_fn(|request| {
            let front = self.clone();
            async move { Ok::<_, std::convert::Infallible>(front.answer(named(request, own), peer).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_time_max)
            .max_headers(limits.headers_max)
            .max_buf_size(limits.head_bytes_max.max(8192));
        let mut connection = pin!(http.serve_connection(io, service));
        // The sender gone means the same as told to stop.
        let stop = async { _ = stopped.wait_for(|stopped| *stopped).await.map(|_| ()) };
        let result = tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        add_peer(&mut head.headers, peer);
        let trace_id = trace(&mut head.headers, self.app.env());
        let read = match self.check(&head) {
            Ok(()) => self.read(&head.headers, body).await,
            Err(status) => Err(self.refuse(status, &head.headers, body)),
        };
        let (body, _room) = match read {
            Ok(read) => read,
            Err(status) => return last(problem::response(status, &trace_id)),
        };
        match self.app.http(&self.component, Request::from_parts(head, body)).await {
            Ok(response) if !response.status().is_informational() => response,
            Ok(response) => {
                let status = response.status();
                tracing::error!(trace_id, component = self.component, %status, "not a status to answer with");
                problem::response(StatusCode::INTERNAL_SERVER_ERROR, &trace_id)
            }
            Err(error) => {
                tracing::error!(trace_id, component = self.component, %error, "request failed");
                problem::response(problem::status(&error), &trace_id)
            }
        }
    }

    fn check(&self, head: &http::request::Parts) -> Result<(), StatusCode> {
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        if path.len() > self.limits.target_bytes_max {
            return Err(StatusCode::URI_TOO_LONG);
        }
        // Asterisk and authority forms are for proxies.
        if !path.starts_with('/') || head.method == http::Method::CONNECT {
            return Err(StatusCode::BAD_REQUEST);
        }
        if head.version != Version::HTTP_11 && head.version != Version::HTTP_10 {
            return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        }
        let mut hosts = head.headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None)
                if host.to_str().is_ok_and(|host| host.parse::<http::uri::Authority>().is_ok()) =>
            {
                Ok(())
            }
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }

    /// The whole body, and the room that it takes until it has been handled.
    async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Incoming,
    ) -> Result<(Bytes, Option<Room>), StatusCode> {
        let max = self.app.env().options.limits.request_body_bytes_max;
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|len| len > max) {
            return Err(self.refuse(StatusCode::PAYLOAD_TOO_LARGE, headers, body));
        }
        if hyper::body::Body::is_end_stream(&body) {
            return Ok((Bytes::new(), None));
        }
        let room = self.app.bodies().room(declared.unwrap_or(max), self.limits.room_time_max).await;
        let Some(mut room) = room else {
            return Err(self.refuse(StatusCode::SERVICE_UNAVAILABLE, headers, body));
        };
        let whole = Limited::new(&mut body, max).collect();
        let whole = tokio::time::timeout(self.limits.body_time_max, whole).await;
        match whole.map_err(|_| StatusCode::REQUEST_TIMEOUT)? {
            Ok(whole) => {
                let whole = whole.to_bytes();
                room.shrink(whole.len());
                Ok((whole, Some(room)))
            }
            Err(error) if error.is::<LengthLimitError>() => {
                self.discard(body);
                Err(StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    }

    /// Refuses a request of whose body nothing was read.
    fn refuse(&self, status: StatusCode, headers: &HeaderMap, body: Incoming) -> StatusCode {
        // Who asks whether to go on sends nothing after this answer.
        if !headers.contains_key(header::EXPECT) && !hyper::body::Body::is_end_stream(&body) {
            self.discard(body);
        }
        status
    }

    /// Lets the client finish sending while it is answered. The connection ends after that.
    fn discard(&self, mut body: Incoming) {
        let ServerLimits { discard_time_max, discard_silence_max, discard_bytes_max, .. } = self.limits;
        tokio::spawn(async move {
            let mut left = discard_bytes_max;
            let all = async {
                while let Ok(Some(Ok(frame))) = tokio::time::timeout(discard_silence_max, body.frame()).await
                {
                    match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                        Some(less) => left = less,
                        None => return,
                    }
                }
            };
            // Over in time or not: the connection ends when the body is let go.
            let _ = tokio::time::timeout(discard_time_max, all).await;
        });
    }
}

/// A request of HTTP/1.0 need not say which host it is for; then it is for this address.
fn named(mut request: Request<Incoming>, own: Option<SocketAddr>) -> Request<Incoming> {
    if request.version() == Version::HTTP_10
        && !request.headers().contains_key(header::HOST)
        && let Some(own) = own.and_then(|own| HeaderValue::try_from(own.to_string()).ok())
    {
        request.headers_mut().insert(header::HOST, own);
    }
    request
}

/// Answers whoever has all the connections that it may have, and waits a moment for it to take the answer.
async fn turn_away(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let exchange = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    // The connection ends, whatever became of that.
    let _ = tokio::time::timeout(TURN_AWAY_TIME_MAX, exchange).await;
}

/// Says where the request came from, behind what those before us say, as every proxy does.
fn add_peer(headers: &mut HeaderMap, peer: IpAddr) {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let peer = peer.to_canonical().to_string();
    // One that is no text says nothing, but keeps its place in the order.
    let before = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or("unknown"));
    let all: Vec<&str> = before.chain([peer.as_str()]).collect();
    if let Ok(value) = HeaderValue::try_from(all.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// The connection is closed after this: what is left of the request's body must not be read as the next request.
fn last(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The trace that the request belongs to. One is started where it has none, or none that is well-formed.
fn trace(headers: &mut HeaderMap, env: &crate::env::Env) -> String {
    let given = headers.get("traceparent").and_then(|value| trace_id(value.to_str().ok()?));
    if let Some(id) = given {
        return id;
    }
    let mut random = [0; 24];
    env.randomness.fill(&mut random);
    let (id, span) = random.split_at(16);
    let (id, span) = (hex(id), hex(span));
    if let Ok(value) = HeaderValue::try_from(format!("00-{id}-{span}-01")) {
        headers.insert("traceparent", value);
    }
    id
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn trace_id(traceparent: &str) -> Option<String> {
    let is_hex =
        |part: &str, len| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = traceparent.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let good = is_hex(version, 2) && is_hex(id, 32) && is_hex(span, 16) && is_hex(flags, 2);
    (good && version != "ff" && id.bytes().any(|b| b != b'0')).then(|| id.to_owned())
}

/// Some failures to accept are the peer's; those that are ours (no descriptors left) do not pass by trying at once.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_address_is_the_last_in_the_forwarded_header() {
        let said = |before: &[&[u8]], peer: &str| {
            let mut headers = HeaderMap::new();
            for value in before {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
            }
            add_peer(&mut headers, peer.parse().unwrap());
            let all: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
            assert_eq!(all.len(), 1);
            all[0].to_str().unwrap().to_owned()
        };
        assert_eq!(said(&[], "10.0.0.1"), "10.0.0.1");
        assert_eq!(said(&[b"6.6.6.6", b"10.0.0.2, x"], "10.0.0.1"), "6.6.6.6, 10.0.0.2, x, 10.0.0.1");
        assert_eq!(said(&[b"\xff\xfe"], "::ffff:10.0.0.1"), "unknown, 10.0.0.1");
    }
}
