//! What the market bears: how fast tickets are reserved, how soon that shows, and how much it takes that many orders wait for their
//! time.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::Client;
use futures_util::StreamExt;
use serde_json::json;
use trellis_kit::id;
use trellis_manifest::Manifest;
use trellis_names as names;

use crate::events::{self, Sample};
use crate::express::Express;
use crate::follow::see;
use crate::http::{by, first_id, get, post, request};
use crate::load::{self, Connection, Until};
use crate::side::{Ground, Side, answered};
use crate::{manifest, table};

/// With which keys people call, who have these names.
const SELLER: &str = "key-of-sue";
const BUYER: &str = "key-of-bob";
/// One of so many tickets is followed until it is sold. As often, one ticket is reserved and given back.
const FOLLOWED_OF: usize = 4;
const CONNECTIONS: [usize; 2] = [1, 16];
const ROUNDS: usize = 3;
const REFUSALS: Until = Until::Elapsed(Duration::from_secs(4));

/// The services without which no order is over.
const OF_TIME: [&str; 4] = ["gateway", "registry", "orders", "expiration"];
/// So many of those that wait come to their time while somebody looks, one each so often.
const DUE: u64 = 2000;
const APART_MS: u64 = 10;
/// How long it is until then: some time, and so much for each that is written, so that all have been followed.
const LEAD_MS: u64 = 30_000;
const LEAD_EACH_US: u64 = 500;
/// When the others would be.
const MUCH_LATER_MS: u64 = 6 * 60 * 60 * 1000;
const TOLD_WITHIN: Duration = Duration::from_mins(5);
/// At first there are so many times fewer.
const AT_FIRST: u64 = 10;

pub fn run(trellis: &Path, disk: &Path, express: &Path, tickets: usize, waiting: u64) -> Result<()> {
    let ground = Ground { trellis, folder: std::path::absolute(disk.join("bench-market"))? };
    let mut manifest = manifest::unlimited()?;
    let key = |key, name| (id::sha256(key), json!({ "name": name, "roles": [] }));
    let keys: serde_json::Map<_, _> = [key(SELLER, "sue"), key(BUYER, "bob")].into_iter().collect();
    manifest::set(&mut manifest, "gateway", "api-keys", &json!(keys).to_string())?;
    let placed = {
        let (express, side) = (Express::market(express)?, ground.embedded(&manifest)?);
        side.wait_until_it_works()?;
        let theirs = Market {
            tickets: express.address("tickets")?,
            orders: express.address("orders")?,
            payments: express.address("payments")?,
            reads: express.address("tickets")?,
        };
        let gateway = side.gateway.as_str();
        let ours = Market { tickets: gateway, orders: gateway, payments: gateway, reads: gateway };
        let sides = [&theirs, &ours];
        for market in sides {
            load::block_on(market.opens())?;
        }
        reserved(sides, tickets)?;
        followed(sides, tickets / FOLLOWED_OF)?;
        load::block_on(placed(&side, &ours))?
    };
    let mut rows = Vec::new();
    for count in [waiting / AT_FIRST, waiting] {
        rows.push(load::block_on(waited(&ground, &manifest, &placed, count.max(DUE)))?);
    }
    let columns = [
        "orders that wait",
        "resident MiB before",
        "with all of them",
        "after",
        "late by, p50 ms",
        "p99 ms",
        "at most ms",
    ];
    let title = format!("Orders that wait for their time, of which {} a second come to it", 1000 / APART_MS);
    table::print(&title, &columns, &rows);
    Ok(())
}

/// Where one side's tickets are offered, ordered, paid and looked at.
struct Market<'a> {
    tickets: &'a str,
    orders: &'a str,
    payments: &'a str,
    reads: &'a str,
}

const PRICE: &str = r#"{"amount":1999,"currency":"EUR"}"#;

fn offer() -> Vec<u8> {
    by(SELLER, &post("/tickets", &format!(r#"{{"title":"A concert of a usual length","price":{PRICE}}}"#)))
}

fn order(ticket: &str) -> Vec<u8> {
    by(BUYER, &post("/orders", &format!(r#"{{"ticket_id":"{ticket}","price":{PRICE}}}"#)))
}

fn pay(order: &str) -> Vec<u8> {
    by(BUYER, &post("/payments", &format!(r#"{{"order_id":"{order}","token":"tok_ok"}}"#)))
}

fn give_back(order: &str) -> Vec<u8> {
    by(BUYER, &request("DELETE", &format!("/orders/{order}"), "", ""))
}

fn path(ticket: &str) -> String {
    format!("/tickets/{ticket}")
}

impl Market<'_> {
    /// Until everybody answers who is asked here.
    async fn opens(&self) -> Result<()> {
        let ticket = first_id(&answered(self.tickets, 201, &offer()).await?)?;
        let order = first_id(&answered(self.orders, 201, &order(&ticket)).await?)?;
        answered(self.payments, 202, &pay(&order)).await?;
        answered(self.reads, 200, &get(&path(&ticket))).await.map(drop)
    }

    fn offered(&self, count: usize) -> Result<Vec<String>> {
        let (_, answers) = load::each(self.tickets, 16, 201, vec![offer(); count])?;
        answers.iter().map(|answer| first_id(answer)).collect()
    }

    /// Reservations a second over many tickets, p50 and p99.
    fn many(&self, tickets: usize, connections: usize) -> Result<[f64; 3]> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let orders = self.offered(tickets)?.iter().map(|ticket| order(ticket)).collect();
            rounds.push(load::each(self.orders, connections, 201, orders)?.0);
        }
        Ok(medians(&rounds))
    }

    /// The same of refusals, where all want one ticket, which somebody has.
    fn refused(&self, connections: usize) -> Result<[f64; 3]> {
        let tickets = self.offered(1)?;
        let ticket = tickets.first().context("no ticket is offered")?;
        load::block_on(answered(self.orders, 201, &order(ticket)))?;
        let wanted = order(ticket);
        let outcome = load::run(self.orders, connections, REFUSALS, 409, move |_| wanted.clone())?;
        Ok(medians(&[outcome]))
    }

    /// The same of reservations of one ticket, which is given back each time.
    fn again(&self, times: usize) -> Result<[f64; 3]> {
        let tickets = self.offered(1)?;
        let ticket = tickets.first().context("no ticket is offered")?;
        let (mut took, begun) = (Vec::new(), Instant::now());
        load::block_on(async {
            let first = first_id(&answered(self.orders, 201, &order(ticket)).await?)?;
            let mut orders = Connection::open(self.orders).await?;
            orders.expect(204, &give_back(&first)).await?;
            for _ in 0..times {
                let sent = Instant::now();
                let placed = first_id(orders.expect(201, &order(ticket)).await?)?;
                took.push(load::micros(sent.elapsed()));
                orders.expect(204, &give_back(&placed)).await?;
            }
            Ok(())
        })?;
        let per_second = times as f64 / begun.elapsed().as_secs_f64();
        took.sort_unstable();
        let [p50, p99] = [0.5, 0.99].map(|share| f64::from(load::percentile_us(&took, share)));
        Ok([per_second, p50, p99])
    }

    /// How long it takes until whoever looks sees a ticket as reserved, and as sold.
    async fn follow(&self, tickets: &[String]) -> Result<[Vec<u32>; 2]> {
        let mut orders = Connection::open(self.orders).await?;
        let mut payments = Connection::open(self.payments).await?;
        let mut reads = Connection::open(self.reads).await?;
        let mut took = [Vec::new(), Vec::new()];
        let [reserved, sold] = &mut took;
        for ticket in tickets {
            let path = path(ticket);
            answered(self.reads, 200, &get(&path)).await?;
            let begun = Instant::now();
            let placed = first_id(orders.expect(201, &order(ticket)).await?)?;
            see(&mut reads, &path, r#""status":"reserved""#).await?;
            reserved.push(load::micros(begun.elapsed()));

            let begun = Instant::now();
            payments.expect(202, &pay(&placed)).await?;
            see(&mut reads, &path, r#""status":"sold""#).await?;
            sold.push(load::micros(begun.elapsed()));
        }
        took.iter_mut().for_each(|times| times.sort_unstable());
        Ok(took)
    }
}

fn medians(rounds: &[load::Outcome]) -> [f64; 3] {
    let median = |figure: fn(&load::Outcome) -> f64| table::median(rounds.iter().map(figure).collect());
    [
        median(load::Outcome::per_second),
        median(|outcome| outcome.percentile_us(0.5).into()),
        median(|outcome| outcome.percentile_us(0.99).into()),
    ]
}

fn reserved(sides: [&Market<'_>; 2], tickets: usize) -> Result<()> {
    let mut rows = Vec::new();
    let mut row = |name: &str, connections: usize, of: &dyn Fn(&Market<'_>) -> Result<[f64; 3]>| {
        let [theirs, ours] = sides.map(of);
        let ([theirs, ..], [per_second, p50, p99]) = (theirs?, ours?);
        let ratio = table::ratio(per_second / theirs);
        let figures = [theirs, per_second].map(table::count).to_vec();
        let times = [p50, p99].map(table::count).to_vec();
        rows.push([vec![name.to_owned(), connections.to_string()], figures, vec![ratio], times].concat());
        anyhow::Ok(())
    };
    for connections in CONNECTIONS {
        let name = format!("each of {} tickets", table::count(tickets as f64));
        row(&name, connections, &|market| market.many(tickets, connections))?;
    }
    row("one ticket, given back each time", 1, &|market| market.again(tickets / FOLLOWED_OF))?;
    for connections in CONNECTIONS {
        row("one ticket that somebody has: refused", connections, &|market| market.refused(connections))?;
    }
    let columns = ["reserved", "connections", "Express/s", "Trellis/s", "ratio", "p50 us", "p99 us"];
    table::print("Reservations a second beside Express", &columns, &rows);
    Ok(())
}

fn followed(sides: [&Market<'_>; 2], tickets: usize) -> Result<()> {
    let mut rows = Vec::new();
    for (name, market) in ["Express", "Trellis"].into_iter().zip(sides) {
        let tickets = market.offered(tickets)?;
        let took = load::block_on(market.follow(&tickets))?;
        let figures =
            took.iter().flat_map(|times| [0.5, 0.99].map(|share| load::percentile_us(times, share)));
        rows.push([vec![name.to_owned()], figures.map(|us| table::count(us.into())).collect()].concat());
    }
    let columns = ["", "order to reserved, p50 us", "p99 us", "payment to sold, p50 us", "p99 us"];
    table::print("From the start of a write until whoever looks at the ticket sees it", &columns, &rows);
    Ok(())
}

/// An order, as it is told.
async fn placed(side: &Side, market: &Market<'_>) -> Result<Sample> {
    let client = async_nats::connect(&side.nats).await?;
    let mut heard = events::listen(&client, "orders").await?;
    let ticket = first_id(&answered(market.tickets, 201, &offer()).await?)?;
    answered(market.orders, 201, &order(&ticket)).await?;
    Sample::heard(&mut heard, "reservation.placed.v1").await
}

/// When each order is over: the first of them soon, one after the other, and the others much later.
#[derive(Clone, Copy)]
struct Plan {
    begins_ms: u64,
    count: u64,
}

impl Plan {
    fn first_ms(self) -> u64 {
        self.begins_ms + LEAD_MS + self.count * LEAD_EACH_US / 1000
    }

    fn due_ms(self, n: u64) -> u64 {
        if n < DUE { self.first_ms() + n * APART_MS } else { self.begins_ms + MUCH_LATER_MS + n }
    }
}

/// Has so many orders wait, and sees how late those are told of whose time is over.
async fn waited(
    ground: &Ground<'_>,
    manifest: &Manifest,
    placed: &Sample,
    count: u64,
) -> Result<Vec<String>> {
    let side = ground.embedded(&manifest::only(manifest, &OF_TIME))?;
    let client = async_nats::connect(&side.nats).await?;
    events::followed(&client, "orders", &names::timer_consumer("expiration")).await?;
    let before = side.resident_mib()?;
    let plan = Plan { begins_ms: events::now_ms()?, count };
    let expires_at = placed.field("expires_at")?;
    let orders = |range: Range<u64>| -> Result<Vec<(u64, String)>> {
        range.map(|n| Ok((n, events::instant(plan.due_ms(n))?))).collect()
    };
    let told = late(&client, plan).await?;
    // The log is the queue: what is over sooner is before what is over later.
    placed.write(&client, expires_at, 1, orders(0..DUE)?.into_iter()).await?;
    placed.write(&client, expires_at, events::AT_ONCE, orders(DUE..count)?.into_iter()).await?;
    ensure!(
        events::now_ms()? < plan.first_ms(),
        "{count} orders took longer to write than they have time for"
    );
    let with_all = side.resident_mib()?;
    let mut late_ms = told.await?;
    ensure!(late_ms.len() as u64 == DUE, "{} of {DUE} orders were told of", late_ms.len());
    late_ms.sort_unstable();
    let [p50, p99] = [0.5, 0.99].map(|share| load::percentile_us(&late_ms, share));
    let most = late_ms.last().copied().unwrap_or_default();
    let figures = [count as f64, before, with_all, side.resident_mib()?, p50.into(), p99.into(), most.into()];
    Ok(figures.map(table::count).to_vec())
}

/// By how many milliseconds each order is told of too late, from now on until all are that come to their time.
async fn late(client: &Client, plan: Plan) -> Result<impl Future<Output = Result<Vec<u32>>>> {
    let mut heard = events::listen(client, "expiration").await?;
    let until = Duration::from_millis(plan.due_ms(DUE - 1).saturating_sub(events::now_ms()?)) + TOLD_WITHIN;
    let deadline = tokio::time::Instant::now() + until;
    Ok(async move {
        let mut late_ms = Vec::new();
        while (late_ms.len() as u64) < DUE
            && let Ok(Some(message)) = tokio::time::timeout_at(deadline, heard.next()).await
        {
            let told_ms = events::now_ms()?;
            let order = message.subject.split('.').nth(3).unwrap_or_default().to_owned();
            let n = events::number(id::root(&order)).with_context(|| format!("{order} has no number"))?;
            let late = told_ms.checked_sub(plan.due_ms(n));
            let late = late.with_context(|| format!("{order} was told of before its time"))?;
            late_ms.push(u32::try_from(late)?);
        }
        Ok(late_ms)
    })
}
