//! Who is signed in, and whose an organisation's key is: what accounts tell of users, sessions and keys, and what of that a request
//! shows.
//!
//! A token is the id of its session or key, what nobody can guess, and where in the log that was written, with dots between them.
//! The id says where to look. So whoever shows a token costs one or two documents more, which are read with those that every request
//! needs. The read models may not have come so far when somebody comes with what they got just now; then this waits for them.

use std::time::Duration;

use trellis_kit::{
    Cx, Descriptor, DocKey, Docs, Failure, Glimpse, Problem, Recorded, Request, Response, Writer, glance,
    http, id, log,
};

use crate::callers::Caller;
use crate::keys::is_same;
use crate::sources;
use crate::trellis::accounts::events::{ApiKeyEvent, SessionEvent, UserEvent};
use crate::trellis::accounts::types::{ApiKey, Session, User};

const USER: &str = "user";
const SESSION: &str = "session";
const KEY: &str = "api-key";
const USERS: Docs<User> = Docs::new(sources::ACCOUNTS, USER);
const SESSIONS: Docs<Session> = Docs::new(sources::ACCOUNTS, SESSION);
const KEYS: Docs<ApiKey> = Docs::new(sources::ACCOUNTS, KEY);

/// What the ids of keys begin with, where those of sessions have the id of a user.
const FAMILY_OF_KEYS: &str = "key";

/// 256 bits, in hexadecimal.
const SECRET_LEN: usize = 64;
/// For how long a request is held up by what is noted once a day.
const USE_PATIENCE: Duration = Duration::from_millis(500);
/// How often what accounts have written is waited for, about a second each time.
const HEARS_MAX: u32 = 5;

/// What somebody shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What is hashed of it.
    secret: String,
    /// Of a session or a key.
    id: String,
    /// Where that was written.
    position: Option<String>,
}

impl Token {
    /// What has the form of a token. An API key that has it, too, would not be known as a key.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, '.');
        let (id, secret, seq) = (words.next()?, words.next()?, words.next());
        let family = id::root(id);
        let is_number =
            |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_whole = family != id
            && id::is_valid(id)
            && secret.len() == SECRET_LEN
            && secret.bytes().all(|byte| byte.is_ascii_hexdigit())
            && seq.is_none_or(is_number);
        is_whole.then(|| Self {
            secret: format!("{id}.{secret}"),
            id: id.to_owned(),
            position: seq.map(|seq| {
                let source = sources::ACCOUNTS;
                format!("{}:{}:{seq}", source.name, id::partition(family, source.partitions))
            }),
        })
    }

    /// Whose session it is, unless it is a key.
    fn user(&self) -> Option<&str> {
        Some(id::root(&self.id)).filter(|family| *family != FAMILY_OF_KEYS)
    }

    /// Who somebody says to be by it.
    pub fn claimed(&self) -> Caller {
        match self.user() {
            Some(user) => Caller::User {
                id: user.to_owned(),
                display_name: None,
                roles: Vec::new(),
                session: self.id.clone(),
            },
            None => Caller::Key { name: self.id.clone(), called: String::new(), roles: Vec::new() },
        }
    }

    /// Where the read models have what they know of it.
    pub fn keys(&self) -> Vec<DocKey<'_>> {
        match self.user() {
            Some(user) => vec![(sources::ACCOUNTS, SESSION, &self.id), (sources::ACCOUNTS, USER, user)],
            None => vec![(sources::ACCOUNTS, KEY, &self.id)],
        }
    }

    /// Whose it is, by what was read at [`keys`](Self::keys).
    pub fn caller(
        &self,
        service: &'static Descriptor,
        mut seen: Vec<Option<Glimpse>>,
    ) -> Result<Caller, Problem> {
        if let Some(position) = self.position.as_ref().filter(|_| seen.iter().any(Option::is_none)) {
            Cx::reach(service, position).map_err(|_| unknown())?;
            seen = glance(&self.keys(), None, None)?;
        }
        let mut seen = seen.into_iter().flatten();
        match (self.user(), seen.next(), seen.next()) {
            (None, Some(key), None) => self.holder(key.read()?),
            (Some(_), Some(session), Some(user)) => self.signed_in(service, session.read()?, user.read()?),
            _ => Err(unknown()),
        }
    }

    fn holder(&self, key: Option<ApiKey>) -> Result<Caller, Problem> {
        let counts = |key: &ApiKey| !key.ended && Cx::nobody().now() < key.ends_at;
        let key = key.filter(|key| counts(key) && is_same(&id::sha256(&self.secret), &key.key_hash));
        let ApiKey { id, name, roles, .. } = key.ok_or_else(unknown)?;
        Ok(Caller::Key { name: id, called: name, roles })
    }

    fn signed_in(
        &self,
        service: &'static Descriptor,
        session: Option<Session>,
        user: Option<User>,
    ) -> Result<Caller, Problem> {
        let (session, user) = session.zip(user).ok_or_else(unknown)?;
        let now = Cx::nobody().now();
        let is_kept = user.sessions.kept.as_ref() == Some(&session.id);
        let counts =
            !session.ended && (session.since >= user.sessions.since || is_kept) && now < session.ends_at;
        if user.blocked_at.is_some() {
            return Err(Problem::unauthorized("This account is blocked."));
        }
        if !counts || !is_same(&id::sha256(&self.secret), &session.token_hash) {
            return Err(unknown());
        }
        if session.prolong_from.as_ref().is_some_and(|at| *at <= now) {
            prolong(service, &session);
        }
        let User { id, display_name, roles, .. } = user;
        Ok(Caller::User { id, display_name, roles, session: session.id })
    }
}

/// Waits until what accounts have written for a request is known here, whoever has asked them: so a session that somebody was told to be over is refused
/// from then on, wherever it is shown. Whoever has waited for long enough is answered all the same, for it is done.
pub fn hear(service: &'static Descriptor, response: &Response) {
    let said = response.header(http::POSITION).unwrap_or_default().split(',');
    let theirs = |position: &&str| position.split(':').next() == Some(sources::ACCOUNTS.name);
    let positions: Vec<&str> = said.map(str::trim).filter(theirs).collect();
    let positions = positions.join(",");
    let is_known = positions.is_empty()
        || (0..HEARS_MAX).any(|_| Cx::reach(service, &positions).is_ok_and(|has_come| has_come));
    if !is_known {
        log::warn("what accounts have written just now is answered, and not yet known here");
    }
}

/// Tells accounts that a session is used, which is due once a day. If they are away, the next request does it.
fn prolong(service: &'static Descriptor, session: &Session) {
    let request = Request::new("POST", "/users/sessions/use");
    let request = request.with(http::CALLER, session.user.as_str()).with(http::SESSION, session.id.as_str());
    if let Err(error) = http::ask(service, sources::ACCOUNTS.name, &request, USE_PATIENCE) {
        log::debug(&format!("that a session is used is not noted yet: {error}"));
    }
}

fn unknown() -> Problem {
    Problem::unauthorized("This session or key is over, or never was. Sign in again, or ask for another key.")
}

pub fn follow_user(event: &Recorded<UserEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    USERS.put(writer, &event.entity, &event.state()?)
}

pub fn follow_session(event: &Recorded<SessionEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    SESSIONS.put(writer, &event.entity, &event.state()?)
}

pub fn follow_key(event: &Recorded<ApiKeyEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    KEYS.put(writer, &event.entity, &event.state()?)
}
