//! Subjects of NATS: tokens, patterns with wildcards, and what JetStream writes in them. Nothing here is Trellis' own.

pub mod jetstream;
mod subject;

pub use subject::{
    Pattern, SUBJECT_LEN_MAX, SUBJECT_TOKENS_MAX, Subject, SubjectError, first_token, has_wildcard, matches,
};
