//! The application on lattices of this machine, beside the same application in one process: the same manifest, the same load,
//! in turn. All of them run at the same time, on the processors that the load needs too.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xtask::lattice::{Lattice, Plan, Tools, on_every_host};
use xtask::{Steps, Workspace};

use crate::express::free_address;
use crate::follow::{SEEN_WITHIN, Site};
use crate::hops::{self, Way};
use crate::http::{Figures, Request, create_post, feed, first_id, get, get_root, in_turn_for};
use crate::load::{self, Connection, Until};
use crate::server::Server;
use crate::{manifest, processors, table};

pub const SIDES: usize = 4;
const CONNECTIONS: [usize; 2] = [1, 16];
const FEW: u64 = 10;
const ROUND: Duration = Duration::from_secs(2);

/// An application that runs.
pub struct Side {
    name: &'static str,
    gateway: String,
    /// Where the component that says hello answers.
    hello: String,
    pub nats: String,
    /// The processes that were started for it; what they started is in their groups.
    leaders: Vec<u32>,
    /// Ends the processes when it is dropped.
    _processes: Box<dyn Any>,
}

/// What is asked over HTTP.
struct Asked {
    name: &'static str,
    at: fn(&Side) -> &str,
    request: Request,
    expected: u16,
}

const HELLO: Asked =
    Asked { name: "GET / of hello", at: |side| &side.hello, request: get_root, expected: 200 };
const FEED: Asked = Asked { name: "GET /posts (10)", at: |side| &side.gateway, request: feed, expected: 200 };
const POST: Asked =
    Asked { name: "POST /posts", at: |side| &side.gateway, request: create_post, expected: 201 };

pub fn run(trellis: &Path, disk: &Path) -> Result<()> {
    let ground = Ground { trellis, folder: std::path::absolute(disk.join("bench-lattice"))? };
    let plain = manifest::unlimited()?;
    let sides = [
        ground.embedded(&plain)?,
        ground.lattice("lattice", 1, &plain)?,
        ground.lattice("lattice, built-ins", 1, &with_builtins(&plain))?,
        ground.lattice("lattice, three hosts", 3, &on_every_host(&plain))?,
    ];
    for side in &sides {
        side.wait_until_it_works()?;
    }
    followed(&sides)?;
    let hello = served(&sides, &HELLO)?;
    let feed = served(&sides, &FEED)?;
    // Before there are more posts on one side than on another.
    let mut ways = hops::run(&sides)?;
    let post = served(&sides, &POST)?;
    ways.extend([Way::new(HELLO.name, hello), Way::new(FEED.name, feed), Way::new(POST.name, post)]);
    hops::print(&sides.each_ref().map(|side| side.name), &ways);
    Ok(())
}

/// Where the sides are started.
struct Ground<'a> {
    trellis: &'a Path,
    folder: PathBuf,
}

impl Ground<'_> {
    fn embedded(&self, manifest: &str) -> Result<Side> {
        std::fs::create_dir_all(&self.folder)?;
        let folder = tempfile::tempdir_in(&self.folder)?;
        let (gateway, hello, nats) = (free_address()?, free_address()?, free_address()?);
        let file = folder.path().join("wadm.yaml");
        std::fs::write(&file, manifest::embedded(&manifest::with_hello(manifest, &hello)?, &gateway)?)?;
        let mut command = Command::new(self.trellis);
        command.arg("up").arg(&file).arg("--data").arg(folder.path().join("data")).args(["--nats", &nats]);
        command.env("RUST_LOG", "warn");
        let server = Server::start(command)?;
        let leaders = vec![server.pid()];
        Ok(Side {
            name: "one process",
            gateway,
            hello,
            nats,
            leaders,
            _processes: Box::new((server, folder)),
        })
    }

    fn lattice(&self, name: &'static str, hosts: u8, manifest: &str) -> Result<Side> {
        let folder = self.folder.join(name.replace(", ", "-").replace(' ', "-"));
        // One that was interrupted has left it.
        Lattice::down(&folder)?;
        let hello = free_address()?;
        let workspace = Workspace::read()?;
        let plan = Plan {
            folder: folder.clone(),
            manifest: manifest::with_hello(manifest, &hello)?,
            hosts,
            as_in_manifest: false,
            ..Plan::of(&workspace, name)?
        };
        let tools = Tools::built(&plan.root)?;
        let mut lattice = Lattice::up(plan, tools, &mut Steps::start())?;
        let leaders =
            lattice.processes().iter().filter_map(|process| process.pid().try_into().ok()).collect();
        let nats = lattice.nats().next().unwrap_or_default().to_owned();
        let gateway = lattice.http().to_owned();
        Ok(Side { name, gateway, hello, nats, leaders, _processes: Box::new(Running(folder)) })
    }
}

/// A lattice that ends with this.
struct Running(PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(failure) = Lattice::down(&self.0) {
            eprintln!("{failure}");
        }
    }
}

/// With what the host can do itself in place of provider processes. It has no key-value store.
fn with_builtins(manifest: &str) -> String {
    let mut lines = Vec::new();
    for line in manifest.lines() {
        let name = ["http-server", "messaging-nats"]
            .into_iter()
            .find(|name| line.trim_start().starts_with("image:") && line.contains(name));
        lines.push(name.map_or(line.to_owned(), |name| format!("        image: wasmcloud+builtin://{name}")));
    }
    lines.push(String::new());
    lines.join("\n")
}

impl Side {
    /// Until everybody answers who is asked here: the gateway hears of a service a moment after the registry.
    fn wait_until_it_works(&self) -> Result<()> {
        load::block_on(async {
            self.wait_for(&self.hello, 200, &get("/")).await?;
            self.wait_for(&self.gateway, 200, &feed(0)).await?;
            let post = first_id(&self.wait_for(&self.gateway, 201, &create_post(0)).await?)?;
            self.wait_for(&self.gateway, 200, &get(&format!("/posts/{post}/comments"))).await.map(drop)
        })?;
        load::run(&self.gateway, 1, Until::Requests(FEW), 201, create_post).context(self.name).map(drop)
    }

    async fn wait_for(&self, address: &str, status: u16, request: &[u8]) -> Result<Vec<u8>> {
        let deadline = Instant::now() + SEEN_WITHIN;
        loop {
            match once(address, status, request).await {
                Err(error) if Instant::now() >= deadline => return Err(error).context(self.name),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                answer => return answer,
            }
        }
    }
}

async fn once(address: &str, status: u16, request: &[u8]) -> Result<Vec<u8>> {
    Ok(Connection::open(address).await?.expect(status, request).await?.to_owned())
}

/// How long it takes until what was written is seen by whoever looks.
fn followed(sides: &[Side; SIDES]) -> Result<()> {
    let mut rows = Vec::new();
    for side in sides {
        let site = Site {
            posts: &side.gateway,
            comments: &side.gateway,
            reads: &side.gateway,
            page: |id| format!("/posts/{id}"),
        };
        let mut row = vec![side.name.to_owned()];
        row.extend(site.follow(None)?.map(|us| table::count(us.into())));
        rows.push(row);
    }
    let columns = ["", "post to feed, p50 us", "p99 us", "comment to verdict, p50 us", "p99 us"];
    table::print("From the start of a write until a reader sees it", &columns, &rows);
    Ok(())
}

/// Prints what each side makes of it, and returns the p50 of one at a time, in microseconds.
fn served(sides: &[Side; SIDES], asked: &Asked) -> Result<[f64; SIDES]> {
    let mut rows = sides.each_ref().map(|side| vec![side.name.to_owned()]);
    let mut alone = None;
    for connections in CONNECTIONS {
        let figures = in_turn_for(
            ROUND,
            sides.each_ref().map(|side| ((asked.at)(side), asked.request)),
            connections,
            asked.expected,
        )?;
        let [one_process, ..] = &figures;
        for (row, of) in rows.iter_mut().zip(&figures) {
            let ratio = table::ratio(of.per_second / one_process.per_second);
            row.extend([
                table::count(of.per_second),
                ratio,
                table::count(of.p50_us),
                table::count(of.p99_us),
            ]);
        }
        alone.get_or_insert(figures.map(|Figures { p50_us, .. }| p50_us));
    }
    let columns = ["", "at 1: /s", "ratio", "p50 us", "p99 us", "at 16: /s", "ratio", "p50 us", "p99 us"];
    table::print(asked.name, &columns, &rows);
    spent(sides, asked)?;
    Ok(alone.unwrap_or_default())
}

/// The processor time of a request among many, by the kind of process that it was spent in.
fn spent(sides: &[Side; SIDES], asked: &Asked) -> Result<()> {
    const MANY: usize = 16;
    const FOR: Until = Until::Elapsed(Duration::from_secs(2));
    let mut rows = Vec::new();
    for side in sides {
        let before = processors::spent_us(&side.leaders)?;
        let outcome = load::run((asked.at)(side), MANY, FOR, asked.expected, asked.request)?;
        let after = processors::spent_us(&side.leaders)?;
        let each =
            after.iter().zip(before).map(|(after, before)| (after - before) / outcome.requests() as f64);
        let each: Vec<f64> = each.collect();
        let mut row = vec![side.name.to_owned(), table::count(each.iter().sum())];
        row.extend(each.into_iter().map(table::count));
        rows.push(row);
    }
    let columns: Vec<&str> = ["", "all"].into_iter().chain(processors::KINDS.map(|(kind, _)| kind)).collect();
    table::print(&format!("{}: processor time of each, at {MANY}, us", asked.name), &columns, &rows);
    Ok(())
}
