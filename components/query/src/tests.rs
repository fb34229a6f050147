//! What readers see, from what posts and comments tell.

mod delivery;
mod market;
mod names;
mod price;

use trellis_kit::testing::{
    Json, anonymous, caller, caller_as, given, json, message, platform, play, request, send, settle, start,
};

use super::*;
use crate::trellis::comments::types::VerdictRef;
use crate::trellis::posts::types::NewTitle;

const TIME: &str = "2026-01-01T00:00:00.000Z";

play! {
    /// The service that posts come from.
    Posts: sources::POSTS {
        Post.id by PostEvent: |before, event| match event {
            PostEvent::Created(post) => Some(post.clone()),
            PostEvent::Retitled(to) => {
                before.map(|post| Post { title: to.title.clone(), version: post.version + 1, ..post })
            }
        }
    }
}

play! {
    /// The service that comments come from.
    Comments: sources::COMMENTS {
        Comment.id by CommentEvent: |before, event| {
            let status = match event {
                CommentEvent::Created(comment) => return Some(comment.clone()),
                CommentEvent::Approved(_) => Status::Approved,
                CommentEvent::Rejected(_) => Status::Rejected,
            };
            before.map(|comment| Comment { status, version: comment.version + 1, ..comment })
        }
    }
}

fn created(id: &str) -> PostEvent {
    PostEvent::Created(Post {
        id: id.to_owned(),
        title: format!("About {id}"),
        author: Some("ann".to_owned()),
        created_at: TIME.to_owned(),
        version: 1,
    })
}

fn retitled(title: &str) -> PostEvent {
    PostEvent::Retitled(NewTitle { title: title.to_owned() })
}

fn commented(id: &str, author: Option<&str>) -> CommentEvent {
    CommentEvent::Created(Comment {
        id: id.to_owned(),
        post_id: id::root(id).to_owned(),
        content: format!("This is {id}"),
        author: author.map(str::to_owned),
        status: Status::Pending,
        verdict: None,
        created_at: TIME.to_owned(),
        version: 1,
    })
}

fn approved() -> CommentEvent {
    CommentEvent::Approved(verdict())
}

fn rejected() -> CommentEvent {
    CommentEvent::Rejected(verdict())
}

fn verdict() -> VerdictRef {
    VerdictRef { version: 1, reason: None }
}

fn tell_posts(ids: &[&str]) {
    for id in ids {
        given::<Post>(id, [created(id)]);
    }
}

/// Comments by bob, who has them approved at once.
fn tell_comments(ids: &[&str]) {
    for id in ids {
        given::<Comment>(id, [commented(id, Some("bob")), approved()]);
    }
}

fn read() {
    start::<Query>();
    settle::<Query>();
}

fn page(limit: u32) -> PageRequest {
    PageRequest { limit: Some(limit), after: None }
}

fn feed(cx: &Cx) -> Vec<ReadPost> {
    Query::feed(cx, page(100)).unwrap().items
}

fn get(cx: &Cx, id: &str) -> ReadPost {
    Query::get(cx, id.to_owned(), page(100)).unwrap().post
}

fn ids(comments: &[ShownComment]) -> Vec<&str> {
    comments.iter().map(|comment| comment.id.as_str()).collect()
}

#[test]
fn the_feed_is_newest_first_as_posts_are_now() {
    tell_posts(&["p1", "p2"]);
    given::<Post>("p1", [retitled("Changed")]);
    read();
    let titles: Vec<String> = feed(&anonymous()).into_iter().map(|post| post.title).collect();
    assert_eq!(titles, ["About p2", "Changed"]);
    assert_eq!(get(&anonymous(), "p1").version, 2);
}

#[test]
fn an_unknown_id_is_answered_with_404() {
    for id in ["nothing", "", "a.b", "*"] {
        assert_eq!(Query::get(&anonymous(), id.to_owned(), page(1)).unwrap_err().status, 404, "{id}");
    }
}

#[test]
fn own_posts_are_those_of_the_caller_newest_first_as_they_are_now() {
    tell_posts(&["p1", "p2", "p3"]);
    for (id, author) in [("p4", Some("bob")), ("p5", None)] {
        let PostEvent::Created(post) = created(id) else { unreachable!() };
        given::<Post>(id, [PostEvent::Created(Post { author: author.map(str::to_owned), ..post })]);
    }
    given::<Post>("p1", [retitled("Changed")]);
    tell_comments(&["p1-a"]);
    read();
    let own = |cx: &Cx| Query::own_posts(cx, page(100)).unwrap().items;
    let titles = |cx: &Cx| own(cx).into_iter().map(|post| post.title).collect::<Vec<_>>();
    assert_eq!(titles(&caller("ann")), ["About p3", "About p2", "Changed"]);
    assert_eq!(titles(&caller("bob")), ["About p4"]);
    assert_eq!((own(&caller("eve")), own(&caller(""))), (vec![], vec![]));
    assert_eq!(own(&caller("ann"))[2], feed(&caller("ann"))[4], "as the feed has it");
    assert_eq!(Query::own_posts(&anonymous(), page(1)).unwrap_err().status, 401);
    let first = Query::own_posts(&caller("ann"), page(2)).unwrap();
    assert_eq!(first.items.len(), 2);
    let rest = PageRequest { limit: Some(2), after: first.next };
    let rest = Query::own_posts(&caller("ann"), rest).unwrap();
    assert_eq!((rest.items.len(), rest.items[0].id.as_str(), rest.next), (1, "p1", None));
}

#[test]
fn a_post_shows_all_its_comments_and_the_feed_the_newest() {
    tell_posts(&["p1", "p2"]);
    tell_comments(&["p1-a", "p1-b", "p1-c", "p1-d"]);
    given::<Comment>("p1-e", [commented("p1-e", None)]);
    read();
    let post = get(&anonymous(), "p1");
    assert_eq!((post.comment_count, ids(&post.comments)), (5, vec!["p1-e", "p1-d", "p1-c", "p1-b", "p1-a"]));
    let in_feed = feed(&anonymous());
    assert_eq!((in_feed[0].comment_count, ids(&in_feed[0].comments)), (0, vec![]));
    assert_eq!(
        (in_feed[1].comment_count, ids(&in_feed[1].comments)),
        (5, vec!["p1-d", "p1-c", "p1-b"]),
        "what nobody may read yet takes no room in the feed"
    );
}

/// Who may read what is written in a comment, by its status.
#[test]
fn hidden_texts_are_for_authors_and_moderators_alone() {
    tell_posts(&["p1"]);
    for (author, name) in [(Some("bob"), "bob"), (None, "anon")] {
        let tell = |status: &str, verdicts: Vec<CommentEvent>| {
            let id = format!("p1-{name}_{status}");
            given::<Comment>(&id, [commented(&id, author)].into_iter().chain(verdicts));
        };
        tell("pending", vec![]);
        tell("approved", vec![approved()]);
        tell("rejected", vec![rejected()]);
        tell("overturned", vec![approved(), rejected()]);
    }
    read();
    let public = ["p1-anon_approved", "p1-bob_approved"];
    let bobs =
        ["p1-anon_approved", "p1-bob_approved", "p1-bob_overturned", "p1-bob_pending", "p1-bob_rejected"];
    let everything = 8;
    let rows: [(Cx, &[&str]); 6] = [
        (anonymous(), &public),
        (caller("ann"), &public),
        (caller(""), &public),
        (caller_as("operator", "ann"), &public),
        (caller("bob"), &bobs),
        (caller_as("moderator", "ann"), &[]),
    ];
    for (reader, expected) in rows {
        let comments = get(&reader, "p1").comments;
        assert_eq!(comments.len(), everything, "that there are comments is no secret");
        let readable = comments.iter().filter(|comment| comment.content.is_some());
        let mut readable: Vec<&str> = readable.map(|comment| comment.id.as_str()).collect();
        readable.sort_unstable();
        let in_feed = feed(&reader).remove(0).comments;
        assert!(in_feed.iter().all(|comment| comment.content.is_some()), "the feed shows no hidden text");
        if reader.has(MODERATOR) {
            assert_eq!((readable.len(), in_feed.len()), (everything, SHOWN_IN_FEED));
        } else {
            assert_eq!(readable, expected, "{reader:?}");
            assert_eq!(in_feed.len(), expected.len().min(SHOWN_IN_FEED), "{reader:?}");
        }
    }
}

#[test]
fn a_verdict_that_is_overturned_shows_everywhere() {
    tell_posts(&["p1"]);
    given::<Comment>("p1-a", [commented("p1-a", None)]);
    read();
    for (verdict, status) in
        [(rejected(), Status::Rejected), (approved(), Status::Approved), (rejected(), Status::Rejected)]
    {
        given::<Comment>("p1-a", [verdict]);
        settle::<Query>();
        let post = get(&anonymous(), "p1");
        let shows = status == Status::Approved;
        assert_eq!((post.comments[0].status, post.comments[0].content.is_some()), (status, shows));
        assert_eq!(feed(&anonymous())[0].comments.len(), usize::from(shows));
        assert_eq!(post.comment_count, 1);
    }
}

#[test]
fn comments_wait_for_their_post() {
    tell_comments(&["p1-a", "p1-b"]);
    read();
    assert_eq!(Query::get(&anonymous(), "p1".to_owned(), page(10)).unwrap_err().status, 404);
    assert_eq!(feed(&anonymous()), []);
    tell_posts(&["p1"]);
    read();
    assert_eq!(ids(&get(&anonymous(), "p1").comments), ["p1-b", "p1-a"]);
    assert_eq!(feed(&anonymous())[0].comment_count, 2);
}

#[test]
fn it_has_no_log_and_answers_before_there_is_any_source() {
    start::<Query>();
    assert_eq!(feed(&anonymous()), []);
    tell_posts(&["p1"]);
    let published = platform().take_published();
    for (subject, body) in published.iter().filter(|(subject, _)| subject == "trellis.announce") {
        message::<Query>(subject, None, body).unwrap();
    }
    settle::<Query>();
    assert_eq!(feed(&anonymous()).len(), 1, "a source that came later is followed");
    let streams = platform()
        .take_exchanges()
        .into_iter()
        .filter(|exchange| exchange.subject.contains("CREATE.LOG_query"));
    assert_eq!(streams.count(), 0);
}

#[test]
fn over_http() {
    platform().configure("caller-header", "x-caller");
    platform().configure("roles-header", "x-roles");
    tell_posts(&["p1", "p2"]);
    tell_comments(&["p1-a", "p1-b"]);
    given::<Comment>("p1-c", [commented("p1-c", Some("bob"))]);
    read();
    let next = |response: &trellis_kit::Response| {
        response.header("link").and_then(|link| link.split(['<', '>']).nth(1)).map(str::to_owned)
    };
    let first = send::<Query>("GET", "/posts?limit=1", "");
    assert_eq!((first.status, first.header("x-trellis-lag")), (200, Some("0")));
    let second = send::<Query>("GET", &next(&first).unwrap(), "");
    let items: [Vec<ReadPost>; 2] = [json(&first), json(&second)];
    assert_eq!((items[0][0].id.as_str(), items[1][0].id.as_str(), next(&second)), ("p2", "p1", None));

    let post = send::<Query>("GET", "/posts/p1?limit=2", "");
    let shown: Json = json(&post);
    assert_eq!(
        (&shown["id"], &shown["title"], &shown["comment_count"]),
        (&"p1".into(), &"About p1".into(), &3.into())
    );
    let comment = &shown["comments"][0];
    assert_eq!((&comment["id"], &comment["status"]), (&"p1-c".into(), &"pending".into()));
    assert!(comment.get("content").is_some_and(Json::is_null), "{comment}");
    assert_eq!(shown["comments"][1]["content"], "This is p1-b");
    let rest: ReadPost = json(&send::<Query>("GET", &next(&post).unwrap(), ""));
    assert_eq!(ids(&rest.comments), ["p1-a"]);

    for who in [("x-caller", "bob"), ("x-roles", "operator, moderator")] {
        let shown: ReadPost = json(&request::<Query>("GET", "/posts/p1", &[who], ""));
        assert_eq!(shown.comments[0].content.as_deref(), Some("This is p1-c"), "{who:?}");
    }
    let own: Vec<ReadPost> =
        json(&request::<Query>("GET", "/users/currentuser/posts", &[("x-caller", "ann")], ""));
    assert_eq!(own.iter().map(|post| post.id.as_str()).collect::<Vec<_>>(), ["p2", "p1"]);
    assert_eq!(send::<Query>("GET", "/users/currentuser/posts", "").status, 401);
    assert_eq!(send::<Query>("POST", "/posts", "{}").status, 405);
    for bad in ["/posts/p1?limit=0", "/posts/p1?limit=101", "/posts/p1?after=x", "/posts?after=x"] {
        assert_eq!(send::<Query>("GET", bad, "").status, 400, "{bad}");
    }
}
