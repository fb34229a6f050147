//! Documents of the kit's own in the bucket: values that are JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform::{self, Fault, Platform};

pub(crate) fn write(value: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|error| Fault::because("a value cannot be written", error))
}

/// `of` says what is read.
pub(crate) fn read<T: DeserializeOwned>(of: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::because(format!("the value of {of} cannot be read"), error))
}

pub(crate) fn load<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Fault> {
    platform::current().get(key)?.map(|bytes| read(key, &bytes)).transpose()
}

pub(crate) fn save(key: &str, value: &impl Serialize) -> Result<(), Fault> {
    platform::current().set(key, &write(value)?)
}
