//! What posts promise, in the words of the domain, and how they look over HTTP.

use super::*;
use trellis_kit::testing::{anonymous, caller, given, given_nothing, json, platform, send, settle, start};

fn created(id: &str, title: &str, author: Option<&str>) -> PostEvent {
    let (id, title, author) = (id.to_owned(), title.to_owned(), author.map(str::to_owned));
    PostEvent::Created(Post {
        id,
        title,
        author,
        created_at: "2026-01-01T00:00:00.000Z".to_owned(),
        version: 1,
    })
}

fn retitled(title: &str) -> PostEvent {
    PostEvent::Retitled(NewTitle { title: title.to_owned() })
}

fn new(title: &str) -> NewPost {
    NewPost { title: title.to_owned() }
}

fn retitle(by: &Cx, id: &str, title: &str) -> Result<Post, Problem> {
    Posts::retitle(by, id.to_owned(), NewTitle { title: title.to_owned() })
}

#[test]
fn a_post_is_written_by_its_caller() {
    let post = given_nothing::<Post>().when(|| Posts::create(&caller("ann"), new("  Hello  "))).ok();
    assert_eq!((post.title.as_str(), post.author.as_deref(), post.version), ("Hello", Some("ann"), 1));
    assert_eq!(post.created_at, "2026-01-01T00:00:00.000Z");
    assert_eq!(Posts::get(&anonymous(), post.id.clone()).unwrap(), post);
}

#[test]
fn anybody_may_write_anonymously() {
    let post = given_nothing::<Post>().when(|| Posts::create(&anonymous(), new("Hello"))).ok();
    assert_eq!(post.author, None);
}

#[test]
fn a_post_without_a_good_title_is_refused() {
    for bad in ["", "   ", "a\nb", "a\u{202e}b", &"x".repeat(201)] {
        let problem =
            given_nothing::<Post>().when(|| Posts::create(&anonymous(), new(bad))).then_problem(422);
        assert_eq!(problem.errors[0].field, "title");
    }
}

#[test]
fn the_author_changes_the_title() {
    let post = given::<Post>("p1", [created("p1", "Helo", Some("ann"))])
        .when(|| retitle(&caller("ann"), "p1", "Hello"))
        .then([retitled("Hello")]);
    assert_eq!((post.title.as_str(), post.version), ("Hello", 2));
}

#[test]
fn the_same_title_changes_nothing() {
    let post = given::<Post>("p1", [created("p1", "Hello", Some("ann"))])
        .when(|| retitle(&caller("ann"), "p1", " Hello "))
        .then_nothing();
    assert_eq!(post.version, 1);
}

#[test]
fn another_caller_cannot_change_the_title() {
    for other in [caller("bob"), caller(""), anonymous()] {
        given::<Post>("p1", [created("p1", "Hello", Some("ann"))])
            .when(|| retitle(&other, "p1", "Mine"))
            .then_problem(403);
        platform().lose_stream("LOG_posts");
    }
}

#[test]
fn nobody_changes_an_anonymous_post() {
    for caller in [anonymous(), caller("ann")] {
        given::<Post>("p1", [created("p1", "Hello", None)])
            .when(|| retitle(&caller, "p1", "Mine"))
            .then_problem(403);
        platform().lose_stream("LOG_posts");
    }
}

#[test]
fn an_unknown_id_is_answered_with_404() {
    for id in ["nothing", "", "a.b", "*", ">"] {
        given_nothing::<Post>().when(|| Posts::get(&anonymous(), id.to_owned())).then_problem(404);
        given_nothing::<Post>().when(|| retitle(&caller("ann"), id, "Hello")).then_problem(404);
    }
}

#[test]
fn the_same_key_finds_the_first_post_even_after_it_changed() {
    let with_key = || caller("ann").with_key("key-1");
    let first = given_nothing::<Post>().when(|| Posts::create(&with_key(), new("Hello"))).ok();
    retitle(&caller("ann"), &first.id, "Changed").unwrap();
    let again = Posts::create(&with_key(), new("Hello")).unwrap();
    assert_eq!(again, first);
    assert_eq!(Posts::create(&with_key(), new("Other")).unwrap_err().status, 422);
    let someone_else = caller("bob").with_key("key-1");
    assert_ne!(Posts::create(&someone_else, new("Hello")).unwrap().id, first.id);
}

#[test]
fn the_list_shows_every_post_once_newest_first_as_it_is_now() {
    start::<Posts>();
    let ids: Vec<String> =
        (0..250).map(|n| Posts::create(&caller("ann"), new(&format!("Post {n}"))).unwrap().id).collect();
    retitle(&caller("ann"), &ids[0], "First, changed").unwrap();
    settle::<Posts>();

    let mut listed = Vec::new();
    let mut after = None;
    for _page in 0..9 {
        let page = Posts::list(&anonymous(), PageRequest { limit: Some(30), after }).unwrap();
        listed.extend(page.items);
        after = page.next;
    }
    assert_eq!(after, None, "the ninth page is the last");
    assert_eq!(listed.iter().map(|post| &post.id).collect::<Vec<_>>(), ids.iter().rev().collect::<Vec<_>>());
    assert_eq!(listed[249].title, "First, changed");
}

#[test]
fn over_http() {
    start::<Posts>();
    let response = send::<Posts>("POST", "/posts", r#"{"title":"Hello"}"#);
    assert_eq!(response.status, 201);
    let post: Post = json(&response);
    let location = format!("/posts/{}?position={}", post.id, response.header("trellis-position").unwrap());
    assert_eq!(response.header("location"), Some(location.as_str()));
    settle::<Posts>();

    let got = send::<Posts>("GET", &format!("/posts/{}", post.id), "");
    assert_eq!((got.status, got.body), (200, response.body.clone()));
    let list = send::<Posts>("GET", "/posts?limit=1", "");
    assert_eq!((list.status, list.header("link")), (200, None));
    assert_eq!(
        String::from_utf8(list.body).unwrap(),
        format!("[{}]", String::from_utf8(response.body).unwrap())
    );
    let put = send::<Posts>("PUT", &format!("/posts/{}", post.id), r#"{"title":"Mine"}"#);
    assert_eq!(put.status, 403);
}

/// Others read these for ever: a change here is a new version of the events, and an `upcast`.
#[test]
fn events_are_stored_in_the_documented_form() {
    given::<Post>("p1", [created("p1", "Hello", Some("ann")), retitled("Hi")]);
    let heard: Vec<String> = platform()
        .stored("LOG_posts")
        .iter()
        .map(|message| {
            let event: trellis_kit::testing::Json = trellis_kit::testing::parse(&message.body);
            format!("{} {} {}", event["type"], event["data"], event["state"])
        })
        .collect();
    let hello =
        r#"{"author":"ann","created_at":"2026-01-01T00:00:00.000Z","id":"p1","title":"Hello","version":1}"#;
    let hi = r#"{"author":"ann","created_at":"2026-01-01T00:00:00.000Z","id":"p1","title":"Hi","version":2}"#;
    assert_eq!(
        heard,
        [
            format!(r#""post.created.v1" {hello} {hello}"#),
            format!(r#""post.retitled.v1" {{"title":"Hi"}} {hi}"#),
        ]
    );
}
