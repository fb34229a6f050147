//! NATS servers: one, or several that are a cluster.

use std::iter::Chain;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http;
use super::processes::Processes;
use crate::failure::{Failure, Result};
use crate::files;

/// Ports for what may choose. Not among those that the system gives to connections, which would be in the way when a server
/// that was killed comes back.
const PORTS: Range<u16> = 20_000..30_000;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Where one of them listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub client: String,
    pub monitor: String,
    pub cluster: String,
}

/// The first is at the address that is wanted, if one is and it is free.
pub fn plan(count: u8, mut wanted: Option<String>, free: &mut Free) -> Result<Vec<Server>> {
    (1..=count)
        .map(|number| {
            Ok(Server {
                name: format!("nats-{number}"),
                client: free.or(wanted.take())?,
                monitor: free.next()?,
                cluster: free.next()?,
            })
        })
        .collect()
}

/// Until each of them serves.
pub fn wait_for(servers: &[Server], processes: &Processes) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for server in servers {
        while !server.is_ready() {
            if Instant::now() >= deadline || !processes.is_running(&server.name) {
                let Server { name, client, .. } = server;
                return Err(Failure::new(format!("{name}, a NATS server, does not serve at {client}")));
            }
            std::thread::sleep(POLL);
        }
    }
    Ok(())
}

impl Server {
    /// Writes its configuration, and gives the arguments that it is started with.
    /// `more` is what it has besides.
    pub fn configure(&self, all: &[Self], folder: &Path, more: &str) -> Result<Vec<String>> {
        let Self { name, client, monitor, cluster } = self;
        let mut text = format!(
            "# Written by `cargo xtask lattice up`.\n\
             server_name: {name}\n\
             listen: \"{client}\"\n\
             http: \"{monitor}\"\n\
             # An append is answered when it is on disk.\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always }}\n\
             {more}",
            folder.join(name).display()
        );
        if all.len() > 1 {
            let routes: Vec<String> =
                all.iter().map(|server| format!("\"nats://{}\"", server.cluster)).collect();
            text += &format!(
                "cluster {{ name: trellis, listen: \"{cluster}\", routes: [{}] }}\n",
                routes.join(", ")
            );
        }
        let file = folder.join(format!("{name}.conf"));
        files::write_if_changed(&file, text.as_bytes())?;
        Ok(vec!["--config".to_owned(), file.display().to_string()])
    }

    pub fn to_json(&self) -> Value {
        let Self { name, client, monitor, cluster } = self;
        json!({ "name": name, "client": client, "monitor": monitor, "cluster": cluster })
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            name: text("name")?,
            client: text("client")?,
            monitor: text("monitor")?,
            cluster: text("cluster")?,
        })
    }

    /// Whether clients are served and JetStream, which in a cluster needs a leader, is ready.
    pub fn is_ready(&self) -> bool {
        TcpStream::connect(&self.client).is_ok()
            && http::get(&self.monitor, "/healthz").is_some_and(|(status, _)| status == 200)
    }

    /// The subjects that anybody is subscribed to by way of this server.
    pub fn subscriptions(&self) -> Vec<String> {
        let connections = http::get_json(&self.monitor, "/connz?subs=1&limit=1024").unwrap_or_default();
        let lists = connections.get("connections").and_then(Value::as_array).into_iter().flatten();
        let subjects =
            lists.filter_map(|connection| connection.get("subscriptions_list")?.as_array()).flatten();
        subjects.filter_map(|subject| subject.as_str().map(str::to_owned)).collect()
    }
}

/// Addresses at which nobody listens, each given once.
pub struct Free(Chain<Range<u16>, Range<u16>>);

impl Free {
    /// Begins somewhere else in each process: two that look at the same time do not find the same.
    pub fn new() -> Self {
        let width = PORTS.end - PORTS.start;
        let begin = u16::try_from(std::process::id() % u32::from(width) * 37 % u32::from(width));
        Self::from(PORTS.start + begin.unwrap_or_default())
    }

    fn from(begin: u16) -> Self {
        Self((begin..PORTS.end).chain(PORTS.start..begin))
    }

    pub fn next(&mut self) -> Result<String> {
        let mut addresses = self.0.by_ref().map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST));
        let address = addresses.find(|address| is_free(address));
        address.ok_or_else(|| Failure::new("no port is free on 127.0.0.1"))
    }

    /// What is wanted, unless somebody listens there.
    pub fn or(&mut self, wanted: Option<String>) -> Result<String> {
        match wanted {
            None => self.next(),
            Some(wanted) if is_free(&wanted) => Ok(wanted),
            Some(wanted) => {
                let other = self.next()?;
                eprintln!("xtask: {wanted} is taken; this lattice uses {other}");
                Ok(other)
            }
        }
    }
}

fn is_free(address: &str) -> bool {
    TcpListener::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_replaced_and_none_is_given_twice() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let servers = plan(3, Some(address.clone()), &mut Free::new()).unwrap();
        let mut all: Vec<&str> =
            servers.iter().flat_map(|server| [&*server.client, &*server.monitor, &*server.cluster]).collect();
        assert!(!all.contains(&address.as_str()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);

        let wanted = all[0].to_owned();
        assert_eq!(plan(1, Some(wanted.clone()), &mut Free::new()).unwrap()[0].client, wanted, "it is free");
    }

    #[test]
    fn wherever_it_begins_there_are_addresses() {
        let mut free = Free::from(PORTS.end - 1);
        let ports: Vec<u16> =
            (0..50).map(|_| free.next().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()).collect();
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
    }
}
