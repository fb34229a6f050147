//! How fast read models are built anew, and what memory that takes: those of query, from posts that are in the log already.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::events::{self, Sample};
use crate::http::create_post;
use crate::load::{self, Connection};
use crate::side::{Ground, Side};
use crate::{manifest, table};

/// Whose read models they are, and whose log is filled.
const SERVICE: &str = "query";
const LOG: &str = "posts";
/// The read models are built so often, and the median counts.
const ROUNDS: usize = 3;
/// A lattice is measured with so many times fewer events.
const FEWER: u64 = 50;
/// At first there are so many times fewer events than in the end.
const AT_FIRST: u64 = 10;
/// The read models that are there follow event by event, while the log is filled.
const FOLLOWED_WITHIN: Duration = Duration::from_mins(30);
const BUILT_WITHIN: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub fn run(trellis: &Path, disk: &Path, events: u64, on_lattice: bool) -> Result<()> {
    let ground = Ground { trellis, folder: std::path::absolute(disk.join("bench-rebuild"))? };
    let plain = manifest::unlimited()?;
    let mut rows = measured(trellis, &ground.embedded(&plain)?, events)?;
    if on_lattice {
        rows.extend(measured(trellis, &ground.lattice("lattice", 1, &plain)?, events / FEWER)?);
    }
    let columns = [
        "",
        "events",
        "events/s",
        "resident MiB before",
        "at most, meanwhile",
        "after",
        "log written, events/s",
    ];
    table::print(&format!("Read models of {SERVICE} built anew, from the log of {LOG}"), &columns, &rows);
    Ok(())
}

fn measured(trellis: &Path, side: &Side, most: u64) -> Result<Vec<Vec<String>>> {
    side.wait_until_it_works()?;
    let mut rows = Vec::new();
    let mut there = 0;
    for wanted in [most / AT_FIRST, most] {
        let filled = load::block_on(fill(side, there, wanted)).context(side.name)?;
        there = wanted;
        let before = side.resident_mib()?;
        let mut rounds = Vec::new();
        let mut most_resident = before;
        for _ in 0..ROUNDS {
            let (took, resident) = rebuild(trellis, side)?;
            rounds.push(filled.events as f64 / took.as_secs_f64());
            most_resident = most_resident.max(resident);
        }
        let figures = [
            filled.events as f64,
            table::median(rounds),
            before,
            most_resident,
            side.resident_mib()?,
            filled.per_second,
        ];
        rows.push([vec![side.name.to_owned()], figures.map(table::count).to_vec()].concat());
    }
    Ok(rows)
}

/// How many events there are now, and how fast they came.
struct Filled {
    events: u64,
    per_second: f64,
}

/// Writes posts into the log, and waits until everybody has followed them.
async fn fill(side: &Side, from: u64, to: u64) -> Result<Filled> {
    let client = async_nats::connect(&side.nats).await?;
    let mut heard = events::listen(&client, LOG).await?;
    Connection::open(&side.gateway).await?.expect(201, &create_post(0)).await?;
    let sample = Sample::heard(&mut heard, "post.created.v1").await?;
    heard.unsubscribe().await?;
    let begun = Instant::now();
    let title = sample.field("title")?;
    let posts = (from..to).map(|n| (n, format!("Post number {n}, with a title of a usual length")));
    sample.write(&client, title, events::AT_ONCE, posts).await?;
    let per_second = (to - from) as f64 / begun.elapsed().as_secs_f64();
    events::handled(&client, LOG, FOLLOWED_WITHIN).await?;
    Ok(Filled { events: events::count(&client, LOG).await?, per_second })
}

/// How long it takes until the new read models are read and the old ones are gone, and the most memory meanwhile, in MiB.
fn rebuild(trellis: &Path, side: &Side) -> Result<(Duration, f64)> {
    let begun = Instant::now();
    let mut replay = Command::new(trellis);
    replay.args(["replay", SERVICE, "--nats", &side.nats]);
    let mut replay = replay.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut resident: f64 = 0.0;
    let ended = loop {
        resident = resident.max(side.resident_mib()?);
        if let Some(ended) = replay.try_wait()? {
            break ended;
        }
        if begun.elapsed() > BUILT_WITHIN {
            replay.kill()?;
            break replay.wait()?;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    ensure!(
        ended.success(),
        "the read models of {SERVICE} are not built anew within {BUILT_WITHIN:?}: {ended}"
    );
    Ok((begun.elapsed(), resident))
}
