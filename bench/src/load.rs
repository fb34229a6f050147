//! The load: a number of connections on one thread, kept alive where the server does so, each sending its next request when
//! the last one is answered.
//!
//! One thread on purpose: the machine's other cores belong to what is measured.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

/// The longest answer that is read: more is a fault of the server, not a figure.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// How long one answer may take before the run is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Elapsed(Duration),
    Requests(u64),
}

/// What a run saw.
#[derive(Debug)]
pub struct Outcome {
    elapsed: Duration,
    latencies_us: Vec<u32>,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn requests(&self) -> usize {
        self.latencies_us.len()
    }

    /// The latency that `share` of the requests stayed under, in microseconds.
    pub fn percentile_us(&self, share: f64) -> u32 {
        percentile_us(&self.latencies_us, share)
    }
}

pub fn micros(time: Duration) -> u32 {
    time.as_micros().try_into().unwrap_or(u32::MAX)
}

/// What `share` of these, in their order, stayed under.
pub fn percentile_us(sorted: &[u32], share: f64) -> u32 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).copied().unwrap_or_default()
}

/// The value of a header of a response that is whole, or of which the head is.
pub fn header<'r>(response: &'r [u8], name: &str) -> Option<&'r str> {
    let lines = response.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (key, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Sends `request(n)`, n counting up from 0 over all connections, and expects every answer to have status `expected`.
pub fn run(
    address: &str,
    connections: usize,
    until: Until,
    expected: u16,
    request: impl Fn(u64) -> Vec<u8> + 'static,
) -> Result<Outcome> {
    let plan = Plan::new(until, Duration::ZERO, request);
    block_on(send(address, connections, expected, plan.clone()))?;
    plan.outcome()
}

/// Sends each of these once, and returns the answers in the same order.
pub fn each(
    address: &str,
    connections: usize,
    expected: u16,
    requests: Vec<Vec<u8>>,
) -> Result<(Outcome, Vec<Vec<u8>>)> {
    let count = requests.len();
    let request = move |n: u64| requests.get(n as usize).cloned().unwrap_or_default();
    let plan = Plan::keeping_answers(Until::Requests(count as u64), request);
    block_on(send(address, connections, expected, plan.clone()))?;
    let mut answers = plan.answers.take().unwrap_or_default();
    answers.sort_unstable_by_key(|(n, _)| *n);
    Ok((plan.outcome()?, answers.into_iter().map(|(_, answer)| answer).collect()))
}

/// Sends so many requests a second, over as many connections as that takes. Each is timed from when it was due, so that one which
/// had to wait for the answer to another is no faster for that.
pub async fn paced(
    address: &str,
    per_second: u32,
    until: Until,
    expected: u16,
    request: impl Fn(u64) -> Vec<u8> + 'static,
) -> Result<Outcome> {
    const CONNECTIONS: usize = 16;
    let plan = Plan::new(until, Duration::from_secs(1) / per_second, request);
    send(address, CONNECTIONS, expected, plan.clone()).await?;
    plan.outcome()
}

/// Sends so many requests a second, or fewer if the other side is slower, for as long as `work` takes.
pub async fn beside<T>(
    address: &str,
    per_second: u32,
    expected: u16,
    request: impl Fn(u64) -> Vec<u8> + 'static,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    const CONNECTIONS: usize = 4;
    let plan = Plan::new(Until::Requests(u64::MAX), Duration::from_secs(1) / per_second, request);
    tokio::select! {
        done = work => done,
        ended = send(address, CONNECTIONS, expected, plan) => bail!("the load has ended: {ended:?}"),
    }
}

/// On this thread.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

async fn send<R: Fn(u64) -> Vec<u8> + 'static>(
    address: &str,
    connections: usize,
    expected: u16,
    plan: Rc<Plan<R>>,
) -> Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn_local(client(address.to_owned(), expected, plan.clone()));
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

/// What the connections of a run share.
struct Plan<R> {
    started: Instant,
    until: Until,
    interval: Duration,
    next: Cell<u64>,
    request: R,
    latencies_us: RefCell<Vec<u32>>,
    /// If anybody wants to know.
    answers: RefCell<Option<Vec<Answer>>>,
}

/// Which request it is to, and all of it.
type Answer = (u64, Vec<u8>);

/// A request, which it is, and when it is due.
struct Taken {
    n: u64,
    request: Vec<u8>,
    due: Instant,
}

impl<R: Fn(u64) -> Vec<u8>> Plan<R> {
    fn new(until: Until, interval: Duration, request: R) -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            until,
            interval,
            next: Cell::new(0),
            request,
            latencies_us: RefCell::default(),
            answers: RefCell::default(),
        })
    }

    /// As fast as it goes.
    fn keeping_answers(until: Until, request: R) -> Rc<Self> {
        let plan = Self::new(until, Duration::ZERO, request);
        plan.answers.replace(Some(Vec::new()));
        plan
    }

    fn outcome(&self) -> Result<Outcome> {
        let elapsed = self.started.elapsed();
        let mut latencies_us = self.latencies_us.take();
        latencies_us.sort_unstable();
        ensure!(!latencies_us.is_empty(), "not one request of the run was answered");
        Ok(Outcome { elapsed, latencies_us })
    }

    /// The next request. Without an interval it is due now.
    fn take(&self) -> Option<Taken> {
        let n = self.next.get();
        let more = match self.until {
            Until::Elapsed(limit) => self.started.elapsed() < limit,
            Until::Requests(count) => n < count,
        };
        more.then(|| {
            self.next.set(n + 1);
            let due = match self.interval {
                Duration::ZERO => Instant::now(),
                interval => self.started + interval.mul_f64(n as f64),
            };
            Taken { n, request: (self.request)(n), due }
        })
    }
}

async fn client<R: Fn(u64) -> Vec<u8>>(address: String, expected: u16, plan: Rc<Plan<R>>) -> Result<()> {
    let mut connection = Connection::open(&address).await?;
    while let Some(Taken { n, request, due }) = plan.take() {
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let answer = connection.expect(expected, &request).await?;
        plan.latencies_us.borrow_mut().push(micros(due.elapsed()));
        if let Some(answers) = plan.answers.borrow_mut().as_mut() {
            answers.push((n, answer.to_owned()));
        }
    }
    Ok(())
}

/// One that is kept alive from request to request, unless the server says that it is not.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: TcpStream,
    /// Whether the server has ended it with its last answer.
    is_over: bool,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Result<Self> {
        let stream = connect(address).await?;
        Ok(Self { address: address.to_owned(), stream, is_over: false, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and returns the response, head and body, which must have that status.
    pub async fn expect(&mut self, status: u16, request: &[u8]) -> Result<&[u8]> {
        if self.is_over {
            self.stream = connect(&self.address).await?;
        }
        self.stream.write_all(request).await?;
        let address = &self.address;
        let found = tokio::time::timeout(ANSWER_TIMEOUT, read_response(&mut self.stream, &mut self.buffer))
            .await
            .map_err(|_| anyhow!("no answer from {address} within {ANSWER_TIMEOUT:?}"))??;
        let response = &self.buffer;
        self.is_over = header(response, "connection") == Some("close");
        ensure!(
            found == status,
            "{address} answered {found}, expected {status}:\n{}",
            String::from_utf8_lossy(response)
        );
        Ok(response)
    }
}

async fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens at {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one whole response into `buffer` and returns its status.
async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    buffer.clear();
    let mut head = None;
    loop {
        ensure!(buffer.len() <= RESPONSE_BYTES_MAX, "a response of more than {RESPONSE_BYTES_MAX} bytes");
        if stream.read_buf(buffer).await? == 0 {
            bail!("the server closed the connection within a response");
        }
        if head.is_none() {
            head = Head::parse(buffer)?;
        }
        if let Some(head) = head.as_ref().filter(|head| head.body_is_whole(buffer)) {
            return Ok(head.status);
        }
    }
}

/// What the head of a response says of the whole.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    len: usize,
    /// None if the body comes in chunks.
    body_len: Option<usize>,
}

impl Head {
    /// Nothing as long as it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let (head, _) = bytes.split_at(end);
        let head = std::str::from_utf8(head).context("a response head that is not text")?;
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status line")?;
        let body_len = match header(bytes, "content-length") {
            Some(length) => Some(length.parse().context("a Content-Length that is no number")?),
            None if header(bytes, "transfer-encoding").is_some() => None,
            None if status == 204 => Some(0),
            None => bail!("a response with neither Content-Length nor Transfer-Encoding"),
        };
        Ok(Some(Self { status, len: end + 4, body_len }))
    }

    fn body_is_whole(&self, response: &[u8]) -> bool {
        match self.body_len {
            Some(body_len) => response.len() >= self.len + body_len,
            None => response.ends_with(b"0\r\n\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(response: &[u8]) -> bool {
        Head::parse(response).unwrap().is_some_and(|head| head.body_is_whole(response))
    }

    #[test]
    fn a_response_is_whole_when_its_body_is() {
        let with_length = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        for response in [&with_length[..], &chunked[..]] {
            assert!(is_whole(response));
            for end in 0..response.len() {
                assert!(!is_whole(&response[..end]), "{end} bytes of {}", response.len());
            }
        }
        assert_eq!(Head::parse(with_length).unwrap().map(|head| head.status), Some(201));
    }
}
