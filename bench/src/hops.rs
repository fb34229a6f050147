//! Where the time goes between a client and what is stored: the ways that a request takes, from the shortest to the whole,
//! one request at a time, and what is between two of them.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::http::{create_post, feed};
use crate::side::{SIDES, Side};
use crate::{load, table};

/// How long each is asked.
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: usize = 50;
const READY_WITHIN: Duration = Duration::from_secs(10);

const ECHO: &str = "bench.echo";
const APPEND: &str = "bench.append";
const STREAM: &str = "$JS.API.STREAM.CREATE.bench";

/// A way, and how long it takes on each side: p50, in microseconds.
pub struct Way {
    name: &'static str,
    us: [f64; SIDES],
}

impl Way {
    pub fn new(name: &'static str, us: [f64; SIDES]) -> Self {
        Self { name, us }
    }
}

/// A request that goes over NATS.
struct Asked {
    name: &'static str,
    subject: &'static str,
    body: fn() -> Vec<u8>,
    /// What is in the answer.
    answer: &'static str,
}

const ASKED: [Asked; 5] = [
    Asked { name: "a NATS client answers", subject: ECHO, body: || feed(0), answer: "GET" },
    Asked { name: "a stream stores it", subject: APPEND, body: || feed(0), answer: "\"seq\"" },
    Asked { name: "$SRV.PING.query", subject: "$SRV.PING.query", body: Vec::new, answer: "ping_response" },
    Asked { name: "svc.query: the feed", subject: "svc.query", body: || feed(0), answer: "HTTP/1.1 200" },
    Asked {
        name: "svc.posts: a new post",
        subject: "svc.posts",
        body: || create_post(0),
        answer: "HTTP/1.1 201",
    },
];

/// What is between two ways: what the first has and the second has not.
const BETWEEN: [(&str, &str, &str); 6] = [
    ("a component hears and answers", "$SRV.PING.query", "a NATS client answers"),
    ("query reads the feed", "svc.query: the feed", "$SRV.PING.query"),
    ("the gateway, before a read", "GET /posts (10)", "svc.query: the feed"),
    ("the disk", "a stream stores it", "a NATS client answers"),
    ("posts makes and appends a post", "svc.posts: a new post", "$SRV.PING.query"),
    ("the gateway, before a write", "POST /posts", "svc.posts: a new post"),
];

/// Those over NATS.
pub fn run(sides: &[Side; SIDES]) -> Result<Vec<Way>> {
    for side in sides {
        answer_echoes(&side.nats)?;
    }
    ASKED
        .iter()
        .map(|asked| {
            let mut us = [0.0; SIDES];
            for (us, side) in us.iter_mut().zip(sides) {
                *us = asked.p50_us(&side.nats).with_context(|| format!("{} at {}", asked.name, side.nats))?;
            }
            Ok(Way::new(asked.name, us))
        })
        .collect()
}

pub fn print(sides: &[&str; SIDES], ways: &[Way]) {
    let row = |name: &str, us: [f64; SIDES]| {
        std::iter::once(name.to_owned()).chain(us.map(table::count)).collect::<Vec<_>>()
    };
    let columns: Vec<&str> = std::iter::once("p50 us").chain(sides.iter().copied()).collect();
    let rows: Vec<_> = ways.iter().map(|way| row(way.name, way.us)).collect();
    table::print("The ways of a request, one at a time", &columns, &rows);
    let of = |name: &str| ways.iter().find(|way| way.name == name).map_or([f64::NAN; SIDES], |way| way.us);
    let rows: Vec<_> = BETWEEN
        .iter()
        .map(|(name, with, without)| {
            let (with, without) = (of(with), of(without));
            row(
                name,
                std::array::from_fn(|side| {
                    with.get(side).zip(without.get(side)).map_or(f64::NAN, |(a, b)| a - b)
                }),
            )
        })
        .collect();
    table::print("What is between two of them", &columns, &rows);
}

impl Asked {
    fn p50_us(&self, nats: &str) -> Result<f64> {
        load::block_on(async {
            let client = async_nats::connect(nats).await?;
            let stream = r#"{"name":"bench","subjects":["bench.append"],"storage":"file"}"#;
            client.request(STREAM, stream.into()).await?;
            for _ in 0..WARM_UP {
                self.ask(&client).await?;
            }
            let started = Instant::now();
            let mut latencies_us = Vec::new();
            while started.elapsed() < ROUND {
                let sent = Instant::now();
                self.ask(&client).await?;
                latencies_us.push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
            }
            latencies_us.sort_unstable();
            Ok(load::percentile_us(&latencies_us, 0.5).into())
        })
    }

    async fn ask(&self, client: &Client) -> Result<()> {
        let answer = client.request(self.subject, Bytes::from((self.body)())).await?;
        let text = String::from_utf8_lossy(&answer.payload);
        ensure!(text.contains(self.answer), "{} was answered {text}", self.subject);
        Ok(())
    }
}

/// Answers with what was asked, on a thread of its own, for as long as there is this process.
fn answer_echoes(nats: &str) -> Result<()> {
    let nats = nats.to_owned();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        load::block_on(async {
            let client = async_nats::connect(nats).await?;
            let mut requests = client.subscribe(ECHO).await?;
            client.flush().await?;
            tell.send(())?;
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply {
                    client.publish(reply, request.payload).await?;
                }
            }
            Ok(())
        })
    });
    told.recv_timeout(READY_WITHIN).context("nobody answers on NATS")
}
