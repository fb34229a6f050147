//! Who may do what: the rules in force, which an operator sets, or the config.

use std::rc::Rc;

use trellis_kit::{Cx, Failure, Glimpse, Problem, config, id, log};

use crate::api::{NewPolicy, Policy};
use crate::memo::Memo;
use crate::rules::{self, Rules};
use crate::settings::Settings;
use crate::trellis::gateway::events::PolicyEvent;
use crate::trellis::gateway::types::Rule;

/// There is one policy, with this id.
pub const ID: &str = "policy";
pub const DOC: &str = "policy";

/// Each route is for whom its service says.
pub fn built_in() -> Policy {
    let rules = vec![rules::as_declared()];
    Policy { id: ID.to_owned(), rules, set_by: None, set_at: None, configured: None, version: 0 }
}

/// The rules in force: those that were set last, or those of the config until they are, or those that are built in.
pub fn in_force(stored: Option<&Glimpse>, settings: &Settings) -> Result<Rc<Rules>, Problem> {
    thread_local!(static KNOWN: Memo<Option<Vec<u8>>, Rules> = const { Memo::new() });
    if let (None, Some(configured)) = (stored, &settings.rules) {
        return Ok(Rc::clone(configured));
    }
    let bytes = stored.map(|policy| policy.bytes().to_vec());
    KNOWN.with(|known| {
        known.get(bytes, |_| {
            let policy = stored.map_or(Ok(None), Glimpse::read::<Policy>)?;
            Ok(Rules::new(&policy.unwrap_or_else(built_in).rules))
        })
    })
}

/// Sets other rules. The same again changes nothing.
pub fn set(cx: &Cx, to: NewPolicy) -> Result<Policy, Problem> {
    rules::check(&to.rules, &Settings::load()?.keys)?;
    cx.execute(ID, |before: Option<&Policy>| {
        if before.is_some_and(|before| before.rules == to.rules) {
            return Ok(None);
        }
        Ok(Some(PolicyEvent::Set(Policy {
            set_by: cx.caller.clone(),
            set_at: Some(cx.now()),
            configured: before.and_then(|before| before.configured.clone()),
            ..next(before, to.rules.clone())
        })))
    })
}

/// Sets the rules of the config, if it says something else than it said last.
pub fn apply_config() -> Result<(), Failure> {
    let Some(text) = config::text(rules::CONFIG)? else { return Ok(()) };
    let rules = match rules::configured(&text, &Settings::load()?.keys) {
        Ok(rules) => rules,
        Err(why) => {
            log::error(&format!("{why}. The rules stay as they are"));
            return Ok(());
        }
    };
    let (cx, said) = (Cx::nobody(), Some(id::sha256(&text)));
    cx.execute(ID, |before: Option<&Policy>| {
        if before.is_some_and(|before| before.configured == said) {
            return Ok(None);
        }
        let next = next(before, rules.clone());
        Ok(Some(PolicyEvent::Set(Policy { set_at: Some(cx.now()), configured: said.clone(), ..next })))
    })?;
    Ok(())
}

fn next(before: Option<&Policy>, rules: Vec<Rule>) -> Policy {
    Policy { rules, version: before.map_or(1, |before| before.version + 1), ..built_in() }
}
