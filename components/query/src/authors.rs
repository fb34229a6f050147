//! What authors want to be called, as accounts tell it. What they wrote has their ids alone: so somebody who is called otherwise from
//! now on is that everywhere, with one event. Reading costs one call more where there is an author.

use std::collections::BTreeMap;

use trellis_kit::{Docs, Failure, Problem, Reader, Recorded, Writer, id};

use crate::sources;
use crate::trellis::accounts::events::UserEvent;
use crate::trellis::accounts::types::User;
use crate::trellis::query::types::ReadPost;

const NAMES: Docs<Option<String>> = Docs::new(sources::ACCOUNTS, "name");

pub fn follow(event: &Recorded<UserEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    match &event.data {
        UserEvent::SignedUp(User { display_name, .. }) => NAMES.put(writer, &event.entity, display_name),
        UserEvent::Renamed(name) => NAMES.put(writer, &event.entity, &Some(name.clone())),
        UserEvent::SessionsEnded(_)
        | UserEvent::RolesSet(_)
        | UserEvent::Blocked(_)
        | UserEvent::Unblocked => Ok(()),
    }
}

/// Adds the names of all authors. Whoever writes with an API key has none here.
pub fn name(views: &Reader, posts: &mut [ReadPost]) -> Result<(), Problem> {
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (author, _) in posts.iter_mut().flat_map(authors) {
        names.extend(author.clone().filter(|author| id::is_valid(author)).map(|author| (author, None)));
    }
    if names.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = names.keys().cloned().collect();
    for (name, found) in names.values_mut().zip(NAMES.get_each(views, &ids)?) {
        *name = found.flatten();
    }
    for (author, name) in posts.iter_mut().flat_map(authors) {
        *name = author.as_ref().and_then(|author| names.get(author).cloned().flatten());
    }
    Ok(())
}

/// Each author in a post and its comments, and the place for the name.
fn authors(post: &mut ReadPost) -> impl Iterator<Item = (&Option<String>, &mut Option<String>)> {
    let of_comments = post.comments.iter_mut().map(|comment| (&comment.author, &mut comment.author_name));
    std::iter::once((&post.author, &mut post.author_name)).chain(of_comments)
}
