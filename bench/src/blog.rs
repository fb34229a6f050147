//! The whole blog, through its gateway and on disk, beside the same blog as one would write it with Express.
//!
//! Both sides do what they do by default, except that Trellis counts nobody's requests and writes no access log: one
//! client sends more here than anybody may.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::express::{Express, free_address};
use crate::http::{Figures, Request, create_post, first_id, get, in_turn, post};
use crate::load::{self, Connection, Until};
use crate::server::Server;
use crate::{machine, table};

const CONNECTIONS: [usize; 2] = [1, 16];
const FEW: u64 = 10;
const MANY: u64 = 10_000;
const READS: Until = Until::Elapsed(Duration::from_secs(4));
/// How many posts and comments are followed until they are seen.
const FOLLOWED: u64 = 300;
/// How many posts a second are written meanwhile: less than Express takes, so that neither side drowns.
const BESIDE: u32 = 300;
const SEEN_WITHIN: Duration = Duration::from_secs(20);
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
        let manifest = folder.join("wadm.yaml");
        std::fs::write(&manifest, manifest_of(&gateway, &query)?)?;
        let mut command = Command::new(self.trellis);
        command.arg("up").arg(&manifest).arg("--data").arg(folder.join("data")).args(options);
        command.env("RUST_LOG", "warn");
        let blog = Blog { process: Server::start(command)?, gateway, query };
        blog.wait_until_routed()?;
        Ok(blog)
    }

    fn side_by_side(&self) -> Result<()> {
        let express = Express::start(self.express)?;
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
        let express = Express::start(self.express)?;
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

/// Where one side's posts and comments are written, and where its readers look.
struct Site<'a> {
    posts: &'a str,
    comments: &'a str,
    reads: &'a str,
    /// Where a post is shown with its comments, given its id.
    page: fn(&str) -> String,
}

impl Site<'_> {
    /// p50 and p99, in microseconds, of a post until it is in the feed and of a comment until its verdict is seen.
    fn follow(&self, beside: Option<u32>) -> Result<[u32; 4]> {
        let [posts, comments] = load::block_on(async {
            match beside {
                Some(rate) => load::beside(self.posts, rate, 201, create_post, self.follow_each()).await,
                None => self.follow_each().await,
            }
        })?;
        Ok([
            load::percentile_us(&posts, 0.5),
            load::percentile_us(&posts, 0.99),
            load::percentile_us(&comments, 0.5),
            load::percentile_us(&comments, 0.99),
        ])
    }

    async fn follow_each(&self) -> Result<[Vec<u32>; 2]> {
        let mut posts = Connection::open(self.posts).await?;
        let mut comments = Connection::open(self.comments).await?;
        let mut reads = Connection::open(self.reads).await?;
        let mut took = [Vec::new(), Vec::new()];
        let [of_posts, of_comments] = &mut took;
        for n in 0..FOLLOWED {
            let started = Instant::now();
            let id = first_id(posts.expect(201, &create_post(n)).await?)?;
            see(&mut reads, "/posts", &format!(r#""id":"{id}""#)).await?;
            of_posts.push(started.elapsed());

            let started = Instant::now();
            let content = format!("a comment on {id}");
            let comment = post(&format!("/posts/{id}/comments"), &format!(r#"{{"content":"{content}"}}"#));
            comments.expect(201, &comment).await?;
            see(&mut reads, &(self.page)(&id), &format!(r#""{content}","status":"approved""#)).await?;
            of_comments.push(started.elapsed());
        }
        Ok(took.map(|mut times| {
            times.sort_unstable();
            times.into_iter().map(|time| time.as_micros().try_into().unwrap_or(u32::MAX)).collect()
        }))
    }
}

/// Asks until the answer has that in it.
async fn see(connection: &mut Connection, path: &str, what: &str) -> Result<()> {
    let deadline = Instant::now() + SEEN_WITHIN;
    let request = get(path);
    loop {
        let answer = connection.expect(200, &request).await?;
        if answer.windows(what.len()).any(|window| window == what.as_bytes()) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{path} does not show {what} within {SEEN_WITHIN:?}");
    }
}

/// The application of the repository at these addresses: nobody's requests are counted or logged, and the query service is
/// reached without the gateway too.
fn manifest_of(gateway: &str, query: &str) -> Result<String> {
    const SETTINGS: &str = "          - name: gateway-service\n            properties:\n";
    const HTTP: &str = "    - name: httpserver\n";
    const LINKS: &str = "      traits:\n";
    let root = std::env::current_dir()?;
    let text = std::fs::read_to_string("wadm.yaml").context("this runs in the root of the repository")?;
    let text = text.replace("file://build", &format!("file://{}/build", root.display()));
    let text = text.replace("127.0.0.1:8080", gateway);
    let (before, settings) = text.split_once(SETTINGS).context("wadm.yaml has no settings of the gateway")?;
    let (between, http) = settings.split_once(HTTP).context("wadm.yaml has no HTTP server")?;
    let (image, links) = http.split_once(LINKS).context("the HTTP server of wadm.yaml has no links")?;
    let off = "              limits: 'off'\n              access-log: 'off'\n";
    let link = format!(
        "        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target:
              name: query
            source:
              config:
                - name: query-http
                  properties:
                    address: {query}\n"
    );
    Ok([before, SETTINGS, off, between, HTTP, image, LINKS, &link, links].concat())
}

/// The feed as both sides have it at the same size.
fn feed(_: u64) -> Vec<u8> {
    get("/posts?limit=10")
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
