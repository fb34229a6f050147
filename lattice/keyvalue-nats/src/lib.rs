//! Key-value on NATS, as a wasmCloud capability provider: `wasi:keyvalue` (store, atomics, batch) kept in JetStream buckets.
//!
//! ```yaml
//! - type: link
//!   properties:
//!     namespace: wasi
//!     package: keyvalue
//!     interfaces: [store, atomics, batch]
//!     target:
//!       name: keyvalue
//!       config:
//!         - name: posts-bucket
//!           properties:
//!             bucket: posts
//!             enable_bucket_auto_create: "true"
//!             cluster_uri: nats://127.0.0.1:4222
//! ```
//!
//! | what | promise |
//! |---|---|
//! | read | what was written before is seen, by whomever, with replicas too |
//! | many keys read | one request to NATS, since 2.11; one to the leader for each key of a bucket with replicas |
//! | write | answered when JetStream has stored it |
//! | delete | leaves nothing behind: a bucket is as large as what it holds |
//! | `increment` | atomic, and goes on under contention for as long as the caller waits |
//! | `list-keys` | pages of a fixed size; a key that is there all the time is listed, and listed twice only if written meanwhile |
//! | batches | results in the order asked for; not atomic, and an error says that some may have been done |
//! | a link while NATS is down | is kept: calls fail with the reason until NATS is back, and then work |
//!
//! Start reading at [`provider`]; [`bucket`] is where JetStream is spoken to.

pub mod bucket;
pub mod connection;
mod direct;
pub mod error;
mod increment;
mod list;
pub mod patience;
pub mod provider;
pub mod settings;
mod turns;
