//! What comments promise, in the words of the domain, and how they look over HTTP.

mod events;
mod http;

use trellis_kit::platform::Platform as _;
use trellis_kit::testing::{
    anonymous, caller, caller_as, given, given_nothing, platform, play, settle, start,
};

use super::*;
use crate::trellis::moderation::types::Overturning;
use crate::trellis::posts::types::Post;

play! {
    /// The service that posts come from.
    Posts: sources::POSTS {
        Post.id by PostEvent: |_, event| match event {
            PostEvent::Created(post) => Some(post.clone()),
            PostEvent::Retitled(_) => None,
        }
    }
}

play! {
    /// The service that verdicts come from.
    Moderation: sources::MODERATION {
        Verdict.id by VerdictEvent: |before, event| match event {
            VerdictEvent::Given(verdict) => Some(verdict.clone()),
            VerdictEvent::Overturned(to) => before.map(|verdict| Verdict {
                status: to.status,
                reason: to.reason.clone(),
                version: verdict.version + 1,
                ..verdict
            }),
        }
    }
}

/// Somebody has written a post.
pub fn post(id: &str) {
    given::<Post>(id, [post_created(id)]);
    start::<Comments>();
}

fn post_created(id: &str) -> PostEvent {
    PostEvent::Created(Post {
        id: id.to_owned(),
        title: "Hello".to_owned(),
        author: None,
        created_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

/// A new comment of a post.
pub fn created(id: &str, content: &str, author: Option<&str>) -> CommentEvent {
    let (id, content, author) = (id.to_owned(), content.to_owned(), author.map(str::to_owned));
    CommentEvent::Created(Comment {
        post_id: trellis_kit::id::root(&id).to_owned(),
        id,
        author,
        content,
        status: Status::Pending,
        verdict: None,
        created_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

pub fn verdict_ref(version: u64, reason: Option<&str>) -> VerdictRef {
    VerdictRef { version, reason: reason.map(str::to_owned) }
}

/// Moderation's first word on a comment.
pub fn verdict_given(id: &str, status: Outcome, reason: Option<&str>) -> VerdictEvent {
    VerdictEvent::Given(Verdict {
        id: id.to_owned(),
        status,
        reason: reason.map(str::to_owned),
        content: "Nice".to_owned(),
        author: None,
        moderator: None,
        review: None,
        decided_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

/// And its next.
pub fn overturned(status: Outcome) -> VerdictEvent {
    VerdictEvent::Overturned(Overturning {
        status,
        reason: None,
        moderator: Some("mia".to_owned()),
        review: None,
        decided_at: "2026-01-01T00:00:00.000Z".to_owned(),
    })
}

pub fn new(content: &str) -> NewComment {
    NewComment { content: content.to_owned() }
}

pub fn say(by: &Cx, post: &str, content: &str) -> Result<Comment, Problem> {
    Comments::create(by, post.to_owned(), new(content))
}

pub fn list(by: &Cx, post: &str, limit: u32, after: Option<String>) -> CommentPage {
    Comments::list(by, post.to_owned(), PageRequest { limit: Some(limit), after }).unwrap()
}

#[test]
fn a_comment_waits_for_moderation() {
    post("p1");
    let comment = given_nothing::<Comment>().when(|| say(&caller("ann"), "p1", " Well,\r\nwell. \n")).ok();
    assert_eq!((comment.post_id.as_str(), comment.author.as_deref()), ("p1", Some("ann")));
    assert_eq!((comment.content.as_str(), comment.version), ("Well,\nwell.", 1));
    assert_eq!((comment.status, &comment.verdict), (Status::Pending, &None));
    assert!(comment.id.starts_with("p1-"), "{}", comment.id);
}

#[test]
fn a_comment_without_good_content_is_refused() {
    post("p1");
    for bad in ["", "  \n ", "a\tb", "a\u{0}", "a\rb", "\u{202e}abc", "a\u{2028}b", &"x".repeat(2001)] {
        let problem = given_nothing::<Comment>().when(|| say(&anonymous(), "p1", bad)).then_problem(422);
        assert_eq!(problem.errors[0].field, "content", "{bad:?}");
    }
    assert!(say(&anonymous(), "p1", &"é".repeat(2000)).is_ok());
}

#[test]
fn commenting_on_an_unknown_post_is_refused() {
    post("p1");
    for never in ["p2", "", "a.b", "*", ">", "p1-x", &"x".repeat(200)] {
        given_nothing::<Comment>().when(|| say(&anonymous(), never, "Hello?")).then_problem(404);
        let page = PageRequest { limit: None, after: None };
        assert_eq!(Comments::list(&anonymous(), never.to_owned(), page).unwrap_err().status, 404);
    }
    let comment = Comments::get(&anonymous(), "p2".to_owned(), "p2-a".to_owned());
    assert_eq!(comment.unwrap_err().status, 404);
}

#[test]
fn a_post_can_be_commented_on_and_read_as_soon_as_it_is_written() {
    start::<Comments>();
    assert_eq!(
        say(&anonymous(), "p1", "Is there anybody?").unwrap_err().status,
        404,
        "no service of posts yet"
    );
    given::<Post>("p1", [post_created("p1")]);
    let before = platform().elapsed();
    assert_eq!(list(&anonymous(), "p1", 10, None).items, []);
    assert_eq!(say(&anonymous(), "p1", "First!").unwrap().post_id, "p1");
    assert_eq!(platform().elapsed(), before, "nobody waits");
    let consumers = platform().deliver("comments").map(|delivery| delivery.subject);
    assert!(consumers.is_some_and(|subject| subject.starts_with("log.comments.")), "of posts nothing comes");
}

#[test]
fn who_cannot_look_whether_there_is_a_post_says_so() {
    post("p1");
    platform().lose_jetstream();
    for post in ["p1", "p2"] {
        assert_eq!(say(&anonymous(), post, "Hello").unwrap_err().status, 503);
        let page = PageRequest { limit: None, after: None };
        assert_eq!(Comments::list(&anonymous(), post.to_owned(), page).unwrap_err().status, 503);
    }
}

#[test]
fn a_comment_that_is_not_approved_is_seen_by_its_author_and_moderators_only() {
    post("p1");
    given::<Comment>("p1-a", [created("p1-a", "Mine", Some("ann"))])
        .and("p1-b", [created("p1-b", "Bad", Some("ann")), CommentEvent::Rejected(verdict_ref(1, None))])
        .and("p1-c", [created("p1-c", "Good", Some("ann")), CommentEvent::Approved(verdict_ref(1, None))])
        .and("p1-d", [created("p1-d", "Whose?", None)]);
    settle::<Comments>();
    let seen = |by: &Cx| -> Vec<Option<String>> {
        let items = list(by, "p1", 10, None).items;
        for item in &items {
            let alone = Comments::get(by, "p1".to_owned(), item.id.clone()).unwrap();
            assert_eq!(alone, *item, "one comment shows no more than the list");
        }
        items.into_iter().map(|comment| comment.content).collect()
    };
    let texts = |texts: [Option<&str>; 4]| texts.map(|text| text.map(str::to_owned)).to_vec();
    let good = Some("Good");
    for other in [anonymous(), caller("bob"), caller(""), caller_as("operator", "bob")] {
        assert_eq!(seen(&other), texts([None, good, None, None]), "{other:?}");
    }
    assert_eq!(seen(&caller("ann")), texts([None, good, Some("Bad"), Some("Mine")]));
    let all = texts([Some("Whose?"), good, Some("Bad"), Some("Mine")]);
    assert_eq!(seen(&caller_as("moderator", "mia")), all);
}

#[test]
fn comments_are_found_on_their_post_only() {
    given::<Comment>("p1-a", [created("p1-a", "Hello", None)]);
    assert!(Comments::get(&anonymous(), "p1".to_owned(), "p1-a".to_owned()).is_ok());
    for (post, id) in [("p2", "p1-a"), ("p1", "p1-b"), ("p1", ""), ("p1", "*"), ("", "p1-a")] {
        assert_eq!(Comments::get(&anonymous(), post.to_owned(), id.to_owned()).unwrap_err().status, 404);
    }
}

#[test]
fn the_list_of_a_post_is_its_comments_newest_first() {
    post("p1");
    post("p2");
    let mut ids: Vec<String> = (0..150)
        .map(|n| {
            say(&anonymous(), "p2", "Elsewhere").unwrap();
            say(&caller("ann"), "p1", &format!("Comment {n}")).unwrap().id
        })
        .collect();
    settle::<Comments>();
    let mut listed = Vec::new();
    let mut after = None;
    for _page in 0..5 {
        let page = list(&anonymous(), "p1", 30, after);
        listed.extend(page.items.into_iter().map(|comment| comment.id));
        after = page.next;
    }
    assert_eq!(after, None, "the fifth page is the last");
    ids.reverse();
    assert_eq!(listed, ids);
}

#[test]
fn the_same_key_finds_the_first_comment_even_after_it_was_judged() {
    post("p1");
    post("p2");
    let with_key = || caller("ann").with_key("key-1");
    let first = say(&with_key(), "p1", "Hello").unwrap();
    given::<Verdict>(&first.id, [verdict_given(&first.id, Outcome::Approved, None)]);
    start::<Comments>();
    settle::<Comments>();
    assert_eq!(say(&with_key(), "p1", "Hello").unwrap(), first);
    assert_eq!(say(&with_key(), "p1", "Other").unwrap_err().status, 422);
    let elsewhere = say(&with_key(), "p2", "Hello").unwrap();
    assert_eq!(elsewhere.post_id, "p2", "a key counts for one post");
    let someone_else = caller("bob").with_key("key-1");
    assert_ne!(say(&someone_else, "p1", "Hello").unwrap().id, first.id);
}

/// A hot post costs no more than any other.
#[test]
fn the_last_of_many_comments_costs_what_the_tenth_does() {
    let mut prices = Vec::new();
    for count in [10, 300] {
        platform().forget_bucket();
        for stream in ["LOG_comments", "LOG_posts"] {
            platform().lose_stream(stream);
        }
        post("p1");
        for _ in 0..count {
            say(&anonymous(), "p1", "Me too").unwrap();
        }
        settle::<Comments>();
        let calls = platform().calls();
        say(&anonymous(), "p1", "Me too").unwrap();
        settle::<Comments>();
        let page = list(&anonymous(), "p1", 5, None);
        list(&anonymous(), "p1", 5, page.next);
        prices.push(platform().calls() - calls);
    }
    assert_eq!(prices[0], prices[1]);
    let largest = platform().bucket().values().map(Vec::len).max().unwrap();
    assert!(largest < 4_000, "{largest} bytes in one value");
}
