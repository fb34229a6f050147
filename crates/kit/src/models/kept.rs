//! Values in the bucket, each with what wrote it.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::platform::{self, Fault, Platform};

/// A value in the bucket, with what wrote it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept<T> {
    #[serde(rename = "g")]
    pub generation: u64,
    #[serde(rename = "s")]
    pub seq: u64,
    #[serde(rename = "v")]
    pub value: T,
}

pub(crate) fn load<T: DeserializeOwned>(key: &str, generation: u64) -> Result<Option<Kept<T>>, Fault> {
    let bytes = platform::current().get(key)?;
    bytes.map_or(Ok(None), |bytes| parse(key, &bytes, generation))
}

pub(crate) fn load_many<T: DeserializeOwned>(
    keys: &[String],
    generation: u64,
) -> Result<Vec<Option<Kept<T>>>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = platform::current().get_many(keys)?;
    let each = keys.iter().zip(found);
    each.map(|(key, bytes)| bytes.map_or(Ok(None), |bytes| parse(key, &bytes, generation))).collect()
}

/// With which events the values of these keys were written, whatever their shapes; none for what is not there.
pub(crate) fn sequences(keys: &[String], generation: u64) -> Result<Vec<Option<u64>>, Fault> {
    let found = load_many::<IgnoredAny>(keys, generation)?;
    Ok(found.into_iter().map(|kept| Some(kept?.seq)).collect())
}

/// What an older generation left in the same slot may have any shape, and is as good as absent.
pub(crate) fn parse<T: DeserializeOwned>(
    key: &str,
    bytes: &[u8],
    generation: u64,
) -> Result<Option<Kept<T>>, Fault> {
    let broken =
        |error: serde_json::Error| Fault::because(format!("the value of {key} cannot be read"), error);
    let of_this_generation = |found: u64| found == generation;
    match serde_json::from_slice::<Kept<T>>(bytes) {
        Ok(kept) => Ok(Some(kept).filter(|kept| of_this_generation(kept.generation))),
        Err(error) => {
            let shapeless: Kept<IgnoredAny> = serde_json::from_slice(bytes).map_err(broken)?;
            if of_this_generation(shapeless.generation) { Err(broken(error)) } else { Ok(None) }
        }
    }
}
