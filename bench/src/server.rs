//! A server under measurement: a child process that prints its address and is killed when it is dropped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

#[derive(Debug)]
pub struct Server {
    child: Child,
    pub address: String,
    /// From the start of the process to its first line with an address.
    pub up_in: Duration,
}

impl Server {
    /// Starts `command` and waits for a line with an `http://` address on its standard output or error.
    pub fn start(mut command: Command) -> Result<Server> {
        let name = format!("{command:?}");
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (tell, told) = std::sync::mpsc::channel();
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|s| Box::new(s) as _), child.stderr.take().map(|s| Box::new(s) as _)];
        for stream in streams.into_iter().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // The reader goes on when nobody listens any more, so that the child never blocks on a full pipe.
                    let _ = tell.send(line);
                }
            });
        }
        drop(tell);
        let mut seen = String::new();
        while let Ok(line) = told.recv_timeout(Duration::from_secs(60)) {
            if let Some(address) = address_in(&line) {
                return Ok(Server { child, address, up_in: started.elapsed() });
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        let _ = child.kill();
        let _ = child.wait();
        bail!("{name} told no address; it said:\n{seen}")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_in(line: &str) -> Option<String> {
    let rest = line.split_once("http://")?.1;
    let address: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || ".:".contains(*c)).collect();
    (!address.is_empty()).then_some(address)
}
