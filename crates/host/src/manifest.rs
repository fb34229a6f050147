//! `wadm.yaml`: read with the published wadm types, checked against what this host serves, and turned into an
//! [`Application`], which holds decisions only.
//!
//! Every problem is reported with the line it stands on, and all of them at once. Nothing is skipped silently: what this host
//! cannot honour is a problem, except for settings that say how to reach NATS, which in one process is not needed.

mod check;
mod links;
mod plan;

use std::path::Path;

use crate::files;

pub use plan::{Application, ComponentPlan, HttpPlan, ManifestError, Problem, SecretPlan, SubscriptionPlan};

/// The longest manifest. That of the whole application here has a fiftieth of it.
const BYTES_MAX: u64 = 1 << 20;

impl Application {
    pub fn read(file: &Path) -> Result<Application, ManifestError> {
        let problem = |what: String, remedy: &str| ManifestError {
            file: file.to_owned(),
            problems: vec![Problem { line: None, what, remedy: remedy.to_owned() }],
        };
        let bytes = files::read(file, BYTES_MAX).map_err(|error| {
            problem(format!("cannot be read: {error}"), "name the manifest: `trellis up path/to/wadm.yaml`")
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| problem(format!("is not text: {error}"), "save it as UTF-8"))?;
        Application::parse(file, &text)
    }

    /// Reads `text` as the contents of `file`. Component images are looked for beside it.
    pub fn parse(file: &Path, text: &str) -> Result<Application, ManifestError> {
        let mut problems = Vec::new();
        let application = check::begin(file, text, &mut problems).map(|(mut checking, mut application)| {
            links::connect(&mut checking, &mut application);
            application
        });
        problems.sort_by_key(|problem| problem.line);
        match application {
            Some(application) if problems.is_empty() => Ok(application),
            _ => Err(ManifestError { file: file.to_owned(), problems }),
        }
    }
}
