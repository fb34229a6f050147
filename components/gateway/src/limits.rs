//! How often one may ask. Reading and writing are counted apart.

use std::time::Duration;

use trellis_kit::platform::Fault;
use trellis_kit::tally::{self, Count, Tally, Turn};
use trellis_kit::{Problem, Request, Response, Wire, config};

use crate::callers::{self, Caller};

/// The key of the config.
pub const CONFIG: &str = "limits";

/// Callers of whom nothing is known share what so many would have each.
const SHARED_BY: u64 = 10;
const WINDOW_SECONDS_MAX: u64 = 24 * 60 * 60;

/// How many requests a caller has in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Wire)]
pub struct Limits {
    pub window_seconds: u64,
    pub reads: u64,
    pub writes: u64,
}

/// As what a request is counted.
#[derive(Debug)]
pub struct Counted {
    class: &'static str,
    kind: &'static str,
    who: String,
    limit: u64,
    window_seconds: u64,
}

/// Where the caller of a request stands.
#[derive(Debug)]
pub struct Allowance {
    class: &'static str,
    limit: u64,
    window_seconds: u64,
    count: Count,
}

impl Limits {
    pub const BUILT_IN: Self = Self { window_seconds: 60, reads: 6_000, writes: 600 };

    /// The config: none is for no limits at all.
    pub fn read(text: &str) -> Result<Option<Self>, Fault> {
        if text == "off" {
            return Ok(None);
        }
        let limits: Self = config::read(CONFIG, text)?;
        let Self { window_seconds, reads, writes } = limits;
        if !(1..=WINDOW_SECONDS_MAX).contains(&window_seconds) || reads == 0 || writes == 0 {
            let why = format!("a window has 1 to {WINDOW_SECONDS_MAX} seconds, and at least one request");
            return Err(Fault::new(format!("config {CONFIG}: {why}")));
        }
        Ok(Some(limits))
    }

    /// As what a request is counted. Who shows a key that is not known is counted by their address, like everybody without one:
    /// as far as so many proxies are believed.
    pub fn of(self, request: &Request, caller: &Result<Caller, Problem>, hops: usize) -> Counted {
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let (class, limit) = if is_read { ("reads", self.reads) } else { ("writes", self.writes) };
        let key = caller.as_ref().ok().and_then(Caller::name);
        // Nobody without a key can use up what somebody with one has: the two have no slot in common.
        let (kind, who, limit) = match (key, callers::address(request, hops)) {
            (Some(name), _) => (if is_read { "reads.key" } else { "writes.key" }, name.to_owned(), limit),
            (None, Some(address)) => (class, format!("address {address}"), limit),
            (None, None) => (class, tally::ANYBODY.to_owned(), limit.saturating_mul(SHARED_BY)),
        };
        Counted { class, kind, who, limit, window_seconds: self.window_seconds }
    }
}

impl Counted {
    pub fn turn(&self) -> Turn<'_> {
        Tally::new(self.kind, Duration::from_secs(self.window_seconds)).turn(&self.who, self.limit)
    }

    /// Counts it.
    pub fn count(&self, turn: &Turn<'_>) -> Result<Allowance, Problem> {
        let Self { class, limit, window_seconds, .. } = *self;
        Ok(Allowance { class, limit, window_seconds, count: turn.count()? })
    }
}

impl Allowance {
    pub fn is_used_up(&self) -> bool {
        self.count.used > self.limit
    }

    /// Seconds until the next window.
    pub fn reset(&self) -> u64 {
        self.count.left.as_millis().div_ceil(1000) as u64
    }

    /// Says in the response how much is left, as the IETF's draft of `RateLimit` header fields has it.
    pub fn tell(&self, response: Response) -> Response {
        let Self { class, limit, window_seconds, count } = self;
        let left = limit.saturating_sub(count.used);
        response
            .with("ratelimit-policy", format!("\"{class}\";q={limit};w={window_seconds}"))
            .with("ratelimit", format!("\"{class}\";r={left};t={}", self.reset()))
    }
}
