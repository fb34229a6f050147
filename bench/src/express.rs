//! The processes of the blog and of the market as one would write them with Express: nothing durable, and a client that knows every
//! address.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::machine;
use crate::server::Server;

/// In the order in which they start: all the others talk to the bus.
const BLOG: [&str; 5] = ["bus", "posts", "comments", "moderation", "query"];
const MARKET: [&str; 4] = ["bus", "tickets", "orders", "payments"];

#[derive(Debug)]
pub struct Express {
    names: &'static [&'static str],
    /// In the same order.
    processes: Vec<Server>,
    /// From the start of the first to the last one's answer.
    pub up_in: Duration,
}

impl Express {
    pub fn blog(folder: &Path) -> Result<Self> {
        Self::start(folder, &BLOG)
    }

    pub fn market(folder: &Path) -> Result<Self> {
        Self::start(folder, &MARKET)
    }

    fn start(folder: &Path, names: &'static [&'static str]) -> Result<Self> {
        let addresses = names.iter().map(|name| free_address().map(|address| (variable(name), address)));
        let addresses: Vec<_> = addresses.collect::<Result<_>>()?;
        let started = Instant::now();
        let processes = names.iter().map(|name| {
            let mut node = Command::new("node");
            node.arg(folder.join(format!("{name}.js"))).envs(addresses.iter().cloned());
            Server::start(node)
        });
        Ok(Self { names, processes: processes.collect::<Result<_>>()?, up_in: started.elapsed() })
    }

    pub fn address(&self, name: &str) -> Result<&str> {
        let position = self.names.iter().position(|known| *known == name);
        let process = position.and_then(|position| self.processes.get(position));
        Ok(&process.with_context(|| format!("there is no process {name}"))?.address)
    }

    pub fn resident_mib(&self) -> Result<f64> {
        self.processes.iter().map(|process| machine::resident_mib(process.pid())).sum()
    }
}

fn variable(process: &str) -> String {
    format!("{}_ADDRESS", process.to_uppercase())
}

/// An address of this machine at which nobody listens.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
