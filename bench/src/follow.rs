//! How long it takes until what was written is seen by whoever looks.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::http::{create_post, first_id, get, post};
use crate::load::{self, Connection};

/// How many posts and comments are followed until they are seen.
const FOLLOWED: u64 = 300;
pub const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// Where one side's posts and comments are written, and where its readers look.
#[derive(Debug)]
pub struct Site<'a> {
    pub posts: &'a str,
    pub comments: &'a str,
    pub reads: &'a str,
    /// Where a post is shown with its comments, given its id.
    pub page: fn(&str) -> String,
}

impl Site<'_> {
    /// p50 and p99, in microseconds, of a post until it is in the feed and of a comment until its verdict is seen.
    pub fn follow(&self, beside: Option<u32>) -> Result<[u32; 4]> {
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
pub async fn see(connection: &mut Connection, path: &str, what: &str) -> Result<()> {
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
