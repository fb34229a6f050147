//! What the operator sets for one service in particular.

pub use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::json;
use crate::platform::{self, Fault, Platform};

/// The value of a key, as it is; none if the key is not set.
///
/// No key at all is never meant: wadm takes the config away from a component that it replaces, and what instances did
/// without it would not be what the operator set.
pub fn text(key: &str) -> Result<Option<String>, Fault> {
    let settings = platform::current().settings()?;
    if settings.is_empty() {
        return Err(Fault::new(
            "the config is empty, as that of a component that is being replaced; if this goes on, deploy the \
             manifest again, with some `config` for this component",
        ));
    }
    Ok(settings.get(key).cloned())
}

/// The value of a key, which is JSON; none if the key is not set.
pub fn json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Fault> {
    text(key)?.map(|text| read(key, &text)).transpose()
}

/// The value of a key as JSON, read as strictly as the body of a request. What is wrong with it is the operator's to
/// know: callers are only told to come again.
pub fn read<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, Fault> {
    json::read(text.as_bytes()).map_err(|problem| {
        let errors = problem.errors.iter().map(|error| format!(" {}: {}", error.field, error.message));
        Fault::new(format!(
            "config {key}: {}{}",
            problem.detail.unwrap_or_default(),
            errors.collect::<String>()
        ))
    })
}

/// A secret, by the name that it has in the manifest of this component; none if the manifest has none of that name.
///
/// It prints as `[REDACTED]`. What is in it is had by [`ExposeSecret::expose_secret`], where it is used and not before.
pub fn secret(name: &str) -> Result<Option<SecretString>, Fault> {
    platform::current().secret(name)
}

#[cfg(test)]
mod tests {
    use super::{ExposeSecret, secret};
    use crate::platform::memory::Harm;
    use crate::testing::platform;

    #[test]
    fn a_secret_is_given_by_its_name_and_is_not_printed() {
        platform().give_secret("stripe", "sk_live_1");
        let found = secret("stripe").unwrap().unwrap();
        assert_eq!(found.expose_secret(), "sk_live_1");
        assert!(!format!("{found:?}").contains("sk_live_1"));
        assert!(secret("paypal").unwrap().is_none());
        platform().harm(0, Harm::NotDone);
        secret("stripe").unwrap_err();
    }
}
