//! What the tests of a lattice share: one that is started for a test and ended with it, with the application on every host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod late;
mod manifest;
mod read_models;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use system::{
    Application, Load, Request, assert_each_is_there_once, assert_equal, done, repository, settled_within,
};
use trellis_manifest::Manifest;
use xtask::lattice::{Accounts, Lattice, Plan, Tools};
use xtask::{Steps, Workspace};

pub use late::LateWrites;
pub use manifest::{
    on_every_host, only, updated, with_buckets_by_way_of, with_instances, with_second_gateway,
};
pub use read_models::read_models;

/// How long load goes on before and after what happens.
const A_WHILE: Duration = Duration::from_secs(5);

pub fn for_a_while() {
    std::thread::sleep(A_WHILE);
}

/// How long services may take to catch up: an event whose write had no answer is put off for half a minute. The events of one post,
/// of which there may be two thousand, are handled one after the other.
const CATCHES_UP: Duration = Duration::from_secs(300);

/// So that a host that is gone is missed soon.
const HEARTBEAT: Duration = Duration::from_secs(5);

fn folder_of(name: &str) -> PathBuf {
    repository().join("build").join(format!("lattice-test-{name}"))
}

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
        Self::start_with(name, hosts, servers, on_every_host(&system::configured(&[])))
    }

    /// Starts it on one host, with services that may touch on NATS what is their own.
    #[track_caller]
    pub fn start_kept_apart(name: &str) -> Self {
        let accounts = Accounts::ready(&done(Workspace::read()), &mut Steps::start());
        Self::start_in(name, 1, 1, on_every_host(&system::configured(&[])), Some(done(accounts)))
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
    pub fn start_with(name: &str, hosts: u8, servers: u8, manifest: Manifest) -> Self {
        Self::start_in(name, hosts, servers, manifest, None)
    }

    #[track_caller]
    fn start_in(name: &str, hosts: u8, servers: u8, manifest: Manifest, accounts: Option<Accounts>) -> Self {
        let (root, folder) = (repository(), folder_of(name));
        // One that was interrupted has left it.
        done(Lattice::down(&folder));
        let plan = Plan {
            folder: folder.clone(),
            root,
            manifest,
            hosts,
            servers,
            as_in_manifest: false,
            heartbeat: HEARTBEAT,
            accounts,
            secrets: None,
        };
        let tools = done(Tools::built(&plan.root));
        Self { lattice: done(Lattice::up(plan, tools, &mut Steps::start())), folder }
    }

    /// Where the first NATS server of a lattice listens that is being started.
    #[track_caller]
    pub fn server_of(name: &str) -> SocketAddr {
        let lattice = done(Lattice::attach(&folder_of(name), done(Tools::built(&repository()))));
        lattice.nats().next().unwrap().parse().unwrap()
    }

    /// The application by way of the first NATS server that is there.
    #[track_caller]
    pub fn application(&self) -> Application {
        let nats = self.lattice.nats().map(|address| address.parse().unwrap());
        let there = nats.into_iter().find(|address| std::net::TcpStream::connect(address).is_ok());
        let nats = there.expect("a NATS server is there");
        Application::new(self.lattice.http().parse().unwrap(), Some(nats), ["--nats", &nats.to_string()])
    }

    /// What is written is answered, and known the next time.
    #[track_caller]
    pub fn assert_works(&self, what: &str) {
        let application = self.application();
        let post = Request::post("/posts", r#"{"title": "It works"}"#).header("idempotency-key", what);
        let [first, again] = [&post, &post].map(|request| application.send(request));
        assert_eq!((first.status, again.status), (201, 201), "{what}: {first:?} {again:?}");
        assert_eq!(first.json()["id"], again.json()["id"], "{what}");
        eprintln!("{what}: it works");
    }

    /// Lets something happen under load. Afterwards, what was answered is there once, and read models are those that are
    /// built anew.
    #[track_caller]
    pub fn under_load(&mut self, happening: impl FnOnce(&mut Lattice)) {
        self.under(Load::start(&self.application(), 1), happening);
    }

    /// The same, under this load.
    #[track_caller]
    pub fn under(&mut self, load: Load, happening: impl FnOnce(&mut Lattice)) {
        happening(&mut self.lattice);
        let written = load.finish();
        eprintln!("{written}");
        assert!(written.titles.len() + written.comments.len() > 10, "there was load");
        let application = self.application();
        let services = settled_within(CATCHES_UP, &application);
        assert_each_is_there_once(&application, &written);
        let live = read_models(&application, &services);
        for service in &services {
            application.run(&["replay", service]);
        }
        settled_within(CATCHES_UP, &application);
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
