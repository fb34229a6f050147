//! An application that runs to be measured: in one process, or on a lattice.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use trellis_manifest::Manifest;
use xtask::lattice::{Lattice, Plan, Tools};
use xtask::{Steps, Workspace};

use crate::express::free_address;
use crate::follow::SEEN_WITHIN;
use crate::http::{create_post, feed, first_id, get};
use crate::load::{self, Connection, Until};
use crate::server::Server;
use crate::{manifest, processors};

pub const SIDES: usize = 4;
const FEW: u64 = 10;

/// An application that runs.
pub struct Side {
    pub name: &'static str,
    pub gateway: String,
    /// Where the component that says hello answers.
    pub hello: String,
    pub nats: String,
    /// The processes that were started for it; what they started is in their groups.
    pub leaders: Vec<u32>,
    /// Ends the processes when it is dropped.
    _processes: Box<dyn Any>,
}

/// Where the sides are started.
pub struct Ground<'a> {
    pub trellis: &'a Path,
    pub folder: PathBuf,
}

impl Ground<'_> {
    pub fn embedded(&self, manifest: &Manifest) -> Result<Side> {
        std::fs::create_dir_all(&self.folder)?;
        let folder = tempfile::tempdir_in(&self.folder)?;
        let (gateway, hello, nats) = (free_address()?, free_address()?, free_address()?);
        let file = folder.path().join("wadm.yaml");
        manifest::write(&file, &manifest::embedded(manifest::with_hello(manifest, &hello)?, &gateway)?)?;
        let mut command = Command::new(self.trellis);
        command.arg("up").arg(&file).arg("--data").arg(folder.path().join("data")).args(["--nats", &nats]);
        command.env("RUST_LOG", "warn");
        let server = Server::start(command)?;
        let leaders = vec![server.pid()];
        Ok(Side {
            name: "one process",
            gateway,
            hello,
            nats,
            leaders,
            _processes: Box::new((server, folder)),
        })
    }

    pub fn lattice(&self, name: &'static str, hosts: u8, manifest: &Manifest) -> Result<Side> {
        let folder = self.folder.join(name.replace(", ", "-").replace(' ', "-"));
        // One that was interrupted has left it.
        Lattice::down(&folder)?;
        let hello = free_address()?;
        let workspace = Workspace::read()?;
        let plan = Plan {
            folder: folder.clone(),
            manifest: manifest::with_hello(manifest, &hello)?,
            hosts,
            as_in_manifest: false,
            ..Plan::of(&workspace, name)?
        };
        let tools = Tools::built(&plan.root)?;
        let mut lattice = Lattice::up(plan, tools, &mut Steps::start())?;
        let leaders =
            lattice.processes().iter().filter_map(|process| process.pid().try_into().ok()).collect();
        let nats = lattice.nats().next().unwrap_or_default().to_owned();
        let gateway = lattice.http().to_owned();
        Ok(Side { name, gateway, hello, nats, leaders, _processes: Box::new(Running(folder)) })
    }
}

/// A lattice that ends with this.
struct Running(PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(failure) = Lattice::down(&self.0) {
            eprintln!("{failure}");
        }
    }
}

impl Side {
    /// The memory of all its processes, in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        processors::resident_mib(&self.leaders)
    }

    /// Until everybody answers who is asked here: the gateway hears of a service a moment after the registry.
    pub fn wait_until_it_works(&self) -> Result<()> {
        load::block_on(async {
            self.wait_for(&self.hello, 200, &get("/")).await?;
            self.wait_for(&self.gateway, 200, &feed(0)).await?;
            let post = first_id(&self.wait_for(&self.gateway, 201, &create_post(0)).await?)?;
            self.wait_for(&self.gateway, 200, &get(&format!("/posts/{post}/comments"))).await.map(drop)
        })?;
        load::run(&self.gateway, 1, Until::Requests(FEW), 201, create_post).context(self.name).map(drop)
    }

    pub async fn wait_for(&self, address: &str, status: u16, request: &[u8]) -> Result<Vec<u8>> {
        answered(address, status, request).await.context(self.name)
    }
}

/// Asks until the answer has that status.
pub async fn answered(address: &str, status: u16, request: &[u8]) -> Result<Vec<u8>> {
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        match once(address, status, request).await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => return answer,
        }
    }
}

async fn once(address: &str, status: u16, request: &[u8]) -> Result<Vec<u8>> {
    Ok(Connection::open(address).await?.expect(status, request).await?.to_owned())
}
