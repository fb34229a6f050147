//! The application under test, on the host that the environment says.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::tempdir;
use trellis_manifest::Manifest;
use xtask::lattice::Secrets;

use crate::application::Application;
use crate::deployed::{Deployed, done};
use crate::embedded::Embedded;
use crate::manifest::{Setting, configured};

/// The folder of a lattice that runs: `cargo xtask test --lattice` starts it.
const LATTICE: &str = "TRELLIS_LATTICE";
/// The folder of a host of wasmCloud 2 that runs: `cargo xtask test --v2` starts it. Without either, each test starts the
/// embedded host.
const V2: &str = "TRELLIS_V2";

#[derive(Debug)]
pub struct Trellis(Host);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Embedded,
    Lattice,
    V2,
}

#[derive(Debug)]
enum Host {
    Embedded(Embedded),
    Lattice(Box<Deployed>),
    V2(Box<Deployed>),
}

/// Whether an instance of a component serves one call or many, which must make no difference.
#[derive(Clone, Copy, Debug)]
pub enum Reuse {
    Default,
    Never,
    Often,
}

impl Reuse {
    /// All that the host under test knows.
    pub fn all() -> &'static [Self] {
        if folder(LATTICE).or(folder(V2)).is_some() { &[Self::Default] } else { &[Self::Never, Self::Often] }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Never => &["--reuse", "1"],
            Self::Often => &["--reuse", "1000"],
        }
    }
}

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

impl Trellis {
    /// Starts the repository's application and returns once it answers. `data` is a folder of its own: what was written when
    /// it was started with the same one before is there again.
    #[track_caller]
    pub fn start(data: &Path) -> Self {
        Self::start_configured(data, &[])
    }

    /// The same, with services configured.
    #[track_caller]
    pub fn start_configured(data: &Path, settings: &[Setting<'_>]) -> Self {
        Self::start_reusing(data, settings, Reuse::Default)
    }

    #[track_caller]
    pub fn start_reusing(data: &Path, settings: &[Setting<'_>], reuse: Reuse) -> Self {
        Self::start_deploying(data, &configured(settings), reuse)
    }

    /// The same, with a manifest that has been made of a configured one.
    #[track_caller]
    pub fn start_on(data: &Path, manifest: &Manifest) -> Self {
        Self::start_deploying(data, manifest, Reuse::Default)
    }

    /// The same, where components have these secrets.
    #[track_caller]
    pub fn start_with_secrets(data: &Path, manifest: &Manifest, secrets: &Value) -> Self {
        if let Some(lattice) = folder(LATTICE) {
            let deployed = Deployed::on_lattice_with_secrets(&lattice, data, manifest, secrets);
            return Self(Host::Lattice(Box::new(deployed)));
        }
        assert_eq!(folder(V2), None, "on wasmCloud 2 nobody has a secret");
        let folder = tempdir().unwrap();
        let kept = Secrets::in_folder(folder.path());
        done(kept.write(secrets));
        Self(Host::Embedded(Embedded::start_on(
            data,
            manifest,
            &["--secrets", kept.file().to_str().unwrap()],
        )))
    }

    #[track_caller]
    fn start_deploying(data: &Path, manifest: &Manifest, reuse: Reuse) -> Self {
        if let Some(lattice) = folder(LATTICE) {
            return Self(Host::Lattice(Box::new(Deployed::on_lattice(&lattice, data, manifest))));
        }
        if let Some(v2) = folder(V2) {
            return Self(Host::V2(Box::new(Deployed::on_v2(&v2, data, manifest))));
        }
        Self(Host::Embedded(Embedded::start_on(data, manifest, reuse.arguments())))
    }

    /// Ends it as a power cut would, and starts it again on the same data, at the same address.
    #[track_caller]
    pub fn kill_and_start_again(self, data: &Path) -> Self {
        let (address, is_embedded) =
            (self.client().address().to_string(), self.runtime() == Runtime::Embedded);
        self.kill();
        if is_embedded {
            Embedded::start_configured_at(data, &address, &[]).into()
        } else {
            Self::start(data)
        }
    }

    /// What it runs on: how many messages a call of a component is depends on that.
    pub fn runtime(&self) -> Runtime {
        match self.0 {
            Host::Embedded(_) => Runtime::Embedded,
            Host::Lattice(_) => Runtime::Lattice,
            Host::V2(_) => Runtime::V2,
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(self) {
        match self.0 {
            Host::Embedded(embedded) => embedded.kill(),
            Host::Lattice(deployed) | Host::V2(deployed) => deployed.kill(),
        }
    }

    /// Asks it to stop and sees that it does, without complaint.
    #[track_caller]
    pub fn stop(self) {
        match self.0 {
            Host::Embedded(embedded) => embedded.stop(),
            Host::Lattice(deployed) | Host::V2(deployed) => deployed.stop(),
        }
    }

    /// Everything that it has printed.
    pub fn output(&self) -> String {
        match &self.0 {
            Host::Embedded(embedded) => embedded.output(),
            Host::Lattice(deployed) | Host::V2(deployed) => deployed.output(),
        }
    }
}

impl From<Embedded> for Trellis {
    fn from(embedded: Embedded) -> Self {
        Self(Host::Embedded(embedded))
    }
}

impl Deref for Trellis {
    type Target = Application;

    fn deref(&self) -> &Application {
        match &self.0 {
            Host::Embedded(embedded) => embedded,
            Host::Lattice(deployed) | Host::V2(deployed) => deployed,
        }
    }
}
