//! The application on a wasmCloud lattice that runs, which one test after the other has to itself.

use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::lattice::{Lattice, Tools, on_every_host};

use crate::application::{Application, repository};
use crate::eventually;
use crate::nats::Nats;

/// How long what an earlier test has left behind may take to be handled.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Deployed {
    lattice: Lattice,
    application: Application,
    /// How long the log of each host was before.
    log_begins: Vec<(String, usize)>,
}

impl Deployed {
    /// With nothing in it, unless it was started with the same `data` before.
    #[track_caller]
    pub fn start(folder: &Path, data: &Path, manifest: &str) -> Self {
        let tools = done(Tools::built(&repository()));
        let mut lattice = done(Lattice::attach(folder, tools));
        let hosts: Vec<String> = lattice.hosts().map(str::to_owned).collect();
        let log_begins = hosts.iter().map(|host| (host.clone(), lattice.log(host).len())).collect();
        let http = lattice.http().parse().unwrap();
        let nats = lattice.nats().next().unwrap().to_owned();
        let application = Application::new(http, nats.parse().ok(), ["--nats", &nats]);
        // Says, for the next start with this folder, that what is there now is to be kept.
        let mark = data.join("is-on-the-lattice");
        let is_again = mark.is_file();
        let mut starts = false;
        for host in &hosts {
            if is_again && lattice.is_running(host) {
                lattice.processes().stop(host).unwrap();
            }
        }
        for host in &hosts {
            // It was stopped or killed, perhaps by a test that failed.
            if !lattice.is_running(host) {
                done(lattice.start_host_again(host));
                starts = true;
            }
        }
        let everywhere = (hosts.len() > 1).then(|| on_every_host(manifest));
        let manifest = everywhere.as_deref().unwrap_or(manifest);
        if starts || done(lattice.is_other(manifest)) {
            done(lattice.deploy(manifest));
        }
        if !is_again {
            // Only now, when everybody hears that there is something to make anew.
            empty(&application.nats());
            application.bus().publish("trellis.announce", b"");
            std::fs::create_dir_all(data).unwrap();
            std::fs::write(&mark, "").unwrap();
        }
        done(lattice.wait_for_answer());
        application.wait_for_routes();
        Self { lattice, application, log_begins }
    }

    /// The machines on which hosts run lose their power. NATS has others.
    pub fn kill(mut self) {
        for (host, _) in &self.log_begins {
            self.lattice.processes().kill(host).unwrap();
        }
    }

    /// Hosts go on, for the next test; they are stopped when this application is started again. Whether a component has
    /// failed by its own fault shows now.
    #[track_caller]
    pub fn stop(self) {
        let output = self.output();
        let complaints: Vec<&str> = output.lines().filter(|line| line.contains("wasm trap:")).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    pub fn output(&self) -> String {
        let logs = self.log_begins.iter().map(|(host, begin)| self.lattice.log(host).split_off(*begin));
        logs.collect()
    }
}

impl Deref for Deployed {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.application
    }
}

/// What has to succeed.
#[track_caller]
pub fn done<T>(result: Result<T, xtask::Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Takes away every log, dead letter and read model. Services make anew what they miss as soon as they look around.
#[track_caller]
fn empty(nats: &Nats) {
    let names = |subject: &str| -> Vec<String> {
        let answer = nats.jetstream("STREAM.NAMES", json!({ "subject": subject }));
        let names = answer["streams"].as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let logs = names("log.>");
    let deadline = Instant::now() + IDLE_PATIENCE;
    while !logs.iter().all(|log| is_idle(nats, log)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let buckets: Vec<String> = names("$KV.>").into_iter().filter(|stream| is_of_a_service(stream)).collect();
    // Hosts say that they live, and whoever hears it makes anew what it misses. What such a log tells must come after the read
    // models are emptied, or they would never have it: so no log may be there by then.
    eventually("all of it is gone", || {
        for stream in names("log.>").iter().chain(&names("dead.>")) {
            nats.ask(&format!("$JS.API.STREAM.DELETE.{stream}"), b"").unwrap();
        }
        let purge = |stream: &String| nats.jetstream(&format!("STREAM.PURGE.{stream}"), json!({}));
        let are_empty = buckets.iter().all(|stream| purge(stream)["success"] == true);
        (are_empty && names("log.>").is_empty()).then_some(())
    });
}

/// wasmCloud has buckets of its own, for hosts and for wadm.
fn is_of_a_service(stream: &str) -> bool {
    let bucket = stream.trim_start_matches("KV_");
    repository().join("components").join(bucket).is_dir()
}

/// Whether everybody who follows this log has handled all of it.
fn is_idle(nats: &Nats, log: &str) -> bool {
    let consumers = nats.jetstream(&format!("CONSUMER.LIST.{log}"), json!({}));
    let left = |consumer: &Value| {
        consumer["num_pending"].as_u64().unwrap_or(1) + consumer["num_ack_pending"].as_u64().unwrap_or(1)
    };
    consumers["consumers"].as_array().into_iter().flatten().all(|consumer| left(consumer) == 0)
}
