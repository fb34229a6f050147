//! Accounts: who calls. Somebody signs up with an email and a password, and is known afterwards by the token of a session.
//!
//! **The first event of a credential decides who has an email**, whoever else asks for it at the same time. What follows from it,
//! the user whom others are told of, is made by the call and by a reaction, whichever comes to it first.
//!
//! **A session counts by what it was opened with**: it has the version of the credential that was checked. Whoever sets another
//! password, or ends all sessions, raises the least version that counts. So a session that was being opened meanwhile, with what
//! is the old password by then, does not count either.

mod admin;
mod credentials;
mod demotions;
mod emails;
mod errors;
mod first_admin;
mod keys;
mod passwords;
mod service;
mod sessions;
#[cfg(test)]
mod tests;
mod token;
mod tries;

use api::{
    AdminCode, Credentials, Current, Cx, Guest, IssuedKey, KeyPage, ListedUser, NewKey, NewName, NewPassword,
    NewRoles, NewUser, PageRequest, Person, Problem, SessionPage, SignedIn, UserPage,
};
use credentials::{Credential, CredentialEvent, EmailKey, Kept, NewHash, Owner, OwnerEvent};
use demotions::Demotion;
use errors::AccountError;
use first_admin::{ADMIN, FirstAdmin};
use service::{Accounts, NAME_MAX};
use sessions::person;
use trellis::accounts::events::UserEvent;
use trellis::accounts::types::{ApiKey, Session, Sessions, User};
use trellis_kit::{
    Aggregate, Entity, Failure, Projections, Reaction, Reactions, Recorded, Route, Service, id, projections,
    reactions, routes, text,
};

trellis_kit::bindings!(accounts);
trellis_kit::export!(Accounts);

impl Service for Accounts {
    const NAME: &str = "accounts";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const GROUP: Option<&str> = Some("platform");
    const PARTITIONS: u32 = sources::ACCOUNTS.partitions;
    const ROUTES: &[Route] = routes! {
        POST "/users/signup" => made(Self::sign_up),
        POST "/users/signin" => ok(Self::sign_in),
        POST "/users/signout" => done(Self::sign_out),
        GET "/users/currentuser" => ok(Self::current_user),
        PUT "/users/password" => done(Self::set_password),
        own POST "/users/sessions/use" => done(Self::prolong_session),
        GET "/users/sessions" => page(Self::list_sessions),
        DELETE "/users/sessions" => done(Self::end_sessions),
        DELETE "/users/sessions/{id}" => done(Self::end_session),
        PUT "/users/currentuser" => ok(Self::rename),
        POST "/users/admin" => ok(Self::become_admin),
        only(ADMIN) GET "/users" => page(Self::list_users),
        only(ADMIN) PUT "/users/{id}/roles" => ok(Self::set_roles),
        only(ADMIN) POST "/users/{id}/block" => done(Self::block),
        only(ADMIN) DELETE "/users/{id}/block" => done(Self::unblock),
        only(ADMIN) POST "/keys" => made(Self::issue_key),
        only(ADMIN) GET "/keys" => page(Self::list_keys),
        only(ADMIN) DELETE "/keys/{id}" => done(Self::end_key),
    };
    const ENTITIES: &[Entity] = &[Entity::of::<User>(), Entity::of::<Session>(), Entity::of::<ApiKey>()];
    const PRIVATE: &[Entity] = &[
        Entity::of::<Credential>(),
        Entity::of::<Owner>(),
        Entity::of::<EmailKey>(),
        Entity::of::<FirstAdmin>(),
        Entity::of::<Demotion>(),
    ];
    const FUNCTIONS: &[(&str, &str)] = FUNCTIONS;
    const PROJECTIONS: Projections = projections! {
        sources::ACCOUNTS => sessions::follow,
        sources::ACCOUNTS => admin::follow,
        sources::ACCOUNTS => keys::follow,
    };
    /// There is a list of users since 2, and one of keys since 3.
    const VIEWS_SCHEMA: u32 = 3;
    const REACTIONS: Reactions = reactions! {
        Self::PRIVATE_LOG => finish,
        Self::PRIVATE_LOG => first_admin::finish,
        Self::PRIVATE_LOG => demotions::finish,
    };

    fn look_around() -> Result<(), Failure> {
        tries::look_around()?;
        first_admin::offer()
    }
}

impl Guest for Accounts {
    fn sign_up(cx: &Cx, new: NewUser) -> Result<SignedIn, Problem> {
        let NewUser { email, password, display_name } = new;
        let id = credentials::id_of(cx, "email", &email)?;
        passwords::check("password", &password)?;
        tries::sign_up(cx)?;
        let name = |name: String| text::one_line("display_name", &name, NAME_MAX);
        let display_name = display_name.map(name).transpose()?;
        if cx.find::<Credential>(&id)?.is_some() {
            return Err(AccountError::EmailKnown.into());
        }
        let (user, password) = (id::unique(), passwords::hash(&password)?);
        let made = Credential { id, user, display_name, password, since: 0, kept: None, version: 1 };
        let credential = cx.execute(&made.id, |known: Option<&Credential>| match known {
            None => Ok(Some(CredentialEvent::Made(made.clone()))),
            // Somebody was faster, unless it was this very call.
            Some(known) if known.user == made.user => Ok(None),
            Some(_) => Err(AccountError::EmailKnown.into()),
        })?;
        sessions::open(cx, &apply(cx, &credential)?, credential.version)
    }

    fn sign_in(cx: &Cx, shown: Credentials) -> Result<SignedIn, Problem> {
        let id = credentials::id_of(cx, "email", &shown.email)?;
        passwords::expect_possible("password", &shown.password)?;
        tries::password(cx, &id)?;
        let credential = cx.find::<Credential>(&id)?;
        let hash = credential.as_ref().map(|credential| credential.password.as_str());
        let is_password = passwords::is(&shown.password, hash)?;
        let Some(credential) = credential.filter(|_| is_password) else {
            return Err(AccountError::NotTogether.into());
        };
        rehash(cx, &credential, &shown.password)?;
        let user = apply(cx, &credential)?;
        if user.blocked_at.is_some() {
            return Err(AccountError::Blocked.into());
        }
        sessions::open(cx, &user, credential.version)
    }

    fn sign_out(cx: &Cx) -> Result<(), Problem> {
        if let Some(session) = &cx.session {
            sessions::end(cx, session)?;
        }
        cx.tell_session("");
        Ok(())
    }

    fn current_user(cx: &Cx) -> Result<Current, Problem> {
        let user = cx.session.as_deref().map(|session| cx.find::<User>(id::root(session))).transpose()?;
        Ok(Current { current_user: user.flatten().as_ref().map(person) })
    }

    fn rename(cx: &Cx, to: NewName) -> Result<Person, Problem> {
        let name = text::one_line("display_name", &to.display_name, NAME_MAX)?;
        let renamed = cx.update(id::root(own_session(cx)?), |user: &User| {
            let is_same = user.display_name.as_ref() == Some(&name);
            Ok((!is_same).then(|| UserEvent::Renamed(name.clone())))
        })?;
        Ok(person(&renamed))
    }

    fn become_admin(cx: &Cx, shown: AdminCode) -> Result<Person, Problem> {
        first_admin::expect_possible(&shown.code)?;
        let user = id::root(own_session(cx)?);
        first_admin::take(cx, user, &shown.code)?;
        Ok(person(&cx.load(user)?))
    }

    fn set_password(cx: &Cx, to: NewPassword) -> Result<(), Problem> {
        passwords::expect_possible("current_password", &to.current_password)?;
        passwords::check("new_password", &to.new_password)?;
        let credential = own_credential(cx)?;
        tries::password(cx, &credential.id)?;
        if !passwords::is(&to.current_password, Some(&credential.password))? {
            return Err(AccountError::AnotherPassword.into());
        }
        let set = NewHash { password: passwords::hash(&to.new_password)?, kept: cx.session.clone() };
        let after = cx.update(&credential.id, |now: &Credential| {
            if now.since != credential.since {
                return Err(AccountError::AnotherPassword.into());
            }
            Ok((now.password != set.password).then(|| CredentialEvent::PasswordSet(set.clone())))
        })?;
        apply(cx, &after).map(|_| ())
    }

    fn list_sessions(cx: &Cx, page: PageRequest) -> Result<SessionPage, Problem> {
        let this = own_session(cx)?;
        sessions::list(cx, this, &page)
    }

    fn prolong_session(cx: &Cx) -> Result<(), Problem> {
        sessions::prolong(cx, own_session(cx)?)
    }

    fn end_sessions(cx: &Cx) -> Result<(), Problem> {
        let (credential, kept) = (own_credential(cx)?, Kept { session: cx.session.clone() });
        let after = cx.update(&credential.id, |_: &Credential| {
            Ok(Some(CredentialEvent::SessionsEnded(kept.clone())))
        })?;
        apply(cx, &after).map(|_| ())
    }

    fn end_session(cx: &Cx, id: String) -> Result<(), Problem> {
        // That of somebody else is no more there than one that never was.
        if id::root(own_session(cx)?) != id::root(&id) {
            return Err(AccountError::NoSuchSession.into());
        }
        sessions::end(cx, &id)
    }

    fn list_users(cx: &Cx, page: PageRequest) -> Result<UserPage, Problem> {
        cx.require(ADMIN)?;
        admin::list(cx, &page)
    }

    fn set_roles(cx: &Cx, id: String, to: NewRoles) -> Result<ListedUser, Problem> {
        cx.require(ADMIN)?;
        admin::set_roles(cx, &id, to.roles)
    }

    fn block(cx: &Cx, id: String) -> Result<(), Problem> {
        cx.require(ADMIN)?;
        admin::block(cx, &id)
    }

    fn unblock(cx: &Cx, id: String) -> Result<(), Problem> {
        cx.require(ADMIN)?;
        admin::unblock(cx, &id)
    }

    fn issue_key(cx: &Cx, new: NewKey) -> Result<IssuedKey, Problem> {
        cx.require(ADMIN)?;
        keys::issue(cx, new)
    }

    fn list_keys(cx: &Cx, page: PageRequest) -> Result<KeyPage, Problem> {
        cx.require(ADMIN)?;
        keys::list(cx, &page)
    }

    fn end_key(cx: &Cx, id: String) -> Result<(), Problem> {
        cx.require(ADMIN)?;
        keys::end(cx, &id)
    }
}

/// The session by which somebody asks about their own account.
fn own_session(cx: &Cx) -> Result<&str, Problem> {
    cx.session.as_deref().ok_or_else(|| AccountError::NotSignedIn.into())
}

fn own_credential(cx: &Cx) -> Result<Credential, Problem> {
    let user = id::root(own_session(cx)?);
    let owner = cx.find::<Owner>(user)?;
    let credential = owner.map(|owner| cx.find(&owner.credential)).transpose()?;
    credential.flatten().ok_or_else(|| AccountError::NotSignedIn.into())
}

/// Keeps the same password in today's way. That somebody set another one meanwhile is no concern of whoever signs in.
fn rehash(cx: &Cx, credential: &Credential, password: &str) -> Result<(), Problem> {
    if !passwords::is_old(&credential.password) {
        return Ok(());
    }
    let hash = passwords::hash(password)?;
    cx.update(&credential.id, |now: &Credential| {
        let is_same = now.password == credential.password;
        Ok(is_same.then(|| CredentialEvent::Rehashed(hash.clone())))
    })?;
    Ok(())
}

/// Makes the user as the credential has it, and notes whose it is.
fn apply(cx: &Cx, credential: &Credential) -> Result<User, Problem> {
    cx.execute(&credential.user, owned(credential))?;
    cx.execute(&credential.user, followed(credential, cx.now()))
}

/// The same, because of the credential's event: whoever was to do it may have died.
fn finish(event: &Recorded<CredentialEvent>, reaction: &Reaction) -> Result<(), Failure> {
    let credential: Credential = event.state()?;
    reaction.execute(&credential.user, owned(&credential))?;
    reaction.execute(&credential.user, followed(&credential, event.time.clone()))?;
    Ok(())
}

fn owned(credential: &Credential) -> impl Fn(Option<&Owner>) -> Result<Option<OwnerEvent>, Problem> {
    let owner = Owner { id: credential.user.clone(), credential: credential.id.clone() };
    move |known| Ok(known.is_none().then(|| OwnerEvent::Noted(owner.clone())))
}

fn followed(
    credential: &Credential,
    now: String,
) -> impl Fn(Option<&User>) -> Result<Option<UserEvent>, Problem> {
    let Credential { user: id, display_name, since, kept, .. } = credential.clone();
    let sessions = Sessions { since, kept };
    move |user| {
        Ok(match user {
            None => Some(UserEvent::SignedUp(User {
                id: id.clone(),
                display_name: display_name.clone(),
                roles: Vec::new(),
                sessions: sessions.clone(),
                signed_up_at: now.clone(),
                blocked_at: None,
                version: 1,
            })),
            Some(user) if user.sessions.since < sessions.since => {
                Some(UserEvent::SessionsEnded(sessions.clone()))
            }
            Some(_) => None,
        })
    }
}

impl Aggregate for User {
    type Service = Accounts;
    type Event = UserEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &UserEvent) -> Option<Self> {
        let before = match (before, event) {
            (None, UserEvent::SignedUp(user)) => return Some(user.clone()),
            (before, _) => before?,
        };
        let version = before.version + 1;
        Some(match event {
            UserEvent::SignedUp(_) => return None,
            UserEvent::SessionsEnded(sessions) => Self { sessions: sessions.clone(), version, ..before },
            UserEvent::RolesSet(roles) => Self { roles: roles.clone(), version, ..before },
            UserEvent::Renamed(name) => Self { display_name: Some(name.clone()), version, ..before },
            UserEvent::Blocked(at) => Self { blocked_at: Some(at.clone()), version, ..before },
            UserEvent::Unblocked => Self { blocked_at: None, version, ..before },
        })
    }
}
