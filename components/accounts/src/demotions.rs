//! Of admins who take each other's role, or block each other, at the same time, one remains.
//!
//! Each user is an entity, and an append to one says nothing of another. So each demotion is an append to one entity first, which
//! says whose it is and at which version of that user. That is the append that decides:
//!
//! * Nobody is demoted but at the version of the latest demotion.
//! * Before there is another, that version has its event: that of the demotion, or one that was faster, and then the demotion is none.
//! * Only then it is asked whether whoever wants the next one is an admin. If so, they are one until a demotion comes that is after
//!   theirs, and theirs is not of themselves.

use trellis_kit::{Aggregate, Cx, Event, Failure, Problem, Reaction, Recorded, Wire, id};

use crate::errors::AccountError;
use crate::first_admin::ADMIN;
use crate::service::Accounts;
use crate::trellis::accounts::events::UserEvent;
use crate::trellis::accounts::types::User;

/// There is one.
const ID: &str = "demotion";

/// The latest.
#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Demotion {
    id: String,
    user: String,
    /// The version of the user at which it happens.
    at: u64,
    event: UserEvent,
    version: u64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub enum DemotionEvent {
    Begun(Demotion),
}

/// Whether what happens to a user leaves one admin less.
pub fn is_one(user: &User, event: &UserEvent) -> bool {
    is_admin(user)
        && match event {
            UserEvent::RolesSet(roles) => !roles.iter().any(|role| role == ADMIN),
            UserEvent::Blocked(_) => true,
            _ => false,
        }
}

/// Has it happen to a user, unless others were faster; whoever asks is an admin now.
pub fn make(cx: &Cx, user: &User, event: UserEvent) -> Result<(), Problem> {
    let latest = cx.find::<Demotion>(ID)?;
    let version = latest.as_ref().map_or(0, |latest| latest.version);
    if let Some(latest) = latest {
        cx.update(&latest.user, happened(&latest))?;
    }
    expect_admin(cx)?;
    let next = Demotion {
        id: ID.to_owned(),
        user: user.id.clone(),
        at: user.version + 1,
        event,
        version: version + 1,
    };
    let latest = cx.execute(ID, |now: Option<&Demotion>| {
        let is_next = now.map_or(0, |now| now.version) == version;
        Ok(is_next.then(|| DemotionEvent::Begun(next.clone())))
    })?;
    cx.update(&latest.user, happened(&latest))?;
    Ok(())
}

/// The same: whoever was to do it may have died.
pub fn finish(event: &Recorded<DemotionEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let DemotionEvent::Begun(demotion) = &event.data;
    reaction.update(&demotion.user, happened(demotion))?;
    Ok(())
}

/// What is to happen to the user, at that version and no other.
fn happened(demotion: &Demotion) -> impl Fn(&User) -> Result<Option<UserEvent>, Problem> {
    |user| Ok((user.version < demotion.at).then(|| demotion.event.clone()))
}

/// Whoever has no session has a key in the config, and no user takes that away.
fn expect_admin(cx: &Cx) -> Result<(), Problem> {
    let Some(session) = &cx.session else { return Ok(()) };
    let user: User = cx.load(id::root(session))?;
    match is_admin(&user) && user.blocked_at.is_none() {
        true => Ok(()),
        false => Err(AccountError::NoAdmin.into()),
    }
}

fn is_admin(user: &User) -> bool {
    user.roles.iter().any(|role| role == ADMIN)
}

impl Event for DemotionEvent {
    const OF: &str = "demotion";
}

impl Aggregate for Demotion {
    type Service = Accounts;
    type Event = DemotionEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(_before: Option<Self>, event: &DemotionEvent) -> Option<Self> {
        let DemotionEvent::Begun(demotion) = event;
        Some(demotion.clone())
    }
}
