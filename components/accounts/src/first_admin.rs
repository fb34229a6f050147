//! The first admin: whoever is signed in and shows the code that the host prints, as long as nobody was one. A code works once, and for
//! an hour; then there is another. All later admins are made by those who are.

use std::time::Duration;

use trellis_kit::{Aggregate, Cx, Event, Failure, Problem, Reaction, Recorded, Wire, id, log};

use crate::errors::AccountError;
use crate::service::Accounts;
use crate::trellis::accounts::events::UserEvent;
use crate::trellis::accounts::types::User;

/// The role of those who say what others are trusted with.
pub const ADMIN: &str = "admin";

const LIFE: Duration = Duration::from_secs(60 * 60);

/// There is one.
const ID: &str = "first-admin";

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct FirstAdmin {
    id: String,
    offer: Option<Offer>,
    /// Who was made one; none while nobody was.
    user: Option<String>,
    /// Whether the user has the role, or had it.
    is_done: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Offer {
    code_hash: String,
    ends_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum FirstAdminEvent {
    Offered(Offer),
    /// By whom.
    Taken(String),
    Done,
}

/// Prints a code, if there may be a first admin and no code holds.
pub fn offer() -> Result<(), Failure> {
    let cx = Cx::nobody();
    let (code, now) = (id::secret(), cx.now());
    let offer = Offer { code_hash: id::sha256(&code), ends_at: cx.later(LIFE) };
    let first: FirstAdmin = cx.execute(ID, |known: Option<&FirstAdmin>| {
        let is_over = |offer: &Offer| offer.ends_at <= now;
        let is_due =
            known.is_none_or(|known| known.user.is_none() && known.offer.as_ref().is_none_or(is_over));
        Ok(is_due.then(|| FirstAdminEvent::Offered(offer.clone())))
    })?;
    if first.offer.as_ref() == Some(&offer) {
        log::info(&format!(
            "nobody is admin yet: whoever signs in and shows this code at /admin within an hour becomes the first: {code}"
        ));
    }
    Ok(())
}

/// Refuses what cannot be a code, whoever shows it.
pub fn expect_possible(code: &str) -> Result<(), Problem> {
    match code.len() == id::SECRET_LEN && id::is_valid(code) {
        true => Ok(()),
        false => Err(AccountError::NoSuchCode.into()),
    }
}

/// Makes a user the first admin.
pub fn take(cx: &Cx, user: &str, code: &str) -> Result<(), Problem> {
    let (shown, now) = (id::sha256(code), cx.now());
    let holds = |offer: &Offer| offer.code_hash == shown && now < offer.ends_at;
    cx.execute(ID, |known: Option<&FirstAdmin>| {
        let offer = known.filter(|known| known.user.is_none()).and_then(|known| known.offer.as_ref());
        match offer.is_some_and(holds) {
            true => Ok(Some(FirstAdminEvent::Taken(user.to_owned()))),
            false => Err(AccountError::NoSuchCode.into()),
        }
    })?;
    cx.update(user, |user: &User| Ok(appointed(user)))?;
    cx.execute(ID, |first: Option<&FirstAdmin>| Ok(done(first)))?;
    Ok(())
}

/// Nobody is the first any more: somebody was made admin in another way.
pub fn close(cx: &Cx, user: &str) -> Result<(), Problem> {
    cx.execute(ID, |known: Option<&FirstAdmin>| {
        let is_open = known.is_none_or(|known| known.user.is_none());
        Ok(is_open.then(|| FirstAdminEvent::Taken(user.to_owned())))
    })?;
    cx.execute(ID, |first: Option<&FirstAdmin>| Ok(done(first)))?;
    Ok(())
}

/// Whoever was to do the rest may have died. What is done is left as it is: the role may have been taken away since.
pub fn finish(event: &Recorded<FirstAdminEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let FirstAdminEvent::Taken(user) = &event.data else { return Ok(()) };
    let first: FirstAdmin = reaction.load(ID)?;
    if !first.is_done {
        reaction.update(user, |user: &User| Ok(appointed(user)))?;
        reaction.execute(ID, |first: Option<&FirstAdmin>| Ok(done(first)))?;
    }
    Ok(())
}

/// Makes a user an admin besides what they are.
fn appointed(user: &User) -> Option<UserEvent> {
    let is_one = user.roles.iter().any(|role| role == ADMIN);
    let mut roles = user.roles.clone();
    roles.push(ADMIN.to_owned());
    roles.sort();
    (!is_one).then_some(UserEvent::RolesSet(roles))
}

fn done(first: Option<&FirstAdmin>) -> Option<FirstAdminEvent> {
    first.is_some_and(|first| first.user.is_some() && !first.is_done).then_some(FirstAdminEvent::Done)
}

impl Event for FirstAdminEvent {
    const OF: &str = "first-admin";
}

impl Aggregate for FirstAdmin {
    type Service = Accounts;
    type Event = FirstAdminEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &FirstAdminEvent) -> Option<Self> {
        let before =
            before.unwrap_or_else(|| Self { id: ID.to_owned(), offer: None, user: None, is_done: false });
        Some(match event {
            FirstAdminEvent::Offered(offer) => Self { offer: Some(offer.clone()), ..before },
            FirstAdminEvent::Taken(user) => Self { offer: None, user: Some(user.clone()), ..before },
            FirstAdminEvent::Done => Self { is_done: true, ..before },
        })
    }
}
