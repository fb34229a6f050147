//! What a manifest asks for, and what can be wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    pub name: String,
    pub file: PathBuf,
    pub components: Vec<ComponentPlan>,
    pub http: Vec<HttpPlan>,
}

/// One component, and what it is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentPlan {
    pub name: String,
    /// The line that names the image.
    pub line: usize,
    pub wasm: PathBuf,
    /// How many calls may run at once; `None` when the manifest does not say.
    pub instances: Option<usize>,
    pub config: BTreeMap<String, String>,
    pub secrets: Vec<SecretPlan>,
    /// The bucket behind each key-value link, by the link's name.
    pub buckets: BTreeMap<String, String>,
    /// `package/interface` of each link to a capability, such as `wasi:keyvalue/store`.
    pub imports: Vec<String>,
    pub subscriptions: Vec<SubscriptionPlan>,
}

/// A secret that a component asks for by its name, and whoever keeps secrets knows by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlan {
    pub line: usize,
    pub name: String,
    pub key: String,
}

/// A subject on which a component is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPlan {
    pub line: usize,
    pub subject: String,
    pub queue: Option<String>,
}

/// An address on which a component answers HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPlan {
    pub line: usize,
    pub component: String,
    pub address: SocketAddr,
}

/// What is wrong with a manifest.
#[derive(Clone, Debug)]
pub struct ManifestError {
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    pub line: Option<usize>,
    pub what: String,
    pub remedy: String,
}

impl From<trellis_manifest::Problem> for Problem {
    fn from(trellis_manifest::Problem { line, what, remedy }: trellis_manifest::Problem) -> Problem {
        Problem { line: Some(line), what, remedy }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { line, what, remedy }) in self.problems.iter().enumerate() {
            let end = if i + 1 < self.problems.len() { "\n" } else { "" };
            match line {
                Some(line) => write!(f, "{}:{line}: {what}; {remedy}{end}", self.file.display())?,
                None => write!(f, "{}: {what}; {remedy}{end}", self.file.display())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}
