//! What the operator sets for one service in particular.

use serde::de::DeserializeOwned;

use crate::http;
use crate::platform::{self, Fault, Platform};

/// The value of a key, which is JSON; none if the key is not set. It is read as strictly as the body of a request,
/// and what is wrong with it is the operator's to know: callers are only told to come again.
pub fn json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Fault> {
    let Some(text) = platform::current().config(key)? else { return Ok(None) };
    http::json(text.as_bytes()).map(Some).map_err(|problem| {
        let errors = problem.errors.iter().map(|error| format!(" {}: {}", error.field, error.message));
        Fault::new(format!(
            "config {key}: {}{}",
            problem.detail.unwrap_or_default(),
            errors.collect::<String>()
        ))
    })
}
