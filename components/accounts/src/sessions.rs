//! Sessions: somebody is signed in, somewhere, until it is ended, is not used for a week, or a month is over. Whoever shows the token is them, so the
//! log has a hash of it alone, which cannot be turned back: a token is made by chance, and long.

use std::time::Duration;

use trellis_kit::{Aggregate, Docs, Failure, Lists, Recorded, Writer, id};

use crate::api::{Cx, PageRequest, Problem, SessionPage, SignedIn};
use crate::service::Accounts;
use crate::sources;
use crate::token;
use crate::trellis::accounts::events::SessionEvent;
use crate::trellis::accounts::types::{ListedSession, Person, Session, Term, User};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a session lasts that is not used, and how long one that is.
const UNUSED: Duration = DAY.saturating_mul(7);
const LIFE: Duration = DAY.saturating_mul(30);

const SESSIONS: Docs<Session> = Docs::new(sources::ACCOUNTS, "session");
/// Those of each user.
const OF_USER: Lists = Lists::new(sources::ACCOUNTS, "sessions");

/// Opens one for a user whose credential was checked in this state. The gateway gives the token to browsers.
pub fn open(cx: &Cx, user: &User, since: u64) -> Result<SignedIn, Problem> {
    let id = format!("{}-{}", user.id, id::unique());
    let secret = token::secret(&id);
    let Term { ends_at, prolong_from } = term(cx, &cx.now());
    let session = Session {
        id: id.clone(),
        user: user.id.clone(),
        token_hash: id::sha256(&secret),
        since,
        opened_at: cx.now(),
        ends_at,
        prolong_from,
        ended: false,
        version: 1,
    };
    cx.execute(&id, |opened: Option<&Session>| {
        Ok(opened.is_none().then(|| SessionEvent::Opened(session.clone())))
    })?;
    let token = token::placed(cx, &secret);
    cx.tell_session(&token);
    Ok(SignedIn { current_user: person(user), token })
}

/// How long one lasts that was opened then and is used now. Its use is noted once a day, and not any more when it would last
/// longer than it may.
fn term(cx: &Cx, opened_at: &str) -> Term {
    let may_last_longer = opened_at >= cx.ago(LIFE - UNUSED - DAY).as_str();
    Term { ends_at: cx.later(UNUSED), prolong_from: may_last_longer.then(|| cx.later(DAY)) }
}

/// Notes that one is used, if that is due.
pub fn prolong(cx: &Cx, id: &str) -> Result<(), Problem> {
    let now = cx.now();
    cx.update(id, |session: &Session| {
        let is_due = session.prolong_from.as_ref().is_some_and(|at| *at <= now);
        let counts = !session.ended && now < session.ends_at;
        Ok((is_due && counts).then(|| SessionEvent::Prolonged(term(cx, &session.opened_at))))
    })?;
    Ok(())
}

/// Ends one; again changes nothing.
pub fn end(cx: &Cx, id: &str) -> Result<(), Problem> {
    cx.update(id, |session: &Session| Ok((!session.ended).then_some(SessionEvent::Ended)))?;
    Ok(())
}

/// A user, as they see themselves.
pub fn person(user: &User) -> Person {
    let User { id, display_name, roles, signed_up_at, .. } = user.clone();
    Person { id, display_name, roles, signed_up_at }
}

/// Those that count of whoever asks.
pub fn list(cx: &Cx, this: &str, page: &PageRequest) -> Result<SessionPage, Problem> {
    let user: User = cx.load(id::root(this))?;
    let views = cx.views()?;
    let listed = OF_USER.list(&views, &user.id, page)?;
    let now = cx.now();
    let sessions = SESSIONS.get_many(&views, &listed.ids)?.into_iter();
    let items = sessions.filter(|session| counts(session, &user) && now < session.ends_at).map(|session| {
        let Session { id, opened_at, ends_at, .. } = session;
        ListedSession { this: id == this, id, opened_at, ends_at }
    });
    Ok(SessionPage { items: items.collect(), next: listed.next })
}

fn counts(session: &Session, user: &User) -> bool {
    let is_kept = user.sessions.kept.as_ref() == Some(&session.id);
    !session.ended && (session.since >= user.sessions.since || is_kept)
}

/// Keeps the lists.
pub fn follow(event: &Recorded<SessionEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    let session: Session = event.state()?;
    SESSIONS.put(writer, &session.id, &session)?;
    match event.data {
        SessionEvent::Opened(_) => OF_USER.add(writer, &session.user, &session.id),
        SessionEvent::Ended | SessionEvent::Prolonged(_) => Ok(()),
    }
}

impl Aggregate for Session {
    type Service = Accounts;
    type Event = SessionEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &SessionEvent) -> Option<Self> {
        match (before, event) {
            (None, SessionEvent::Opened(session)) => Some(session.clone()),
            (Some(before), SessionEvent::Ended) => {
                Some(Self { ended: true, version: before.version + 1, ..before })
            }
            (Some(before), SessionEvent::Prolonged(Term { ends_at, prolong_from })) => {
                let (ends_at, prolong_from) = (ends_at.clone(), prolong_from.clone());
                Some(Self { ends_at, prolong_from, version: before.version + 1, ..before })
            }
            _ => None,
        }
    }
}
