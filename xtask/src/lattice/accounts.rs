//! The accounts of the application on NATS: made by `deploy/accounts`, which knows the services.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use trellis_manifest::Manifest;

use crate::failure::Result;
use crate::files;
use crate::process;
use crate::step::Steps;
use crate::workspace::Workspace;

const FOLDER: &str = "accounts";

/// Who makes them.
#[derive(Clone, Debug)]
pub struct Accounts {
    program: PathBuf,
}

impl Accounts {
    /// Part of a server's configuration, beside which their folder is.
    pub const CONFIGURATION: &str = "include \"accounts/accounts.conf\"\n";

    pub fn ready(workspace: &Workspace, steps: &mut Steps) -> Result<Self> {
        Ok(Self { program: steps.run_long("accounts", || workspace.build("nats-accounts"))? })
    }

    /// Makes them in a folder, for this manifest, and returns the manifest with credentials in it.
    pub fn make(&self, folder: &Path, manifest: &Manifest) -> Result<Manifest> {
        let plain = folder.join("wadm.plain.yaml");
        files::write_if_changed(&plain, manifest.to_string().as_bytes())?;
        let made = folder.join(FOLDER);
        self.write(&plain, &made)?;
        super::manifest::read(&made.join("wadm.yaml"))
    }

    pub fn write(&self, manifest: &Path, into: &Path) -> Result<()> {
        let mut make = Command::new(&self.program);
        process::run(make.arg("--manifest").arg(manifest).arg("--folder").arg(into))
    }

    /// The credentials of those who are the lattice, in the folder of one.
    pub fn lattice(folder: &Path) -> PathBuf {
        folder.join(FOLDER).join("lattice.creds")
    }

    /// The credentials of whoever looks after the application.
    pub fn operator(folder: &Path) -> PathBuf {
        folder.join(FOLDER).join("operator.creds")
    }

    pub fn to_json(&self) -> Value {
        self.program.display().to_string().into()
    }

    pub fn from_json(noted: &Value) -> Option<Self> {
        Some(Self { program: noted.get("accounts")?.as_str()?.into() })
    }
}
