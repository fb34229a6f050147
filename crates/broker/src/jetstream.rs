//! The JetStream subset: streams and consumers on the store, spoken to through NATS requests.

mod answer;
mod api;
mod append;
mod config;
mod consumer;
mod consumer_api;
mod consumer_config;
mod date;
mod duration;
mod errors;
mod followed;
mod ids;
mod janitor;
mod json;
mod keeper;
mod keys;
mod message_api;
mod open;
mod records;
mod stream;
mod stream_api;
mod streams;
mod tally;

pub(crate) use answer::Answer;
pub(crate) use append::Entry;
pub(crate) use config::{COMPATIBLE_VERSION, SERVER_ID};
pub(crate) use followed::Followed;
pub(crate) use streams::JetStream;
