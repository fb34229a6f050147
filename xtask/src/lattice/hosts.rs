//! What hosts of wasmCloud 1 and of wasmCloud 2 have in common, for tests that run on either.

use std::fmt::Debug;

use trellis_manifest::Manifest;

use super::processes::Processes;
use super::running::Lattice;
use crate::failure::Result;

/// Hosts on which the application runs.
pub trait Hosts: Debug + Send + Sync {
    /// Where the application answers.
    fn http(&self) -> &str;
    /// Where a NATS server takes clients.
    fn nats(&self) -> &str;
    /// The names of all hosts that were ever started: `host-1` …
    fn names(&self) -> Vec<String>;
    fn is_running(&self, name: &str) -> bool;
    /// What a process has said so far.
    fn log(&self, name: &str) -> String;
    /// What is started, stopped and killed by name.
    fn processes(&mut self) -> &mut Processes;
    /// Starts a host again that has ended. What ran on it is there once it is deployed again.
    fn start_again(&mut self, host: &str) -> Result<()>;
    /// Whether this manifest asks for something else than what runs.
    fn is_other(&self, manifest: &Manifest) -> Result<bool>;
    /// Has another manifest of the same application run in place of what runs, and returns when that answers.
    fn deploy(&mut self, manifest: &Manifest) -> Result<()>;
    /// Until the application answers.
    fn wait_for_answer(&self) -> Result<()>;
}

impl Hosts for Lattice {
    fn http(&self) -> &str {
        self.http()
    }

    fn nats(&self) -> &str {
        self.nats().next().unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        self.hosts().map(str::to_owned).collect()
    }

    fn is_running(&self, name: &str) -> bool {
        self.is_running(name)
    }

    fn log(&self, name: &str) -> String {
        self.log(name)
    }

    fn processes(&mut self) -> &mut Processes {
        self.processes()
    }

    fn start_again(&mut self, host: &str) -> Result<()> {
        self.start_host_again(host)
    }

    fn is_other(&self, manifest: &Manifest) -> Result<bool> {
        self.is_other(manifest)
    }

    fn deploy(&mut self, manifest: &Manifest) -> Result<()> {
        self.deploy(manifest)
    }

    fn wait_for_answer(&self) -> Result<()> {
        self.wait_for_answer()
    }
}
