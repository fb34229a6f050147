//! Events as they come in reality: twice, late, in any order between the sources, and to instances that die.

use std::collections::BTreeMap;
use std::time::Duration;

use trellis_kit::platform::Platform;
use trellis_kit::platform::memory::Delivery;
use trellis_kit::testing::{deliver, every_event_twice, read_models, trouble_at_every_call};

use super::*;

type Models = BTreeMap<String, Json>;

/// Everything that can happen, to each of these posts and to so many comments of each.
fn tell_all(posts: &[&str], comments: usize) {
    platform().forget_everything();
    for post in posts {
        given::<Post>(post, [created(post), retitled("Changed")]);
        for number in 0..comments {
            let id = format!("{post}-c{number}");
            given::<Comment>(&id, [commented(&id, Some("bob"))]);
        }
        for number in [comments - 1, 0, comments / 2] {
            given::<Comment>(&format!("{post}-c{number}"), [approved(), rejected()]);
        }
    }
}

/// What the read models should be in the end.
fn expected(posts: &[&str], comments: usize) -> Models {
    tell_all(posts, comments);
    read();
    let models = read_models();
    assert!(models.len() > posts.len() * comments, "{models:?}");
    models
}

/// One of those, by chance.
fn any<T>(of: &[T]) -> usize {
    (platform().random() % of.len() as u64) as usize
}

#[test]
fn twice_late_and_in_any_order_between_sources() {
    let posts = ["p1", "p2", "p9"];
    let expected = expected(&posts, 10);
    for round in 0..50 {
        tell_all(&posts, 10);
        start::<Query>();
        let (mut on_their_way, mut seen): (Vec<Delivery>, Vec<Delivery>) = Default::default();
        loop {
            on_their_way.extend(std::iter::from_fn(|| platform().deliver("query")));
            if on_their_way.is_empty() {
                break;
            }
            let delivery = on_their_way.swap_remove(any(&on_their_way));
            deliver::<Query>(&delivery).unwrap();
            deliver::<Query>(&delivery).unwrap();
            seen.push(delivery);
            deliver::<Query>(&seen[any(&seen)]).unwrap();
        }
        assert_eq!(read_models(), expected, "round {round}");
    }
}

#[test]
fn dying_between_any_two_calls() {
    let expected = expected(&["p1"], 3);
    let tell = || {
        tell_all(&["p1"], 3);
        start::<Query>();
    };
    let check = |(): &(), when: &str| {
        assert_eq!(read_models(), expected, "{when}");
        if when.starts_with("AnswerLost") {
            // An event that failed when it came again counts as waiting, until the server is asked.
            platform().advance(Duration::from_secs(2));
        }
        assert_eq!(send::<Query>("GET", "/posts", "").header("x-trellis-lag"), Some("0"), "{when}");
    };
    every_event_twice::<Query, _>(tell, check);
    let calls = trouble_at_every_call::<Query, _>(1, tell, check);
    assert!(calls > 40, "the test has seen it all");
}

#[test]
fn a_rebuild_comes_to_the_same() {
    let expected = expected(&["p1", "p2"], 10);
    let answers = || [get(&anonymous(), "p1"), get(&caller_as(MODERATOR, "ann"), "p2")];
    let before = answers();
    for _generation in 2..4 {
        message::<Query>("trellis.announce", None, br#"{"replay":"query"}"#).unwrap();
        while let Some(delivery) = platform().deliver("query") {
            deliver::<Query>(&delivery).unwrap();
            assert_eq!(answers(), before, "it answers all the while");
        }
        assert_eq!(read_models(), expected);
    }
}

#[test]
fn an_event_that_cannot_be_read_does_not_stop_those_behind_it() {
    tell_posts(&["p1"]);
    tell_comments(&["p1-a"]);
    let partition = id::partition("p1", Comments::PARTITIONS);
    platform().store("LOG_comments", &format!("log.comments.{partition}.p1-b.1"), b"{}");
    tell_comments(&["p1-c"]);
    read();
    assert_eq!(ids(&get(&anonymous(), "p1").comments), ["p1-c", "p1-a"]);
    assert_eq!(platform().stored("DEAD_query").len(), 1);
}
