//! What the tests of a lattice share: one that is started for a test and ended with it, with the application on every host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod manifest;
mod read_models;

use std::fmt::Debug;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use system::{Application, Load, assert_each_is_there_once, assert_equal, repository, settled};
use xtask::lattice::{Accounts, Lattice, Plan, Tools};
use xtask::{Steps, Workspace};

pub use manifest::{on_every_host, with_instances};
pub use read_models::read_models;

/// So that a host that is gone is missed soon.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A lattice that ends with this.
#[derive(Debug)]
pub struct Running {
    lattice: Lattice,
    folder: PathBuf,
}

impl Running {
    /// Starts it with the application on every host; `name` is that of the test.
    #[track_caller]
    pub fn start(name: &str, hosts: u8, servers: u8) -> Self {
        Self::start_with(name, hosts, servers, None)
    }

    /// Starts it on one host, with services that may touch on NATS what is their own.
    #[track_caller]
    pub fn start_kept_apart(name: &str) -> Self {
        let accounts = Accounts::ready(&done(Workspace::read()), &mut Steps::start());
        Self::start_with(name, 1, 1, Some(done(accounts)))
    }

    /// The application by HTTP, and by its operator's credentials: NATS lets in who signs in.
    #[track_caller]
    pub fn application_kept_apart(&self) -> Application {
        let nats = self.lattice.nats().next().unwrap_or_default();
        let operator = Accounts::operator(&self.folder).display().to_string();
        let found_by = ["--nats", nats, "--creds", &operator];
        Application::new(self.lattice.http().parse().unwrap(), None, found_by)
    }

    #[track_caller]
    fn start_with(name: &str, hosts: u8, servers: u8, accounts: Option<Accounts>) -> Self {
        let root = repository();
        let folder = root.join("build").join(format!("lattice-test-{name}"));
        // One that was interrupted has left it.
        done(Lattice::down(&folder));
        let manifest = on_every_host(&system::configured(&[]));
        let plan = Plan {
            folder: folder.clone(),
            root,
            manifest,
            hosts,
            servers,
            as_in_manifest: false,
            heartbeat: HEARTBEAT,
            accounts,
        };
        let tools = done(Tools::built(&plan.root));
        Self { lattice: done(Lattice::up(plan, tools, &mut Steps::start())), folder }
    }

    /// The application by way of the first NATS server that is there.
    #[track_caller]
    pub fn application(&self) -> Application {
        let nats = self.lattice.nats().map(|address| address.parse().unwrap());
        let there = nats.into_iter().find(|address| std::net::TcpStream::connect(address).is_ok());
        let nats = there.expect("a NATS server is there");
        Application::new(self.lattice.http().parse().unwrap(), Some(nats), ["--nats", &nats.to_string()])
    }

    /// Lets something happen under load. Afterwards, what was answered is there once, and read models are those that are
    /// built anew.
    #[track_caller]
    pub fn under_load(&mut self, happening: impl FnOnce(&mut Lattice)) {
        let load = Load::start(&self.application(), 1);
        happening(&mut self.lattice);
        let written = load.finish();
        eprintln!("{written}");
        assert!(written.titles.len() > 10, "there was load");
        let application = self.application();
        let services = settled(&application);
        assert_each_is_there_once(&application, &written);
        let live = read_models(&application, &services);
        for service in &services {
            application.run(&["replay", service]);
        }
        settled(&application);
        assert_equal(&live, &read_models(&application, &services));
    }
}

impl Deref for Running {
    type Target = Lattice;

    fn deref(&self) -> &Lattice {
        &self.lattice
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Lattice {
        &mut self.lattice
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = Lattice::down(&self.folder);
        if std::thread::panicking() {
            eprintln!("the logs are in {} ({ended:?})", self.folder.display());
        } else {
            done(ended);
        }
    }
}

/// What has to succeed.
#[track_caller]
pub fn done<T>(result: Result<T, xtask::Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}
