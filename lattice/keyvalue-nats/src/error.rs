//! What can go wrong with a call, said so that whoever reads it knows what to do.

use std::time::Duration;

use thiserror::Error;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Error)]
pub enum Error {
    #[error("component {component} has no key-value link called `{link}`")]
    NotLinked { component: String, link: String },
    #[error("the key-value link `{link}` of {component} was refused: {why}")]
    LinkRefused { component: String, link: String, why: String },
    #[error("a key has 1 to {max} bytes, this one has {len}")]
    KeyLength { len: usize, max: usize },
    #[error(
        "`{key}` is not a key: letters, digits and - / _ = . only, no dot at either end, and no two in a row"
    )]
    KeyCharacters { key: String },
    #[error("`{key}` says what this provider promises, and cannot be written")]
    KeyOfProvider { key: String },
    #[error("the value of `{key}` has {len} bytes, and this NATS server takes messages of at most {max}")]
    ValueTooLarge { key: String, len: usize, max: usize },
    #[error("a batch has at most {max} keys, this one has {len}")]
    BatchTooLarge { len: usize, max: usize },
    #[error(
        "there is no bucket `{bucket}`; create it, or set `enable_bucket_auto_create: \"true\"` on the link"
    )]
    NoBucket { bucket: String },
    #[error(
        "stream {stream} is there and is no bucket: it holds {found} and not {expected}; remove it, or give the link another \
         `bucket`"
    )]
    OtherStream { stream: String, found: String, expected: String },
    #[error(
        "NATS at {servers} has no JetStream: start it with `jetstream {{ }}` in its configuration, or `-js`"
    )]
    NoJetStream { servers: String },
    #[error("no answer within {} ms while trying to {doing}: {why}", limit.as_millis())]
    TimedOut { doing: String, limit: Duration, why: String },
    #[error(
        "NATS does not let the user of this link {doing}: {why}; a service may touch its own bucket only, so either the link \
         names another's, or the permissions are not those of this service"
    )]
    Denied { doing: String, why: String },
    #[error("the value of `{key}` is not a number: it was not made by increment")]
    NotANumber { key: String },
    #[error("the counter `{key}` would overflow")]
    Overflow { key: String },
    #[error("cannot {doing}: {why}")]
    Failed { doing: String, why: String },
}
