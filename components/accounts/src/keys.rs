//! Keys of organisations, by which programs call: an admin issues one for a time, and sees its token once. What others are told has a
//! hash of that alone, as of the token of a session.
//!
//! A key is no person. It is nobody's, so that it stays when the admin goes who issued it; and it is never an admin, so that whoever has
//! one makes no others and takes nobody's roles.

use std::time::Duration;

use trellis_kit::{Aggregate, Docs, Failure, Index, Recorded, Writer, id, text};

use crate::admin;
use crate::api::{Cx, IssuedKey, KeyPage, NewKey, PageRequest, Problem};
use crate::errors::AccountError;
use crate::first_admin::ADMIN;
use crate::service::{Accounts, NAME_MAX};
use crate::sources;
use crate::token;
use crate::trellis::accounts::events::ApiKeyEvent;
use crate::trellis::accounts::types::{ApiKey, ListedKey};

/// What the ids of keys begin with: no user has this one.
const FAMILY: &str = "key";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DAYS_MAX: u32 = 366;

const KEYS: Docs<ApiKey> = Docs::new(sources::ACCOUNTS, "api-key");
/// All keys, as they came.
const ALL: Index = Index::new(sources::ACCOUNTS, "api-keys");

/// Whoever had no answer ends the key that is listed since, and issues another: nobody sees a token twice.
pub fn issue(cx: &Cx, new: NewKey) -> Result<IssuedKey, Problem> {
    let name = text::one_line("name", &new.name, NAME_MAX)?;
    let roles = admin::checked(new.roles)?;
    if roles.iter().any(|role| role == ADMIN) {
        return Err(AccountError::AdminKey.into());
    }
    if !(1..=DAYS_MAX).contains(&new.days) {
        return Err(Problem::invalid("days", format!("Must be 1 to {DAYS_MAX}.")));
    }
    let id = format!("{FAMILY}-{}", id::unique());
    let secret = token::secret(&id);
    let issued = ApiKey {
        id: id.clone(),
        name,
        roles,
        key_hash: id::sha256(&secret),
        issued_at: cx.now(),
        ends_at: cx.later(DAY * new.days),
        ended: false,
        version: 1,
    };
    let key = cx.execute(&id, |known: Option<&ApiKey>| {
        Ok(known.is_none().then(|| ApiKeyEvent::Issued(issued.clone())))
    })?;
    Ok(IssuedKey { token: token::placed(cx, &secret), key: shown(key) })
}

/// Those that were not ended, newest first.
pub fn list(cx: &Cx, page: &PageRequest) -> Result<KeyPage, Problem> {
    let views = cx.views()?;
    let listed = ALL.list(&views, page)?;
    let keys = KEYS.get_many(&views, &listed.ids)?.into_iter();
    Ok(KeyPage { items: keys.filter(|key| !key.ended).map(shown).collect(), next: listed.next })
}

/// Ends one; again changes nothing.
pub fn end(cx: &Cx, id: &str) -> Result<(), Problem> {
    cx.update(id, |key: &ApiKey| Ok((!key.ended).then_some(ApiKeyEvent::Ended)))?;
    Ok(())
}

fn shown(key: ApiKey) -> ListedKey {
    let ApiKey { id, name, roles, issued_at, ends_at, .. } = key;
    ListedKey { id, name, roles, issued_at, ends_at }
}

/// Keeps the list.
pub fn follow(event: &Recorded<ApiKeyEvent>, writer: &Writer<'_>) -> Result<(), Failure> {
    KEYS.put(writer, &event.entity, &event.state()?)?;
    match event.data {
        ApiKeyEvent::Issued(_) => ALL.add(writer, &event.entity),
        ApiKeyEvent::Ended => Ok(()),
    }
}

impl Aggregate for ApiKey {
    type Service = Accounts;
    type Event = ApiKeyEvent;

    fn id(&self) -> &str {
        &self.id
    }

    fn evolve(before: Option<Self>, event: &ApiKeyEvent) -> Option<Self> {
        match (before, event) {
            (None, ApiKeyEvent::Issued(key)) => Some(key.clone()),
            (Some(before), ApiKeyEvent::Ended) => {
                Some(Self { ended: true, version: before.version + 1, ..before })
            }
            _ => None,
        }
    }
}
