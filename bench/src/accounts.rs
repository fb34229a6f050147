//! What signing in costs: whether it takes as long for an email that nobody has as for a wrong password, what it does to others,
//! and what it costs to be signed in.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::http::{self, feed, in_turn_for, post};
use crate::load::{self, Connection, Outcome, Until};
use crate::side::{Ground, Side};
use crate::{manifest, ranks, table};

/// How many people there are, and how many emails nobody has.
const PEOPLE: u64 = 20;
const PASSWORD: &str = "correct horse";
const WRONG: &str = "wrong horse";
const CONNECTIONS: [usize; 2] = [1, 16];
const ROUND: Duration = Duration::from_secs(4);
/// The feed is asked for so often in a second, while so many people sign in.
const FEEDS: u32 = 200;
const FEEDS_ON_LATTICE: u32 = 20;
const SIGN_INS: u32 = 20;
const ROUNDS: usize = 3;

pub fn run(trellis: &Path, disk: &Path, refusals: u64, on_lattice: bool) -> Result<()> {
    let ground = Ground { trellis, folder: std::path::absolute(disk.join("bench-accounts"))? };
    let plain = manifest::unlimited()?;
    let embedded = ground.embedded(&plain)?;
    let token = people(&embedded)?;
    refused(&embedded, refusals)?;
    signed_in(&embedded)?;
    let mut disturbed = vec![beside_sign_ins(&embedded, FEEDS)?];
    let mut known = known_and_not(&embedded, &token)?;
    drop(embedded);
    if on_lattice {
        let lattice = ground.lattice("lattice", 1, &plain)?;
        let token = people(&lattice)?;
        disturbed.push(beside_sign_ins(&lattice, FEEDS_ON_LATTICE)?);
        known.extend(known_and_not(&lattice, &token)?);
    }
    table::print(
        &format!("The feed while {SIGN_INS} people a second sign in"),
        &["", "feeds/s", "sign-ins/s", "alone: p50 us", "p99 us", "beside: p50 us", "p99 us", "ratio of p99"],
        &disturbed,
    );
    table::print(
        "The feed, by somebody who is signed in and by anybody",
        &["", "connections", "anybody/s", "p50 us", "signed in/s", "p50 us", "ratio"],
        &known,
    );
    Ok(())
}

fn email(n: u64) -> String {
    format!("person-{}@example.org", n % PEOPLE)
}

fn sign_up(n: u64) -> Vec<u8> {
    post("/users/signup", &format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(n)))
}

fn sign_in(n: u64) -> Vec<u8> {
    shown(&email(n), PASSWORD)
}

fn shown(email: &str, password: &str) -> Vec<u8> {
    post("/users/signin", &format!(r#"{{"email":"{email}","password":"{password}"}}"#))
}

/// Signs everybody up. Returns a token of the first.
fn people(side: &Side) -> Result<String> {
    side.wait_until_it_works()?;
    let answer = load::block_on(async {
        let answer = side.wait_for(&side.gateway, 201, &sign_up(0)).await?;
        let mut connection = Connection::open(&side.gateway).await?;
        for n in 1..PEOPLE {
            connection.expect(201, &sign_up(n)).await?;
        }
        Ok(answer)
    })?;
    http::first(&answer, "token")
}

/// Whether who asks can tell by the time that it takes whether an email is known.
fn refused(side: &Side, times: u64) -> Result<()> {
    let [mut unknown, mut wrong] = load::block_on(async {
        let mut connection = Connection::open(&side.gateway).await?;
        let mut took = [Vec::new(), Vec::new()];
        for n in 0..times + PEOPLE {
            let both = [shown(&format!("nobody-{}@example.org", n % PEOPLE), WRONG), shown(&email(n), WRONG)];
            // In turns, so that neither always comes first.
            let order = if n % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                let (Some(request), Some(took)) = (both.get(which), took.get_mut(which)) else { continue };
                let sent = Instant::now();
                connection.expect(401, request).await?;
                // Those who come first find nothing in any cache.
                if n >= PEOPLE {
                    took.push(load::micros(sent.elapsed()));
                }
            }
        }
        Ok(took)
    })?;
    let compared = ranks::compare(&unknown, &wrong).context("nothing was measured")?;
    unknown.sort_unstable();
    wrong.sort_unstable();
    let row = |name: &str, sorted: &[u32]| {
        let figures = [0.1, 0.5, 0.9].map(|share| table::count(load::percentile_us(sorted, share).into()));
        [vec![name.to_owned(), table::count(sorted.len() as f64)], figures.to_vec()].concat()
    };
    table::print(
        "Signing in without success",
        &["", "times", "p10 us", "p50 us", "p90 us"],
        &[row("an unknown email", &unknown), row("a wrong password", &wrong)],
    );
    println!(
        "An unknown email takes longer than a wrong password in {:.1} of 100 pairs. Where it makes no difference, one would see\n\
         that much or more with a probability of {:.2} (Mann-Whitney U, both sides).\n",
        compared.first_is_larger * 100.0,
        compared.probability
    );
    Ok(())
}

fn signed_in(side: &Side) -> Result<()> {
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let rounds: Vec<Outcome> = (0..ROUNDS)
            .map(|_| load::run(&side.gateway, connections, Until::Elapsed(ROUND), 200, sign_in))
            .collect::<Result<_>>()?;
        let median = |figure: fn(&Outcome) -> f64| table::median(rounds.iter().map(figure).collect());
        rows.push(vec![
            connections.to_string(),
            table::count(median(Outcome::per_second)),
            table::count(median(|o| o.percentile_us(0.5).into())),
            table::count(median(|o| o.percentile_us(0.99).into())),
        ]);
    }
    table::print("Signing in", &["connections", "/s", "p50 us", "p99 us"], &rows);
    Ok(())
}

/// The feed at a steady pace, alone and beside people who sign in.
fn beside_sign_ins(side: &Side, feeds: u32) -> Result<Vec<String>> {
    const FOR: Until = Until::Elapsed(Duration::from_secs(10));
    let feed = || load::paced(&side.gateway, feeds, FOR, 200, feed);
    let mut all: [Vec<[f64; 2]>; 2] = Default::default();
    let [alone, beside] = &mut all;
    let mut signed_in = Vec::new();
    let times = |outcome: &Outcome| [0.5, 0.99].map(|share| f64::from(outcome.percentile_us(share)));
    for _ in 0..ROUNDS {
        alone.push(times(&load::block_on(feed())?));
        let sign_ins = load::paced(&side.gateway, SIGN_INS, FOR, 200, sign_in);
        let (feeds, sign_ins) = load::block_on(async { tokio::try_join!(feed(), sign_ins) })?;
        beside.push(times(&feeds));
        signed_in.push(sign_ins.per_second());
    }
    let median =
        |rounds: &[[f64; 2]], at: fn(&[f64; 2]) -> f64| table::median(rounds.iter().map(at).collect());
    let [p50, p99]: [fn(&[f64; 2]) -> f64; 2] = [|[p50, _]| *p50, |[_, p99]| *p99];
    let (p99_alone, p99_beside) = (median(alone, p99), median(beside, p99));
    let figures = [
        f64::from(feeds),
        table::median(signed_in),
        median(alone, p50),
        p99_alone,
        median(beside, p50),
        p99_beside,
    ];
    let ratio = table::ratio(p99_beside / p99_alone);
    Ok([vec![side.name.to_owned()], figures.map(table::count).to_vec(), vec![ratio]].concat())
}

fn known_and_not(side: &Side, token: &str) -> Result<Vec<Vec<String>>> {
    let ask = |by: Option<&str>| {
        let request = by.map_or_else(|| feed(0), |token| http::by(token, &feed(0)));
        (side.gateway.as_str(), move |_: u64| request.clone())
    };
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let [anybody, known] = in_turn_for(ROUND, [ask(None), ask(Some(token))], connections, 200)?;
        let figures = [anybody.per_second, anybody.p50_us, known.per_second, known.p50_us].map(table::count);
        let ratio = table::ratio(known.per_second / anybody.per_second);
        rows.push(
            [vec![side.name.to_owned(), connections.to_string()], figures.to_vec(), vec![ratio]].concat(),
        );
    }
    Ok(rows)
}
