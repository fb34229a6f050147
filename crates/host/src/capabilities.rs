//! What a component can ask of the host. One file for each, all of one shape:
//!
//! * the `//!` says what it is and how a manifest gives it to a component;
//! * `generated` holds the bindings, private to the file;
//! * `…Ctx` is what the manifest and the environment decided, shared by all instances of a component;
//! * `View` is that, seen by one instance during one call; the host functions are implemented on it;
//! * `add_to_linker` makes it importable, given how to get a view of what an instance is kept in.
//!
//! Every host function that does something tells the [`Probe`](crate::observe::Probe) before and after.

pub(crate) mod clocks;
pub(crate) mod config;
pub(crate) mod http;
pub(crate) mod keyvalue;
pub(crate) mod logging;
pub(crate) mod messaging;
pub(crate) mod random;
pub(crate) mod secrets;

/// Everything that one component has been given.
pub(crate) struct Capabilities {
    pub(crate) clocks: clocks::ClocksCtx,
    pub(crate) config: config::ConfigCtx,
    pub(crate) http: http::HttpCtx,
    pub(crate) keyvalue: keyvalue::KeyValueCtx,
    pub(crate) logging: logging::LoggingCtx,
    pub(crate) messaging: messaging::MessagingCtx,
    pub(crate) random: random::RandomCtx,
    pub(crate) secrets: secrets::SecretsCtx,
}
