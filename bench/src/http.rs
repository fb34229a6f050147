//! Requests per second: Trellis beside a plain hyper server, and one hop into a component beside `wasmtime serve`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::{self, Outcome, Until};
use crate::server::Server;
use crate::table;

/// Posts alone, on an address of its own.
pub const POSTS: &str = "crates/cli/tests/posts.yaml";
const CONNECTIONS: [usize; 3] = [1, 16, 256];
/// Each side is run this often, in turn, and the median counts: the machine's speed drifts.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);

/// GET and durable POST of posts, on disk and where a sync costs nothing, beside hyper.
pub fn posts(trellis: &Path, disk: &Path) -> Result<()> {
    let on_disk = tempfile::tempdir_in(disk)?;
    let in_memory = tempfile::tempdir_in("/dev/shm").context("no /dev/shm to measure without a disk")?;
    let hyper = baseline()?;
    let durable = up(trellis, Path::new(POSTS), on_disk.path(), &[])?;
    let unsynced = up(trellis, Path::new(POSTS), in_memory.path(), &[])?;
    for server in [&durable, &unsynced] {
        load::run(&server.address, 1, Until::Requests(10), 201, create_post)?;
    }

    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let sides: [(&str, Request); 2] = [(&hyper.address, feed), (&durable.address, feed)];
        let [plain, ours] = in_turn(sides, connections, 200)?;
        rows.push(row("GET /posts (10)", connections, &plain, &[&ours]));
    }
    for connections in CONNECTIONS {
        let sides =
            [&hyper, &durable, &unsynced].map(|server| (server.address.as_str(), create_post as Request));
        let [plain, ours, free] = in_turn(sides, connections, 201)?;
        rows.push(row("POST /posts", connections, &plain, &[&ours, &free]));
    }
    table::print(
        "Requests per second beside a plain hyper server",
        &[
            "request",
            "connections",
            "hyper/s",
            "Trellis/s",
            "ratio",
            "p50 us",
            "p99 us",
            "without sync/s",
            "synced : not",
        ],
        &rows,
    );
    Ok(())
}

/// The same `hello` component under `trellis up` and under `wasmtime serve`.
pub fn hello(trellis: &Path, wasmtime: &Path) -> Result<()> {
    const COMPONENT: &str = "build/test/hello.wasm";
    let data = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [fresh_data, reused_data] = &data;
    let mut serve = Command::new(wasmtime);
    serve.args(["serve", "--addr=127.0.0.1:0", "-Scli", COMPONENT]);
    let stock = Server::start(serve)?;
    let manifest = Path::new("tests/guests/hello/wadm.yaml");
    let fresh = up(trellis, manifest, fresh_data.path(), &["--reuse", "1"])?;
    let reused = up(trellis, manifest, reused_data.path(), &[])?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let sides = [&stock, &fresh, &reused].map(|server| (server.address.as_str(), get_root as Request));
        let [stock, fresh, reused] = in_turn(sides, connections, 200)?;
        rows.push(vec![
            connections.to_string(),
            table::count(stock.per_second),
            table::count(fresh.per_second),
            table::ratio(fresh.per_second / stock.per_second),
            table::count(reused.per_second),
            table::ratio(reused.per_second / stock.per_second),
        ]);
    }
    table::print(
        "One hop into the hello component, requests per second",
        &["connections", "`wasmtime serve`", "Trellis, fresh", "ratio", "Trellis, as shipped", "ratio"],
        &rows,
    );
    Ok(())
}

/// Starts `trellis up` on a free port.
pub fn up(trellis: &Path, manifest: &Path, data: &Path, options: &[&str]) -> Result<Server> {
    let mut command = Command::new(trellis);
    command.arg("up").arg(manifest).args(["--listen", "127.0.0.1:0"]).arg("--data").arg(data).args(options);
    command.env("RUST_LOG", "warn");
    Server::start(command)
}

pub fn create_post(n: u64) -> Vec<u8> {
    post("/posts", &format!(r#"{{"title":"Post number {n}, with a title of a usual length"}}"#))
}

pub fn post(path: &str, body: &str) -> Vec<u8> {
    let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    request("POST", path, &head, body)
}

pub fn get(path: &str) -> Vec<u8> {
    request("GET", path, "", "")
}

/// The same request by whoever shows this token.
pub fn by(token: &str, request: &[u8]) -> Vec<u8> {
    let shown = format!("\r\nAuthorization: Bearer {token}");
    let end = request.windows(2).position(|window| window == b"\r\n").unwrap_or(request.len());
    let (line, rest) = request.split_at(end);
    [line, shown.as_bytes(), rest].concat()
}

pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}").into_bytes()
}

/// The first id in an answer: of a post, or of the newest of a list.
pub fn first_id(answer: &[u8]) -> Result<String> {
    first(answer, "id")
}

/// The first value of a field in an answer, which is text.
pub fn first(answer: &[u8], field: &str) -> Result<String> {
    let text = std::str::from_utf8(answer).context("an answer that is not text")?;
    let after = text.split_once(&format!(r#""{field}":""#)).map(|(_, after)| after);
    let after = after.with_context(|| format!("an answer without {field}: {text}"))?;
    Ok(after.split('"').next().unwrap_or_default().to_owned())
}

/// The feed as all sides have it at the same size.
pub fn feed(_: u64) -> Vec<u8> {
    get("/posts?limit=10")
}

pub fn get_root(_: u64) -> Vec<u8> {
    get("/")
}

fn baseline() -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--baseline");
    Server::start(command)
}

pub type Request = fn(u64) -> Vec<u8>;

/// The medians of one side's rounds.
pub struct Figures {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Each side, an address and what it is asked, as often as the others.
pub fn in_turn<const SIDES: usize, R: Fn(u64) -> Vec<u8> + Clone + 'static>(
    sides: [(&str, R); SIDES],
    connections: usize,
    expected: u16,
) -> Result<[Figures; SIDES]> {
    in_turn_for(ROUND, sides, connections, expected)
}

/// With rounds of another length.
pub fn in_turn_for<const SIDES: usize, R: Fn(u64) -> Vec<u8> + Clone + 'static>(
    round: Duration,
    sides: [(&str, R); SIDES],
    connections: usize,
    expected: u16,
) -> Result<[Figures; SIDES]> {
    let mut outcomes: [Vec<Outcome>; SIDES] = std::array::from_fn(|_| Vec::new());
    for (address, request) in &sides {
        load::run(address, connections, Until::Elapsed(round / 4), expected, request.clone())?;
    }
    for _ in 0..ROUNDS {
        for ((address, request), outcomes) in sides.iter().zip(&mut outcomes) {
            outcomes.push(load::run(address, connections, Until::Elapsed(round), expected, request.clone())?);
        }
    }
    Ok(outcomes.map(|rounds| {
        let of = |figure: fn(&Outcome) -> f64| table::median(rounds.iter().map(figure).collect());
        Figures {
            per_second: of(Outcome::per_second),
            p50_us: of(|o| o.percentile_us(0.5).into()),
            p99_us: of(|o| o.percentile_us(0.99).into()),
        }
    }))
}

fn row(request: &str, connections: usize, plain: &Figures, trellis: &[&Figures]) -> Vec<String> {
    let mut row = vec![request.to_owned(), connections.to_string(), table::count(plain.per_second)];
    if let Some(ours) = trellis.first() {
        row.push(table::count(ours.per_second));
        row.push(table::ratio(ours.per_second / plain.per_second));
        row.push(table::count(ours.p50_us));
        row.push(table::count(ours.p99_us));
        if let Some(free) = trellis.get(1) {
            row.push(table::count(free.per_second));
            row.push(table::ratio(ours.per_second / free.per_second));
        } else {
            row.extend(["".into(), "".into()]);
        }
    }
    row
}
