//! What grows with the data and what does not: the same requests with few posts and with very many, memory, recovery, start-up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::{POSTS, create_post, first_id, get, up};
use crate::load::{self, Until};
use crate::server::Server;
use crate::{machine, table};

const FEW: u64 = 100;
const CONNECTIONS: usize = 256;
const CATCH_UP_MAX: Duration = Duration::from_secs(120);
const READS: Until = Until::Requests(5_000);

pub fn run(trellis: &Path, disk: &Path, many: u64) -> Result<()> {
    let data = tempfile::tempdir_in(disk)?;
    let start = || up(trellis, Path::new(POSTS), data.path(), &[]);
    drop(start()?);
    let empty = start()?;
    let mut rows = vec![state("0", &empty, None)?];
    grow(&empty, FEW)?;
    rows.push(state(&table::count(FEW as f64), &empty, Some(reads(&empty)?))?);
    let growing = Instant::now();
    grow(&empty, many - FEW)?;
    let grown_in = growing.elapsed();
    rows.push(state(&table::count(many as f64), &empty, Some(reads(&empty)?))?);
    empty.kill()?;
    let recovered = start()?;
    rows.push(state("the same, after kill -9", &recovered, Some(reads(&recovered)?))?);
    table::print(
        "With few posts and with many",
        &["posts", "up in ms", "resident MiB", "GET one, p50 us", "p99 us", "GET page, p50 us", "p99 us"],
        &rows,
    );
    println!(
        "{} posts were written in {:.0} s at {CONNECTIONS} connections: {}/s.\n",
        table::count((many - FEW) as f64),
        grown_in.as_secs_f64(),
        table::count((many - FEW) as f64 / grown_in.as_secs_f64()),
    );
    Ok(())
}

/// Writes posts, and waits until the list has caught up with them: each partition keeps its order, so that a last post in
/// each of them, once listed, has all the others before it. Sixty-four of them leave none of eight out.
fn grow(server: &Server, posts: u64) -> Result<()> {
    const LAST: usize = 64;
    let connections = CONNECTIONS.min(posts as usize);
    load::run(&server.address, connections, Until::Requests(posts - LAST as u64), 201, create_post)?;
    let mut last: Vec<String> = (0..LAST as u64)
        .map(|n| first_id(exchange(server, create_post(n))?.as_bytes()))
        .collect::<Result<_>>()?;
    let deadline = Instant::now() + CATCH_UP_MAX;
    while !last.is_empty() {
        ensure!(Instant::now() < deadline, "the list has not caught up within {CATCH_UP_MAX:?}");
        let listed = exchange(server, get("/posts?limit=100"))?;
        last.retain(|id| !listed.contains(id));
    }
    Ok(())
}

/// The p50 and p99 of reading one post and of reading a page.
fn reads(server: &Server) -> Result<[u32; 4]> {
    let id = newest(server)?;
    let one = format!("/posts/{id}");
    let one = load::run(&server.address, 1, READS, 200, move |_| get(&one))?;
    let page = load::run(&server.address, 1, READS, 200, |_| get("/posts?limit=20"))?;
    Ok([one.percentile_us(0.5), one.percentile_us(0.99), page.percentile_us(0.5), page.percentile_us(0.99)])
}

fn newest(server: &Server) -> Result<String> {
    first_id(exchange(server, get("/posts?limit=1"))?.as_bytes())
}

/// One request on a connection of its own; the body of the answer.
fn exchange(server: &Server, request: Vec<u8>) -> Result<String> {
    let request = String::from_utf8(request)?.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    let mut stream = TcpStream::connect(&server.address)?;
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (_, body) = response.split_once("\r\n\r\n").context("an answer without a body")?;
    Ok(body.to_owned())
}

fn state(name: &str, server: &Server, reads: Option<[u32; 4]>) -> Result<Vec<String>> {
    let mut row = vec![
        name.to_owned(),
        format!("{:.0}", server.up_in.as_secs_f64() * 1000.0),
        format!("{:.0}", machine::resident_mib(server.pid())?),
    ];
    match reads {
        Some(figures) => row.extend(figures.map(|us| table::count(us.into()))),
        None => row.extend(std::iter::repeat_n(String::new(), 4)),
    }
    Ok(row)
}
