//! What a hot post costs: with ten thousand comments, what it costs with ten.

use trellis_kit::platform::memory::Delivery;
use trellis_kit::testing::deliver;

use super::*;

/// Calls that leave the instance, by what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prices {
    comment: u64,
    verdict: u64,
    feed: u64,
    post: u64,
}

fn calls<T>(act: impl FnOnce() -> T) -> u64 {
    let before = platform().calls();
    act();
    platform().calls() - before
}

/// An event of a comment of p1, handed over as a server would, without a log of ten thousand to look through.
fn hand_over(seq: u64, comment: u64, case: &str, status: &str) {
    let (id, partition) = (format!("p1-c{comment}"), id::partition("p1", Comments::PARTITIONS));
    let state = format!(
        r#"{{"id":"{id}","post_id":"p1","content":"{}","author":"bob","status":"{status}","verdict":null,"created_at":"{TIME}","version":1}}"#,
        "x".repeat(100)
    );
    let data = if case == "created" { state.as_str() } else { r#"{"version":1,"reason":null}"# };
    let event = format!(
        r#"{{"specversion":"1.0","id":"e{seq}","source":"/comments","type":"comment.{case}.v1","subject":"{id}","time":"{TIME}","datacontenttype":"application/json","data":{data},"version":1,"state":{state}}}"#
    );
    let delivery = Delivery {
        subject: "deliver.query".to_owned(),
        reply_to: format!("$JS.ACK.LOG_comments.query-g1-{partition}.1.{seq}.{seq}.0.0"),
        body: event.into_bytes(),
    };
    deliver::<Query>(&delivery).unwrap();
}

/// Hands over comments up to a number, and says what the last one and reading after it cost.
fn prices(from: u64, to: u64) -> (Prices, u64) {
    let each: Vec<u64> =
        (from..to).map(|n| calls(|| hand_over(2 * n + 1, n, "created", "pending"))).collect();
    let verdict = calls(|| hand_over(2 * to, to - 1, "approved", "approved"));
    // Now and then a read asks how far behind it is, and those after it know. The second of an instance finds out how far it is.
    for _ in 0..2 {
        send::<Query>("GET", "/posts?limit=1", "");
    }
    let prices = Prices {
        comment: *each.last().unwrap(),
        verdict,
        feed: calls(|| assert_eq!(send::<Query>("GET", "/posts", "").status, 200)),
        post: calls(|| assert_eq!(send::<Query>("GET", "/posts/p1?limit=10", "").status, 200)),
    };
    (prices, each.into_iter().max().unwrap())
}

#[test]
fn ten_thousand_comments_cost_what_ten_cost() {
    start::<Comments>();
    tell_posts(&["p1"]);
    read();
    let (ten, _) = prices(0, 10);
    let (many, dearest) = prices(10, 10_000);
    assert_eq!(many, ten);
    assert!(ten.comment <= 10 && ten.feed <= 8 && ten.post <= 8, "{ten:?}");
    assert_eq!(dearest, ten.comment + 1, "a full page is put away now and then");
    let largest = platform().bucket().into_iter().max_by_key(|(_, value)| value.len()).unwrap();
    assert!(largest.1.len() < 4096, "{} has {} bytes", largest.0, largest.1.len());

    let mut after = None;
    let mut seen = Vec::new();
    for _page in 0..=100 {
        let request = PageRequest { limit: Some(100), after: after.clone() };
        let mut page = None;
        let price = calls(|| page = Query::get(&anonymous(), "p1".to_owned(), request).ok());
        assert!(price <= 8, "{price} for a page far down");
        let page = page.unwrap();
        assert_eq!(page.post.comment_count, 10_000);
        seen.extend(page.post.comments.into_iter().map(|comment| comment.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all: Vec<String> = (0..10_000).rev().map(|n| format!("p1-c{n}")).collect();
    assert!(seen == all, "every comment once, newest first");
}
