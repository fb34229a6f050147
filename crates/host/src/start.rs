//! Why something did not start.

use std::path::PathBuf;

use crate::manifest::ManifestError;

/// Why an application, or a component of it, did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{}: {reason}; build it again with `cargo xtask build`", file.display())]
    Component { file: PathBuf, reason: String },
    #[error("the engine does not start: {0}")]
    Engine(String),
    #[error(transparent)]
    Broker(#[from] trellis_broker::Error),
    #[error("{component} cannot subscribe to {subject}: {reason}")]
    Subscription { component: String, subject: String, reason: String },
}
