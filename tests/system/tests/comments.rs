//! Comments and their moderation over HTTP: from a post to a verdict that somebody overturns, and to rules that change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;

use serde_json::{Value, json};
use system::{ANN, MIA, OLAF, Request, Runtime, Trellis, eventually};
use tempfile::tempdir;

/// The application of the repository.
struct Blog {
    trellis: Trellis,
}

impl Blog {
    /// Starts it with these rules of moderation, or with those that hold if none are set.
    #[track_caller]
    fn start(data: &Path, rules: Option<&str>) -> Self {
        let settings: Vec<_> = rules.map(|rules| ("moderation", "rules", rules)).into_iter().collect();
        Self { trellis: Trellis::start_configured(data, &settings) }
    }

    /// Writes a post and returns the path of its comments.
    #[track_caller]
    fn post(&self) -> String {
        let answer = self.trellis.send(&Request::post("/posts", r#"{"title":"Hello"}"#));
        assert_eq!(answer.status, 201, "{answer:?}");
        format!("/posts/{}/comments", answer.json()["id"].as_str().unwrap())
    }

    /// Comments as ann and returns the comment.
    #[track_caller]
    fn say(&self, path: &str, content: &str) -> Value {
        let request = Request::post(path, json!({ "content": content }).to_string());
        let answer = self.trellis.send(&request.by(ANN));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// The comment as readers see it, once it has a status.
    #[track_caller]
    fn read(&self, comment: &Value, status: &str) -> Value {
        let (post, id) = (comment["post_id"].as_str().unwrap(), comment["id"].as_str().unwrap());
        let path = format!("/posts/{post}/comments/{id}");
        eventually(&format!("{path} is {status}"), || {
            let answer = self.trellis.get(&path);
            assert_eq!(answer.status, 200, "{answer:?}");
            let comment = answer.json();
            (comment["status"] == status).then_some(comment)
        })
    }

    fn as_moderator(&self, request: Request) -> system::Response {
        self.trellis.send(&request.by(MIA))
    }
}

#[test]
fn a_comment_waits_for_its_verdict_which_a_moderator_overturns() {
    let data = tempdir().unwrap();
    let blog = Blog::start(&data.path().join("data"), None);
    let path = blog.post();
    let markup = r#"<script>alert("1")</script>"#;
    let (good, bad) = (blog.say(&path, markup), blog.say(&path, "Is that an Orange?"));
    assert_eq!((&good["status"], &bad["status"]), (&"pending".into(), &"pending".into()));
    assert_eq!(blog.read(&good, "approved")["content"], markup);
    assert_eq!(blog.read(&bad, "rejected")["content"], Value::Null, "withheld");

    let overturn = format!("/moderation/{}", bad["id"].as_str().unwrap());
    let to = |status: &str| Request::post(&overturn, json!({ "status": status }).to_string());
    assert_eq!(blog.trellis.send(&to("approved")).status, 401, "anybody");
    assert_eq!(blog.trellis.send(&to("approved").by(ANN)).status, 403, "somebody");
    assert_eq!(blog.as_moderator(to("rejected")).status, 409, "it is so");
    assert_eq!(blog.as_moderator(to("approved")).status, 200);
    assert_eq!(blog.read(&bad, "approved")["content"], "Is that an Orange?");
    let nothing = Request::post("/moderation/nothing", r#"{"status":"approved"}"#);
    assert_eq!(blog.as_moderator(nothing).status, 404);

    let listed = eventually("the list has followed", || {
        let listed = blog.trellis.get(&path).json();
        let all = listed.as_array().unwrap();
        (all.len() == 2 && all.iter().all(|comment| comment["status"] == "approved")).then_some(listed)
    });
    assert_eq!([&listed[0]["id"], &listed[1]["id"]], [&bad["id"], &good["id"]], "newest first");
    let queue = eventually("the queue has followed", || {
        let queue = blog.as_moderator(Request::get("/moderation/queue?status=approved")).json();
        (queue.as_array().unwrap().len() == 2).then_some(queue)
    });
    assert_eq!((&queue[0]["id"], &queue[0]["moderator"]), (&bad["id"], &"mia".into()));
    blog.trellis.stop();
}

#[test]
fn changed_rules_reach_old_comments_after_one_command() {
    let data = tempdir().unwrap();
    let data = data.path().join("data");
    let blog = Blog::start(&data, None);
    let path = blog.post();
    let comments: Vec<Value> =
        (0..60).map(|n| blog.say(&path, ["An orange", "A lemon", "An apple"][n % 3])).collect();
    blog.read(&comments[57], "rejected");
    blog.read(&comments[59], "approved");
    blog.trellis.kill();

    let blog = Blog::start(&data, Some(r#"[{"name":"sour","words":["lemon"]}]"#));
    let apply = Request::post("/moderation/rules/apply", "").by(OLAF);
    let started = blog.trellis.send(&apply);
    assert_eq!(started.status, 201, "{started:?}");
    let review = Request::get(started.header("location").unwrap()).by(OLAF);
    let done = eventually("the review is finished", || {
        let review = blog.trellis.send(&review).json();
        (review["finished"] == true).then_some(review)
    });
    assert_eq!((&done["progress"]["examined"], &done["progress"]["overturned"]), (&60.into(), &40.into()));
    for (n, comment) in comments.iter().enumerate() {
        blog.read(comment, ["approved", "rejected", "approved"][n % 3]);
    }
    blog.trellis.stop();
}

#[test]
fn a_post_that_nobody_wrote_cannot_be_commented_on() {
    let data = tempdir().unwrap();
    let blog = Blog::start(&data.path().join("data"), None);
    blog.post();
    let body = r#"{"content":"Hello?"}"#;
    for path in ["/posts/01ARZ3NDEKTSV4RRFFQ69G5FAV/comments", "/posts/nobody/comments"] {
        assert_eq!(blog.trellis.send(&Request::post(path, body)).status, 404, "{path}");
        assert_eq!(blog.trellis.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_post_can_be_commented_on_as_soon_as_it_is_written() {
    let data = tempdir().unwrap();
    let blog = Blog::start(&data.path().join("data"), None);
    for n in 0..30 {
        let path = blog.post();
        blog.say(&path, &format!("First! {n}"));
    }
}

#[test]
fn the_same_key_is_one_comment_however_often_and_whenever() {
    let data = tempdir().unwrap();
    let data = data.path().join("data");
    let blog = Blog::start(&data, None);
    let path = blog.post();
    let request = |content: &str| {
        let body = json!({ "content": content }).to_string();
        Request::post(&path, body).header("idempotency-key", "key").by(ANN)
    };
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let send = || blog.trellis.send(&request("At once"));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().json()["id"].clone()).collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_string()), "{ids:?}");
    assert_eq!(blog.trellis.send(&request("Other")).status, 422);
    blog.trellis.kill();

    let blog = Blog::start(&data, None);
    let again = blog.trellis.send(&request("At once"));
    assert_eq!((again.status, &again.json()["id"]), (201, &ids[0]));
}

/// Killed at any moment: whatever was answered gets its verdict, once.
#[test]
fn kills_lose_no_comment_and_no_verdict() {
    let data = tempdir().unwrap();
    let data = data.path().join("data");
    let mut answered: Vec<(Value, &str)> = Vec::new();
    let mut path = None;
    let mut killed = 0;
    let blog = loop {
        let blog = Blog::start(&data, None);
        // Hosts of wasmCloud take half a minute to be back. `tests/lattice` kills them under load.
        if killed == if blog.trellis.runtime() == Runtime::Embedded { 4 } else { 1 } {
            break blog;
        }
        let path = path.get_or_insert_with(|| blog.post());
        for n in 0..20 {
            let (content, verdict) = [("An orange", "rejected"), ("An apple", "approved")][n % 2];
            answered.push((blog.say(path, content), verdict));
        }
        blog.trellis.kill();
        killed += 1;
    };
    for (comment, verdict) in &answered {
        let comment = blog.read(comment, verdict);
        assert_eq!(comment["version"], 2, "judged once: {comment}");
    }
    let written: Vec<Value> = answered.iter().rev().map(|(comment, _)| comment["id"].clone()).collect();
    let path = path.unwrap();
    let listed = eventually("the list has followed", || {
        let mut listed = Vec::new();
        let mut next = Some(format!("{path}?limit=30"));
        while let Some(page) = next {
            let page = blog.trellis.get(&page);
            listed.extend(page.json().as_array().unwrap().iter().map(|comment| comment["id"].clone()));
            next = page.next();
        }
        (listed.len() >= written.len()).then_some(listed)
    });
    assert_eq!(listed, written);
    blog.trellis.stop();
}
