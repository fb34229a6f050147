//! Who is signed in: what accounts tell of users and sessions, and what of that a request shows.
//!
//! A token is the id of its session, what nobody can guess, and where in the log the session was opened, with dots between them.
//! The id says where to look. So whoever shows a token costs two documents more, which are read with those that every request
//! needs. The read models may not have come so far when somebody comes with what they got just now; then this waits for them.

use std::time::Duration;

use trellis_kit::{
    Cx, Descriptor, DocKey, Docs, Failure, Glimpse, Problem, Recorded, Request, Response, Writer, glance,
    http, id, log,
};

use crate::callers::Caller;
use crate::keys::is_same;
use crate::sources;
use crate::trellis::accounts::events::{SessionEvent, UserEvent};
use crate::trellis::accounts::types::{Session, User};

const USER: &str = "user";
const SESSION: &str = "session";
const USERS: Docs<User> = Docs::new(sources::ACCOUNTS, USER);
const SESSIONS: Docs<Session> = Docs::new(sources::ACCOUNTS, SESSION);

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
    session: String,
    user: String,
    /// Where its session was opened.
    position: Option<String>,
}

impl Token {
    /// What has the form of a token. An API key that has it, too, would not be known as a key.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, '.');
        let (session, secret, seq) = (words.next()?, words.next()?, words.next());
        let user = id::root(session);
        let is_number =
            |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_whole = user != session
            && id::is_valid(session)
            && secret.len() == SECRET_LEN
            && secret.bytes().all(|byte| byte.is_ascii_hexdigit())
            && seq.is_none_or(is_number);
        is_whole.then(|| Self {
            secret: format!("{session}.{secret}"),
            session: session.to_owned(),
            user: user.to_owned(),
            position: seq.map(|seq| {
                let source = sources::ACCOUNTS;
                format!("{}:{}:{seq}", source.name, id::partition(user, source.partitions))
            }),
        })
    }

    /// Who somebody says to be by it.
    pub fn claimed(&self) -> Caller {
        let (id, session) = (self.user.clone(), self.session.clone());
        Caller::User { id, display_name: None, roles: Vec::new(), session }
    }

    /// Where the read models have what they know of it.
    pub fn keys(&self) -> [DocKey<'_>; 2] {
        [(sources::ACCOUNTS, SESSION, &self.session), (sources::ACCOUNTS, USER, &self.user)]
    }

    /// Whose it is, by what was read at [`keys`](Self::keys).
    pub fn caller(
        &self,
        service: &'static Descriptor,
        mut session: Option<Glimpse>,
        mut user: Option<Glimpse>,
    ) -> Result<Caller, Problem> {
        if let Some(position) = self.position.as_ref().filter(|_| session.is_none() || user.is_none()) {
            Cx::reach(service, position).map_err(|_| unknown())?;
            let mut seen = glance(&self.keys(), None, None)?.into_iter();
            (session, user) = (seen.next().flatten(), seen.next().flatten());
        }
        let session = session.map_or(Ok(None), |seen| seen.read::<Session>())?;
        let user = user.map_or(Ok(None), |seen| seen.read::<User>())?;
        let (Some(session), Some(user)) = (session, user) else { return Err(unknown()) };
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
    let Some(position) = said.map(str::trim).find(theirs) else { return };
    let is_known = (0..HEARS_MAX).any(|_| Cx::reach(service, position).is_ok_and(|has_come| has_come));
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
    Problem::unauthorized("This session is over, or never was. Sign in again.")
}

pub fn follow_user(event: &Recorded<UserEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    USERS.put(writer, &event.entity, &event.state()?)
}

pub fn follow_session(event: &Recorded<SessionEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    SESSIONS.put(writer, &event.entity, &event.state()?)
}
