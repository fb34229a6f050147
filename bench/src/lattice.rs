//! The application on lattices of this machine, beside the same application in one process: the same manifest, the same load,
//! in turn. All of them run at the same time, on the processors that the load needs too.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use xtask::lattice::on_every_host;

use crate::follow::Site;
use crate::hops::{self, Way};
use crate::http::{Figures, Request, create_post, feed, get_root, in_turn_for};
use crate::load::{self, Until};
use crate::side::{Ground, SIDES, Side};
use crate::{manifest, processors, table};

const CONNECTIONS: [usize; 2] = [1, 16];
const ROUND: Duration = Duration::from_secs(2);

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
        ground.lattice("lattice, built-ins", 1, &manifest::with_builtins(&plain))?,
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
