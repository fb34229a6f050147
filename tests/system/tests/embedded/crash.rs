//! Killed fifty times under load on one data directory: what was answered is there, and nothing is there twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use system::{Client, Embedded, Request, command, eventually};
use tempfile::tempdir;

const ROUNDS: usize = 50;
const WRITERS: usize = 8;

/// Of the posts that were sent, by title: the id that was answered, or none yet.
type Sent = BTreeMap<String, Option<String>>;

#[test]
fn killed_fifty_times_under_load() {
    let data = tempdir().unwrap();
    let mut sent = Sent::new();
    let mut unanswered_in_all = 0;
    for round in 0..ROUNDS {
        // Whether instances serve one call or many must make no difference.
        let reuse = if round % 2 == 0 { "1" } else { "1000" };
        let trellis = Embedded::start_with(data.path(), &["--reuse", reuse]);
        send_again(&trellis, &mut sent);
        // Killed at another moment each time: while it starts to work, and well into it.
        let answers_wanted = 1 + round * 7 % 60;
        let loaded = load_and_kill(trellis, round, answers_wanted);
        unanswered_in_all += loaded.values().filter(|id| id.is_none()).count();
        sent.extend(loaded);
    }
    assert!(
        unanswered_in_all > ROUNDS,
        "the kills must hit requests in flight: {unanswered_in_all} in {ROUNDS} rounds"
    );

    let trellis = Embedded::start(data.path());
    send_again(&trellis, &mut sent);
    let sent: BTreeMap<String, String> = sent.into_iter().map(|(title, id)| (title, id.unwrap())).collect();
    assert_eq!(listed(&trellis, sent.len()), sent);
    for (title, id) in &sent {
        let post = trellis.get(&format!("/posts/{id}"));
        assert_eq!(
            (post.status, post.json()["title"].as_str()),
            (200, Some(title.as_str())),
            "lost, or another's"
        );
    }
    trellis.stop();
    let verified = command().arg("verify").arg(data.path()).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    eprintln!("{} posts, {unanswered_in_all} unanswered at first", sent.len());
}

/// Lets writers post until `answers_wanted` have been answered, then kills the server under them.
fn load_and_kill(trellis: Embedded, round: usize, answers_wanted: usize) -> Sent {
    let client = trellis.client();
    let answers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let answers = &answers;
                scope.spawn(move || write_until_the_end(&client, &format!("{round}-{writer}"), answers))
            })
            .collect();
        eventually("enough posts are answered", || {
            (answers.load(Ordering::SeqCst) >= answers_wanted).then_some(())
        });
        trellis.kill();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

/// Posts one after the other until the server is gone.
fn write_until_the_end(client: &Client, name: &str, answers: &AtomicUsize) -> Sent {
    let mut sent = Sent::new();
    for n in 0.. {
        let title = format!("{name}-{n}");
        let Ok(answer) = client.send(&post(&title)) else {
            sent.insert(title, None);
            break;
        };
        assert_eq!(answer.status, 201, "{answer:?}");
        sent.insert(title, Some(answer.json()["id"].as_str().unwrap().to_owned()));
        answers.fetch_add(1, Ordering::SeqCst);
    }
    sent
}

/// What a client does that got no answer: the same again, with the same key.
fn send_again(trellis: &Embedded, sent: &mut Sent) {
    for (title, id) in sent.iter_mut().filter(|(_, id)| id.is_none()) {
        let answer = trellis.send(&post(title));
        assert_eq!(answer.status, 201, "{answer:?}");
        *id = Some(answer.json()["id"].as_str().unwrap().to_owned());
    }
}

fn post(title: &str) -> Request {
    Request::post("/posts", json!({ "title": title }).to_string()).header("idempotency-key", title)
}

/// Title and id of every post in the list. A title that comes twice fails.
fn listed(trellis: &Embedded, expected: usize) -> BTreeMap<String, String> {
    eventually("every post is listed", || {
        let mut found = BTreeMap::new();
        let mut next = Some("/posts?limit=100".to_owned());
        while let Some(path) = next {
            let page = trellis.get(&path);
            assert_eq!(page.status, 200, "{page:?}");
            for post in page.json().as_array().unwrap() {
                let (title, id) = (post["title"].as_str().unwrap(), post["id"].as_str().unwrap());
                let before = found.insert(title.to_owned(), id.to_owned());
                assert_eq!(before, None, "{title} is there twice");
            }
            next = page.next();
        }
        (found.len() >= expected).then_some(found)
    })
}
