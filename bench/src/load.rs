//! The load: a number of keep-alive connections on one thread, each sending its next request when the last one is answered.
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

    /// The latency that `share` of the requests stayed under, in microseconds.
    pub fn percentile_us(&self, share: f64) -> u32 {
        let last = self.latencies_us.len().saturating_sub(1);
        self.latencies_us.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// Sends `request(n)`, n counting up from 0 over all connections, and expects every answer to have status `expected`.
pub fn run(
    address: &str,
    connections: usize,
    until: Until,
    expected: u16,
    request: impl Fn(u64) -> Vec<u8> + 'static,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = Rc::new(Plan {
        started: Instant::now(),
        until,
        next: Cell::new(0),
        request,
        latencies_us: RefCell::default(),
    });
    let finished = plan.clone();
    LocalSet::new().block_on(&runtime, async move {
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            clients.spawn_local(client(address.to_owned(), expected, plan.clone()));
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let elapsed = finished.started.elapsed();
    let mut latencies_us = finished.latencies_us.take();
    latencies_us.sort_unstable();
    ensure!(!latencies_us.is_empty(), "not one request of the run was answered");
    Ok(Outcome { elapsed, latencies_us })
}

/// What the connections of a run share.
struct Plan<R> {
    started: Instant,
    until: Until,
    next: Cell<u64>,
    request: R,
    latencies_us: RefCell<Vec<u32>>,
}

impl<R: Fn(u64) -> Vec<u8>> Plan<R> {
    fn take(&self) -> Option<Vec<u8>> {
        let n = self.next.get();
        let more = match self.until {
            Until::Elapsed(limit) => self.started.elapsed() < limit,
            Until::Requests(count) => n < count,
        };
        more.then(|| {
            self.next.set(n + 1);
            (self.request)(n)
        })
    }
}

async fn client<R: Fn(u64) -> Vec<u8>>(address: String, expected: u16, plan: Rc<Plan<R>>) -> Result<()> {
    let mut stream =
        TcpStream::connect(&address).await.with_context(|| format!("nobody listens at {address}"))?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 << 10);
    while let Some(request) = plan.take() {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        let status = tokio::time::timeout(ANSWER_TIMEOUT, read_response(&mut stream, &mut buffer))
            .await
            .map_err(|_| anyhow!("no answer from {address} within {ANSWER_TIMEOUT:?}"))??;
        ensure!(
            status == expected,
            "{address} answered {status}, expected {expected}:\n{}",
            String::from_utf8_lossy(&buffer)
        );
        plan.latencies_us.borrow_mut().push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Reads one whole response into `buffer` and returns its status.
async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    buffer.clear();
    loop {
        ensure!(buffer.len() <= RESPONSE_BYTES_MAX, "a response of more than {RESPONSE_BYTES_MAX} bytes");
        if stream.read_buf(buffer).await? == 0 {
            bail!("the server closed the connection within a response");
        }
        if let Some(status) = parse_response(buffer)? {
            return Ok(status);
        }
    }
}

/// The status of the response in `bytes`, or nothing as long as it is not whole.
fn parse_response(bytes: &[u8]) -> Result<Option<u16>> {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = bytes.split_at(head_end + 4);
    let head = std::str::from_utf8(head).context("a response head that is not text")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status line")?;
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let whole = match header("content-length") {
        Some(length) => body.len() >= length.parse().context("a Content-Length that is no number")?,
        None if header("transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => bail!("a response with neither Content-Length nor Transfer-Encoding"),
    };
    Ok(whole.then_some(status))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_when_its_body_is() {
        let with_length = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(parse_response(with_length).unwrap(), Some(201));
        assert_eq!(parse_response(&with_length[..with_length.len() - 1]).unwrap(), None);
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(parse_response(chunked).unwrap(), Some(200));
        assert_eq!(parse_response(&chunked[..chunked.len() - 2]).unwrap(), None);
    }
}
