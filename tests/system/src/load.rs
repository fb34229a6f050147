//! Writers, readers and traders at work while something happens to what they write to.
//!
//! Half of them come through the gateway, half go straight to the services, as the gateway does. They repeat what was not
//! answered until it is.

mod trade;
mod visitor;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::application::Application;
use crate::client::{Request, text};
use crate::random::Random;
use visitor::{Doors, Visitor, body};

pub(crate) use trade::{Trade, are_decided, assert_all_ended};

const WRITERS: u64 = 8;
const TRADERS: u64 = 2;
/// Between two trades. What has come of each is read one after the other, when all is over.
const TRADE_PAUSE: Duration = Duration::from_millis(250);
/// Of those who comment on one post: its events are handled one after the other.
const WRITERS_ON_ONE_POST: u64 = 2;

/// Writers at work, each in a thread of its own.
#[derive(Debug)]
pub struct Load {
    doors: Arc<Mutex<Doors>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Written>>,
    /// What was written before they began.
    before: Written,
}

impl Load {
    /// What they do follows from the seed.
    #[track_caller]
    pub fn start(on: &Application, seed: u64) -> Self {
        Self::start_at(on, seed, None)
    }

    /// All writers comment on the same post, so that all events change the same values. They go straight to the services.
    #[track_caller]
    pub fn on_one_post(on: &Application, seed: u64) -> Self {
        let doors = Arc::new(Mutex::new(Doors::of(on)));
        let mut author = Visitor::new(&doors, false, "author".to_owned());
        let title = "The post of all comments";
        let new = Request::post("/posts", body(&json!({ "title": title })));
        let id = text(&author.write_as_itself("posts", new.header("idempotency-key", "author"))["id"]);
        Self::start_at(on, seed, Some((id, title)))
    }

    #[track_caller]
    fn start_at(on: &Application, seed: u64, post: Option<(String, &str)>) -> Self {
        let (doors, stop) = (Arc::new(Mutex::new(Doors::of(on))), Arc::new(AtomicBool::new(false)));
        let the_post = post.as_ref().map(|(id, _)| id.clone());
        let count = if post.is_some() { WRITERS_ON_ONE_POST } else { WRITERS };
        let writers = (0..count).map(|writer| {
            let (name, by_gateway) = (format!("w{writer}"), writer % 2 == 0 && post.is_none());
            let visitor = Visitor::new(&doors, by_gateway, name);
            let (stop, the_post) = (Arc::clone(&stop), the_post.clone());
            let random = Random::new(seed.wrapping_add(writer + 1));
            std::thread::spawn(move || write(visitor, random, the_post.as_deref(), &stop))
        });
        let traders = (0..if post.is_some() { 0 } else { TRADERS }).map(|trader| {
            let visitor = Visitor::new(&doors, trader % 2 == 0, format!("t{trader}"));
            let (stop, random) = (Arc::clone(&stop), Random::new(seed.wrapping_sub(trader + 1)));
            std::thread::spawn(move || trade_on(visitor, random, &stop))
        });
        let writers = writers.chain(traders).collect();
        let titles = post.iter().map(|(id, title)| (id.clone(), (*title).to_owned())).collect();
        Self { doors, stop, writers, before: Written { titles, ..Written::default() } }
    }

    /// They go on asking there.
    #[track_caller]
    pub fn move_to(&self, to: &Application) {
        *self.doors.lock().unwrap() = Doors::of(to);
    }

    /// Each stops when it has the answer that it waits for.
    pub fn finish(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = self.before;
        for writer in self.writers {
            written.merge(writer.join().unwrap());
        }
        written
    }
}

/// What was answered, by id.
#[derive(Debug, Default)]
pub struct Written {
    pub titles: BTreeMap<String, String>,
    pub retitled: u64,
    /// The post, and the status that readers must come to see.
    pub comments: BTreeMap<String, (String, &'static str)>,
    pub overturned: u64,
    pub(crate) trades: Vec<Trade>,
    /// Requests that had to be made again.
    pub repeated: u64,
}

impl Written {
    fn merge(&mut self, other: Written) {
        self.titles.extend(other.titles);
        self.comments.extend(other.comments);
        self.retitled += other.retitled;
        self.overturned += other.overturned;
        self.trades.extend(other.trades);
        self.repeated += other.repeated;
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { titles, retitled, comments, overturned, trades, repeated } = self;
        let (posts, comments, trades) = (titles.len(), comments.len(), trades.len());
        write!(f, "{posts} posts, {retitled} retitled, {comments} comments, {overturned} overturned, ")?;
        write!(f, "{trades} trades; ")?;
        write!(f, "{repeated} requests had to be made again")
    }
}

/// Trades until it is to stop.
fn trade_on(mut visitor: Visitor, mut random: Random, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{}-{n}", visitor.name);
        written.trades.push(trade::trade(&mut visitor, &mut random, &key));
        std::thread::sleep(TRADE_PAUSE);
    }
    written.repeated = visitor.repeated;
    written
}

/// Writes and reads until it is to stop. Each title is changed and each verdict overturned once at most, so that a request
/// that is carried out later than its repetition changes nothing. With `the_post`, all comments are on that, and there is no other.
fn write(mut visitor: Visitor, mut random: Random, the_post: Option<&str>, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let (mut posts, mut to_retitle, mut to_overturn) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{}-{n}", visitor.name);
        match random.below(20) {
            0..=6 if the_post.is_none() => {
                let new = Request::post("/posts", body(&json!({ "title": key })));
                let id = text(&visitor.write_as_itself("posts", new.header("idempotency-key", &key))["id"]);
                assert_eq!(written.titles.insert(id.clone(), key), None, "{id} is new");
                posts.push(id.clone());
                to_retitle.push(id);
            }
            7..=8 => {
                let Some(id) = to_retitle.pop() else { continue };
                let title = format!("{key} again");
                let put = Request::put(&format!("/posts/{id}"), body(&json!({ "title": title })));
                visitor.write_as_itself("posts", put);
                written.titles.insert(id, title);
                written.retitled += 1;
            }
            0..=6 | 9..=13 => {
                let post = the_post.map(str::to_owned).or_else(|| random.pick(&posts).cloned());
                let Some(post) = post else { continue };
                let (fruit, status) =
                    if random.below(2) == 0 { ("apple", "approved") } else { ("orange", "rejected") };
                let content = format!("An {fruit} for {key}");
                let path = format!("/posts/{post}/comments");
                let new = Request::post(&path, body(&json!({ "content": content })));
                let id =
                    text(&visitor.write_as_itself("comments", new.header("idempotency-key", &key))["id"]);
                let before = written.comments.insert(id.clone(), (post, status));
                assert_eq!(before, None, "{id} is new");
                to_overturn.push(id);
            }
            14..=15 => {
                let Some(id) = to_overturn.pop() else { continue };
                let comment = written.comments.get_mut(&id).unwrap();
                let to = if comment.1 == "approved" { "rejected" } else { "approved" };
                let request = Request::post(&format!("/moderation/{id}"), body(&json!({ "status": to })));
                visitor.write_as_moderator("moderation", request);
                comment.1 = to;
                written.overturned += 1;
            }
            16..=17 => {
                let feed =
                    visitor.send("query", &Request::get("/posts?limit=50"), |answer| answer.status == 200);
                let ids: Vec<Value> =
                    feed.json().as_array().unwrap().iter().map(|post| post["id"].clone()).collect();
                let once: BTreeMap<String, ()> = ids.iter().map(|id| (text(id), ())).collect();
                assert_eq!(once.len(), ids.len(), "a post is there twice: {ids:?}");
            }
            _ => {
                let Some(id) = random.pick(&posts) else { continue };
                // The service itself knows what it has answered; readers come to know it.
                let may_be_late = visitor.by_gateway;
                let read = visitor.send("posts", &Request::get(&format!("/posts/{id}")), |answer| {
                    answer.status < 500 && !(may_be_late && answer.status == 404)
                });
                assert_eq!(
                    (read.status, &read.json()["id"]),
                    (200, &json!(id)),
                    "what was answered is there"
                );
            }
        }
    }
    written.repeated = visitor.repeated;
    written
}
