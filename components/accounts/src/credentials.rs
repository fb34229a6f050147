//! What only this service may read: by which password somebody is known, and whose an email is.
//!
//! An email is known by a hash of it and of a key that chance made, which is here, too: so a list of emails says nothing about
//! who is known here, and the first event of a credential is what makes an email somebody's.

use trellis_kit::{Aggregate, Cx, Event, Problem, Wire, id};

use crate::emails;
use crate::service::Accounts;

/// By what a user is known. Its id is the hash of the email.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Credential {
    pub id: String,
    pub user: String,
    /// As the user wanted to be called at first.
    pub display_name: Option<String>,
    /// The hash of the password, as a PHC string.
    pub password: String,
    /// The version at which all sessions were ended last, and the one that was kept.
    pub since: u64,
    pub kept: Option<String>,
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum CredentialEvent {
    Made(Credential),
    PasswordSet(NewHash),
    /// The same password, hashed as it is done today.
    Rehashed(String),
    /// All sessions but one are over.
    SessionsEnded(Kept),
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct NewHash {
    pub password: String,
    pub kept: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Kept {
    pub session: Option<String>,
}

/// Which credential is a user's. Its id is that of the user.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Owner {
    pub id: String,
    pub credential: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum OwnerEvent {
    Noted(Owner),
}

/// The key with which emails are hashed. There is one.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct EmailKey {
    pub id: String,
    pub key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub enum EmailKeyEvent {
    Made(EmailKey),
}

const THE_KEY: &str = "email-key";

/// By what the credential is known that belongs to an email.
pub fn id_of(cx: &Cx, field: &str, email: &str) -> Result<String, Problem> {
    let email = emails::normal(field, email)?;
    // Whoever comes first makes it; all others find it.
    let key = cx.execute(THE_KEY, |key: Option<&EmailKey>| {
        let made = || EmailKeyEvent::Made(EmailKey { id: THE_KEY.to_owned(), key: id::secret() });
        Ok(key.is_none().then(made))
    })?;
    Ok(id::derived(&[b"email", key.key.as_bytes(), email.as_bytes()]))
}

impl Event for CredentialEvent {
    const OF: &str = "credential";
}

impl Event for OwnerEvent {
    const OF: &str = "owner";
}

impl Event for EmailKeyEvent {
    const OF: &str = "email-key";
}

impl Aggregate for Credential {
    type Service = Accounts;
    type Event = CredentialEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &CredentialEvent) -> Option<Self> {
        let version = before.as_ref().map_or(0, |before| before.version) + 1;
        match (before, event) {
            (None, CredentialEvent::Made(credential)) => Some(credential.clone()),
            (Some(before), CredentialEvent::PasswordSet(NewHash { password, kept })) => {
                let (password, kept) = (password.clone(), kept.clone());
                Some(Self { password, kept, since: version, version, ..before })
            }
            (Some(before), CredentialEvent::Rehashed(password)) => {
                Some(Self { password: password.clone(), version, ..before })
            }
            (Some(before), CredentialEvent::SessionsEnded(kept)) => {
                Some(Self { kept: kept.session.clone(), since: version, version, ..before })
            }
            _ => None,
        }
    }
}

impl Aggregate for Owner {
    type Service = Accounts;
    type Event = OwnerEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &OwnerEvent) -> Option<Self> {
        let OwnerEvent::Noted(owner) = event;
        before.is_none().then(|| owner.clone())
    }
}

impl Aggregate for EmailKey {
    type Service = Accounts;
    type Event = EmailKeyEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &EmailKeyEvent) -> Option<Self> {
        let EmailKeyEvent::Made(key) = event;
        before.is_none().then(|| key.clone())
    }
}
