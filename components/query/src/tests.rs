//! What readers see, from what the sources tell.

use trellis_kit::Aggregate;
use trellis_kit::testing::{anonymous, given, json, platform, send, settle, start};

use super::*;
use crate::trellis::posts::types::NewTitle;

/// The service that posts come from, as far as its log tells.
#[derive(Debug)]
pub struct Posts;

impl Service for Posts {
    const NAME: &str = "posts";
    const VERSION: &str = "0.0.0";
    const ROUTES: &[Route] = &[];
    const PARTITIONS: u32 = POSTS_PARTITIONS;
}

impl Aggregate for Post {
    type Service = Posts;
    type Event = PostEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &PostEvent) -> Option<Self> {
        match event {
            PostEvent::Created(post) => Some(post.clone()),
            PostEvent::Retitled(to) => {
                before.map(|post| Post { title: to.title.clone(), version: post.version + 1, ..post })
            }
        }
    }
}

fn created(id: &str) -> PostEvent {
    PostEvent::Created(Post {
        id: id.to_owned(),
        title: format!("About {id}"),
        author: Some("ann".to_owned()),
        created_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

fn retitled(title: &str) -> PostEvent {
    PostEvent::Retitled(NewTitle { title: title.to_owned() })
}

fn feed(limit: u32) -> Vec<ReadPost> {
    Query::feed(anonymous(), PageRequest { limit: Some(limit), after: None }).unwrap().items
}

#[test]
fn the_feed_is_newest_first_as_posts_are_now() {
    given::<Post>("p1", [created("p1")]).and("p2", [created("p2")]).and("p1", [retitled("Changed")]);
    start::<Query>();
    settle::<Query>();
    let titles: Vec<String> = feed(10).into_iter().map(|post| post.title).collect();
    assert_eq!(titles, ["About p2", "Changed"]);
    assert_eq!(Query::get(anonymous(), "p1".to_owned()).unwrap().version, 2);
}

#[test]
fn what_is_not_there_is_not_found() {
    for id in ["nothing", "", "a.b", "*"] {
        assert_eq!(Query::get(anonymous(), id.to_owned()).unwrap_err().status, 404, "{id}");
    }
}

#[test]
fn it_answers_before_there_is_any_source() {
    start::<Query>();
    assert_eq!(feed(10), []);
    given::<Post>("p1", [created("p1")]);
    for (subject, body) in platform().take_published() {
        trellis_kit::testing::message::<Query>(&subject, None, &body).unwrap();
    }
    settle::<Query>();
    assert_eq!(feed(10).len(), 1, "a source that came later is followed");
}

#[test]
fn over_http() {
    given::<Post>("p1", [created("p1")]).and("p2", [created("p2")]);
    start::<Query>();
    settle::<Query>();
    let feed = send::<Query>("GET", "/posts?limit=1", "");
    assert_eq!(feed.status, 200);
    let items: Vec<ReadPost> = json(&feed);
    assert_eq!(items[0].id, "p2");
    let next = feed.header("link").and_then(|link| link.split(['<', '>']).nth(1)).unwrap();
    let items: Vec<ReadPost> = json(&send::<Query>("GET", next, ""));
    assert_eq!(items[0].id, "p1");
    let post: ReadPost = json(&send::<Query>("GET", "/posts/p1", ""));
    assert_eq!(post, items[0]);
    assert_eq!(send::<Query>("POST", "/posts", "{}").status, 405);
}
