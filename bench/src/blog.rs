//! The whole blog, through its gateway and on disk, beside the same blog as one would write it with Express.
//!
//! Both sides do what they do by default, except that Trellis counts nobody's requests and writes no access log: one
//! client sends more here than anybody may.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::express::{Express, free_address};
use crate::follow::{SEEN_WITHIN, Site};
use crate::http::{Figures, Request, create_post, feed, in_turn};
use crate::load::{self, Connection, Until};
use crate::server::Server;
use crate::{machine, manifest, table};

const CONNECTIONS: [usize; 2] = [1, 16];
const FEW: u64 = 10;
const MANY: u64 = 10_000;
const READS: Until = Until::Elapsed(Duration::from_secs(4));
/// How many posts a second are written meanwhile: less than Express takes, so that neither side drowns.
const BESIDE: u32 = 100;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

pub fn run(trellis: &Path, disk: &Path, express: &Path, most: u64) -> Result<()> {
    let ground = Ground { trellis, disk: tempfile::tempdir_in(disk)?, express };
    ground.side_by_side()?;
    ground.grown(most)
}

/// Where the sides are started.
struct Ground<'a> {
    trellis: &'a Path,
    disk: tempfile::TempDir,
    express: &'a Path,
}

/// The application, its gateway, and its query service without the gateway.
struct Blog {
    process: Server,
    gateway: String,
    query: String,
}

impl Ground<'_> {
    /// The application of the repository, with new data.
    fn blog(&self, name: &str, options: &[&str]) -> Result<Blog> {
        let folder = self.disk.path().join(name);
        std::fs::create_dir_all(&folder)?;
        let (gateway, query) = (free_address()?, free_address()?);
        let file = folder.join("wadm.yaml");
        let more = manifest::with_http(&manifest::unlimited()?, "query", &query)?;
        manifest::write(&file, &manifest::embedded(more, &gateway)?)?;
        let mut command = Command::new(self.trellis);
        command.arg("up").arg(&file).arg("--data").arg(folder.join("data")).args(options);
        command.env("RUST_LOG", "warn");
        let blog = Blog { process: Server::start(command)?, gateway, query };
        blog.wait_until_routed()?;
        Ok(blog)
    }

    fn side_by_side(&self) -> Result<()> {
        let express = Express::blog(self.express)?;
        drop(self.blog("blog", &[])?);
        // Its components are compiled by now, as they are for everybody but the first.
        let fresh = self.blog("fresh", &["--reuse", "1"])?;
        let blog = self.blog("blog", &[])?;
        let mut state = vec![resources("Express, five processes", express.up_in, express.resident_mib()?)];
        state.push(resources("Trellis, one", blog.process.up_in, blog.resident_mib()?));

        let (posts, query) = (express.address("posts")?, express.address("query")?);
        for address in [posts, &fresh.gateway, &blog.gateway] {
            load::run(address, 1, Until::Requests(FEW), 201, create_post)?;
        }
        let mut rows = Vec::new();
        for connections in CONNECTIONS {
            let sides = [query, &fresh.gateway, &blog.gateway].map(|address| (address, feed as Request));
            rows.push(beside("GET /posts (10)", connections, in_turn(sides, connections, 200)?));
        }
        self.followed(&express, &blog)?;
        for connections in CONNECTIONS {
            let sides =
                [posts, &fresh.gateway, &blog.gateway].map(|address| (address, create_post as Request));
            rows.push(beside("POST /posts", connections, in_turn(sides, connections, 201)?));
        }
        let columns =
            ["request", "connections", "Express/s", "fresh instances/s", "ratio", "as shipped/s", "ratio"];
        table::print("The blog beside Express: requests per second", &columns, &rows);
        state.push(resources("Express, after it", express.up_in, express.resident_mib()?));
        state.push(resources("Trellis, after it", blog.process.up_in, blog.resident_mib()?));
        table::print("The blog beside Express: memory and start", &["", "up in ms", "resident MiB"], &state);
        Ok(())
    }

    /// How long it takes until what was written is seen by whoever looks.
    fn followed(&self, express: &Express, blog: &Blog) -> Result<()> {
        let other = Site {
            posts: express.address("posts")?,
            comments: express.address("comments")?,
            reads: express.address("query")?,
            page: |_| "/posts".to_owned(),
        };
        let ours = Site {
            posts: &blog.gateway,
            comments: &blog.gateway,
            reads: &blog.gateway,
            page: |id| format!("/posts/{id}"),
        };
        let mut rows = Vec::new();
        let writing = format!("writing {BESIDE} posts/s");
        for (beside, rate) in [("nothing", None), (&*writing, Some(BESIDE))] {
            for (name, site) in [("Express", &other), ("Trellis", &ours)] {
                let mut row = vec![format!("{name}, beside {beside}")];
                row.extend(site.follow(rate)?.map(|us| table::count(us.into())));
                rows.push(row);
            }
        }
        let columns = ["", "post to feed, p50 us", "p99 us", "comment to verdict, p50 us", "p99 us"];
        table::print("From the start of a write until a reader sees it", &columns, &rows);
        Ok(())
    }

    /// The feed with few posts and with many, and what of it is the way through the gateway.
    fn grown(&self, most: u64) -> Result<()> {
        let blog = self.blog("grown", &[])?;
        let express = Express::blog(self.express)?;
        let mut rows = Vec::new();
        let mut there = 0;
        for posts in [FEW, MANY, most] {
            blog.grow(posts - there)?;
            // Every post is in each of its answers: with more, each would take longer than anybody waits.
            let other = if posts <= MANY {
                load::run(express.address("posts")?, 16, Until::Requests(posts - there), 201, create_post)?;
                let reads = load::run(express.address("query")?, 16, READS, 200, feed)?;
                table::count(reads.per_second())
            } else {
                String::new()
            };
            there = posts;
            let mut row = vec![table::count(posts as f64), other];
            let [through, direct] = [&blog.gateway, &blog.query].map(|address| reads(address));
            let ([through, through_us], [direct, direct_us]) = (through?, direct?);
            row.extend([through, through_us, direct, direct_us].map(table::count));
            row.extend([table::count(through_us - direct_us), table::count(blog.resident_mib()?)]);
            rows.push(row);
        }
        let columns = [
            "posts",
            "Express/s",
            "Trellis/s",
            "p50 us at 1",
            "without gateway/s",
            "p50 us at 1",
            "gateway, us",
            "resident MiB",
        ];
        table::print(
            "The feed (ten posts a page) with few posts and with many, 16 connections",
            &columns,
            &rows,
        );
        Ok(())
    }
}

impl Blog {
    /// Until the gateway knows of everybody who is asked here.
    fn wait_until_routed(&self) -> Result<()> {
        const ASKED: [(&str, &str); 3] =
            [("/posts", "GET"), ("/posts", "POST"), ("/posts/x/comments", "POST")];
        let deadline = Instant::now() + SEEN_WITHIN;
        load::block_on(async {
            for (path, method) in ASKED {
                let options = format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                loop {
                    let mut connection = Connection::open(&self.gateway).await?;
                    let answer = connection.expect(204, options.as_bytes()).await;
                    if answer.is_ok_and(|answer| {
                        load::header(answer, "allow").is_some_and(|all| all.contains(method))
                    }) {
                        break;
                    }
                    ensure!(
                        Instant::now() < deadline,
                        "the gateway does not know who answers {method} {path}"
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Ok(())
        })
    }

    /// Writes posts, and waits until readers see all of them.
    fn grow(&self, posts: u64) -> Result<()> {
        load::run(&self.gateway, 64, Until::Requests(posts), 201, create_post)?;
        let deadline = Instant::now() + CAUGHT_UP_WITHIN;
        load::block_on(async {
            let mut connection = Connection::open(&self.gateway).await?;
            while load::header(connection.expect(200, &feed(0)).await?, "x-trellis-lag") != Some("0") {
                ensure!(Instant::now() < deadline, "the feed has not caught up within {CAUGHT_UP_WITHIN:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        })
    }

    fn resident_mib(&self) -> Result<f64> {
        machine::resident_mib(self.process.pid())
    }
}

/// Requests a second at 16 connections, and the p50 of one at a time, in microseconds.
fn reads(address: &str) -> Result<[f64; 2]> {
    let at_sixteen = load::run(address, 16, READS, 200, feed)?.per_second();
    let alone = load::run(address, 1, READS, 200, feed)?.percentile_us(0.5);
    Ok([at_sixteen, alone.into()])
}

fn beside(request: &str, connections: usize, [express, fresh, shipped]: [Figures; 3]) -> Vec<String> {
    let ours = [fresh, shipped]
        .into_iter()
        .flat_map(|ours| [table::count(ours.per_second), table::ratio(ours.per_second / express.per_second)]);
    let first = [request.to_owned(), connections.to_string(), table::count(express.per_second)];
    first.into_iter().chain(ours).collect()
}

fn resources(name: &str, up_in: Duration, resident_mib: f64) -> Vec<String> {
    vec![name.to_owned(), table::count(up_in.as_secs_f64() * 1000.0), table::count(resident_mib)]
}
