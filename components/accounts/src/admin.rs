//! What admins do: they say what others are trusted with, and block accounts. Nobody does either to themselves, and admins go one after
//! the other, so one remains. Who runs all this can have a key in the config of the gateway, by which admins can be made.

use trellis_kit::{Docs, Failure, Index, Problem, Recorded, Writer, id};

use crate::api::{Cx, ListedUser, PageRequest, UserPage};
use crate::demotions;
use crate::errors::AccountError;
use crate::first_admin::{self, ADMIN};
use crate::sources;
use crate::trellis::accounts::events::UserEvent;
use crate::trellis::accounts::types::User;

const ROLES_MAX: usize = 16;
const ROLE_LEN_MAX: usize = 64;
/// How often a change is decided anew because others were faster.
const DECISIONS: u32 = 8;

const USERS: Docs<User> = Docs::new(sources::ACCOUNTS, "user");
/// All users, as they came.
const ALL: Index = Index::new(sources::ACCOUNTS, "users");

pub fn list(cx: &Cx, page: &PageRequest) -> Result<UserPage, Problem> {
    let views = cx.views()?;
    let listed = ALL.list(&views, page)?;
    let items = USERS.get_many(&views, &listed.ids)?.into_iter().map(shown).collect();
    Ok(UserPage { items, next: listed.next })
}

/// All that a user is trusted with; the same again changes nothing.
pub fn set_roles(cx: &Cx, id: &str, roles: Vec<String>) -> Result<ListedUser, Problem> {
    let roles = checked(roles)?;
    expect_another(cx, id)?;
    if roles.iter().any(|role| role == ADMIN) {
        first_admin::close(cx, &cx.load::<User>(id)?.id)?;
    }
    let set = |user: &User| (user.roles != roles).then(|| UserEvent::RolesSet(roles.clone()));
    change(cx, id, set).map(shown)
}

/// Roles as they are kept, each once.
pub fn checked(mut roles: Vec<String>) -> Result<Vec<String>, Problem> {
    let is_role = |role: &String| role.len() <= ROLE_LEN_MAX && id::is_valid(role);
    if let Some(at) = roles.iter().position(|role| !is_role(role)) {
        let why = format!("Must be 1 to {ROLE_LEN_MAX} letters, digits, - and _.");
        return Err(Problem::invalid(format!("roles.{at}"), why));
    }
    roles.sort();
    roles.dedup();
    if roles.len() > ROLES_MAX {
        return Err(Problem::invalid("roles", format!("There may be {ROLES_MAX}.")));
    }
    Ok(roles)
}

pub fn block(cx: &Cx, id: &str) -> Result<(), Problem> {
    let blocked = |user: &User| user.blocked_at.is_none().then(|| UserEvent::Blocked(cx.now()));
    change(cx, id, blocked).map(|_| ())
}

pub fn unblock(cx: &Cx, id: &str) -> Result<(), Problem> {
    change(cx, id, |user: &User| user.blocked_at.is_some().then_some(UserEvent::Unblocked)).map(|_| ())
}

fn change(cx: &Cx, id: &str, decide: impl Fn(&User) -> Option<UserEvent>) -> Result<User, Problem> {
    expect_another(cx, id)?;
    for _ in 0..DECISIONS {
        let mut demotion = None;
        let user = cx.update(id, |user: &User| {
            let event = decide(user);
            demotion = event.clone().filter(|event| demotions::is_one(user, event));
            Ok(event.filter(|_| demotion.is_none()))
        })?;
        match demotion {
            Some(event) => demotions::make(cx, &user, event)?,
            None => return Ok(user),
        }
    }
    Err(Problem::unavailable(format_args!("others were faster {DECISIONS} times in a row")))
}

/// Nobody does it to themselves.
fn expect_another(cx: &Cx, id: &str) -> Result<(), Problem> {
    match cx.session.as_deref().map(id::root) == Some(id) {
        true => Err(AccountError::Oneself.into()),
        false => Ok(()),
    }
}

fn shown(user: User) -> ListedUser {
    let User { id, display_name, roles, signed_up_at, blocked_at, .. } = user;
    ListedUser { id, display_name, roles, signed_up_at, blocked_at }
}

/// Keeps the list.
pub fn follow(event: &Recorded<UserEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    USERS.put(writer, &event.entity, &event.state()?)?;
    match event.data {
        UserEvent::SignedUp(_) => ALL.add(writer, &event.entity),
        _ => Ok(()),
    }
}
