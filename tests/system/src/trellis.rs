//! The application under test, on the host that the environment says.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::application::Application;
use crate::deployed::Deployed;
use crate::embedded::Embedded;
use crate::manifest::{Setting, configured};

/// The folder of a lattice that runs: `cargo xtask test --lattice` starts it. Without it, each test starts the embedded host.
const LATTICE: &str = "TRELLIS_LATTICE";

#[derive(Debug)]
pub struct Trellis(Host);

#[derive(Debug)]
enum Host {
    Embedded(Embedded),
    Lattice(Box<Deployed>),
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
        if lattice().is_some() { &[Self::Default] } else { &[Self::Never, Self::Often] }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Never => &["--reuse", "1"],
            Self::Often => &["--reuse", "1000"],
        }
    }
}

fn lattice() -> Option<PathBuf> {
    std::env::var_os(LATTICE).map(PathBuf::from)
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
        Self(match lattice() {
            Some(lattice) => Host::Lattice(Box::new(Deployed::start(&lattice, data, &configured(settings)))),
            None => Host::Embedded(Embedded::start_configured(data, settings, reuse.arguments())),
        })
    }

    /// Whether it runs on a lattice, where every call of a component is some messages.
    pub fn is_on_a_lattice(&self) -> bool {
        matches!(self.0, Host::Lattice(_))
    }

    /// Ends it as a power cut would.
    pub fn kill(self) {
        match self.0 {
            Host::Embedded(embedded) => embedded.kill(),
            Host::Lattice(deployed) => deployed.kill(),
        }
    }

    /// Asks it to stop and sees that it does, without complaint.
    #[track_caller]
    pub fn stop(self) {
        match self.0 {
            Host::Embedded(embedded) => embedded.stop(),
            Host::Lattice(deployed) => deployed.stop(),
        }
    }

    /// Everything that it has printed.
    pub fn output(&self) -> String {
        match &self.0 {
            Host::Embedded(embedded) => embedded.output(),
            Host::Lattice(deployed) => deployed.output(),
        }
    }
}

impl Deref for Trellis {
    type Target = Application;

    fn deref(&self) -> &Application {
        match &self.0 {
            Host::Embedded(embedded) => embedded,
            Host::Lattice(deployed) => deployed,
        }
    }
}
