//! Who calls, and what the call belongs to: what [`Context`] of the contract can be asked.

use std::time::Duration;

use crate::contract::types::Context;
use crate::instant;
use crate::platform::{self, Platform};
use crate::problem::Problem;
use crate::time::millis;
use crate::trace::Trace;

/// The role of those who run the application.
pub const OPERATOR: &str = "operator";

impl Context {
    /// The time of this call, for an event to remember.
    pub fn now(&self) -> String {
        instant::rfc3339(platform::current().now_ms())
    }

    /// The same in seconds since 1970, as servers outside write it.
    pub fn seconds(&self) -> u64 {
        platform::current().now_ms() / 1000
    }

    /// A time before this call, written in the same way: of two such texts the lesser is the earlier.
    pub fn ago(&self, time: Duration) -> String {
        instant::rfc3339(platform::current().now_ms().saturating_sub(millis(time)))
    }

    /// A time after this call.
    pub fn later(&self, time: Duration) -> String {
        instant::rfc3339(platform::current().now_ms().saturating_add(millis(time)))
    }

    /// For what a service does of itself, when nobody calls.
    pub fn nobody() -> Self {
        Self {
            caller: None,
            name: None,
            roles: Vec::new(),
            session: None,
            address: None,
            idempotency_key: None,
            traceparent: None,
            causation: None,
        }
    }

    pub(crate) fn trace(&self) -> Trace {
        Trace::accept(self.traceparent.as_deref())
    }

    /// Goes on only for callers who are trusted with a role.
    pub fn require(&self, role: &str) -> Result<(), Problem> {
        if self.has(role) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("This needs the role {role}.")))
    }

    pub fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held == role)
    }
}
