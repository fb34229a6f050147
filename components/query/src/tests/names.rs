//! What authors are called.

use super::*;
use crate::trellis::accounts::events::UserEvent;
use crate::trellis::accounts::types::{Sessions, User};

play! {
    /// The service that tells of people.
    Accounts: sources::ACCOUNTS {
        User.id by UserEvent: |before, event| match event {
            UserEvent::SignedUp(user) => Some(user.clone()),
            UserEvent::Renamed(name) => {
                before.map(|user| User { display_name: Some(name.clone()), version: user.version + 1, ..user })
            }
            _ => before.map(|user| User { version: user.version + 1, ..user }),
        }
    }
}

fn signed_up(id: &str, name: Option<&str>) {
    let user = User {
        id: id.to_owned(),
        display_name: name.map(str::to_owned),
        roles: Vec::new(),
        sessions: Sessions { since: 0, kept: None },
        signed_up_at: TIME.to_owned(),
        blocked_at: None,
        version: 1,
    };
    given::<User>(id, [UserEvent::SignedUp(user)]);
}

/// What the author of p1 is called, and those of its comments, in the feed and in the post.
fn called() -> [(Json, Vec<Json>); 2] {
    start::<Query>();
    settle::<Query>();
    let feed: Json = json(&send::<Query>("GET", "/posts", ""));
    let post: Json = json(&send::<Query>("GET", "/posts/p1", ""));
    [&feed[0], &post].map(|post| {
        let comments = post["comments"].as_array().unwrap().iter();
        (post["author_name"].clone(), comments.map(|comment| comment["author_name"].clone()).collect())
    })
}

#[test]
fn authors_are_called_what_they_want_to_be_called_now() {
    given::<Post>("p1", [created("p1")]);
    let approved = || CommentEvent::Approved(VerdictRef { version: 1, reason: None });
    for (id, author) in [("p1-c1", Some("bob")), ("p1-c2", None), ("p1-c3", Some("a.key"))] {
        given::<Comment>(id, [commented(id, author), approved()]);
    }
    let none = Json::Null;
    assert_eq!(called(), [(); 2].map(|()| (none.clone(), vec![none.clone(); 3])), "nobody is known yet");
    signed_up("ann", Some("Ann"));
    signed_up("bob", None);
    assert_eq!(called(), [(); 2].map(|()| ("Ann".into(), vec![none.clone(); 3])));
    given::<User>("bob", [UserEvent::Renamed("Bob".to_owned()), UserEvent::Blocked(TIME.to_owned())]);
    given::<User>("ann", [UserEvent::Renamed("Ann B.".to_owned())]);
    let comments = vec![none.clone(), none, "Bob".into()];
    assert_eq!(called(), [(); 2].map(|()| ("Ann B.".into(), comments.clone())), "everywhere, newest first");
}

#[test]
fn names_cost_one_call_where_there_is_an_author() {
    let cost = || {
        start::<Query>();
        settle::<Query>();
        // The second of an instance finds out how far it is; what was asked before is remembered.
        for limit in 1..3 {
            send::<Query>("GET", &format!("/posts?limit={limit}"), "");
        }
        let before = platform().calls();
        assert_eq!(send::<Query>("GET", "/posts?limit=50", "").status, 200);
        platform().calls() - before
    };
    let anonymous = Post {
        author: None,
        ..match created("p1") {
            PostEvent::Created(post) => post,
            PostEvent::Retitled(_) => unreachable!(),
        }
    };
    given::<Post>("p1", [PostEvent::Created(anonymous)]);
    let nobody = cost();
    given::<Post>("p2", [created("p2")]);
    given::<Post>("p3", [created("p3")]);
    assert_eq!(cost(), nobody + 1);
}
