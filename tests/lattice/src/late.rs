//! A way to a NATS server on which writes come late: somebody on the way holds them, and lets all else pass.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Result, Write, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// How late a write comes: after its writer has given up, and long before the server gives its event to somebody else.
const HELD_FOR: Duration = Duration::from_secs(5);

/// Holds writes to buckets. Of the connections that write to a bucket, it holds those of the first: whoever writes by way
/// of another is on time.
#[derive(Debug)]
pub struct LateWrites {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    holds: AtomicBool,
    held: AtomicUsize,
    /// Which connection wrote to a bucket first.
    first: Mutex<BTreeMap<String, usize>>,
}

impl LateWrites {
    /// Listens at once. `server` is asked for with the first connection.
    #[track_caller]
    pub fn before(server: impl Fn() -> SocketAddr + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::new(Shared::default()));
        let to_pass_on = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server()).unwrap());
                pass_on(number, client, server, &to_pass_on).unwrap();
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes that come from now on are held, or no longer.
    pub fn hold(&self, holds: bool) {
        self.shared.holds.store(holds, Ordering::Relaxed);
    }

    /// How many writes were held.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Whether this connection has to wait with what it sends.
    fn is_to_wait(&self, connection: usize, frame: &[u8]) -> bool {
        let Some(bucket) = bucket_of(frame) else { return false };
        let first = *self.first.lock().unwrap().entry(bucket.to_owned()).or_insert(connection);
        first == connection && self.holds.load(Ordering::Relaxed)
    }
}

/// The bucket that a frame writes to, if it does.
fn bucket_of(frame: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(frame.split(|byte| *byte == b'\r').next()?).ok()?;
    let subject = line.strip_prefix("HPUB ").or_else(|| line.strip_prefix("PUB "))?;
    subject.strip_prefix("$KV.")?.split('.').next()
}

/// Passes on what is sent either way, until one of the two hangs up.
fn pass_on(number: usize, client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || copy(&mut from_server, &mut to_client));

    let server = Arc::new(Mutex::new(server));
    let (later, held) = mpsc::channel::<(Instant, Vec<u8>)>();
    let at_last = Arc::clone(&server);
    std::thread::spawn(move || {
        for (due, frame) in held {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            at_last.lock().unwrap().write_all(&frame).unwrap();
        }
    });

    let (shared, mut client) = (Arc::clone(shared), BufReader::new(client));
    std::thread::spawn(move || -> Result<()> {
        while let Some(frame) = read_frame(&mut client)? {
            if shared.is_to_wait(number, &frame) {
                shared.held.fetch_add(1, Ordering::Relaxed);
                later.send((Instant::now() + HELD_FOR, frame)).unwrap();
            } else {
                server.lock().unwrap().write_all(&frame)?;
            }
        }
        Ok(())
    });
    Ok(())
}

/// A line of the protocol, with the payload that it announces; none is the end.
fn read_frame(from: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut frame = Vec::new();
    if from.read_until(b'\n', &mut frame)? == 0 {
        return Ok(None);
    }
    if frame.starts_with(b"PUB ") || frame.starts_with(b"HPUB ") {
        let line = String::from_utf8_lossy(&frame);
        let length = line.split_whitespace().last().and_then(|word| word.parse::<u64>().ok());
        let payload = length.ok_or_else(|| std::io::Error::other(line.into_owned()))? + b"\r\n".len() as u64;
        from.take(payload).read_to_end(&mut frame)?;
    }
    Ok(Some(frame))
}
