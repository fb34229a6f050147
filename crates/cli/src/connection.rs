//! Finding the running application that a command is about, and speaking with it over NATS.
//!
//! `trellis up` leaves the address of its NATS listener in the data directory, in a file that it keeps locked while
//! it runs. A file that a killed process has left is not locked, and is ignored.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use clap::Args;

use crate::failure::Failure;

/// Where NATS is, by convention.
pub(crate) const NATS_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4222);
const DATA: &str = "data";
const FILE: &str = "nats";
const FILE_NEW: &str = "nats.new";
/// The most that a request waits for its answer: longer than stopping a component takes.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Which application a command is about.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Where it serves NATS. By default it is found through its data directory
    #[arg(long, value_name = "ADDR")]
    nats: Option<SocketAddr>,
    /// Its data directory: `data` by default, and if nothing runs there, 127.0.0.1:4222 is tried
    #[arg(long, value_name = "DIR", conflicts_with = "nats")]
    data: Option<PathBuf>,
    /// A file with the credentials of a NATS user, where NATS asks who one is
    #[arg(long, value_name = "FILE", requires = "nats")]
    creds: Option<PathBuf>,
}

impl Connection {
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        let (address, remedy) = self.find()?;
        let mut options = ConnectOptions::new().request_timeout(Some(ANSWER_TIME_MAX));
        let is_lost = AtomicBool::new(false);
        options = options.event_callback(move |event| {
            tell(&is_lost, &event, address);
            async {}
        });
        if let Some(file) = &self.creds {
            options = options.credentials_file(file).await.map_err(|error| {
                Failure::new(format!("cannot read the credentials in {}: {error}", file.display()))
            })?;
        }
        options.connect(format!("nats://{address}")).await.map_err(|error| {
            Failure::new(format!("cannot reach an application: NATS on {address}: {error}; {remedy}"))
        })
    }

    /// The address, and what to do if nobody is there.
    fn find(&self) -> Result<(SocketAddr, String), Failure> {
        let elsewhere = "say where it runs with --data DIR or --nats ADDR";
        if let Some(address) = self.nats {
            return Ok((address, format!("start `trellis up --nats {address}`, or {elsewhere}")));
        }
        let directory = self.data.as_deref().unwrap_or(Path::new(DATA));
        let shown = directory.display();
        if let Some(address) = address_in(directory)? {
            return Ok((address, format!("`trellis up` runs on {shown} and does not answer")));
        }
        if self.data.is_some() {
            return Err(Failure::new(format!(
                "no application with NATS runs on the data directory {shown}; start `trellis up --data {shown}`, or {elsewhere}"
            )));
        }
        let remedy =
            format!("and none runs on the data directory {shown} here; start `trellis up`, or {elsewhere}");
        Ok((NATS_ADDRESS, remedy))
    }
}

/// The client goes on trying; whoever waits is to know what for.
fn tell(is_lost: &AtomicBool, event: &Event, address: SocketAddr) {
    match event {
        Event::Disconnected if !is_lost.swap(true, Ordering::Relaxed) => {
            eprintln!("trellis: NATS on {address} is gone; trying to reach it again");
        }
        Event::Connected if is_lost.swap(false, Ordering::Relaxed) => {
            eprintln!("trellis: NATS on {address} is there again");
        }
        _ => {}
    }
}

/// Runs one command against an application.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(command)
}

/// The address of the application that runs on a data directory.
fn address_in(directory: &Path) -> Result<Option<SocketAddr>, Failure> {
    let path = directory.join(FILE);
    let failed = |error: io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Whoever wrote it has ended.
        Ok(()) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let text = io::read_to_string(file).map_err(failed)?;
    let address = text.trim().parse().map_err(|_| {
        Failure::new(format!("{} has no address in it; say where NATS is with --nats ADDR", path.display()))
    })?;
    Ok(Some(address))
}

/// The file that says where the application is found. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Published {
    path: PathBuf,
    /// Its lock says that it is true.
    _file: File,
}

impl Published {
    /// Leaves `address` in a data directory that this process has opened.
    pub(crate) fn new(directory: &Path, address: SocketAddr) -> Result<Published, Failure> {
        let path = directory.join(FILE);
        let write = || {
            let new = directory.join(FILE_NEW);
            let mut file = File::create(&new)?;
            file.try_lock()?;
            writeln!(file, "{address}")?;
            // Whoever reads it sees all of it, and that it is locked.
            fs::rename(new, &path)?;
            Ok(file)
        };
        let file = write()
            .map_err(|error: io::Error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
        Ok(Published { path, _file: file })
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // What is left is known by its lock to be out of date.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_true_for_as_long_as_whoever_left_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let found = || address_in(dir.path()).unwrap();
        assert_eq!(found(), None);
        let published = Published::new(dir.path(), NATS_ADDRESS).unwrap();
        assert_eq!(found(), Some(NATS_ADDRESS));
        let path = dir.path().join(FILE);
        let left = fs::read(&path).unwrap();
        drop(published);
        assert_eq!((found(), path.exists()), (None, false));

        // As a process leaves it that is killed: there, and not locked.
        fs::write(&path, left).unwrap();
        assert_eq!(found(), None);
        let published = Published::new(dir.path(), NATS_ADDRESS).unwrap();
        assert_eq!(found(), Some(NATS_ADDRESS));
        drop(published);
        assert_eq!(address_in(&dir.path().join("nowhere")).unwrap(), None);
    }
}
